package operate

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/provisionproof"
	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/engine"
)

// bothReleases runs a test on a cluster of each.
func bothReleases(t *testing.T, do func(t *testing.T, w *movingWorld)) {
	for _, v := range versions {
		t.Run(string(v), func(t *testing.T) { do(t, newMovingWorld(t, v)) })
	}
}

// A movingWorld is a cluster with guests: vm:100 and vm:101 under HA on pve1, vm:200 and ct:300 without it.
// vm:100 has rules that prefer pve1, vm:101 has none.
type movingWorld struct {
	*provisionproof.World
	c    *Cluster
	told []engine.Event
}

func newMovingWorld(t *testing.T, v pvefake.Version, more ...func(*pvefake.Options)) *movingWorld {
	t.Helper()
	w := newWorld(t, v, more...)
	fake := w.Fake
	fake.AddLink(1, "10.0.100.1")
	if err := fake.SpreadCeph(3); err != nil {
		t.Fatal(err)
	}
	for _, g := range []pvefake.Guest{
		{VMID: 100, Node: 1, Name: "dns", MemoryBytes: 1 << 30, DiskBytes: 8 << 30, Storage: "vm-storage"},
		{VMID: 101, Node: 1, Name: "web", MemoryBytes: 1 << 30, DiskBytes: 8 << 30, Storage: "vm-storage"},
		{VMID: 200, Node: 1, Name: "mail", MemoryBytes: 1 << 30, DiskBytes: 8 << 30, Storage: "vm-storage"},
		{VMID: 201, Node: 1, Name: "off", MemoryBytes: 1 << 30, DiskBytes: 8 << 30, Storage: "vm-storage", Stopped: true},
		{VMID: 300, Node: 1, Name: "dns", MemoryBytes: 1 << 30, DiskBytes: 8 << 30, Storage: "vm-storage", Container: true},
	} {
		if err := w.Fake.AddVM(g); err != nil {
			t.Fatal(err)
		}
	}
	for _, sid := range []string{"vm:100", "vm:101"} {
		if err := fake.AddHAResource(pvefake.HAResource{SID: sid}); err != nil {
			t.Fatal(err)
		}
	}
	fake.AddNodeAffinity("prefers1", map[string]int{"pve1": 2, "pve2": 1, "pve3": 1}, false, "vm:100")
	fleet, err := w.Fleet()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fleet.Close() })
	w.Fake.Advance(2 * time.Minute)
	m := &movingWorld{World: w}
	m.c = &Cluster{Name: "lab1", Names: []string{"pve1", "pve2", "pve3"}, Nodes: fleet, Clock: w.Clock(),
		Tell: func(e engine.Event) { m.told = append(m.told, e) }}
	return m
}

func (m *movingWorld) has(t *testing.T, vmid int, node string) {
	t.Helper()
	if at, _ := m.Fake.GuestNode(vmid); at != node {
		t.Errorf("guest %d is on %s, want %s", vmid, at, node)
	}
}

// heard says whether some event told of a text.
func (m *movingWorld) heard(text string) bool {
	return slices.ContainsFunc(m.told, func(e engine.Event) bool {
		return strings.Contains(e.Text+e.UPID+strings.Join(e.Log, "\n"), text)
	})
}

func TestMigrateMovesEachKindOfGuestAndMeasures(t *testing.T) {
	for _, tt := range []struct {
		name string
		vmid int
		way  string
		ha   bool
		task string
	}{
		{"a VM", 200, MoveLive, false, ":qmigrate:200:"},
		{"a VM under HA", 101, MoveLive, true, ":qmigrate:101:"},
		{"a VM that is off", 201, MoveOffline, false, ":qmigrate:201:"},
		{"a container", 300, MoveRestart, false, ":vzmigrate:300:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bothReleases(t, func(t *testing.T, w *movingWorld) {
				_, ran := w.Fake.GuestNode(tt.vmid)
				began := w.Fake.Now()
				r, err := w.c.Migrate(t.Context(), Move{VMID: tt.vmid, Target: "pve2"})
				if err != nil {
					t.Fatal(err)
				}
				w.has(t, tt.vmid, "pve2")
				if _, runs := w.Fake.GuestNode(tt.vmid); runs != ran {
					t.Errorf("it ran %v before and %v after", ran, runs)
				}
				took := w.Fake.Now().Sub(began)
				if !r.Moved || r.Way != tt.way || r.HA != tt.ha || !strings.Contains(r.UPID, tt.task) || !r.OK() || r.Duration.Duration() > took || took > time.Minute {
					t.Errorf("after %s: %+v", took, *r)
				}
				if live := tt.way == MoveLive; live != (r.Downtime != nil) || live && (r.Downtime.Duration() != 12*time.Millisecond || r.Transferred == 0) {
					t.Errorf("downtime %v and %d bytes; the log says 12 ms of live migrations", r.Downtime, r.Transferred)
				}
				if r.Gap != nil {
					t.Error("a gap that nobody measured")
				}
				var b bytes.Buffer
				if err := r.WriteText(&b); err != nil || (tt.way != MoveOffline) != strings.Contains(b.String(), "not measured (--probe") {
					t.Errorf("%v\n%s", err, b.String())
				}
				before := len(w.Writes())
				if r, err = w.c.Migrate(t.Context(), Move{VMID: tt.vmid, Target: "pve2"}); err != nil || r.Moved || len(w.Writes()) != before {
					t.Errorf("again: %+v, %v, %d writes; want none", r, err, len(w.Writes())-before)
				}
			})
		})
	}
}

