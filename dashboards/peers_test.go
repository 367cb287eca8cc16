package dashboards

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	peers     = "../../shared/data/peers"
	cephMixin = "/etc/grafana/dashboards/ceph-dashboard" // of Debian's package ceph-grafana-dashboards
)

// catalog reads a table of tab-separated values by the names in its first line.
func catalog(t *testing.T, name string) []map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(peers, name))
	if os.IsNotExist(err) {
		t.Skipf("the catalogs of what others use are not here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	columns := strings.Split(lines[0], "\t")
	var all []map[string]string
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, field := range strings.Split(line, "\t") {
			row[columns[i]] = field
		}
		all = append(all, row)
	}
	return all
}

// Others' pages know one exporter that tells everything once.
func (w walk) asOneExporter() []input {
	var all []input
	for _, in := range w.inputs() {
		if strings.Contains(in.Series, `{cluster="`+alone+`"`) {
			all = append(all, in)
		}
	}
	return all
}

func hasData(expr, at string) exprTest {
	return exprTest{Expr: "count(" + expr + ") > bool 0", At: at, Samples: []sample{{"{}", 1}}}
}

// The queries of Grafana's page 10347 are these metrics by themselves, as rates, and with names that
// an info metric adds by id and instance.
func TestMetricsOfPage10347HaveData(t *testing.T) {
	w := readWalk(t)
	when := at(w.states[1].step)
	var tests []exprTest
	found := 0
	for _, row := range catalog(t, "pve-dashboard-usage.tsv") {
		if !strings.Contains(row["used_by"], "10347") {
			continue
		}
		found++
		m := row["metric"]
		tests = append(tests, hasData(m, when))
		of := func(kind, info, labels string) {
			tests = append(tests, hasData(m+`{id=~"`+kind+`/.*"} * on (id, instance) group_left (`+labels+`) `+info, when))
		}
		switch {
		case strings.HasPrefix(m, "pve_network_"), m == "pve_disk_read_bytes", m == "pve_disk_write_bytes":
			tests = append(tests, hasData(`rate(`+m+`{id=~"(qemu|lxc)/.*"}[12s])`, when))
			of("qemu", "pve_guest_info", "name")
		case strings.HasPrefix(m, "pve_disk_"):
			of("storage", "pve_storage_info", "storage, node")
			of("lxc", "pve_guest_info", "name")
			of("node", "pve_node_info", "name")
		case !strings.HasSuffix(m, "_info"):
			of("node", "pve_node_info", "name")
			of("(qemu|lxc)", "pve_guest_info", "name, node")
		}
	}
	if found < 10 {
		t.Fatalf("the catalog has %d metrics of that page", found)
	}
	promtool(t, w.asOneExporter(), tests)
}

// What of Ceph's dashboards the manager's module provides.
func TestMetricsOfCephsPagesHaveData(t *testing.T) {
	// Not in a cluster of the lab, or not of a hyperconverged one.
	elsewhere := regexp.MustCompile(`^ceph_(rbd_|rgw_|hardware_|nvmeof_|cephadm_|smb_|prometheus_|fs_|mds_|disk_occupation)`)
	known := metrics()
	w := readWalk(t)
	when := at(w.states[1].step)
	var tests []exprTest
	for _, row := range catalog(t, "ceph-mixin-used-metrics.tsv") {
		used := row["dashboards_v16"] + row["dashboards_v18"] + row["dashboards_v20"]
		m := row["name"]
		if row["provided_by_mgr_module_v20"] != "yes" || used == "" || elsewhere.MatchString(m) {
			continue
		}
		if known[m] == nil {
			t.Errorf("%s, which %s uses, is not exported", m, used)
			continue
		}
		tests = append(tests, hasData(m, when))
	}
	if len(tests) < 25 {
		t.Fatalf("the catalog has %d metrics", len(tests))
	}
	promtool(t, w.asOneExporter(), tests)
}

var cephMetric = regexp.MustCompile(`\b(?:ceph|node)_\w+`)

// The queries themselves, of those that read nothing that only daemons tell. One that asks for what the
// lab does not have, such as compressed pools or disks of terabytes, must be answered at least.
func TestQueriesOfCephsPagesHaveData(t *testing.T) {
	names, err := filepath.Glob(cephMixin + "/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Skipf("%s is not there (Debian package ceph-grafana-dashboards)", cephMixin)
	}
	known := metrics()
	w := readWalk(t)
	when := at(w.states[1].step)
	fill := strings.NewReplacer("$__rate_interval", "12s", "$__interval", "12s", "$interval", "12s", "$topk", "5", "$job", ".*", "$pool_name", ".*")
	choosy := regexp.MustCompile(`[<>]|!="none"`)
	var tests []exprTest
	full := 0
	for _, expr := range exprsOf(t, names) {
		used := cephMetric.FindAllString(quoted.ReplaceAllString(expr, ""), -1)
		if len(used) == 0 || slices.ContainsFunc(used, func(m string) bool { return known[m] == nil }) {
			continue
		}
		if expr = fill.Replace(expr); choosy.MatchString(expr) {
			tests = append(tests, exprTest{Expr: "count(" + expr + ") * 0 or vector(0)", At: when, Samples: []sample{{"{}", 0}}})
			continue
		}
		full++
		tests = append(tests, hasData(expr, when))
	}
	t.Logf("of %d queries %d must have data", len(tests), full)
	if full < 40 {
		t.Errorf("only %d queries were found", full)
	}
	promtool(t, w.asOneExporter(), tests)
}

var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// exprsOf are all strings under the key expr of pages of any schema.
func exprsOf(t *testing.T, names []string) []string {
	t.Helper()
	var all []string
	var walk func(any)
	walk = func(tree any) {
		switch v := tree.(type) {
		case map[string]any:
			if expr, ok := v["expr"].(string); ok && expr != "" {
				all = append(all, expr)
			}
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var tree any
		if err := json.Unmarshal(text, &tree); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		walk(tree)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
