package qmpreplay

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const recordings = "../../../shared/data/qemu"

func TestEveryRecordedMigrationEqualsItsSummary(t *testing.T) {
	if _, err := os.Stat(recordings); err != nil {
		t.Skipf("no recordings: %v", err)
	}
	results, err := Run(t.Context(), recordings)
	if err != nil || len(results) < 30 {
		t.Fatalf("%d scenarios, %v", len(results), err)
	}
	for _, r := range results {
		if len(r.Differences) > 0 {
			t.Errorf("%s: %q", r.Name, r.Differences)
		}
	}
}

func TestAVersionIsReplayedAloneOrWithOthers(t *testing.T) {
	for dir, want := range map[string]string{"testdata": "10.0/failed-dst-killed 10.0/postcopy 10.0/precopy-fast", "testdata/10.0": "failed-dst-killed postcopy precopy-fast"} {
		results, err := Run(t.Context(), dir)
		var names []string
		for _, r := range results {
			names = append(names, filepath.ToSlash(r.Name))
			if len(r.Differences) > 0 {
				t.Errorf("%s: %q", r.Name, r.Differences)
			}
		}
		if err != nil || strings.Join(names, " ") != want {
			t.Errorf("%s: %q, %v", dir, names, err)
		}
	}
	if _, err := Run(t.Context(), t.TempDir()); err == nil {
		t.Error("an empty folder is no error")
	}
}

// edited changes a member of each of the replies that have it.
func edited(t *testing.T, looks []Look, edit func(map[string]any)) {
	t.Helper()
	for i := range looks {
		var m map[string]any
		err := json.Unmarshal(looks[i].Migrate, &m)
		if err == nil {
			edit(m)
			looks[i].Migrate, err = json.Marshal(m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAReplaySaysWhatDiffers(t *testing.T) {
	more := func(p *float64, by float64) *float64 { v := *p + by; return &v }
	for name, c := range map[string]struct {
		of   string
		lie  func(*Scenario)
		want string
	}{
		"another result":    {"precopy-fast", func(s *Scenario) { s.Summary.FinalSrc.Status = "failed" }, `{direction="outgoing",result="completed"} is 1, want 0`},
		"no migration":      {"failed-dst-killed", func(s *Scenario) { s.Summary.FinalSrc.Status = "" }, `{direction="outgoing",result="failed"} is 1, want 0`},
		"it arrived":        {"failed-dst-killed", func(s *Scenario) { s.Summary.FinalDst.Error = nil; s.Summary.LastDst.Status = "completed" }, `{direction="incoming",result="completed"} is 0, want 1`},
		"it did not arrive": {"postcopy", func(s *Scenario) { s.Summary.LastDst = nil }, `{direction="incoming",result="completed"} is 1, want 0`},
		"more bytes":        {"precopy-fast", func(s *Scenario) { s.Summary.FinalSrc.RAM.Transferred++ }, "qemu_migration_transferred_bytes_total is"},
		"more iterations":   {"postcopy", func(s *Scenario) { s.Summary.FinalSrc.RAM.Iterations++ }, "iterations is 2, want 3"},
		"longer downtime":   {"postcopy", func(s *Scenario) { s.Summary.FinalSrc.Downtime = more(s.Summary.FinalSrc.Downtime, 1) }, "qemu_migration_downtime_seconds is 0.011, want 0.012"},
		"longer":            {"postcopy", func(s *Scenario) { s.Summary.FinalSrc.TotalTime = more(s.Summary.FinalSrc.TotalTime, 1) }, "qemu_migration_duration_seconds is 3.521, want 3.522"},
		"longer pause":      {"precopy-fast", func(s *Scenario) { s.Summary.StopToResume = more(s.Summary.StopToResume, 700) }, "between STOP and RESUME are 713 ms"},
		"end not recorded":  {"precopy-fast", func(s *Scenario) { s.Src = s.Src[:2] }, `{direction="outgoing",result="completed"} is 0, want 1`},
		"counted twice": {"precopy-fast", func(s *Scenario) {
			again := slices.Clone(s.Src[1:])
			shift := s.Src[len(s.Src)-1].At.Sub(s.Src[0].At)
			for i := range again {
				again[i].At = again[i].At.Add(shift)
			}
			s.Src = append(s.Src, again...)
		}, `{direction="outgoing",result="completed"} is 2, want 1`},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := readScenario("testdata", filepath.Join("testdata", "10.0", c.of))
			if err != nil {
				t.Fatal(err)
			}
			c.lie(&s)
			differ, err := replay(t.Context(), s)
			if err != nil || !strings.Contains(strings.Join(differ, "\n"), c.want) {
				t.Errorf("%v; want %q in %q", err, c.want, differ)
			}
		})
	}
}

// What a future QEMU may do to its replies is no difference: keys and statuses that are new, a
// process that says failing first.
func TestAReplayOfRepliesWithNewKeysAndStatusesIsEqual(t *testing.T) {
	s, err := readScenario("testdata", filepath.Join("testdata", "10.0", "failed-dst-killed"))
	if err != nil {
		t.Fatal(err)
	}
	edited(t, s.Src, func(m map[string]any) { m["remaining"], m["new"] = 5, map[string]any{"x": []int{1}} })
	last := len(s.Src) - 1
	for ; !strings.Contains(string(s.Src[last].Migrate), `"active"`); last-- {
	}
	failing := s.Src[last]
	failing.Migrate = json.RawMessage(`{"status":"failing"}`)
	failing.At = s.Src[last+1].At.Add(-1)
	s.Src = slices.Insert(s.Src, last+1, failing)
	if differ, err := replay(t.Context(), s); err != nil || len(differ) > 0 {
		t.Errorf("%v, %q", err, differ)
	}
}

func TestPrintEndsWithTheSum(t *testing.T) {
	var b bytes.Buffer
	results := []Result{{Name: "a"}, {Name: "b", Differences: []string{"x", "y"}}}
	if n, err := Print(&b, results, false); err != nil || n != 1 {
		t.Fatalf("%d, %v", n, err)
	}
	if want := "b: x (differences: 2)\nscenarios=2 equal=1 differ=1\n"; b.String() != want {
		t.Errorf("printed %q, want %q", b.String(), want)
	}
}