func TestMigrateTellsHowFarItIs(t *testing.T) {
	w := newMovingWorld(t, pvefake.V92)
	if _, err := w.c.Migrate(t.Context(), Move{VMID: 101, Target: "pve3"}); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"vm:101 goes to pve3 (live)", ":hamigrate:101:", ":qmigrate:101:", "migration active, transferred "} {
		if !w.heard(text) {
			t.Errorf("nothing told of %q", text)
		}
	}
}

func TestMigrateIsRefusedBeforeAnythingIsSent(t *testing.T) {
	for _, tt := range []struct {
		name string
		vmid int
		to   string
		do   func(t *testing.T, w *movingWorld) Prober
		why  string
	}{
		{"no such guest", 999, "pve2", nil, "no guest 999"},
		{"no such node", 200, "pve9", nil, "pve9 is no node of the cluster"},
		{"a node that is down", 200, "pve2", func(t *testing.T, w *movingWorld) Prober { return w.down(t, 2) }, "pve2 is offline"},
		{"a node in maintenance", 200, "pve2", func(t *testing.T, w *movingWorld) Prober {
			w.Fake.SetMaintenance(2, true)
			w.Fake.Advance(time.Minute)
			return nil
		}, "pve2 is in maintenance"},
		{"a locked guest", 200, "pve2", func(t *testing.T, w *movingWorld) Prober {
			w.Fake.SetLock(200, "backup")
			return nil
		}, "vm:200 is locked (backup)"},
		{"a guest too large", 202, "pve2", func(t *testing.T, w *movingWorld) Prober {
			if err := w.Fake.AddVM(pvefake.Guest{VMID: 202, Node: 1, MemoryBytes: 1 << 40}); err != nil {
				t.Fatal(err)
			}
			w.Fake.Advance(20 * time.Second)
			return nil
		}, "vm:202 may use 1.0 TiB of memory, and pve2 has "},
		{"a local device", 200, "pve2", func(t *testing.T, w *movingWorld) Prober {
			w.preconditions(`{"data":{"running":1,"local_disks":[{"volid":"local-lvm:vm-200-disk-1"}],"local_resources":["hostpci0"],"allowed_nodes":["pve2"]}}`)
			return nil
		}, "hostpci0, which only its own node has; local-lvm:vm-200-disk-1 is on storage"},
		{"a storage that the target has not", 200, "pve2", func(t *testing.T, w *movingWorld) Prober {
			w.preconditions(`{"data":{"running":1,"local_disks":[],"local_resources":[],"allowed_nodes":["pve3"],"not_allowed_nodes":{"pve2":{"unavailable_storages":["fast"]}}}}`)
			return nil
		}, `does not allow pve2: unavailable storages "fast"`},
		{"HA is disarmed", 101, "pve2", func(t *testing.T, w *movingWorld) Prober {
			w.preconditions("")
			if _, _, stderr := w.Fake.RunCommand(1, "pvesh create /cluster/ha/status/disarm-ha --resource-mode freeze", ""); stderr != "" {
				t.Fatal(stderr)
			}
			w.Fake.Advance(time.Minute)
			return nil
		}, "arm it first"},
		{"a service in error", 101, "pve1", func(t *testing.T, w *movingWorld) Prober {
			w.Fake.FailStart("vm:101", true)
			w.Fake.KillGuest(101)
			w.Fake.Advance(5 * time.Minute)
			return nil
		}, `vm:101 in state "error"`},
		{"no quorum", 200, "pve2", func(t *testing.T, w *movingWorld) Prober { w.down(t, 2); return w.down(t, 3) }, "no quorum"},
		{"a guest that does not answer the probe", 200, "pve2", func(*testing.T, *movingWorld) Prober {
			return &stubProbe{deaf: errors.New("connection refused")}
		}, "192.0.2.7:22 does not answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newMovingWorld(t, pvefake.V92)
			m := Move{VMID: tt.vmid, Target: tt.to}
			if tt.do != nil {
				m.Probe = tt.do(t, w)
			}
			before := len(w.Writes())
			_, err := w.c.Migrate(t.Context(), m)
			var refused *RefusedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.why) || ExitCode(err, nil) != engine.ExitPreflight {
				t.Errorf("%v; want a refusal with %q", err, tt.why)
			}
			if n := len(w.Writes()) - before; n > 0 {
				t.Errorf("%d writes were sent", n)
			}
		})
	}
}

