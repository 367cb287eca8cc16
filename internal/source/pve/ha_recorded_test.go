package pve

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// haTimeline returns the snapshots of a recorded timeline of a real cluster, one about every 2 s.
func haTimeline(t *testing.T, name string) (all []HA) {
	t.Helper()
	lines := bufio.NewScanner(bytes.NewReader(haRecording(t, "recorded", "timelines", name)))
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
		h, err := ParseHAReplies(row.Current, row.Manager, time.UnixMilli(int64(row.Time*1000)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestHARecordedTimelinesOfARealCluster(t *testing.T) {
	for name, c := range map[string]struct {
		fences, failovers, failed uint64
		node                      string
	}{
		"node3-power-loss.jsonl":             {1, 1, 0, "pve3"},
		"start-failure-to-error.jsonl":       {0, 0, 1, "pve2"}, // where it stays in error
		"ha-migrate-and-failing-start.jsonl": {0, 0, 0, "pve1"},
		"quorum-loss-viewer-survivor.jsonl":  {0, 0, 0, "pve1"},
	} {
		t.Run(name, func(t *testing.T) {
			all := haTimeline(t, name)
			for _, every := range []int{1, 3, 10} { // at about 2, 6 and 20 s
				tracker := NewHATracker()
				for i := 0; i < len(all); i += every {
					tracker.Observe(all[i])
				}
				got := tracker.Counts()
				if got.Fences[c.node] != c.fences || got.Failovers[c.node] != c.failovers || got.Failed[c.node] != c.failed {
					t.Errorf("every %d: fences %v, failovers %v, failed %v", every, got.Fences, got.Failovers, got.Failed)
				}
				want := map[string]uint64{"fences": c.fences, "failovers": c.failovers, "failed": c.failed}
				for what, n := range haTotals(got) {
					if n != want[what] {
						t.Errorf("every %d: %d %s", every, n, what)
					}
				}
				// The power went 0 to 5 s after the LRM's last word, the guest ran 129 to 138 s after it,
				// which a look every 20 s shows up to 20 s late.
				for _, d := range got.Durations {
					if d < 125*time.Second || d > 150*time.Second {
						t.Errorf("every %d: took %s", every, d)
					}
				}
			}
			for k := range all {
				sum, whole := haAdd(haReplay(all[:k+1]), haReplay(all[k:])), haReplay(all)
				for what, n := range sum {
					if n > whole[what] {
						t.Errorf("restart at look %d: %d %s, without it %d", k, n, what, whole[what])
					}
				}
			}
		})
	}
}

// haOnDisk reads the recorded files of pve1 in one state, 3 s after the manager wrote.
func haOnDisk(t *testing.T, state string) HA {
	t.Helper()
	dir := filepath.Join(haRecordings, "files", state, "pve1", "etc/pve")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no recording: %v", err)
	}
	h, err := HAFromFiles(os.DirFS(dir), time.Now)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.At = h.Updated.Add(3 * time.Second)
	return h
}

func TestHARecordedFilesOfALossAreOneFailover(t *testing.T) {
	tracker := NewHATracker()
	for _, state := range []string{"healthy-before-loss", "node-lost-010s", "node-lost-040s", "node-lost-070s", "node-lost-150s", "no-quorum-012s", "no-quorum-060s"} {
		h := haOnDisk(t, state)
		if state == "no-quorum-012s" || state == "no-quorum-060s" {
			h.At = h.At.Add(time.Minute)
		}
		tracker.Observe(h)
	}
	c := tracker.Counts()
	if d := cmp.Diff(map[string]uint64{"fences": 1, "failovers": 1, "failed": 0}, haTotals(c)); d != "" || c.Failovers["pve3"] != 1 || c.Fences["pve3"] != 1 {
		t.Errorf("%s: %+v", d, c)
	}
	if len(c.Durations) != 0 { // the looks are up to 80 s apart
		t.Errorf("durations %v", c.Durations)
	}
}

func TestHARecordedDeathJustAfterArmIsAFailedFailover(t *testing.T) {
	tracker := NewHATracker()
	last := haOnDisk(t, "node-lost-just-after-arm-010s")
	before := last // half a minute earlier HA was disarmed and pve3 there
	before.At, before.Updated, before.Arming = last.At.Add(-30*time.Second), last.Updated.Add(-30*time.Second), HADisarmed
	before.Nodes = []HANode{{"pve1", HANodeOnline}, {"pve2", HANodeOnline}, {"pve3", HANodeOnline}}
	tracker.Observe(before)
	tracker.Observe(last)
	for _, state := range []string{"node-lost-just-after-arm-040s", "node-lost-just-after-arm-070s"} {
		last = haOnDisk(t, state)
		tracker.Observe(last)
	}
	if c := tracker.Counts(); haTotals(c)["failed"] != 0 || c.InProgress["qemu/102"] < 70*time.Second {
		t.Errorf("after 70 s: %+v", c)
	}
	for range 30 { // the manager went on writing the same
		last.At, last.Updated = last.At.Add(10*time.Second), last.Updated.Add(10*time.Second)
		tracker.Observe(last)
	}
	c := tracker.Counts()
	if d := cmp.Diff(map[string]uint64{"fences": 0, "failovers": 0, "failed": 1}, haTotals(c)); d != "" || c.Failed["pve3"] != 1 {
		t.Errorf("after 370 s: %s, failed %v", d, c.Failed)
	}
}
