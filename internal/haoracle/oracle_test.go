package haoracle

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
)

const rulesDir = "../../alerts/rules"

// promtool returns its path, or skips; with QUORATE_LAB=required in the environment it fails.
func promtool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	switch {
	case err == nil:
	case os.Getenv("QUORATE_LAB") == "required":
		t.Fatalf("QUORATE_LAB=required: %v (Debian package prometheus)", err)
	default:
		t.Skipf("%v (Debian package prometheus)", err)
	}
	return path
}

// haRules are the rules of HA, edited: each pair is a text, which must be there, and what it becomes.
func haRules(t *testing.T, edits ...string) fs.FS {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(rulesDir, "ha.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(edits); i += 2 {
		if !bytes.Contains(text, []byte(edits[i])) {
			t.Fatalf("the rules have no %q", edits[i])
		}
		text = bytes.ReplaceAll(text, []byte(edits[i]), []byte(edits[i+1]))
	}
	return fstest.MapFS{"ha.yaml": {Data: text}}
}

// ask returns the verdicts and what is printed of them.
func ask(t *testing.T, scenarios string, rules fs.FS) ([]Verdict, string) {
	t.Helper()
	all, err := Run(t.Context(), Config{Scenarios: scenarios, Rules: rules, Promtool: promtool(t)})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Print(&b, all, false); err != nil {
		t.Fatal(err)
	}
	return all, b.String()
}

func TestWhatEndedBadlyPagesAndWhatRecoveredDoesNot(t *testing.T) {
	t.Parallel()
	all, printed := ask(t, "testdata", haRules(t))
	if want := "scenarios=4 right=4 missed=0 false=0 median_detection_s=0\n"; printed != want {
		t.Errorf("printed %q, want %q", printed, want)
	}
	failures := map[string]int{}
	for _, v := range all {
		failures[v.Name] = len(v.Failures)
	}
	for name, want := range map[string]int{"test-basic1": 0, "test-shutdown-policy2": 0, "test-recovery4": 1, "test-service-command7": 1} {
		if got, there := failures[name]; !there || got != want {
			t.Errorf("%s has %d failures, want %d", name, got, want)
		}
	}
}

