package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/internal/race"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/living"
	"github.com/quorate/quorate/provision/transport"
)

const newKernel = "6.14.11-3-pve"

// newRollingLab has updates with a new kernel on pve1 and pve2, and without one on pve3.
func newRollingLab(t *testing.T, v pvefake.Version) *lab {
	t.Helper()
	l := newLab(t, v)
	manager := pvefake.Update{Package: "pve-manager", From: "9.2.11", To: "9.2.12"}
	kernel := pvefake.Update{Package: "proxmox-kernel-" + newKernel + "-signed", To: "6.14.11-3"}
	l.fake.SetUpdates(1, manager, kernel)
	l.fake.SetUpdates(2, manager, kernel)
	l.fake.SetUpdates(3, manager)
	return l
}

// A watcher looks at the fake in every second that passes.
type watcher struct {
	engine.Clock
	l    *lab
	mu   sync.Mutex
	seen []string // what must never be
	down map[string]bool
}

func (l *lab) watch() *watcher {
	w := &watcher{Clock: l.Clock, l: l, down: map[string]bool{}}
	l.Clock = w
	return w
}

func (w *watcher) Sleep(ctx context.Context, d time.Duration) error {
	for ; d > 0; d -= time.Second {
		if err := w.Clock.Sleep(ctx, time.Second); err != nil {
			return err
		}
		w.check()
	}
	return nil
}

func (w *watcher) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	never := func(wrong bool, what string) {
		if wrong && !slices.Contains(w.seen, what) {
			w.seen = append(w.seen, what)
		}
	}
	down := w.l.fake.DownNodes()
	for _, n := range down {
		w.down[n] = true
	}
	never(len(down) > 1, "nodes down together: "+strings.Join(down, ", "))
	var kept []string
	for i := range w.l.fake.Size() {
		if s := w.l.fake.NodeStatus(i + 1); s == "maintenance" {
			kept = append(kept, w.l.fake.Node(i+1).Name())
		}
	}
	never(len(kept) > 1, "nodes in maintenance together: "+strings.Join(kept, ", "))
	never(len(w.l.fake.QuorateNodes()) < 2, "quorum was lost")
	never(len(down) > 0 && !slices.Contains(w.l.fake.CephFlags(), "noout"), strings.Join(down, ", ")+" down without noout")
}

// updated fails the test unless all is done and as it was before.
func (l *lab) updated(w *watcher) {
	l.t.Helper()
	for _, s := range w.seen {
		l.t.Error(s)
	}
	if f := l.fake.CephFlags(); len(f) > 0 {
		l.t.Errorf("flags %q were left set", f)
	}
	for i := range 3 {
		if s := l.fake.NodeStatus(i + 1); s != "online" {
			l.t.Errorf("HA says %q of pve%d", s, i+1)
		}
		h, err := l.readHost(context.Background(), l.Names[i])
		if err != nil || len(h.Updates) > 0 || h.Kernel != h.Boots {
			l.t.Errorf("pve%d: %+v, %v", i+1, h, err)
		}
	}
	for vmid, node := range map[int]string{100: "pve1", 101: "pve2", 110: "pve1"} {
		if at, running := l.fake.GuestNode(vmid); at != node || !running {
			l.t.Errorf("guest %d is on %s, running %v; want it back on %s", vmid, at, running, node)
		}
	}
	if e := l.fake.SSHErrors(); len(e) > 0 {
		l.t.Errorf("commands that nobody knows: %q", e)
	}
	if _, running := l.fake.GuestNode(200); !running {
		l.t.Error("vm:200 does not run")
	}
}

// changes are the writes but those that refresh apt's lists.
func (l *lab) changes() []string {
	return slices.DeleteFunc(l.writes(), func(w string) bool { return strings.HasSuffix(w, "/apt/update") })
}

