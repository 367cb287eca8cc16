package pve

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A haStory makes snapshots of three nodes and one guest, one every 10 s unless told otherwise.
type haStory struct {
	t       *testing.T
	tracker *HATracker
	h       HA
	seen    []HA // all of them
}

var haEpoch = time.Unix(1_800_000_000, 0)

func newHAStory(t *testing.T) *haStory {
	s := &haStory{t: t, tracker: NewHATracker()}
	s.h = HA{
		At: haEpoch, Quorate: true, Master: "pve1", Updated: haEpoch, Arming: HAArmed,
		Nodes:    []HANode{{"pve1", "online"}, {"pve2", "online"}, {"pve3", "online"}},
		LRMs:     []HALRM{{Node: "pve1", Updated: haEpoch}, {Node: "pve2", Updated: haEpoch}, {Node: "pve3", Updated: haEpoch, Mode: "active", Started: []string{"vm:1"}}},
		Services: []HAService{{SID: "vm:1", Known: true, State: "started", Node: "pve3", Running: true, Requested: "started"}},
	}
	return s
}

// see moves the clock by d, applies change and shows the result to the tracker.
func (s *haStory) see(d time.Duration, change func(*HA)) *haStory {
	h := s.h
	h.Nodes, h.LRMs, h.Services = slices.Clone(h.Nodes), slices.Clone(h.LRMs), slices.Clone(h.Services)
	h.At = h.At.Add(d)
	h.Updated = h.At
	for i := range h.LRMs {
		if !away(h.Nodes[i].State) {
			h.LRMs[i].Updated = h.At
		}
	}
	if change != nil {
		change(&h)
	}
	s.h, s.seen = h, append(s.seen, h)
	s.tracker.Observe(h)
	return s
}

// hold shows the same again every 10 s for d.
func (s *haStory) hold(d time.Duration) *haStory {
	for ; d > 0; d -= 10 * time.Second {
		s.see(10*time.Second, nil)
	}
	return s
}

func node3(state string) func(*HA) { return func(h *HA) { h.Nodes[2].State = state } }
func guest(state, node string) func(*HA) {
	return func(h *HA) {
		h.Services[0].State, h.Services[0].Node = state, node
		h.Services[0].Running, h.Services[0].Confirmed, h.Services[0].Target = false, false, ""
	}
}
func running(h *HA) { h.Services[0].Running = true }
func both(all ...func(*HA)) func(*HA) {
	return func(h *HA) {
		for _, f := range all {
			f(h)
		}
	}
}

// counted compares the counts of pve3; nothing may count for the others.
func (s *haStory) counted(fences, failovers, failed uint64) {
	s.t.Helper()
	c := s.tracker.Counts()
	zero := map[string]uint64{"pve1": 0, "pve2": 0}
	for what, p := range map[string]struct {
		got  map[string]uint64
		want uint64
	}{"fences": {c.Fences, fences}, "failovers": {c.Failovers, failovers}, "failed": {c.Failed, failed}} {
		want := maps.Clone(zero)
		want["pve3"] = p.want
		if d := cmp.Diff(want, p.got); d != "" {
			s.t.Errorf("%s: %s", what, d)
		}
	}
}

// lossToFence is the loss of pve3 up to the order to fence it, as it went on a real cluster.
func (s *haStory) lossToFence() *haStory {
	return s.hold(20*time.Second).see(10*time.Second, node3("unknown")).hold(50*time.Second).
		see(10*time.Second, both(node3("fence"), guest("fence", "pve3"))).hold(60 * time.Second)
}

func TestHAFailoverIsCountedOnceWithItsDuration(t *testing.T) {
	s := newHAStory(t).lossToFence()
	s.counted(0, 0, 0)
	if d := s.tracker.Counts().InProgress["qemu/1"]; d != 120*time.Second {
		t.Errorf("in progress for %s", d)
	}
	s.see(10*time.Second, both(node3("unknown"), guest("started", "pve1")))
	s.counted(1, 0, 0)
	s.see(10*time.Second, running).hold(time.Hour)
	s.counted(1, 1, 0)
	c := s.tracker.Counts()
	if d := cmp.Diff([]time.Duration{140 * time.Second}, c.Durations); d != "" {
		t.Error(d)
	}
	if len(c.InProgress) != 0 {
		t.Errorf("still in progress: %v", c.InProgress)
	}
}

