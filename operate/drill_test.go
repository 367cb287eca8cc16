package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/transport"
)

// truth is what the fake does, second by second, without asking its API.
type truth struct {
	engine.Clock
	fake  *pvefake.Cluster
	node  int
	began func() time.Time
	sids  map[string]int
	first map[string]time.Duration
}

func (c *truth) Sleep(ctx context.Context, d time.Duration) error {
	if err := c.Clock.Sleep(ctx, d); err != nil {
		return err
	}
	began := c.began()
	if began.IsZero() {
		return nil
	}
	note := func(what string, is bool) {
		if _, known := c.first[what]; is && !known {
			c.first[what] = c.fake.Now().Sub(began)
		}
	}
	state := c.fake.NodeStatus(c.node)
	note("gone", !c.fake.Hears(1, c.node))
	note("back", c.first["gone"] > 0 && c.fake.Hears(1, c.node))
	note("fence", state == "fence")
	for sid, vmid := range c.sids {
		serviceState, on := c.fake.ServiceState(sid)
		_, runs := c.fake.GuestNode(vmid)
		note("away "+sid, serviceState == "recovery" || on != c.fake.Node(c.node).Name())
		note("runs "+sid, on != c.fake.Node(c.node).Name() && serviceState == "started" && runs)
	}
	return nil
}

// drillWorld is a movingWorld with vm:110 and vm:111 under HA on pve3.
func drillWorld(t *testing.T, v pvefake.Version, boot time.Duration) (*movingWorld, *truth) {
	t.Helper()
	w := newMovingWorld(t, v, func(o *pvefake.Options) { o.BootTime = boot })
	for _, g := range []pvefake.Guest{
		{VMID: 110, Node: 3, Name: "a", MemoryBytes: 1 << 30, DiskBytes: 8 << 30, Storage: "vm-storage"},
		{VMID: 111, Node: 3, Name: "b", MemoryBytes: 1 << 30, DiskBytes: 8 << 30, Storage: "vm-storage"},
	} {
		if err := w.Fake.AddVM(g); err != nil {
			t.Fatal(err)
		}
	}
	tr := &truth{Clock: w.c.Clock, fake: w.Fake, node: 3, first: map[string]time.Duration{}, sids: map[string]int{"vm:110": 110, "vm:111": 111}}
	for sid := range tr.sids {
		if err := w.Fake.AddHAResource(pvefake.HAResource{SID: sid}); err != nil {
			t.Fatal(err)
		}
	}
	w.Fake.AddNodeAffinity("prefers3", map[string]int{"pve3": 2, "pve1": 1, "pve2": 1}, false, "vm:110")
	w.Fake.Advance(2 * time.Minute)
	var struck time.Time
	tr.began = func() time.Time { return struck }
	for _, says := range []string{"pve3 is reset", "pve3 is powered off", "pve3 is cut off", "pve3 is waited for"} {
		w.onTell(says, func() { struck = w.Fake.Now() })
	}
	w.c.Clock = tr
	return w, tr
}

func drillPve3(d NodeDown) NodeDown {
	d.Node, d.Understood = "pve3", "pve3"
	return d
}

func (r *DrillReport) phase(name string) *Seconds {
	for _, p := range r.Phases {
		if p.Name == name {
			return p.After
		}
	}
	return nil
}

