package hareplay

import (
	"bytes"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/internal/race"
	"github.com/quorate/quorate/internal/source/pve"
)

const recordings = "../../../shared/data/proxmox/ha-scenarios"

// scenarios reads all recordings, or skips.
func scenarios(t *testing.T) []Scenario {
	t.Helper()
	if _, err := os.Stat(recordings); err != nil {
		t.Skipf("no recordings: %v", err)
	}
	index, err := readIndex(recordings)
	if err != nil {
		t.Fatal(err)
	}
	var all []Scenario
	for _, name := range slices.Sorted(maps.Keys(index)) {
		s, err := readScenario(recordings, name, index[name])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

func TestEveryRecordedScenarioEqualsItsIndex(t *testing.T) {
	for _, s := range scenarios(t) {
		if differ, err := replay(t.Context(), s); err != nil || len(differ) > 0 {
			t.Errorf("%s: %v, %q", s.Name, err, differ)
		}
	}
}

func TestAScenarioIsEqualToItsIndexAndSaysWhatDiffers(t *testing.T) {
	read := func() Scenario {
		index, err := readIndex("testdata")
		if err != nil {
			t.Fatal(err)
		}
		s, err := readScenario("testdata", "test-basic1", index["test-basic1"])
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if differ, err := replay(t.Context(), read()); err != nil || len(differ) > 0 {
		t.Fatalf("%v, %q", err, differ)
	}
	for name, c := range map[string]struct {
		lie  func(*Scenario)
		want string
	}{
		"no fence":         {func(s *Scenario) { s.Entry.FenceAcks = nil }, "t=260 1 fences of node3, want 0"},
		"a second fence":   {func(s *Scenario) { s.Entry.FenceAcks = append(s.Entry.FenceAcks, Ack{400, "node3"}) }, "t=420 1 fences of node3, want 2"},
		"no failover":      {func(s *Scenario) { s.Entry.Recoveries = nil }, "failovers from node3, want 0 to 0"},
		"of another node":  {func(s *Scenario) { s.Entry.Recoveries[0].From = "node2" }, "failovers from node2, want 1 to 1"},
		"faster":           {func(s *Scenario) { fast := int64(60); s.Entry.Recoveries[0].Seconds = &fast }, "the index says 60"},
		"an error":         {func(s *Scenario) { s.Entry.ServiceStates["vm:102"] = []Interval{{"error", 300, 720}} }, "0 failed failovers, want 1"},
		"a stuck recovery": {func(s *Scenario) { s.Entry.RecoverySpans = map[string][]Span{"vm:103": {{300, 400}}} }, "t=380 0 failed failovers, want 1"},
		"other master":     {func(s *Scenario) { s.Entry.Masters = []Interval{{"node2", 40, 720}} }, `pve_ha_manager_info{node="node1"} is 1, want none`},
		"other node state": {func(s *Scenario) { s.Entry.NodeStates["node1"] = []Interval{{"maintenance", 40, 720}} }, `pve_ha_state{id="node/node1",state="`},
		"disarmed":         {func(s *Scenario) { s.Entry.Armed = []Interval{{"disarmed", 40, 720}} }, "pve_ha_armed is 1, want 0"},
		"not quorate":      {func(s *Scenario) { s.Entry.Quorate = nil }, "pve_ha_quorate is 1, want 0"},
		"runs elsewhere":   {func(s *Scenario) { s.Entry.RunningIntervals["vm:101"] = []Interval{{"node2", 40, 720}} }, "vm:101 runs on node2"},
		"answers lost":     {func(s *Scenario) { s.Steps = s.Steps[:8] }, "0 durations, want 1"},
		"files differ":     {func(s *Scenario) { s.Steps[0].Resources["vm:102"] = Resource{State: "stopped"} }, "the files of /etc/pve say"},
	} {
		t.Run(name, func(t *testing.T) {
			s := read()
			c.lie(&s)
			differ, err := replay(t.Context(), s)
			if err != nil || !strings.Contains(strings.Join(differ, "\n"), c.want) {
				t.Errorf("%v; want %q in %q", err, c.want, differ[:min(9, len(differ))])
			}
		})
	}
}

func TestPrintEndsWithTheSum(t *testing.T) {
	var b bytes.Buffer
	results := []Result{{Name: "a"}, {Name: "b", Differences: []string{"t=20 x", "t=40 y"}}}
	if err := Print(&b, results, false); err != nil {
		t.Fatal(err)
	}
	if want := "b: t=20 x (differences: 2)\nscenarios=2 equal=1 differ=1\n"; b.String() != want {
		t.Errorf("printed %q, want %q", b.String(), want)
	}
}

func counts(steps []Step, t *testing.T) map[string]uint64 {
	t.Helper()
	tracker := pve.NewHATracker()
	for _, s := range steps {
		if !s.answered() {
			continue
		}
		h, err := s.parse()
		if err != nil {
			t.Fatal(err)
		}
		tracker.Observe(h)
	}
	c := tracker.Counts()
	return map[string]uint64{"fences": sum(c.Fences), "failovers": sum(c.Failovers), "failed": sum(c.Failed)}
}

func TestARestartAtAnyStepOfAnyScenarioNeverCountsTwice(t *testing.T) {
	var handovers, lost int
	for _, s := range scenarios(t) {
		if len(s.Entry.FenceAcks)+len(s.Entry.FirstError)+len(s.Entry.RecoverySpans) == 0 {
			continue
		}
		whole := counts(s.Steps, t)
		for k := range s.Steps {
			if k%7 != 0 && race.Enabled {
				continue
			}
			before, after := counts(s.Steps[:k+1], t), counts(s.Steps[k:], t)
			for what, n := range whole {
				handovers++
				switch got := before[what] + after[what]; {
				case got > n:
					t.Errorf("%s: restart at t=%d: %d %s, without it %d", s.Name, s.Steps[k].T, got, what, n)
				case got < n:
					lost++
				}
			}
		}
	}
	t.Logf("%d comparisons, in %d something ended for nobody", handovers, lost)
}

func TestMissedStepsInventNothing(t *testing.T) {
	for _, s := range scenarios(t) {
		whole := counts(s.Steps, t)
		for _, every := range []int{2, 3, 5, 9} {
			var some []Step
			for i := every - 1; i < len(s.Steps); i += every {
				some = append(some, s.Steps[i])
			}
			for what, n := range counts(some, t) {
				if n > whole[what] {
					t.Errorf("%s: every %d: %d %s, all steps %d", s.Name, every, n, what, whole[what])
				}
			}
		}
	}
}