func (w *movingWorld) down(t *testing.T, node int) Prober {
	t.Helper()
	if err := w.Fake.SetNodeDown(node, true); err != nil {
		t.Fatal(err)
	}
	w.Fake.Advance(20 * time.Second)
	return nil
}

func (w *movingWorld) preconditions(body string) {
	if body != "" {
		w.Fake.Inject(pvefake.Rule{Method: "GET", Path: "/nodes/*/qemu/*/migrate", Status: 200, Body: body})
	}
}

func TestAMigrationThatFailsSaysHowTheGuestWasLeft(t *testing.T) {
	for _, tt := range []struct {
		name string
		vmid int
		do   func(t *testing.T, w *movingWorld)
		says []string
		left string // node
	}{
		{"the task fails", 200, func(_ *testing.T, w *movingWorld) {
			w.Fake.Inject(pvefake.Rule{TaskType: "qmigrate", TaskStatus: "migration aborted"})
		}, []string{"UPID:pve1:", "migration aborted", "vm:200 is running on pve1", "run this again"}, "pve1"},
		{"the task of the HA manager fails", 101, func(_ *testing.T, w *movingWorld) {
			w.Fake.Inject(pvefake.Rule{TaskType: "qmigrate", TaskStatus: "migration aborted"})
		}, []string{":qmigrate:101:", "migration aborted", "vm:101 is running on pve1"}, "pve1"},
		{"the target dies in the middle", 200, func(t *testing.T, w *movingWorld) { w.diesAt(t, "qmigrate", 2) },
			[]string{"mtunnel", "vm:200 is running on pve1"}, "pve1"},
		{"the target dies in the middle, under HA", 101, func(t *testing.T, w *movingWorld) { w.diesAt(t, "qmigrate", 2) },
			[]string{"mtunnel", "vm:101 is running on pve1"}, "pve1"},
		{"a lock is left behind", 200, func(_ *testing.T, w *movingWorld) {
			w.Fake.Inject(pvefake.Rule{TaskType: "qmigrate", TaskStatus: "migration problems"})
			w.onTell("migration problems", func() { w.Fake.SetLock(200, "migrate") })
		}, []string{"locked (migrate)", "no task works on it any more: `qm unlock 200` on pve1"}, "pve1"},
		{"it is left paused", 200, func(_ *testing.T, w *movingWorld) {
			w.Fake.Inject(pvefake.Rule{TaskType: "qmigrate", TaskStatus: "migration problems"})
			w.Fake.Inject(pvefake.Rule{Method: "GET", Path: "/nodes/*/qemu/200/status/current", Status: 200, Body: `{"data":{"status":"running","qmpstatus":"postmigrate"}}`})
		}, []string{"QEMU says postmigrate", "if it runs on no other node", "`qm resume 200` on pve1"}, "pve1"},
		{"the HA manager's rules take it back", 100, func(*testing.T, *movingWorld) {},
			[]string{"takes vm:100 back to pve1", "failback"}, ""},
		{"the HA manager takes it elsewhere", 101, func(_ *testing.T, w *movingWorld) {
			w.onTell(":hamigrate:101:", func() { w.Fake.SetMaintenance(2, true) })
		}, []string{"put vm:101 on pve3", "vm:101 is running on pve3"}, "pve3"},
		{"the HA manager does not take it up", 101, func(_ *testing.T, w *movingWorld) {
			w.Fake.Inject(pvefake.Rule{TaskType: "hamigrate", TaskStatus: "OK"}) // and without effect
		}, []string{"has not taken the request up", "vm:101 is running on pve1"}, "pve1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bothReleases(t, func(t *testing.T, w *movingWorld) {
				tt.do(t, w)
				_, err := w.c.Migrate(t.Context(), Move{VMID: tt.vmid, Target: "pve2"})
				var unfinished *UnfinishedError
				if !errors.As(err, &unfinished) || ExitCode(err, nil) != engine.ExitPartial {
					t.Fatalf("%v; want an unfinished one", err)
				}
				for _, text := range tt.says {
					if !strings.Contains(err.Error(), text) {
						t.Errorf("%v\nsays nothing of %q", err, text)
					}
				}
				if tt.left != "" {
					w.has(t, tt.vmid, tt.left)
				}
			})
		})
	}
}