func textOf(t *testing.T, r Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestADrillMeasuresWhatTheClusterDoes(t *testing.T) {
	for _, tt := range []struct {
		name, way string
		boot      time.Duration
		returns   bool
	}{
		{"a crash, and a server that boots slowly", WayHard, 4 * time.Minute, true},
		{"power off", WayPowerOff, time.Minute, false},
		{"cut off from corosync", WayIsolate, time.Minute, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, v := range []pvefake.Version{pvefake.V84, pvefake.V92} {
				t.Run(string(v), func(t *testing.T) {
					w, tr := drillWorld(t, v, tt.boot)
					r, err := w.c.NodeDown(t.Context(), drillPve3(NodeDown{Way: tt.way, Budget: Budget{BudgetRecovery: 240 * time.Second}}))
					if err != nil {
						t.Fatal(err)
					}
					t.Logf("\n%s", textOf(t, r))
					if !r.OK() || tt.returns != (len(r.Left) == 0) || len(r.Services) != 2 || r.Observer == "pve3" || r.Blind != nil {
						t.Errorf("%+v", *r)
					}
					want := map[string]time.Duration{phaseOffline: tr.first["gone"], phaseFence: tr.first["fence"],
						phaseRecovery: min(tr.first["away vm:110"], tr.first["away vm:111"])}
					if tt.returns {
						want[phaseBack] = tr.first["back"]
					}
					for name, truth := range want {
						if got := r.phase(name); got == nil || truth == 0 || (got.Duration()-truth).Abs() > time.Second {
							t.Errorf("%s: measured %v, the truth is %s", name, got, truth)
						}
					}
					for _, s := range r.Services {
						// The manager knows of a start one of its rounds after it.
						truth := tr.first["runs "+s.SID]
						if s.Started == nil || truth == 0 || s.Started.Duration() < truth || s.Started.Duration() > truth+11*time.Second || s.Node == "pve3" {
							t.Errorf("%+v; it ran after %s", s, truth)
						}
					}
					if _, runs := w.Fake.GuestNode(110); !runs {
						t.Error("vm:110 does not run in the end")
					}
					if tt.returns {
						w.has(t, 110, "pve3") // its rules want it there
						if r.phase(phaseFailback) == nil {
							t.Error("vm:110 was not seen on pve3 again")
						}
						if r.phase(phaseClean) == nil || r.phase(phaseDegraded) == nil && tt.way == WayHard {
							t.Error("Ceph was not seen degraded and clean")
						}
					}
					if errs := w.Fake.SSHErrors(); len(errs) > 0 {
						t.Errorf("unknown commands %q", errs)
					}
				})
			}
		})
	}
}

func TestADrillOnANodeThatIsBackBeforeItIsGivenUpSaysSo(t *testing.T) {
	w, _ := drillWorld(t, pvefake.V92, 20*time.Second)
	r, err := w.c.NodeDown(t.Context(), drillPve3(NodeDown{}))
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK() || r.phase(phaseFence) != nil || r.phase(phaseBack) == nil || len(r.Services) != 2 {
		t.Errorf("\n%s", textOf(t, r))
	}
	for _, s := range r.Services {
		if s.Node != "pve3" || s.Started == nil || *s.Started < 20 {
			t.Errorf("%+v; want one that ran again on pve3, after its boot", s)
		}
	}
}

func TestADrillMakesItsOwnGuestAndRemovesIt(t *testing.T) {
	for _, v := range []pvefake.Version{pvefake.V84, pvefake.V92} {
		w, _ := drillWorld(t, v, 4*time.Minute)
		// One that was killed has left another.
		if err := w.Fake.AddVM(pvefake.Guest{VMID: 950, Node: 1, Name: drillVMName, Tags: drillVMTag, DiskBytes: 1 << 30, Storage: "vm-storage"}); err != nil {
			t.Fatal(err)
		}
		if err := w.Fake.AddVM(pvefake.Guest{VMID: 951, Node: 1, Name: "not-ours", Tags: drillVMTag, Stopped: true}); err != nil {
			t.Fatal(err)
		}
		if err := w.Fake.AddHAResource(pvefake.HAResource{SID: "vm:950"}); err != nil {
			t.Fatal(err)
		}
		w.Fake.Advance(time.Minute)
		r, err := w.c.NodeDown(t.Context(), drillPve3(NodeDown{VM: true}))
		if err != nil {
			t.Fatal(err)
		}
		if !r.OK() || r.Same == nil || !*r.Same || len(r.Services) != 3 || !strings.HasPrefix(r.Image, "vm-storage/vm-") {
			t.Errorf("%+v\n%s", *r, textOf(t, r))
		}
		for _, id := range []int{950, 102} {
			if at, _ := w.Fake.GuestNode(id); at != "" {
				t.Errorf("guest %d is left on %s", id, at)
			}
		}
		w.has(t, 951, "pve1")
		if !w.heard("vm:950 is left from an earlier drill") || !w.heard("making vm:102 for the drill") {
			t.Error("it says nothing of the guests it makes and removes")
		}
	}
}