func TestRollingUpdateUpdatesOneNodeAfterTheOther(t *testing.T) {
	for _, v := range versions {
		t.Run(string(v), func(t *testing.T) {
			l := newRollingLab(t, v)
			w := l.watch()
			r, err := l.RollingUpdate(t.Context(), RollingUpdate{Reboot: RebootAuto})
			if err != nil {
				t.Fatal(err)
			}
			l.updated(w)
			if len(w.down) != 2 || w.down["pve3"] {
				t.Errorf("%v were down; pve3 needs no boot", w.down)
			}
			var order []string
			for _, n := range r.Nodes {
				order = append(order, n.Node)
			}
			if want := []string{"pve2", "pve3", "pve1"}; !slices.Equal(order, want) {
				t.Errorf("order %v; pve1, whose HA manager is at work, comes last", order)
			}
			before := len(l.changes())
			second, err := l.RollingUpdate(t.Context(), RollingUpdate{Reboot: RebootAuto})
			if err != nil || !second.idle() || len(l.changes()) > before {
				t.Errorf("a second run: %v, changed %q", err, l.changes()[before:])
			}
			var text bytes.Buffer
			if err := errors.Join(r.WriteText(&text), second.WriteText(&text)); err != nil {
				t.Fatal(err)
			}
			for _, words := range []string{"lab1 is up to date, in ", "1. pve2: 2 updates, reboot from 6.14.8-2-pve into " + newKernel + ", done in ", "pve-manager 9.2.11 → 9.2.12", "2. pve3: 1 updates, no reboot, done in ", "lab1 is up to date; nothing was done", "1. pve2: nothing to do"} {
				if !strings.Contains(text.String(), words) {
					t.Errorf("no word of %q in\n%s", words, text.String())
				}
			}
		})
	}
}

func TestAPlanOfARollingUpdateOnlyReads(t *testing.T) {
	l := newRollingLab(t, pvefake.V92)
	before := len(l.writes())
	l.Nodes = transport.ReadOnly(l.Nodes)
	r, err := l.PlanRollingUpdate(t.Context(), RollingUpdate{Reboot: RebootAuto})
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, w := range []string{"1. pve2: 2 updates, reboot into the new kernel", "     proxmox-kernel-" + newKernel + "-signed 6.14.11-3\n", "2. pve3: 1 updates, no reboot", "3. pve1: 2 updates"} {
		if !strings.Contains(text.String(), w) {
			t.Errorf("no word of %q in\n%s", w, text.String())
		}
	}
	if !r.OK() || len(l.writes()) > before {
		t.Errorf("OK says %v; wrote %q", r.OK(), l.writes()[before:])
	}
	js, err := json.Marshal(r)
	if err != nil || !bytes.Contains(js, []byte(`"updates":[{"name":"pve-manager","from":"9.2.11","to":"9.2.12"}`)) {
		t.Errorf("%s, %v", js, err)
	}
}

// Whatever is killed after one of its writes is gone on with by the next run. QUORATE_SOAK=1 tries each write.
func TestARollingUpdateKilledAfterAnyWriteIsGoneOnWith(t *testing.T) {
	for _, v := range versions {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			every := map[pvefake.Version]int{pvefake.V84: 11, pvefake.V92: 5}[v]
			if os.Getenv("QUORATE_SOAK") != "" {
				every = 1
			} else if race.Enabled {
				every *= 4
			}
			for k := 1; ; k += every {
				l := newRollingLab(t, v)
				w := l.watch()
				ctx, cancel := context.WithCancel(t.Context())
				cut := false
				l.Nodes = afterWrites(l.Nodes, k, func() { cut = true; cancel() })
				_, err := l.RollingUpdate(ctx, RollingUpdate{Reboot: RebootAuto})
				cancel()
				if !cut {
					if err != nil || k < 12 {
						t.Errorf("%d writes in all, %v", k, err)
					}
					return
				}
				if err == nil || ExitCode(err, nil) != 130 {
					t.Errorf("killed after write %d: %v", k, err)
				}
				l.start()
				l.Clock = w
				if _, err := l.RollingUpdate(t.Context(), RollingUpdate{Reboot: RebootAuto}); err != nil {
					t.Errorf("killed after write %d, the next run: %v", k, err)
				}
				l.updated(w)
				if t.Failed() {
					t.Fatalf("killed after write %d", k)
				}
				l.fake.Close()
			}
		})
	}
}