// onTell does something once an event tells of a text.
func (w *movingWorld) onTell(text string, do func()) {
	tell, done := w.c.Tell, false
	w.c.Tell = func(e engine.Event) {
		tell(e)
		if !done && strings.Contains(e.Text+e.UPID, text) {
			done = true
			do()
		}
	}
}

// diesAt takes a node's power when a task begins.
func (w *movingWorld) diesAt(t *testing.T, task string, node int) {
	w.onTell(":"+task+":", func() {
		if err := w.Fake.SetNodeDown(node, true); err != nil {
			t.Error(err)
		}
	})
}

func TestAMigrationWithWarningsIsOneThatWentWell(t *testing.T) {
	w := newMovingWorld(t, pvefake.V92)
	w.Fake.Inject(pvefake.Rule{TaskType: "qmigrate", TaskStatus: "WARNINGS: 1"})
	r, err := w.c.Migrate(t.Context(), Move{VMID: 200, Target: "pve2"})
	if err != nil || !slices.Equal(r.Warnings, []string{"the task ended with WARNINGS: 1", "a warning"}) {
		t.Errorf("%+v, %v", r, err)
	}
	w.has(t, 200, "pve2")
}

func TestAMigrationWhoseReplyIsLostIsFollowed(t *testing.T) {
	w := newMovingWorld(t, pvefake.V92)
	w.Fake.Inject(pvefake.Rule{Method: "POST", Path: "/nodes/*/qemu/200/migrate", LoseReply: true, Times: 1})
	r, err := w.c.Migrate(t.Context(), Move{VMID: 200, Target: "pve2"})
	if err != nil || !strings.Contains(r.UPID, ":qmigrate:200:") {
		t.Errorf("%+v, %v", r, err)
	}
	w.has(t, 200, "pve2")
}

func TestAnInterruptedMigrationGoesOnAndSaysWhere(t *testing.T) {
	bothReleases(t, func(t *testing.T, w *movingWorld) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w.onTell(":qmigrate:200:", cancel)
		_, err := w.c.Migrate(ctx, Move{VMID: 200, Target: "pve2"})
		if err == nil || ExitCode(err, nil) != engine.ExitInterrupted || !strings.Contains(err.Error(), "UPID:pve1:") || !strings.Contains(err.Error(), "goes on without us") {
			t.Errorf("%v, exit code %d", err, ExitCode(err, nil))
		}
		w.Fake.Advance(time.Minute)
		w.has(t, 200, "pve2")
	})
}

