package replay

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/internal/dropin"
)

func replayed(t *testing.T, dir string) []dropin.State {
	t.Helper()
	states, err := Run(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return states
}

func equalThroughout(t *testing.T, states []dropin.State) {
	t.Helper()
	for _, s := range states {
		for _, r := range s.Report.Results {
			if r.Kind != dropin.Equal && r.Reason != "ours" {
				t.Errorf("%s: %s %s, theirs %q, ours %q: %s", s.Name, r.Kind, r.Series, r.Module, r.Ours, r.Reason)
			}
		}
	}
	total := dropin.Total(states)
	if total.Compared == 0 || total.Equal != total.Compared {
		t.Error(total)
	}
}

func TestPageEqualsTheRecordedOneSeriesBySeries(t *testing.T) {
	states := replayed(t, "testdata")
	equalThroughout(t, states)
	if len(states) != 2 || dropin.Total(states).Compared != 414 {
		t.Errorf("%d states: %v", len(states), dropin.Total(states))
	}
}

func TestPageTellsWhatIsKnownWhereTheOtherAnswers500(t *testing.T) {
	for _, s := range replayed(t, "testdata") {
		if s.Name == "no-quorum/cluster0-node1" {
			if !strings.Contains(s.Note, "answered 500 (/nodes/pve1/replication did not answer); we answer 200 with 8 series") {
				t.Errorf("note: %s", s.Note)
			}
			return
		}
	}
	t.Error("the state is not there")
}

func TestPageEqualsAllRecordedOnes(t *testing.T) {
	const dir = "../../../../shared/data/proxmox/peer-output"
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the recordings are not here: %v", err)
	}
	equalThroughout(t, replayed(t, dir))
}

func TestADifferenceIsFoundAndHasNoReason(t *testing.T) {
	dir := t.TempDir()
	change := map[string]func(string) string{
		"default.prom": func(s string) string {
			s = strings.Replace(s, `pve_up{id="qemu/100"} 1.0`, `pve_up{id="qemu/100"} 0.0`, 1)
			return strings.Replace(s, `pve_uptime_seconds{id="qemu/101"}`, `pve_uptime_seconds{id="qemu/999"}`, 1)
		},
	}
	for _, name := range []string{"default.prom", "default.calls.jsonl", "default.meta.json"} {
		b, err := os.ReadFile(filepath.Join("testdata/healthy", name))
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		if fn := change[name]; fn != nil {
			text = fn(text)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	states := replayed(t, dir)
	if got, want := dropin.Total(states).String(), "states=1 compared=414 equal=412 differ=1 missing=1"; got != want {
		t.Errorf("have %s, want %s", got, want)
	}
	unexplained := 0
	for _, r := range states[0].Report.Results {
		if r.Reason == dropin.Unexplained {
			unexplained++
		}
	}
	if unexplained != 3 { // one differs, one is missing, one is extra
		t.Errorf("%d series are unexplained, want 3", unexplained)
	}
}

func TestAnEmptyFolderAndABrokenRecordingAreErrors(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"empty":              {},
		"no meta":            {"a.prom": ""},
		"meta is no JSON":    {"a.prom": "", "a.meta.json": "x"},
		"no calls":           {"a.prom": "", "a.meta.json": "{}"},
		"a call is no JSON":  {"a.prom": "", "a.meta.json": "{}", "a.calls.jsonl": "x\n"},
		"a call that writes": {"a.prom": "", "a.meta.json": "{}", "a.calls.jsonl": `{"method":"POST","url":"https://h/api2/json/x","status":200}` + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), fs.FileMode(0o600)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := Run(t.Context(), dir, slog.New(slog.DiscardHandler)); err == nil {
				t.Error("no error")
			}
		})
	}
}
