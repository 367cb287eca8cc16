package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"

	"go.yaml.in/yaml/v3"

	"github.com/quorate/quorate/internal/dropin"
	"github.com/quorate/quorate/internal/source/ceph"
)

const (
	stockAlertsFile = "../../../shared/data/peers/ceph-mixin-alerts.tsv"
	cephRecordings  = "../../../shared/data/ceph"
)

// monMgrMetrics are those that stock rules need besides what daemons, hosts and add-ons tell.
var monMgrMetrics = strings.Fields(`ceph_health_status ceph_health_detail ceph_healthcheck_slow_ops ceph_daemon_health_metrics
	ceph_mon_metadata ceph_mon_quorum_status ceph_osd_metadata ceph_osd_up ceph_osd_numpg ceph_pg_active ceph_pg_clean
	ceph_pg_total ceph_pool_metadata ceph_pool_percent_used`)

// A stockAlert is one of Ceph's own alerts.
type stockAlert struct{ Name, Expr, For string }

// stockAlerts are those of Ceph 20 that need nothing but what monitors and manager tell.
func stockAlerts(t *testing.T) []stockAlert {
	t.Helper()
	text, err := os.ReadFile(stockAlertsFile)
	if err != nil {
		t.Skipf("no list of Ceph's own alerts: %v", err)
	}
	var rows [][]string
	for line := range strings.Lines(string(text)) {
		rows = append(rows, strings.Split(strings.TrimRight(line, "\n"), "\t"))
	}
	column := func(name string) int { return slices.Index(rows[0], name) }
	var all []stockAlert
	for _, row := range rows[1:] {
		metrics := strings.Fields(row[column("metrics")])
		foreign := slices.ContainsFunc(metrics, func(m string) bool { return !slices.Contains(monMgrMetrics, m) })
		if row[column("in_v20")] != "yes" || len(metrics) == 0 || foreign {
			continue
		}
		lasts := row[column("for")]
		if lasts == "0" {
			lasts = "0s"
		}
		all = append(all, stockAlert{row[column("alert")], row[column("expr_v20_or_last")], lasts})
	}
	return all
}