func TestHAWhatCountsAndWhatDoesNot(t *testing.T) {
	const round = 10 * time.Second
	for name, c := range map[string]struct {
		story                     func(*haStory)
		fences, failovers, failed uint64
	}{
		"fence and recovery within one round": {func(s *haStory) {
			s.see(round, node3("unknown")).hold(50*time.Second).see(round, guest("started", "pve1")).see(round, running)
		}, 1, 1, 0},
		"recovery for 60 s, then started": {func(s *haStory) {
			s.lossToFence().see(round, both(node3("unknown"), guest("recovery", "pve3"))).hold(60*time.Second).
				see(round, guest("started", "pve2")).see(round, running)
		}, 1, 1, 0},
		"recovery for 70 s is failed, and a late success counts too": {func(s *haStory) {
			s.lossToFence().see(round, both(node3("unknown"), guest("recovery", "pve3"))).hold(70*time.Second).
				see(round, guest("started", "pve2")).see(round, running)
		}, 1, 1, 1},
		"recovery that never ends is one failure": {func(s *haStory) {
			s.lossToFence().see(round, both(node3("unknown"), guest("recovery", "pve3"))).hold(time.Hour)
		}, 1, 0, 1},
		"recovery on the old node is no failover": {func(s *haStory) {
			s.lossToFence().see(round, both(node3("unknown"), guest("recovery", "pve3"))).hold(90*time.Second).
				see(round, both(node3("online"), guest("started", "pve3"))).see(round, running).hold(time.Hour)
		}, 1, 0, 1},
		"fence not confirmed for 180 s is failed": {func(s *haStory) { s.lossToFence().hold(130 * time.Second) }, 0, 0, 1},
		"fence for 170 s":                         {func(s *haStory) { s.lossToFence().hold(110 * time.Second) }, 0, 0, 0},
		"error after the failover": {func(s *haStory) {
			s.lossToFence().see(round, both(node3("unknown"), guest("started", "pve1"))).see(round, guest("relocate", "pve1")).
				see(round, guest("started", "pve2")).see(round, guest("error", "pve2")).hold(time.Hour)
		}, 1, 0, 1},
		"start fails on the first node, succeeds on the next": {func(s *haStory) {
			s.lossToFence().see(round, both(node3("unknown"), guest("started", "pve1"))).see(round, guest("relocate", "pve1")).
				see(round, guest("started", "pve2")).see(round, running)
		}, 1, 1, 0},
		"error without a loss counts for the node it is on": {func(s *haStory) {
			s.see(round, guest("error", "pve3")).hold(time.Hour)
		}, 0, 0, 1},
		"error, frozen, error again is one failure": {func(s *haStory) {
			s.see(round, guest("error", "pve3")).see(round, guest("freeze", "pve3")).see(round, guest("error", "pve3"))
		}, 0, 0, 1},
		"error, ignored, error again is one failure": {func(s *haStory) {
			s.see(round, guest("error", "pve3")).see(round, func(h *HA) { h.Services[0].Known = false }).
				see(round, func(h *HA) { h.Services[0].Known = true }).hold(time.Minute)
		}, 0, 0, 1},
		"error, repaired, error again is two": {func(s *haStory) {
			s.see(round, guest("error", "pve3")).see(round, guest("stopped", "pve3")).see(round, guest("error", "pve3"))
		}, 0, 0, 2},
		"migration": {func(s *haStory) {
			s.see(round, both(guest("migrate", "pve3"), func(h *HA) { h.Services[0].Target = "pve1" })).
				see(round, guest("started", "pve1")).see(round, running)
		}, 0, 0, 0},
		"migration that ends as its source is lost": {func(s *haStory) {
			s.see(round, both(guest("migrate", "pve3"), func(h *HA) { h.Services[0].Target = "pve1" })).see(round, node3("unknown")).
				see(round, guest("started", "pve1")).see(round, running)
		}, 0, 0, 0},
		"maintenance, then the node is switched off": {func(s *haStory) {
			s.see(round, node3("maintenance")).see(round, both(guest("migrate", "pve3"), func(h *HA) { h.Services[0].Target = "pve1" })).
				see(round, guest("started", "pve1")).see(round, both(running, node3("unknown"))).hold(time.Hour)
		}, 0, 0, 0},
		"a node away for 50 s": {func(s *haStory) {
			s.see(round, node3("unknown")).hold(40*time.Second).see(round, node3("online")).hold(time.Hour)
		}, 0, 0, 0},
		"a stopped guest moves off a lost node": {func(s *haStory) {
			s.see(round, both(node3("unknown"), guest("stopped", "pve3"))).see(round, guest("request_start", "pve3")).
				see(round, guest("started", "pve1")).see(round, running)
		}, 0, 0, 0},
		"reboot with policy freeze": {func(s *haStory) {
			s.see(round, func(h *HA) { h.LRMs[2].Mode = "restart" }).see(round, guest("freeze", "pve3")).
				see(round, node3("unknown")).hold(20*time.Minute).see(round, both(node3("online"), guest("started", "pve3"))).see(round, running)
		}, 0, 0, 0},
		"frozen by disarm on a node that died before it was armed again": {func(s *haStory) {
			s.see(round, func(h *HA) { h.LRMs[2].Mode, h.Arming = "disarm", HADisarmed; guest("freeze", "pve3")(h) }).
				see(round, func(h *HA) { h.Arming = HAArmed; node3("unknown")(h) }).hold(190 * time.Second)
		}, 0, 0, 1},
		"whatever happens while disarmed": {func(s *haStory) {
			s.see(round, func(h *HA) { h.Arming = HADisarmed; guest("freeze", "pve3")(h) }).see(round, node3("unknown")).hold(20*time.Minute).
				see(round, guest("freeze", "pve1")).see(round, func(h *HA) { h.Arming = HAArmed; guest("started", "pve1")(h) }).see(round, running)
		}, 0, 0, 0},
		"quorum lost: frozen data counts for nothing": {func(s *haStory) {
			s.lossToFence().see(round, both(node3("unknown"), guest("recovery", "pve3"))).see(round, func(h *HA) { h.Quorate = false }).
				hold(time.Hour).see(round, func(h *HA) { h.Quorate = true }).hold(50*time.Second).
				see(round, guest("started", "pve1")).see(round, running)
		}, 1, 1, 0},
		"master gone, another one finishes": {func(s *haStory) {
			s.see(round, node3("unknown"))
			old := s.h.Updated
			for range 20 { // nobody writes the status
				s.see(round, func(h *HA) { h.Updated = old })
			}
			s.see(round, func(h *HA) { h.Master = "pve2" }).see(60*time.Second, guest("started", "pve1")).see(round, running)
		}, 1, 1, 0},
		"all of it between two looks": {func(s *haStory) {
			s.hold(time.Minute).see(10*time.Minute, both(node3("unknown"), guest("started", "pve1"), running, func(h *HA) { h.LRMs[2].Updated = h.At.Add(-8 * time.Minute) }))
		}, 1, 1, 0},
		"migrated, then switched off, between two looks": {func(s *haStory) {
			s.see(10*time.Minute, both(node3("unknown"), guest("started", "pve1"), running, func(h *HA) { h.LRMs[2].Started = nil }))
		}, 0, 0, 0},
		"migrated between two looks, node there": {func(s *haStory) {
			s.see(10*time.Minute, both(guest("started", "pve1"), running))
		}, 0, 0, 0},
		"fenced, rejoined, lost and fenced again": {func(s *haStory) {
			s.lossToFence().see(round, both(node3("unknown"), guest("started", "pve1"))).see(round, running).
				see(round, node3("online")).see(round, both(guest("migrate", "pve1"), func(h *HA) { h.Services[0].Target = "pve3" })).
				see(round, guest("started", "pve3")).see(round, running).hold(time.Minute).
				lossToFence().see(round, both(node3("unknown"), guest("started", "pve2"))).see(round, running)
		}, 2, 2, 0},
		"the same again and again": {func(s *haStory) {
			s.lossToFence().see(round, both(node3("unknown"), guest("started", "pve1"))).see(round, running)
			for range 50 {
				s.tracker.Observe(s.h)
			}
		}, 1, 1, 0},
		"disabled while in recovery": {func(s *haStory) {
			s.lossToFence().see(round, both(node3("unknown"), guest("recovery", "pve3"))).see(round, guest("stopped", "pve3")).hold(time.Hour)
		}, 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newHAStory(t).see(0, nil)
			c.story(s)
			s.counted(c.fences, c.failovers, c.failed)
		})
	}
}

