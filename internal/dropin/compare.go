package dropin

import (
	"cmp"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
)

// Options are what the comparison knows besides the two expositions.
type Options struct {
	// Missing lists commands that our side could not ask ("mgr dump"), as a recording may lack them.
	Missing []string
	// Again is the module's exposition taken once more after ours, if there is one: what changed
	// between its two samples was moving while we looked.
	Again []byte
	// Contradictions lists what shows that the module's exposition is of another moment than ours.
	Contradictions []string
	// Explain gives the reason of a difference, "" if it knows none. nil means the reasons for what
	// Ceph's module does.
	Explain func(Result) string
}

// A Kind says how a series compares.
type Kind string

// The kinds. Missing series are the module's and not ours, extra ones ours and not the module's.
const (
	Equal   Kind = "equal"
	Differ  Kind = "differ"
	Missing Kind = "missing"
	Extra   Kind = "extra"
)

// A Result is the comparison of one series.
type Result struct {
	Kind   Kind
	Family string
	Series string // name and labels, as the module has them if it has them
	Module string // value, or what differs of type and labels
	Ours   string
	Reason string // "" for equal series
}

// daemon is the label ceph_daemon of the series.
func (r Result) daemon() string {
	_, after, _ := strings.Cut(r.Series, `ceph_daemon="`)
	name, _, _ := strings.Cut(after, `"`)
	return name
}

// A Report is the comparison of two expositions.
type Report struct {
	Results []Result // sorted by series
	// LeftOut counts the performance counters of daemons, which no command gives. They are not
	// among Results.
	LeftOut         int
	LeftOutFamilies int
}

// Count is the number of series of one kind.
func (r Report) Count(k Kind) int {
	n := 0
	for _, s := range r.Results {
		if s.Kind == k {
			n++
		}
	}
	return n
}

// Compared is the number of the module's series that were compared.
func (r Report) Compared() int { return r.Count(Equal) + r.Count(Differ) + r.Count(Missing) }

// Compare compares the module's exposition with ours. It fails when one cannot be parsed.
func Compare(module, ours []byte, o Options) (Report, error) {
	m, err := parse(module)
	if err != nil {
		return Report{}, fmt.Errorf("parse the module's exposition: %w", err)
	}
	u, err := parse(ours)
	if err != nil {
		return Report{}, fmt.Errorf("parse our exposition: %w", err)
	}
	again, err := parse(o.Again)
	if err != nil {
		return Report{}, fmt.Errorf("parse the module's second exposition: %w", err)
	}
	c := comparison{again: again, why: reasons{o: o, down: down(u)}}
	for name, family := range m {
		if isDaemonCounter(name) && u[name] == nil {
			c.report.LeftOut += len(family.series)
			c.report.LeftOutFamilies++
			continue
		}
		c.family(name, family, u[name])
	}
	for name, family := range u {
		if m[name] == nil {
			c.family(name, nil, family)
		}
	}
	sort.Slice(c.report.Results, func(i, j int) bool { return c.report.Results[i].Series < c.report.Results[j].Series })
	return c.report, nil
}

type comparison struct {
	report Report
	again  map[string]*family
	why    reasons
}

func (c *comparison) add(r Result) {
	switch {
	case r.Kind == Equal:
	case c.why.o.Explain != nil:
		r.Reason = cmp.Or(c.why.o.Explain(r), Unexplained)
	default:
		r.Reason = c.why.of(r)
	}
	c.report.Results = append(c.report.Results, r)
}

// family compares one family; either side may be nil.
func (c *comparison) family(name string, module, ours *family) {
	if module == nil {
		module = &family{kind: ours.kind}
	}
	if ours == nil {
		ours = &family{kind: module.kind}
	}
	var left []sample
	rest := map[string]sample{}
	for key, s := range ours.series {
		rest[key] = s
	}
	for key, s := range module.series {
		o, ok := rest[key]
		if !ok {
			left = append(left, s)
			continue
		}
		delete(rest, key)
		c.pair(name, key, module.kind, ours.kind, s, o)
	}
	c.leftovers(name, left, rest)
}

// pair compares two series of the same name and labels.
func (c *comparison) pair(name, key, moduleKind, ourKind string, m, o sample) {
	r := Result{Kind: Equal, Family: name, Series: name + key, Module: number(m.value), Ours: number(o.value)}
	switch {
	case moduleKind != ourKind:
		r.Kind, r.Module, r.Ours = Differ, "type "+moduleKind, "type "+ourKind
	case !same(m.value, o.value):
		r.Kind = Differ
		if f := c.again[name]; f != nil {
			if s, ok := f.series[key]; ok && !same(s.value, m.value) {
				r.Module += " then " + number(s.value)
			}
		}
	}
	c.add(r)
}

// leftovers pairs series that are the same thing with other labels, and reports the others.
func (c *comparison) leftovers(name string, left []sample, rest map[string]sample) {
	for _, m := range left {
		key, o, ok := partner(m, left, rest)
		if !ok {
			c.add(Result{Kind: Missing, Family: name, Series: name + m.key(), Module: number(m.value)})
			continue
		}
		delete(rest, key)
		was, is := labelDifference(m, o)
		c.add(Result{Kind: Differ, Family: name, Series: name + m.key(), Module: was, Ours: is})
	}
	for key, o := range rest {
		c.add(Result{Kind: Extra, Family: name, Series: name + key, Ours: number(o.value)})
	}
}

// identity are the labels that say which thing a series is about.
var identity = []string{"ceph_daemon", "pool_id", "poolid", "fs_id"}

// partner finds the one series of ours about the same thing as m.
func partner(m sample, left []sample, rest map[string]sample) (key string, o sample, ok bool) {
	who := m.identity()
	for _, other := range left {
		if other.key() != m.key() && other.identity() == who {
			return "", o, false // two of the module's: labels beyond the identity tell them apart
		}
	}
	if who == "" {
		return "", o, false
	}
	found := 0
	for k, s := range rest {
		if s.identity() == who {
			key, o = k, s
			found++
		}
	}
	return key, o, found == 1
}

// labelDifference lists the labels that differ, and the values if they do.
func labelDifference(m, o sample) (was, is string) {
	names := map[string]bool{}
	for n := range m.labels {
		names[n] = true
	}
	for n := range o.labels {
		names[n] = true
	}
	var a, b []string
	for n := range names {
		v, has := m.labels[n]
		w, ours := o.labels[n]
		if has != ours || v != w {
			a, b = append(a, label(n, v, has)), append(b, label(n, w, ours))
		}
	}
	sort.Strings(a)
	sort.Strings(b)
	if !same(m.value, o.value) {
		a, b = append(a, number(m.value)), append(b, number(o.value))
	}
	return strings.Join(a, " "), strings.Join(b, " ")
}

func label(name, value string, has bool) string {
	if !has {
		return "no " + name
	}
	return name + "=" + strconv.Quote(value)
}

// same allows for the digits that a float loses in text.
func same(a, b float64) bool {
	if a == b || math.IsNaN(a) && math.IsNaN(b) {
		return true
	}
	return math.Abs(a-b) <= 1e-9*math.Max(math.Abs(a), math.Abs(b))
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