func TestADrillIsRefusedBeforeAnythingIsDone(t *testing.T) {
	for _, tt := range []struct {
		name string
		d    NodeDown
		do   func(t *testing.T, w *movingWorld)
		why  string
	}{
		{"Ceph is not well", NodeDown{}, func(t *testing.T, w *movingWorld) {
			if err := w.Fake.SetCephHealth("HEALTH_WARN", map[string]string{"MON_CLOCK_SKEW": "clock skew"}); err != nil {
				t.Fatal(err)
			}
		}, "MON_CLOCK_SKEW"},
		{"another node is down", NodeDown{}, func(t *testing.T, w *movingWorld) { w.down(t, 2) }, "quorum would be lost"},
		{"a guest without HA", NodeDown{}, func(t *testing.T, w *movingWorld) {
			if err := w.Fake.AddVM(pvefake.Guest{VMID: 400, Node: 3}); err != nil {
				t.Fatal(err)
			}
			w.Fake.Advance(20 * time.Second)
		}, "vm:400 would be off until pve3 is back"},
		{"nothing to show", NodeDown{}, func(_ *testing.T, w *movingWorld) {
			w.Fake.RemoveHAResource("vm:110")
			w.Fake.RemoveHAResource("vm:111")
			w.Fake.KillGuest(110)
			w.Fake.KillGuest(111)
			w.Fake.Advance(30 * time.Second)
		}, "nothing would be shown"},
		{"a backup runs", NodeDown{}, func(_ *testing.T, w *movingWorld) { w.Fake.AddTask(3, "vzdump", "110", "root@pam", "", time.Minute, 0) }, "tasks run on it: vzdump 110"},
		{"a locked guest", NodeDown{}, func(_ *testing.T, w *movingWorld) { w.Fake.SetLock(110, "snapshot") }, "vm:110 is locked (snapshot)"},
		{"no SSH", NodeDown{}, func(_ *testing.T, w *movingWorld) {
			w.Fake.Inject(pvefake.Rule{Command: "true", Status: 1, Reason: "no login"})
		}, "SSH to pve3 is needed"},
		{"no nft", NodeDown{Way: WayIsolate}, func(_ *testing.T, w *movingWorld) {
			w.Fake.Inject(pvefake.Rule{Command: "nft --version", Status: 127, Reason: "nft: command not found"})
		}, "pve3 needs nft (`apt install nftables`)"},
		{"a guest that does not answer", NodeDown{Probe: &stubProbe{deaf: errors.New("no route")}}, nil, "192.0.2.7:22 does not answer"},
		{"no such node", NodeDown{Node: "pve9", Understood: "pve9"}, nil, "pve9 is no node"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, _ := drillWorld(t, pvefake.V92, time.Minute)
			if tt.do != nil {
				tt.do(t, w)
			}
			d := tt.d
			if d.Node == "" {
				d = drillPve3(d)
			}
			before := len(w.Writes())
			_, err := w.c.NodeDown(t.Context(), d)
			var refused *RefusedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.why) || ExitCode(err, nil) != engine.ExitPreflight {
				t.Errorf("%v; want a refusal with %q", err, tt.why)
			}
			if n := len(w.Writes()) - before; n > 0 {
				t.Errorf("%d writes were sent", n)
			}
		})
	}
	for _, d := range []NodeDown{{Node: "pve3"}, {Node: "pve3", Understood: "pve2"}, {Node: "pve3", Understood: "pve3", Way: "axe"}} {
		var usage *engine.UsageError
		if _, err := (&Cluster{}).NodeDown(t.Context(), d); !errors.As(err, &usage) {
			t.Errorf("%+v: %v", d, err)
		}
	}
}