func TestAWeakenedRuleIsAMissAndAHastyOneAFalsePage(t *testing.T) {
	for name, c := range map[string]struct {
		edits []string
		want  string
	}{
		"no page for errors":   {[]string{`state="error"}`, `state="no-such"}`}, "test-service-command7: missed: vm:103 in error from t=60 to 2520"},
		"errors only warn":     {[]string{"severity: critical", "severity: warning"}, "right=2 missed=2 false=0"},
		"recovery after hours": {[]string{"for: 1m", "for: 1h"}, "test-recovery4: missed: vm:102 of node2 in recovery from t=260 to 520"},
		"fence at once":        {[]string{"for: 3m", "for: 0s"}, `test-basic1: false page: HAFenceNotConfirmed{node="node3"} from t=180 to 240`},
		"frozen by policy": {
			[]string{"(pve_ha_failover_in_progress_seconds)", `(pve_ha_state{state="freeze"} == 1)`},
			`test-shutdown-policy2: false page: HAServiceFrozenOnDeadNode{id="qemu/103",node="node3"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, printed := ask(t, "testdata", haRules(t, c.edits...)); !strings.Contains(printed, c.want) {
				t.Errorf("printed %q, want %q in it", printed, c.want)
			}
		})
	}
}

func TestRulesThatCannotBeReadAreAnError(t *testing.T) {
	t.Parallel()
	for name, rules := range map[string]fs.FS{
		"none":   fstest.MapFS{},
		"broken": fstest.MapFS{"ha.yaml": {Data: []byte("groups: [{name: x, rules: [{alert: A, expr: 'up +'}]}]")}},
	} {
		if all, err := Run(t.Context(), Config{Scenarios: "testdata", Rules: rules, Promtool: promtool(t)}); err == nil {
			t.Errorf("%s: %v", name, all)
		}
	}
	if _, err := Run(t.Context(), Config{Scenarios: "testdata", Rules: haRules(t), Promtool: "/no/such/promtool"}); err == nil || !strings.Contains(err.Error(), "install Prometheus") {
		t.Errorf("without promtool: %v", err)
	}
	if _, err := Run(t.Context(), Config{Scenarios: t.TempDir(), Rules: haRules(t), Promtool: promtool(t)}); err == nil {
		t.Error("without scenarios there are verdicts")
	}
}

func TestEveryRecordedScenarioIsPagedOrNotAsItEnded(t *testing.T) {
	if testing.Short() {
		t.Skip("asks promtool a hundred times: not under -short")
	}
	t.Parallel()
	dir := filepath.Join(recordings, "ha-scenarios")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no recordings: %v", err)
	}
	if _, printed := ask(t, dir, haRules(t)); !strings.Contains(printed, " missed=0 false=0 ") {
		t.Errorf("\n%s", printed)
	}
}

// What was recorded of a real cluster, at its own pace.
func TestARealClusterIsPagedForWhatItDidNotRecoverFrom(t *testing.T) {
	if _, err := os.Stat(recordings); err != nil {
		t.Skipf("no recordings: %v", err)
	}
	config := Config{Promtool: promtool(t)}
	for name, c := range map[string]struct {
		story []pve.HA
		want  []string // alertname and what it names
	}{
		"a node loses power and its guest runs elsewhere": {timeline(t, "node3-power-loss.jsonl"), nil},
		"a guest does not start anywhere":                 {timeline(t, "start-failure-to-error.jsonl"), []string{"HAServiceError qemu/102"}},
		"a migration and a start that fails at first":     {timeline(t, "ha-migrate-and-failing-start.jsonl"), nil},
		"quorum is lost, with an error from before":       {timeline(t, "quorum-loss-viewer-survivor.jsonl"), []string{"HAServiceError qemu/102"}},
		"all is well": {files(t, "healthy"), nil},
		"a node in maintenance, and an error from before": {files(t, "maintenance"), []string{"HAServiceError qemu/103"}},
		"a node dies just after HA was armed": {
			files(t, "node-lost-just-after-arm-010s", "node-lost-just-after-arm-040s", "node-lost-just-after-arm-070s"),
			[]string{"HAServiceFrozenOnDeadNode qemu/102 pve3"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			rules, err := writeRules(haRules(t), dir)
			if err != nil {
				t.Fatal(err)
			}
			alerts, err := config.alerts(t.Context(), held(everyStep(c.story)), rules, dir)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range judge(name, nil, alerts).False { // all pages
				got = append(got, strings.TrimRight(a.Labels["alertname"]+" "+a.Labels["id"]+" "+a.Labels["node"], " "))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("pages %q, want %q", got, c.want)
			}
		})
	}
}

// everyStep are looks at the states that were the newest at each step.
func everyStep(story []pve.HA) (all []look) {
	begin := story[0].At
	for i := 0; i < len(story); {
		t := int64(len(all)) * step
		at := begin.Add(time.Duration(t) * time.Second)
		for i < len(story) && !story[i].At.After(at) {
			i++
		}
		h := story[i-1]
		h.At = at
		all = append(all, look{t, h, true})
	}
	return all
}

// timeline reads a recording of the API of a real cluster, taken every 2 s.
func timeline(t *testing.T, name string) (all []pve.HA) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(recordings, "recorded", "timelines", name))
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var row struct {
			Time    float64
			Current json.RawMessage `json:"/cluster/ha/status/current"`
			Manager json.RawMessage `json:"/cluster/ha/status/manager_status"`
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		h, err := pve.ParseHAReplies(row.Current, row.Manager, time.UnixMilli(int64(row.Time*1000)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h)
	}
	return all
}

// files reads recordings of /etc/pve on a surviving node, each 3 s after the manager wrote.
func files(t *testing.T, states ...string) (all []pve.HA) {
	t.Helper()
	for _, state := range states {
		etc := os.DirFS(filepath.Join(recordings, "files", state, "pve1", "etc/pve"))
		h, err := pve.HAFromFiles(etc, time.Now)(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		h.At, h.Arming = h.Updated.Add(3*time.Second), armed(h.Arming)
		all = append(all, h)
	}
	return all
}

// armed is arming as it was when the files were recorded: it was read long after.
func armed(arming string) string {
	if arming == pve.HAStandby {
		return pve.HAArmed
	}
	return arming
}