func TestHADurationIsLeftOutWhenNobodyLooked(t *testing.T) {
	s := newHAStory(t).lossToFence().see(10*time.Minute, both(node3("unknown"), guest("started", "pve1"), running))
	s.counted(1, 1, 0)
	if c := s.tracker.Counts(); len(c.Durations) != 0 {
		t.Errorf("durations %v although the end was not seen", c.Durations)
	}
}

func TestHACountersStartAtZeroAlsoWithoutQuorum(t *testing.T) {
	s := newHAStory(t).see(0, func(h *HA) { h.Quorate = false })
	s.counted(0, 0, 0)
}

func TestHARestartInTheMiddleCountsNothingTwice(t *testing.T) {
	for name, tell := range map[string]func(*haStory){
		"failover": func(s *haStory) {
			s.lossToFence().see(10*time.Second, both(node3("unknown"), guest("started", "pve1"))).see(10*time.Second, running).hold(time.Minute)
		},
		"stuck recovery": func(s *haStory) {
			s.lossToFence().see(10*time.Second, both(node3("unknown"), guest("recovery", "pve3"))).hold(5 * time.Minute)
		},
		"error": func(s *haStory) { s.hold(time.Minute).see(10*time.Second, guest("error", "pve3")).hold(time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newHAStory(t).see(0, nil)
			tell(s)
			all, whole := s.seen, haReplay(s.seen)
			for k := range all {
				before, after := haReplay(all[:k+1]), haReplay(all[k:])
				sum := haAdd(before, after)
				for _, what := range []string{"fences", "failovers", "failed"} {
					if sum[what] > whole[what] {
						t.Errorf("restart at look %d: %d %s, without it %d", k, sum[what], what, whole[what])
					}
				}
				if sum["fences"] != whole["fences"] {
					t.Errorf("restart at look %d: %d fences of %d", k, sum["fences"], whole["fences"])
				}
			}
		})
	}
}