// stockRules are alerts as a rule file.
func stockRules(t *testing.T, alerts ...stockAlert) []byte {
	t.Helper()
	var rules []map[string]string
	for _, a := range alerts {
		rules = append(rules, map[string]string{"alert": a.Name, "expr": a.Expr, "for": a.For})
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "stock", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A stockCase is what Prometheus scraped: a recorded state that lasts, or states in turn.
type stockCase struct {
	name   string
	states []string
	check  string // is raised besides
}

// stockFlapping is an OSD that dies and comes back with each scrape.
var stockFlapping = stockCase{name: "healthy and osd1_down in turn", states: []string{"healthy", "osd1_down"}}

// stockUnmade are the checks that no fault here raises, with what they would take. That the alert
// fires if Ceph raises the check is shown on a recording with the check added.
var stockUnmade = map[string]struct{ check, why string }{
	"CephOSDInternalDiskSizeMismatch":       {"BLUESTORE_DISK_SIZE_MISMATCH", "takes a disk that changed its size"},
	"CephOSDReadErrors":                     {"BLUESTORE_SPURIOUS_READ_ERRORS", "takes a disk with read errors that go away"},
	"CephDeviceFailurePredicted":            {"DEVICE_HEALTH", "takes a disk whose SMART data foretell its end"},
	"CephDeviceFailurePredictionTooHigh":    {"DEVICE_HEALTH_TOOMANY", "takes several such disks"},
	"CephDeviceFailureRelocationIncomplete": {"DEVICE_HEALTH_IN_USE", "takes such a disk that cannot be emptied"},
	"CephFilesystemDamaged":                 {"MDS_DAMAGE", "takes an MDS with damaged metadata"},
	"CephFilesystemReadOnly":                {"MDS_HEALTH_READ_ONLY", "takes an MDS that cannot write"},
	"CephPGRecoveryAtRisk":                  {"PG_RECOVERY_FULL", "takes an OSD that gets full by recovery"},
	"CephMgrModuleCrash":                    {"RECENT_MGR_MODULE_CRASH", "takes Ceph 17: the lab's 16 has no such check"},
	"CephObjectMissing":                     {"OBJECT_UNFOUND", "takes objects that were lost although every OSD is up"},
	"CephPoolNearFull":                      {"POOL_NEAR_FULL", "takes a pool between its threshold and its quota"},
	"CephadmUpgradeFailed":                  {"UPGRADE_EXCEPTION", "cephadm, which Proxmox VE does not use"},
	"CephadmDaemonFailed":                   {"CEPHADM_FAILED_DAEMON", "cephadm, which Proxmox VE does not use"},
	"CephadmPaused":                         {"CEPHADM_PAUSED", "cephadm, which Proxmox VE does not use"},
}

// stockNever are the alerts that cannot fire, with the reason.
var stockNever = map[string]string{
	"CephPoolGrowthWarning": "nor on Ceph's own metrics: it holds a ratio from 0 to 1 against 95",
}

func TestStockCephRulesFireOnOurSeries(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skipf("%v (Debian package prometheus)", err)
	}
	alerts := stockAlerts(t)
	if len(alerts) != 51 {
		t.Errorf("Ceph 20 has %d alerts that need monitors and manager alone, want 51", len(alerts))
	}
	seen := map[string][]string{} // cases in which an alert fires, by alert
	copies := map[string]bool{}
	for _, c := range stockCases(t) {
		names, err := c.firing(t, promtool, 1, alerts...)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			seen[name] = append(seen[name], c.name)
		}
		for _, a := range alerts {
			if len(seen[a.Name]) == 1 && seen[a.Name][0] == c.name {
				// An expression that finds two series where it wants one ends the evaluation.
				names, err := c.firing(t, promtool, 3, a)
				copies[a.Name] = err == nil && len(names) == 1
			}
		}
	}
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	count := map[string]int{}
	for _, a := range alerts {
		kind, how := stockVerdict(a.Name, seen[a.Name])
		count[kind]++
		if kind == "check" {
			c := stockCase{name: a.Name, states: []string{"healthy"}, check: stockUnmade[a.Name].check}
			if names, err := c.firing(t, promtool, 1, a); err != nil || len(names) != 1 {
				t.Errorf("%s: with health check %s fires %v, %v", a.Name, c.check, names, err)
			}
			names, err := c.firing(t, promtool, 3, a)
			copies[a.Name] = err == nil && len(names) == 1
		}
		if (kind == "recorded" || kind == "check") && !copies[a.Name] {
			count["one target only"]++
			how += " (with one target only)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", a.Name, kind, how)
		if kind == "unknown" {
			t.Errorf("%s: neither a fault that raises it nor a reason", a.Name)
		}
	}
	w.Flush()
	t.Logf("\n%s\n%v", &table, count)
	want := map[string]int{"recorded": 18, "lab": 18, "check": 14, "never": 1, "one target only": 4}
	if !maps.Equal(count, want) {
		t.Errorf("got %v, want %v", count, want)
	}
}

// stockVerdict says how it is known that an alert fires, or why it does not.
func stockVerdict(name string, recorded []string) (kind, how string) {
	reason, never := stockNever[name]
	unmade, check := stockUnmade[name]
	i := slices.IndexFunc(stockFaults, func(f stockFault) bool { return slices.Contains(f.alerts, name) })
	switch {
	case len(recorded) > 0:
		return "recorded", strings.Join(recorded, ", ")
	case i >= 0:
		return "lab", stockFaults[i].name
	case check:
		return "check", unmade.check + ": " + unmade.why
	case never:
		return "never", reason
	}
	return "unknown", ""
}

