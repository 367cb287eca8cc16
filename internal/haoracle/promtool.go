package haoracle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// An Alert is one that fires at one moment, or from one to another.
type Alert struct {
	Labels   map[string]string
	From, To int64 // first and last evaluation at which it fires, in seconds since the scenario's start
}

// testFile is a promtool test file. It expects no alert at all: what promtool finds instead it tells.
type testFile struct {
	RuleFiles []string   `yaml:"rule_files"`
	Interval  string     `yaml:"evaluation_interval"`
	Tests     []testCase `yaml:"tests"`
}

type testCase struct {
	Interval string       `yaml:"interval"`
	Series   []testSeries `yaml:"input_series"`
	Queries  []testQuery  `yaml:"promql_expr_test"`
}

type testSeries struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

type testQuery struct {
	Expr string `yaml:"expr"`
	Time string `yaml:"eval_time"`
}

const firing = `ALERTS{alertstate="firing"}`

// target are the labels that a server gives to what it scrapes from one exporter.
const target = `instance="node1:9221",job="proxmox"`

// newTestFile has the scrapes, one a step beginning at the first step, and a query for each.
func newTestFile(rules []string, first int64, all []scrape) testFile {
	every := fmt.Sprintf("%ds", step)
	c := testCase{Interval: every}
	names := map[string]bool{}
	for _, s := range all {
		for series := range s {
			names[series] = true
		}
	}
	for _, series := range slices.Sorted(maps.Keys(names)) {
		c.Series = append(c.Series, testSeries{labelled(series), values(series, first/step, all)})
	}
	for i := range all {
		c.Queries = append(c.Queries, testQuery{firing, fmt.Sprintf("%ds", first+int64(i)*step)})
	}
	return testFile{rules, every, []testCase{c}}
}

// labelled adds the labels of target.
func labelled(series string) string {
	name, labels, ok := strings.Cut(series, "{")
	if !ok {
		return name + "{" + target + "}"
	}
	return name + "{" + target + "," + labels
}

// values writes a series in promtool's notation, after skip steps without it. It goes stale at the
// first scrape that lacks it.
func values(series string, skip int64, all []scrape) string {
	var out []string
	if skip > 0 {
		out = append(out, fmt.Sprintf("_x%d", skip))
	}
	before := false
	for _, s := range all {
		v, there := s[series]
		switch {
		case there:
			out = append(out, strconv.FormatFloat(v, 'f', -1, 64))
		case before:
			out = append(out, "stale")
		default:
			out = append(out, "_")
		}
		before = there
	}
	return strings.Join(out, " ")
}

// run lets promtool evaluate the test and returns the alerts that fired.
func (f testFile) run(ctx context.Context, promtool, dir string) ([]Alert, error) {
	text, err := yaml.Marshal(f)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "test.yaml")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, promtool, "test", "rules", path).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, fmt.Errorf("%w (install Prometheus, which has promtool)", err)
	}
	alerts, complete := parseFiring(string(out))
	if !complete || err != nil && len(alerts) == 0 {
		return nil, fmt.Errorf("promtool: %s", strings.TrimSpace(string(out)))
	}
	return alerts, nil
}

var (
	gotLine    = regexp.MustCompile(`(?m)^ *expr: .*, time: (\w+),\n *exp: *nil\n *got: *(.*)$`)
	gotSample  = regexp.MustCompile(`\{((?:\w+="(?:[^"\\]|\\.)*"(?:, )?)*)\} \S+`)
	gotLabel   = regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`)
	otherError = regexp.MustCompile(`(?m)^ *expr: |error|panic`)
)

// parseFiring reads what promtool says of a testFile. It is complete if nothing else was said.
func parseFiring(out string) (alerts []Alert, complete bool) {
	since := map[string]int{} // index of the latest alert with these labels
	for _, m := range gotLine.FindAllStringSubmatch(out, -1) {
		d, err := model.ParseDuration(m[1])
		if err != nil {
			return nil, false
		}
		t := int64(time.Duration(d).Seconds())
		for _, sample := range gotSample.FindAllStringSubmatch(m[2], -1) {
			labels := map[string]string{}
			for _, l := range gotLabel.FindAllStringSubmatch(sample[1], -1) {
				labels[l[1]], _ = strconv.Unquote(`"` + l[2] + `"`)
			}
			if i, ok := since[sample[1]]; ok && alerts[i].To == t-step {
				alerts[i].To = t
				continue
			}
			since[sample[1]] = len(alerts)
			alerts = append(alerts, Alert{labels, t, t})
		}
	}
	return alerts, !otherError.MatchString(gotLine.ReplaceAllString(out, ""))
}