func haReplay(all []HA) map[string]uint64 {
	t := NewHATracker()
	for _, h := range all {
		t.Observe(h)
	}
	return haTotals(t.Counts())
}

func haTotals(c HACounts) map[string]uint64 {
	total := map[string]uint64{}
	for what, m := range map[string]map[string]uint64{"fences": c.Fences, "failovers": c.Failovers, "failed": c.Failed} {
		for _, v := range m {
			total[what] += v
		}
	}
	return total
}

func haAdd(a, b map[string]uint64) map[string]uint64 {
	sum := maps.Clone(a)
	for k, v := range b {
		sum[k] += v
	}
	return sum
}

func FuzzHATrackerNeverCountsBackwards(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 200, 100, 50})
	f.Fuzz(func(t *testing.T, script []byte) {
		tracker := NewHATracker()
		h := newHAStory(t).h
		before := haTotals(tracker.Counts())
		states, nodes := append(HAServiceStates(), "", "odd"), append(HANodeStates(), "")
		names := []string{"pve1", "pve2", "pve3", "", "pve9"}
		for i, b := range script {
			h.Nodes, h.LRMs, h.Services = slices.Clone(h.Nodes), slices.Clone(h.LRMs), slices.Clone(h.Services)
			v := int(b / 8)
			switch b % 8 {
			case 0:
				h.Nodes[i%3].State = nodes[v%len(nodes)]
			case 1, 2:
				h.Services[0].State = states[v%len(states)]
			case 3:
				h.Services[0].Node = names[v%len(names)]
			case 4:
				h.Services[0].Running, h.Services[0].Known = v%2 == 0, v%3 != 0
			case 5:
				h.Quorate, h.Arming = v%4 != 0, []string{HAArmed, HADisarmed}[v%2]
			case 6:
				h.Services[0].Target, h.LRMs[i%3].Mode = names[v%len(names)], []string{"active", "restart"}[v%2]
			}
			h.At = h.At.Add(time.Duration(v*v) * time.Second)
			h.Updated = h.At.Add(-time.Duration(v) * time.Second)
			tracker.Observe(h)
			c := tracker.Counts()
			now := haTotals(c)
			for what, n := range before {
				if now[what] < n {
					t.Fatalf("%s fell from %d to %d", what, n, now[what])
				}
			}
			if uint64(len(c.Durations)) > now["failovers"] {
				t.Fatalf("%d durations of %d failovers", len(c.Durations), now["failovers"])
			}
			for id, d := range c.InProgress {
				if d < 0 {
					t.Fatalf("%s in progress for %s", id, d)
				}
			}
			for _, d := range c.Durations {
				if d <= 0 {
					t.Fatalf("a failover took %s", d)
				}
			}
			before = now
		}
	})
}

func FuzzHAReplies(f *testing.F) {
	f.Add([]byte(`[{"type":"service","id":"service:vm:1","request_state":"enabled"},{"type":"fencing","armed-state":"armed"}]`), []byte(haManagerReply))
	f.Add([]byte(`[]`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, current, manager []byte) {
		h, err := ParseHAReplies(current, manager, haEpoch)
		if err != nil {
			return
		}
		if !slices.IsSortedFunc(h.Services, func(a, b HAService) int { return strings.Compare(a.SID, b.SID) }) {
			t.Errorf("services out of order: %+v", h.Services)
		}
		tracker := NewHATracker()
		for range 3 {
			tracker.Observe(h)
			h.At = h.At.Add(time.Minute)
		}
	})
}

func FuzzHAFiles(f *testing.F) {
	f.Add([]byte(`{"nodename":"a","cluster":{"quorate":1}}`), []byte(`{"timestamp":5}`), []byte("vm: 1\n\tstate stopped\n"), []byte(`{"timestamp":7,"results":{"x":{"sid":"vm:1"}}}`))
	f.Fuzz(func(t *testing.T, members, manager, resources, lrm []byte) {
		h, err := ParseHAFiles(HAFiles{Members: members, Manager: manager, Resources: resources, LRMs: map[string][]byte{"a": lrm}}, haEpoch)
		if err == nil {
			NewHATracker().Observe(h)
		}
	})
}