func TestARollingUpdateThatFailsSaysHowItWasLeft(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(l *lab)
		says []string
		mend func(t *testing.T, l *lab)
	}{
		{"apt fails", func(l *lab) {
			l.fake.Inject(pvefake.Rule{Command: "-y -o Dpkg", Status: 100, Reason: "E: Sub-process /usr/bin/dpkg returned an error code (1)"})
		}, []string{"dpkg returned an error code", "pve2 is in maintenance, noout is set", "run this again: it goes on with pve2", "`ceph osd unset noout`"}, func(_ *testing.T, l *lab) { l.fake.ClearFaults() }},
		{"a node does not come back", func(l *lab) { l.fake.StayDown(2, true) },
			[]string{"waited 20m0s for pve2 to boot", "look at its console", "pve2 is in maintenance, pve2 is offline, noout is set"}, func(t *testing.T, l *lab) {
				if err := l.fake.SetNodeDown(2, false); err != nil {
					t.Fatal(err)
				}
			}},
		{"Ceph does not get healthy again", func(l *lab) {
			l.Tell = func(e engine.Event) {
				if e.Text == "reboot" {
					_ = l.fake.SetCephHealth("HEALTH_ERR", map[string]string{"OSD_SCRUB_ERRORS": "1 scrub errors"})
				}
			}
		}, []string{"waited 1h0m0s for Ceph to recover after pve2; now: OSD_SCRUB_ERRORS: 1 scrub errors", "pve2 is in maintenance, noout is set"}, func(t *testing.T, l *lab) {
			if err := l.fake.SetCephHealth("", nil); err != nil {
				t.Fatal(err)
			}
		}},
		{"the lists of packages cannot be had", func(l *lab) {
			l.fake.Inject(pvefake.Rule{TaskType: "aptupdate", TaskStatus: "command 'apt-get update' failed: exit code 100", Times: 1, Nth: 2})
		}, []string{"refresh the lists of packages of pve3", "pve2 done, pve1, pve3 not begun (run this again to go on)"}, func(*testing.T, *lab) {}},
		{"apt would remove Proxmox VE from another node", func(l *lab) {
			l.fake.SetUpdates(3, pvefake.Update{Package: "proxmox-ve", From: "9.0.0", Removes: true})
		}, []string{"update pve3: apt would remove proxmox-ve from pve3", "pve2 done, pve1, pve3 not begun"}, func(_ *testing.T, l *lab) { l.fake.SetUpdates(3) }},
		{"a guest cannot be moved", func(l *lab) {
			l.fake.Inject(pvefake.Rule{TaskType: "qmigrate", TaskID: "200", TaskStatus: "migration aborted"})
		}, []string{"migration aborted", "pve2 is in maintenance"}, func(_ *testing.T, l *lab) { l.fake.ClearFaults() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newRollingLab(t, pvefake.V92)
			w := l.watch()
			tt.do(l)
			_, err := l.RollingUpdate(t.Context(), RollingUpdate{Reboot: RebootAuto})
			if ExitCode(err, nil) != 5 {
				t.Errorf("exit code %d: %v", ExitCode(err, nil), err)
			}
			for _, s := range tt.says {
				if err == nil || !strings.Contains(err.Error(), s) {
					t.Errorf("no word of %q in %v", s, err)
				}
			}
			tt.mend(t, l)
			l.start()
			l.Clock = w
			if _, err := l.RollingUpdate(t.Context(), RollingUpdate{Reboot: RebootAuto}); err != nil {
				t.Fatal(err)
			}
			l.updated(w)
		})
	}
}

func TestARollingUpdateIsRefusedBeforeAnythingIsChanged(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, l *lab)
		says string
	}{
		{"another node is off", down(3), "pve3 is offline"},
		{"a backup runs", func(_ *testing.T, l *lab) {
			l.fake.AddTask(2, "vzdump", "101", "root@pam", "", time.Minute, 0)
		}, "a task runs: vzdump 101 on pve2"},
		{"a guest migrates", func(_ *testing.T, l *lab) { l.fake.AddTask(3, "qmigrate", "300", "root@pam", "", time.Minute, 0) }, "qmigrate 300 on pve3"},
		{"apt would remove proxmox-ve", func(_ *testing.T, l *lab) {
			l.fake.SetUpdates(2, pvefake.Update{Package: "proxmox-ve", From: "9.0.0", Removes: true})
		}, "apt would remove proxmox-ve from pve2"},
		{"Ceph is not well", func(t *testing.T, l *lab) {
			if err := l.fake.SetCephHealth("HEALTH_WARN", map[string]string{"OSD_NEARFULL": "1 nearfull osd(s)"}); err != nil {
				t.Fatal(err)
			}
		}, "OSD_NEARFULL"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newRollingLab(t, pvefake.V92)
			tt.do(t, l)
			before := len(l.changes())
			_, err := l.RollingUpdate(t.Context(), RollingUpdate{Reboot: RebootAuto})
			var refused *RefusedError
			if !errors.As(err, &refused) || ExitCode(err, nil) != 4 || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%v; want a refusal with %q", err, tt.says)
			}
			if after := l.changes(); len(after) > before {
				t.Errorf("changed %q", after[before:])
			}
		})
	}
}