func TestABudgetIsHeldAgainstWhatWasMeasured(t *testing.T) {
	for _, tt := range []struct {
		name, budget string
		vmid         int
		probe        Prober
		over         []string
	}{
		{"kept", "downtime=12ms,duration=1m,gap=700ms", 200, &stubProbe{gap: 700 * time.Millisecond}, nil},
		{"downtime", "downtime=11ms", 200, nil, []string{"downtime took 12ms; the budget is 11ms"}},
		{"gap", "gap=500ms", 200, &stubProbe{gap: 700 * time.Millisecond}, []string{"gap took 700ms; the budget is 500ms"}},
		{"duration", "duration=1s", 200, nil, []string{"duration took "}},
		{"what nobody has measured", "gap=1s", 200, nil, []string{"gap was not measured"}},
		{"a downtime that there is none of", "downtime=1s", 201, nil, []string{"downtime was not measured"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newMovingWorld(t, pvefake.V92)
			b, err := ParseBudget(tt.budget, BudgetDowntime, BudgetGap, BudgetDuration)
			if err != nil {
				t.Fatal(err)
			}
			r, err := w.c.Migrate(t.Context(), Move{VMID: tt.vmid, Target: "pve2", Budget: b, Probe: tt.probe})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Over) != len(tt.over) || r.OK() != (len(tt.over) == 0) || len(tt.over) > 0 && !strings.HasPrefix(r.Over[0], tt.over[0]) {
				t.Errorf("over budget: %q, want %q", r.Over, tt.over)
			}
		})
	}
	for _, text := range []string{"downtime", "downtime=x", "speed=1s", "downtime=-1s", "downtime=0s"} {
		var usage *engine.UsageError
		if _, err := ParseBudget(text, BudgetDowntime); !errors.As(err, &usage) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// stubProbe saw what it is told, as real time and the fake's have nothing to do with each other.
type stubProbe struct {
	deaf error
	gap  time.Duration
}

func (p *stubProbe) String() string            { return "192.0.2.7:22" }
func (p *stubProbe) Ask(context.Context) error { return p.deaf }
func (p *stubProbe) Watch(context.Context) func() Probed {
	return func() Probed { return Probed{Answers: 7, Longest: p.gap, Every: probeEvery} }
}

func TestTheProbeMeasuresHowLongAGuestIsAway(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	address := l.Addr().String()
	const away = 700 * time.Millisecond
	p := NewTCPProbe(address)
	stop := p.Watch(t.Context())
	time.Sleep(300 * time.Millisecond) // it answers
	l.Close()
	gone := time.Now()
	time.Sleep(away)
	if l, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	truth := time.Since(gone)
	time.Sleep(300 * time.Millisecond)
	seen := stop()
	// It can be longer by the time to the attempt before and to the one after, and on a busy machine more.
	if seen.Longest < truth-50*time.Millisecond || seen.Longest > truth+2*probeEvery+500*time.Millisecond || seen.Answers < 3 {
		t.Errorf("%d answers, longest gap %s; it was away for %s", seen.Answers, seen.Longest, truth)
	}
}

func TestTheLongestGapCountsTheEnds(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	for _, tt := range []struct {
		name    string
		answers []time.Time
		want    time.Duration
		from    int
	}{
		{"no answer at all", nil, time.Second, 0},
		{"late", []time.Time{at(600), at(800), at(950)}, 600 * time.Millisecond, 0},
		{"in the middle, told in another order", []time.Time{at(900), at(100), at(400)}, 500 * time.Millisecond, 400},
		{"gone at the end", []time.Time{at(100), at(200)}, 800 * time.Millisecond, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := longestGap(at(0), at(1000), tt.answers); got.Longest != tt.want || !got.From.Equal(at(tt.from)) || got.Answers != len(tt.answers) {
				t.Errorf("%+v, want %s from %d", got, tt.want, tt.from)
			}
		})
	}
}

func FuzzParseTransferred(f *testing.F) {
	f.Add("migration active, transferred 22.3 MiB of 64.0 MiB VM-state, 113.0 MiB/s\nmigration completed, transferred 61.5 MiB VM-state\n")
	f.Add("migration active, transferred 99999999999999999999 PiB of 1 PiB VM-state")
	f.Add("migration active, transferred 512.0 B of 4.0 GiB VM-state, 1 KiB/s")
	f.Fuzz(func(t *testing.T, log string) {
		if n := parseTransferred(log); n < 0 {
			t.Errorf("%d bytes", n)
		}
	})
}

func TestTransferredIsTheLastNumberOfTheLog(t *testing.T) {
	const mib = 1 << 20
	for log, want := range map[string]int64{
		"": 0,
		"2026-11-21 01:16:30 migration active, transferred 22.5 MiB of 64.0 MiB VM-state, 113.0 MiB/s":                                                                      22*mib + mib/2,
		"migration active, transferred 22.5 MiB of 64.0 MiB VM-state, 1 MiB/s\nmigration completed, transferred 61.5 MiB VM-state":                                          61*mib + mib/2,
		"migration active, transferred 1.5 GiB of 4.0 GiB VM-state (+ 1.0 MiB VFIO-state), 1 MiB/s, VM dirties lots of memory: 2 MiB/s":                                     1536 * mib,
		"migration active, transferred 512.0 B of 4.0 GiB VM-state, 1 KiB/s":                                                                                                512,
		"drive-scsi0: transferred 4.0 GiB of 8.0 GiB (50.00%) in 12s\nmigration active, transferred 1.0 KiB of 4.0 GiB VM-state, 1 KiB/s\ndrive-scsi0: transferred 8.0 GiB": 1024,
	} {
		if got := parseTransferred(log); got != want {
			t.Errorf("%q: %d, want %d", log, got, want)
		}
	}
}