// stockCases are all recorded states, and one that flaps.
func stockCases(t *testing.T) []stockCase {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(cephRecordings, "*", "status.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Skipf("no recordings below %s", cephRecordings)
	}
	all := []stockCase{stockFlapping}
	for _, path := range found {
		name := filepath.Base(filepath.Dir(path))
		all = append(all, stockCase{name: name, states: []string{name}})
	}
	return all
}

// firing are the alerts that fire when Prometheus has scraped this for 20 minutes from so many targets.
func (c stockCase) firing(t *testing.T, promtool string, targets int, alerts ...stockAlert) (names []string, err error) {
	t.Helper()
	dir := t.TempDir()
	test := map[string]any{
		"rule_files": []string{"rules.yaml"}, "evaluation_interval": "15s",
		"tests": []any{map[string]any{
			"interval": "15s", "input_series": c.series(t, targets),
			"promql_expr_test": []any{map[string]any{"expr": `count by (alertname) (ALERTS{alertstate="firing"})`, "eval_time": "20m"}},
		}},
	}
	text, err := yaml.Marshal(test)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"rules.yaml": stockRules(t, alerts...), "test.yaml": text} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(promtool, "test", "rules", filepath.Join(dir, "test.yaml")).CombinedOutput()
	if err == nil {
		return nil, nil // it expects nothing, and that came
	}
	if !stockGot.Match(out) {
		return nil, fmt.Errorf("%s: promtool: %s", c.name, out)
	}
	for _, m := range stockName.FindAllSubmatch(stockGot.Find(out), -1) {
		names = append(names, string(m[1]))
	}
	return names, nil
}

var (
	stockGot  = regexp.MustCompile(`(?m)^ *got: *\{.*$`)
	stockName = regexp.MustCompile(`alertname="(\w+)"`)
)

// series are what targets that tell the same have in 20 minutes, in promtool's notation.
func (c stockCase) series(t *testing.T, targets int) []map[string]string {
	t.Helper()
	const scrapes = 80
	values := map[string][]string{}
	for i, state := range c.states {
		text, err := dropin.Exposition(context.Background(), ceph.Recording{FS: recordingWith(t, state, c.check)})
		if err != nil {
			t.Fatal(err)
		}
		now, err := parse(string(text))
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range now {
			if metric, _, _ := strings.Cut(name, "{"); !slices.Contains(monMgrMetrics, metric) {
				continue
			}
			if values[name] == nil {
				values[name] = slices.Repeat([]string{"stale"}, len(c.states))
			}
			values[name][i] = strconv.FormatFloat(v, 'f', -1, 64)
		}
	}
	var all []map[string]string
	for target := range targets {
		for name, turn := range values {
			labels := fmt.Sprintf(`{cluster="pve",job="ceph",instance="pve%d:9921",`, target+1)
			all = append(all, map[string]string{
				"series": strings.Replace(name, "{", labels, 1),
				"values": strings.Join(slices.Repeat(turn, 1+scrapes/len(turn)), " "),
			})
		}
	}
	return all
}

// recordingWith is a recorded state, with one more health check unless check is empty.
func recordingWith(t *testing.T, state, check string) fs.FS {
	t.Helper()
	dir := filepath.Join(cephRecordings, state)
	if check == "" {
		return os.DirFS(dir)
	}
	const answer = "status.json"
	text, err := os.ReadFile(filepath.Join(dir, answer))
	if err != nil {
		t.Fatal(err)
	}
	var status map[string]any
	if err := json.Unmarshal(text, &status); err != nil {
		t.Fatal(err)
	}
	status["health"] = map[string]any{"status": "HEALTH_WARN", "mutes": []any{}, "checks": map[string]any{
		check: map[string]any{"severity": "HEALTH_WARN", "summary": map[string]any{"message": "(added)", "count": 1}, "muted": false},
	}}
	if text, err = json.Marshal(status); err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(copied, answer), text, 0o644); err != nil {
		t.Fatal(err)
	}
	return os.DirFS(copied)
}
