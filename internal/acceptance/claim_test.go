package acceptance

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A claim is one line about what exporters say, such as
//
//	pve1: corosync_member_up{node="pve3"} == 0
//	pve1,pve2: corosync_ring_leader_node_id differ
//	pve1: ceph_* absent
//	pve1: sum ceph_pg_undersized == 5
//	pve1: corosync_link_probe_lost_total{peer="pve3",link="0"} grows
//
// The selector matches series that have the named labels, whatever others they have; * stands for
// any ending of a name. A comparison holds when at least one series matches and all that do pass;
// "sum" adds them up first, "mean" divides the growth of a histogram's sum by that of its count.
// Growth, as in "grows" and "steady", is against the moment before the fault.
type claim struct {
	text    string
	nodes   []string
	fold    string // "sum", "mean" or ""
	name    *regexp.Regexp
	labels  map[string]string
	verb    string
	operand float64
}

var (
	claimForm = regexp.MustCompile(`^(\w+(?:,\w+)*): (?:(sum|mean) )?([a-z0-9_*]+)(?:\{(.*)\})? (absent|present|differ|same|grows|steady|(?:==|!=|<=|>=|<|>) \S+)$`)
	labelForm = regexp.MustCompile(`(\w+)="([^"]*)"`)
)

func parseClaim(text string) (claim, error) {
	m := claimForm.FindStringSubmatch(text)
	if m == nil {
		return claim{}, fmt.Errorf("claim %q is not NODES: SELECTOR VERB", text)
	}
	c := claim{text: text, nodes: strings.Split(m[1], ","), fold: m[2], labels: map[string]string{}}
	c.name = regexp.MustCompile("^" + strings.ReplaceAll(m[3], "*", ".*") + "$")
	for _, l := range labelForm.FindAllStringSubmatch(m[4], -1) {
		c.labels[l[1]] = l[2]
	}
	verb, operand, compares := strings.Cut(m[5], " ")
	c.verb = verb
	if compares {
		v, err := strconv.ParseFloat(operand, 64)
		if err != nil {
			return claim{}, fmt.Errorf("claim %q: %w", text, err)
		}
		c.operand = v
	}
	return c, nil
}

// matching returns the values of the series the claim speaks of.
func (c claim) matching(before, now answer) []float64 {
	switch c.fold {
	case "sum":
		values := c.values(now, "")
		if len(values) == 0 {
			return nil
		}
		return []float64{total(values)}
	case "mean":
		count := total(c.values(now, "_count")) - total(c.values(before, "_count"))
		if count <= 0 {
			return nil
		}
		return []float64{(total(c.values(now, "_sum")) - total(c.values(before, "_sum"))) / count}
	}
	return c.values(now, "")
}

// values returns those of the series of a that are named as the claim says, and then suffix.
func (c claim) values(a answer, suffix string) []float64 {
	var out []float64
	for k, v := range a.series {
		name, rest, _ := strings.Cut(k, "{")
		if name, is := strings.CutSuffix(name, suffix); !is || !c.name.MatchString(name) {
			continue
		}
		have := map[string]string{}
		for _, l := range labelForm.FindAllStringSubmatch(rest, -1) {
			have[l[1]] = l[2]
		}
		fits := true
		for n, want := range c.labels {
			fits = fits && have[n] == want
		}
		if fits {
			out = append(out, v)
		}
	}
	return out
}

func total(values []float64) (sum float64) {
	for _, v := range values {
		sum += v
	}
	return sum
}

// check returns nil when the claim holds for the answers now, by node; before holds the answers
// from before the fault.
func (c claim) check(before, now map[string]answer) error {
	var all []float64
	for _, node := range c.nodes {
		a, there := now[node]
		if !there {
			return fmt.Errorf("%s: %s did not answer", c.text, node)
		}
		values := c.matching(before[node], a)
		all = append(all, values...)
		if err := c.checkNode(values, before[node]); err != nil {
			return fmt.Errorf("%s: %s: %w", c.text, node, err)
		}
	}
	if c.verb != "differ" && c.verb != "same" {
		return nil
	}
	equal := len(all) > 0
	for _, v := range all {
		equal = equal && v == all[0]
	}
	if len(all) != len(c.nodes) || equal != (c.verb == "same") {
		return fmt.Errorf("%s: they say %v", c.text, all)
	}
	return nil
}

func (c claim) checkNode(values []float64, before answer) error {
	switch c.verb {
	case "differ", "same":
		return nil
	case "absent":
		if len(values) > 0 {
			return fmt.Errorf("%d series", len(values))
		}
		return nil
	}
	if len(values) == 0 {
		return fmt.Errorf("no such series")
	}
	if c.verb == "grows" || c.verb == "steady" {
		// Each of the series: the smallest now is above the largest before.
		old, now := math.Inf(-1), slices.Min(values)
		for _, v := range c.matching(answer{}, before) {
			old = max(old, v)
		}
		if (now > old) != (c.verb == "grows") {
			return fmt.Errorf("%v, was %v", now, old)
		}
		return nil
	}
	for _, v := range values {
		if !compare(c.verb, v, c.operand) {
			return fmt.Errorf("says %v", v)
		}
	}
	return nil
}

func compare(op string, a, b float64) bool {
	switch op {
	case "present":
		return true
	case "==":
		return a == b
	case "!=":
		return a != b
	case "<":
		return a < b
	case "<=":
		return a <= b
	case ">":
		return a > b
	case ">=":
		return a >= b
	}
	return false
}

func TestClaims(t *testing.T) {
	now := map[string]answer{
		"pve1": {series: map[string]float64{`up{node="pve3"}`: 0, `up{node="pve2"}`: 1, `leader{}`: 1, `lost{peer="pve3"}`: 5, `rtt_sum{link="0"}`: 3, `rtt_count{link="0"}`: 30}},
		"pve2": {series: map[string]float64{`leader{}`: 2}},
	}
	before := map[string]answer{"pve1": {series: map[string]float64{`lost{peer="pve3"}`: 5, `rtt_sum{link="0"}`: 1, `rtt_count{link="0"}`: 20}}}
	for text, holds := range map[string]bool{
		`pve1: up{node="pve3"} == 0`:      true,
		`pve1: up{node="pve2"} == 0`:      false,
		`pve1: up == 0`:                   false,
		`pve1: sum up == 1`:               true,
		`pve1: up{node="pve9"} == 0`:      false,
		`pve1: u* present`:                true,
		`pve2: u* absent`:                 true,
		`pve1: up absent`:                 false,
		`pve1,pve2: leader differ`:        true,
		`pve1,pve2: leader same`:          false,
		`pve1: lost{peer="pve3"} grows`:   false,
		`pve1: lost{peer="pve3"} >= 5`:    true,
		`pve1: lost{peer="pve3"} steady`:  true,
		`pve1: up{node="pve2"} grows`:     true,
		`pve1: up{node="pve2"} steady`:    false,
		`pve1: mean rtt{link="0"} == 0.2`: true,
		`pve1: mean rtt{link="1"} > 0`:    false,
		`pve3: leader == 1`:               false,
	} {
		c, err := parseClaim(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.check(before, now); (err == nil) != holds {
			t.Errorf("%s: got %v, want it to hold: %t", text, err, holds)
		}
	}
	if _, err := parseClaim("pve1: corosync_quorate is 1"); err == nil {
		t.Error("a malformed claim was accepted")
	}
}
