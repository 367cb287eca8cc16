package haoracle

import (
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/internal/hareplay"
)

const recordings = "../../../shared/data/proxmox"

type intervals = []hareplay.Interval

// lost is a scenario of 720 s in which node3 is lost at 140 with vm:103 on it.
func lost(states ...hareplay.Interval) hareplay.Entry {
	return hareplay.Entry{
		Quorate:          []hareplay.Flag{{Yes: false, From: 20, To: 20}, {Yes: true, From: 40, To: 720}},
		NodeStates:       map[string]intervals{"node3": {{Value: "online", From: 40, To: 120}, {Value: "unknown", From: 140, To: 720}}},
		ServiceStates:    map[string]intervals{"vm:103": states},
		RunningIntervals: map[string]intervals{"vm:103": {{Value: "node3", From: 40, To: 120}, {Value: "", From: 140, To: 720}}},
	}
}

func TestTruthIsWhatNobodyRecoveredFrom(t *testing.T) {
	failure := func(k Kind, from, to int64) []Failure { return []Failure{{k, "vm:103", "node3", from, to}} }
	told := lost(hareplay.Interval{Value: "freeze", From: 140, To: 720})
	told.Commands = []hareplay.Command{{T: 120, Text: "shutdown node3"}}
	toldAnother := lost(hareplay.Interval{Value: "freeze", From: 140, To: 720})
	toldAnother.Commands = []hareplay.Command{{T: 120, Text: "shutdown node2"}}
	noQuorum := lost(hareplay.Interval{Value: "recovery", From: 140, To: 720})
	noQuorum.Quorate = []hareplay.Flag{{Yes: true, From: 40, To: 180}, {Yes: false, From: 200, To: 720}}
	for name, c := range map[string]struct {
		entry hareplay.Entry
		hold  int64
		want  []Failure
	}{
		"error, however short":              {lost(hareplay.Interval{Value: "error", From: 200, To: 200}), 0, failure(InError, 200, 200)},
		"recovery of a round":               {lost(hareplay.Interval{Value: "recovery", From: 260, To: 280}), 0, nil},
		"recovery of a minute":              {lost(hareplay.Interval{Value: "recovery", From: 260, To: 320}), 0, failure(Stuck, 260, 320)},
		"recovery at the end, held":         {lost(hareplay.Interval{Value: "recovery", From: 720, To: 720}), 1800, failure(Stuck, 720, 2520)},
		"fence as long as usual":            {lost(hareplay.Interval{Value: "fence", From: 180, To: 240}), 0, nil},
		"fence for three minutes":           {lost(hareplay.Interval{Value: "fence", From: 180, To: 360}), 0, failure(Unfenced, 180, 360)},
		"started while the node is unknown": {lost(hareplay.Interval{Value: "started", From: 40, To: 320}), 0, failure(Deserted, 140, 320)},
		"the same for as long as usual":     {lost(hareplay.Interval{Value: "started", From: 40, To: 220}), 0, nil},
		"frozen on a dead node":             {lost(hareplay.Interval{Value: "freeze", From: 40, To: 720}), 0, failure(Deserted, 140, 720)},
		"frozen by order":                   {told, 1800, nil},
		"frozen by an order to another":     {toldAnother, 0, failure(Deserted, 140, 720)},
		"disabled":                          {lost(hareplay.Interval{Value: "stopped", From: 140, To: 720}), 1800, nil},
		"recovery while quorum is lost":     {noQuorum, 1800, nil},
	} {
		if d := cmp.Diff(c.want, Truth(c.entry, 720, c.hold)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// The recordings come with a verdict of their own, made of the same events in another way.
func TestTruthAgreesWithTheVerdictOfEachRecording(t *testing.T) {
	if _, err := os.Stat(recordings); err != nil {
		t.Skipf("no recordings: %v", err)
	}
	seen := map[string]int{}
	err := hareplay.Each(recordings+"/ha-scenarios", func(s hareplay.Scenario) error {
		seen[s.Entry.Verdict]++
		failures := Truth(s.Entry, s.Steps[len(s.Steps)-1].T, hold)
		if failed := s.Entry.Verdict != "ok"; failed != (len(failures) > 0) {
			t.Errorf("%s: verdict %q, failures %v", s.Name, s.Entry.Verdict, failures)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, []string{"failed", "failed-then-cleared", "ok"}) {
		t.Errorf("verdicts %v", seen)
	}
}