func TestADrillWhoseServicesDoNotRecoverFails(t *testing.T) {
	w, _ := drillWorld(t, pvefake.V92, 4*time.Minute)
	w.Fake.FailStart("vm:111", true)
	r, err := w.c.NodeDown(t.Context(), drillPve3(NodeDown{Way: WayPowerOff, Budget: Budget{BudgetRecovery: time.Minute}}))
	if err != nil {
		t.Fatal(err)
	}
	if r.OK() || len(r.Over) != 1 || !slices.ContainsFunc(r.Services, func(s Service) bool { return s.SID == "vm:111" && s.Started == nil && s.State == "error" }) {
		t.Errorf("\n%s", textOf(t, r))
	}
	var suite struct {
		Name     string `xml:"name,attr"`
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
	}
	var b bytes.Buffer
	if err := r.WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(b.Bytes(), &suite); err != nil || suite.Name != "quorate drill node-down pve3" || suite.Failures < 3 || suite.Tests <= suite.Failures {
		t.Errorf("JUnit: %+v, %v\n%s", suite, err, b.String())
	}
	b.Reset()
	var back map[string]any
	if err := WriteJSON(&b, r); err != nil || json.Unmarshal(b.Bytes(), &back) != nil || back["drill"] != "node-down" || back["overBudget"] == nil {
		t.Errorf("JSON: %v\n%s", err, b.String())
	}
}

func TestAStrikeThatFailsIsToldAndNothingIsLeft(t *testing.T) {
	w, _ := drillWorld(t, pvefake.V92, time.Minute)
	w.Fake.Inject(pvefake.Rule{Command: "nft -f", Status: 1, Reason: "nft: no such table"})
	_, err := w.c.NodeDown(t.Context(), drillPve3(NodeDown{Way: WayIsolate}))
	if err == nil || !strings.Contains(err.Error(), "nft: no such table") || ExitCode(err, nil) != engine.ExitPartial {
		t.Errorf("%v", err)
	}
	if armed, _, _ := w.Fake.RunCommand(3, "systemctl is-active quorate-drill-undo.timer", ""); armed == 0 {
		t.Error("the switch is still armed")
	}
}

func TestAnInterruptedDrillPutsBackWhatItCan(t *testing.T) {
	for _, tt := range []struct {
		name, way, at string
		vm            bool
		says          []string
		guest         bool // is left
	}{
		{"before it strikes", WayHard, "making vm:102", true, []string{"no node was touched", "the drill's guest is gone again"}, false},
		{"while the node boots", WayHard, "(offline)", false, []string{"pve3 is down, and comes back by itself"}, false},
		{"while the node is cut off", WayIsolate, "(fence)", false, []string{"pve3 is down, and comes back by itself"}, false},
		{"with a guest of its own", WayHard, "(fence)", true, []string{"vm:102 is left, and the next drill removes it"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, _ := drillWorld(t, pvefake.V92, 3*time.Minute)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w.onTell(tt.at, cancel)
			_, err := w.c.NodeDown(ctx, drillPve3(NodeDown{Way: tt.way, VM: tt.vm}))
			if err == nil || ExitCode(err, nil) != engine.ExitInterrupted {
				t.Fatalf("%v, exit code %d", err, ExitCode(err, nil))
			}
			for _, text := range tt.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%v\nsays nothing of %q", err, text)
				}
			}
			w.Fake.Advance(5 * time.Minute)
			if at, _ := w.Fake.GuestNode(102); (at != "") != tt.guest {
				t.Errorf("the drill's guest is on %q", at)
			}
			if !w.Fake.Hears(1, 3) {
				t.Error("pve3 is not back")
			}
			if tt.guest {
				s, err := w.c.Look(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if err := w.c.removeDrillVMs(t.Context(), s, w.c.teller("test")); err != nil {
					t.Fatal(err)
				}
				if at, _ := w.Fake.GuestNode(102); at != "" {
					t.Error("the next drill has not removed it")
				}
			}
		})
	}
}

func TestACutOffNodeIsMendedByItselfWhenTheDrillIsKilled(t *testing.T) {
	w, _ := drillWorld(t, pvefake.V92, time.Minute)
	for _, c := range []transport.Command{transport.ArmDrillUndo(transport.MendCorosync()), transport.CutCorosync()} {
		if exit, _, stderr := w.Fake.RunCommand(3, c.String(), string(c.Stdin)); exit != 0 {
			t.Fatal(stderr)
		}
	}
	w.Fake.Advance(transport.DrillTime - 30*time.Second)
	if w.Fake.Hears(1, 3) {
		t.Error("it was not cut off")
	}
	w.Fake.Advance(time.Minute)
	if !w.Fake.Hears(1, 3) {
		t.Error("its switch has not mended it")
	}
}
