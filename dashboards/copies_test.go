package dashboards

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/quorate/quorate/collector"
)

// A walk is what three exporters told while a lab went through the states of TestLabDashboards, which
// writes it with -record-walk.
type walk struct {
	states []state
	series []recording
}

type state struct {
	name string
	step int
}

type recording struct{ name, labels, values string }

const (
	walkStep  = 3 // seconds between two samples
	walkNode  = `instance="pve1:9921"`
	unchanged = "healthy" // the state in which each panel that always has data has some
)

func readWalk(t *testing.T) walk {
	t.Helper()
	file, err := os.Open("testdata/walk.series.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	text, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var w walk
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 1<<20)
	form := regexp.MustCompile(`^(\w+)\{(.*)\} (.*)$`)
	for lines.Scan() {
		if rest, is := strings.CutPrefix(lines.Text(), "# "); is {
			var s state
			if _, err := fmt.Sscan(rest, &s.step); err != nil {
				t.Fatal(err)
			}
			_, s.name, _ = strings.Cut(rest, " ")
			w.states = append(w.states, s)
			continue
		}
		m := form.FindStringSubmatch(lines.Text())
		if m == nil {
			t.Fatalf("not a series: %q", lines.Text())
		}
		w.series = append(w.series, recording{m[1], m[2], m[3]})
	}
	if err := lines.Err(); err != nil || len(w.states) < 7 || len(w.series) < 1000 {
		t.Fatalf("%d states and %d series (%v)", len(w.states), len(w.series), err)
	}
	return w
}

// Three clusters of the same facts: one with an exporter that tells of the cluster and three that tell
// of their nodes, one in which all three tell of the cluster, and one of a single exporter.
const (
	oneCopy     = "one"
	threeCopies = "three"
	alone       = "alone"
)

type input struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

func (w walk) inputs() []input {
	ofCluster := map[string]bool{}
	for _, s := range collector.Specs() {
		for _, f := range s.Families {
			for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
				ofCluster[f.Name+suffix] = s.Scope == collector.Cluster
			}
		}
	}
	var all []input
	put := func(cluster string, r recording) {
		all = append(all, input{fmt.Sprintf(`%s{cluster=%q,%s}`, r.name, cluster, r.labels), r.values})
	}
	for _, r := range append(w.series, invented()...) {
		here := strings.Contains(r.labels, walkNode)
		if here {
			put(alone, r)
		}
		switch {
		case !ofCluster[r.name]:
			put(oneCopy, r)
			put(threeCopies, r)
		case here:
			put(oneCopy, r)
			for _, node := range []string{"pve1", "pve2", "pve3"} {
				copied := r
				copied.labels = strings.ReplaceAll(r.labels, walkNode, `instance="`+node+`:9921"`)
				put(threeCopies, copied)
			}
		}
	}
	return all
}

// invented are series that the lab does not have: it has neither quorum device nor replication.
func invented() []recording {
	const target = `job="proxmox",` + walkNode
	return []recording{
		{"corosync_qdevice_configured", target, "1+0x100"},
		{"corosync_qdevice_cast_vote", target, "1+0x100"},
		{"pve_replication_info", `id="104-0",type="local",source="pve2",target="pve1",guest="qemu/104",` + target, "1+0x100"},
		{"pve_replication_failed_syncs", `id="104-0",` + target, "0+0x100"},
		{"pve_replication_duration_seconds", `id="104-0",` + target, "4+0x100"},
		{"pve_replication_last_sync_timestamp_seconds", `id="104-0",` + target, "1+3x100"},
	}
}

type exprTest struct {
	Expr    string   `yaml:"expr"`
	At      string   `yaml:"eval_time"`
	Samples []sample `yaml:"exp_samples,omitempty"`
}

type sample struct {
	Labels string  `yaml:"labels"`
	Value  float64 `yaml:"value"`
}