func TestRollingUpdateOfSomeNodesAndWithoutReboot(t *testing.T) {
	l := newRollingLab(t, pvefake.V92)
	w := l.watch()
	r, err := l.RollingUpdate(t.Context(), RollingUpdate{Nodes: []string{"pve1"}, Reboot: RebootNever})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Nodes) != 1 || r.Nodes[0].Node != "pve1" || len(w.down) > 0 {
		t.Errorf("%+v; down were %v", r.Nodes, w.down)
	}
	if notes := strings.Join(r.Nodes[0].Notes, "\n"); !strings.Contains(notes, "it runs 6.14.8-2-pve until it boots into "+newKernel) {
		t.Errorf("notes %q", notes)
	}
	_, err = l.RollingUpdate(t.Context(), RollingUpdate{Nodes: []string{"pve7"}})
	if ExitCode(err, nil) != 64 {
		t.Errorf("an unknown node: %v", err)
	}
	if _, err = l.RollingUpdate(t.Context(), RollingUpdate{Reboot: RebootAlways, Nodes: []string{"pve3"}}); err != nil || !w.down["pve3"] {
		t.Errorf("always: %v, down were %v", err, w.down)
	}
	for _, s := range w.seen {
		t.Error(s)
	}
}

func TestANooutThatWasSetBeforeStays(t *testing.T) {
	l := newRollingLab(t, pvefake.V92)
	flag("noout")(t, l)
	r, err := l.RollingUpdate(t.Context(), RollingUpdate{Reboot: RebootAuto})
	if err != nil {
		t.Fatal(err)
	}
	if f := l.fake.CephFlags(); !slices.Equal(f, []string{"noout"}) {
		t.Errorf("flags %q", f)
	}
	if !strings.Contains(strings.Join(r.Nodes[0].Notes, "\n"), "noout was set before, and stays") {
		t.Errorf("notes %q", r.Nodes[0].Notes)
	}
}

func TestARollingUpdateThatIsNotConfirmedChangesNothing(t *testing.T) {
	l := newRollingLab(t, pvefake.V92)
	before := len(l.writes())
	_, err := l.RollingUpdate(t.Context(), RollingUpdate{Confirm: func(p *RollingReport) (bool, error) { return len(p.Nodes) != 3, nil }})
	if !errors.Is(err, ErrNotConfirmed) || len(l.writes()) > before {
		t.Errorf("%v, wrote %q", err, l.writes()[before:])
	}
}

func TestUnhealedTellsWhatIsMissing(t *testing.T) {
	s := State{Nodes: []Node{{Name: "a", Online: true, HA: "maintenance"}}, OSDs: []OSD{{ID: 3, Node: "a", In: true}, {ID: 4, Node: "a"}}, Ceph: &living.Ceph{Quorum: []string{"a"}}}
	s.Ceph.MonMap.Num = 3
	if got := s.unhealed("a", nil); got != "1 of 3 monitors in quorum; OSDs down: 3" {
		t.Errorf("got %q", got)
	}
}

// A program that dies with a request on its way has not heard what became of it. QUORATE_SOAK=1 tries many more.
func TestARollingUpdateKilledInTheMiddleOfARequestIsGoneOnWith(t *testing.T) {
	tries := 4
	if os.Getenv("QUORATE_SOAK") != "" {
		tries = 200
	}
	l := newRollingLab(t, pvefake.V92)
	before := l.fake.Requests()
	if _, err := l.RollingUpdate(t.Context(), RollingUpdate{Reboot: RebootAuto}); err != nil {
		t.Fatal(err)
	}
	all := l.fake.Requests() - before
	if all < 300 {
		t.Fatalf("%d requests in all", all)
	}
	for i := range tries {
		k := 7 + i*all/tries
		l := newRollingLab(t, pvefake.V92)
		w := l.watch()
		ctx, cancel := context.WithCancel(t.Context())
		l.fake.CrashAfter(k, cancel)
		if _, err := l.RollingUpdate(ctx, RollingUpdate{Reboot: RebootAuto}); err == nil {
			t.Errorf("killed in request %d: no error", k)
		}
		cancel()
		l.start()
		l.Clock = w
		if _, err := l.RollingUpdate(t.Context(), RollingUpdate{Reboot: RebootAuto}); err != nil {
			t.Errorf("killed in request %d, the next run: %v", k, err)
		}
		if l.updated(w); t.Failed() {
			t.Fatalf("killed in request %d of %d", k, all)
		}
		l.fake.Close()
	}
}

func TestOperationsWorkThroughPveshToo(t *testing.T) {
	for _, v := range versions {
		t.Run(string(v), func(t *testing.T) {
			l := newRollingLab(t, v)
			l.world.BySSH = true
			l.start()
			w := l.watch()
			if s, err := l.Status(t.Context()); err != nil || !s.OK() {
				t.Errorf("status: %v, %+v", err, s)
			}
			if _, err := l.RollingUpdate(t.Context(), RollingUpdate{Reboot: RebootAuto}); err != nil {
				t.Fatal(err)
			}
			l.updated(w)
		})
	}
}