// of fills in a cluster, and for the page's variables all values.
func of(expr, cluster string) string {
	expr = strings.NewReplacer("$__rate_interval", "12s", "$__range", "10m", `=~"$cluster"`, `="`+cluster+`"`).Replace(Resolve(expr))
	for _, name := range []string{"node", "guest", "pool", "vmid"} {
		expr = strings.ReplaceAll(expr, "$"+name, ".*")
	}
	return expr
}

// promtool runs tests of expressions on the inputs with the bundle's rules.
func promtool(t *testing.T, inputs []input, tests []exprTest) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes seconds: not under -short")
	}
	tool, err := exec.LookPath("promtool")
	switch {
	case err == nil:
	case os.Getenv("QUORATE_LAB") == "required":
		t.Fatalf("QUORATE_LAB=required: %v (Debian package prometheus)", err)
	default:
		t.Skipf("%v (Debian package prometheus)", err)
	}
	rules, err := filepath.Glob("../alerts/rules/*.yaml")
	if err != nil || len(rules) == 0 {
		t.Fatalf("no rules (%v)", err)
	}
	for i := range rules {
		if rules[i], err = filepath.Abs(rules[i]); err != nil {
			t.Fatal(err)
		}
	}
	type group struct {
		Interval string     `yaml:"interval"`
		Input    []input    `yaml:"input_series"`
		Tests    []exprTest `yaml:"promql_expr_test"`
	}
	text, err := yaml.Marshal(map[string]any{"rule_files": rules, "evaluation_interval": at(1),
		"tests": []group{{at(1), inputs, tests}}})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "walk.yaml")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), tool, "test", "rules", name).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%.8000s", err, out)
	}
}

func at(step int) string { return fmt.Sprintf("%ds", walkStep*step) }

// eachQuery calls do with all queries of panels and annotations.
func eachQuery(do func(expr string, shows When)) {
	for _, d := range All() {
		for _, p := range d.Panels() {
			for _, q := range p.Queries {
				do(q.Expr, p.Shows)
			}
		}
	}
	for _, a := range Annotations() {
		do(a.Expr, a.Shows)
	}
}

// Each exporter tells of the whole cluster. What is summed up without being folded first is three
// times as much as there is.
func TestPanelsShowTheSameWithThreeCopiesAsWithOne(t *testing.T) {
	w := readWalk(t)
	var tests []exprTest
	for _, s := range w.states {
		eachQuery(func(expr string, _ When) {
			// Which of equal values are among the top ten is chance.
			expr = strings.ReplaceAll(expr, "topk(10, ", "(")
			same := func(cluster string) string {
				return `label_replace((` + of(expr, cluster) + `), "cluster", "", "", "")`
			}
			for _, pair := range [][2]string{{oneCopy, threeCopies}, {threeCopies, oneCopy}} {
				a, b := same(pair[0]), same(pair[1])
				tests = append(tests, exprTest{Expr: "(" + a + ") unless (abs(" + a + " - " + b + ") <= 1e-9 * abs(" + a + "))", At: at(s.step)})
			}
		})
	}
	// There are three copies indeed.
	tests = append(tests, exprTest{Expr: `sum(ceph_osd_up{cluster="three"}) / sum(ceph_osd_up{cluster="one"})`, At: at(1), Samples: []sample{{"{}", 3}}})
	promtool(t, w.inputs(), tests)
}

// One exporter tells less, and nothing wrong: queries neither fail nor are empty.
func TestPanelsHaveDataWithOneExporter(t *testing.T) {
	w := readWalk(t)
	var tests []exprTest
	for _, s := range w.states {
		eachQuery(func(expr string, shows When) {
			answered := exprTest{Expr: "count(" + of(expr, alone) + ") * 0 or vector(0)", At: at(s.step), Samples: []sample{{"{}", 0}}}
			if s.name == unchanged && (shows == Always || shows == WithQDevice || shows == WithReplication) {
				answered = exprTest{Expr: "count(" + of(expr, alone) + ") > bool 0", At: at(s.step), Samples: []sample{{"{}", 1}}}
			}
			tests = append(tests, answered)
		})
	}
	promtool(t, w.inputs(), tests)
}
