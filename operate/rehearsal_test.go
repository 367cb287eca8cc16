package operate

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/transport"
)

func (m *movingWorld) armed(node int) bool {
	exit, _, _ := m.Fake.RunCommand(node, "systemctl is-active quorate-drill-undo.timer", "")
	return exit == 0
}

func TestADrillOfAnOSDStopsItAndStartsItAgain(t *testing.T) {
	bothReleases(t, func(t *testing.T, w *movingWorld) {
		r, err := w.c.OSDDown(t.Context(), 4, Budget{phaseDown: 2 * time.Second, phaseClean: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("\n%s", textOf(t, r))
		if !r.OK() || r.What != "osd.4 of pve2" {
			t.Errorf("%+v", *r)
		}
		// The fake's monitors know at once, its OSD is up 2 s after it was started, and its PGs with it.
		for name, want := range map[string]time.Duration{phaseDown: 0, phaseDegraded: 0, phaseUp: missedFor + 2*time.Second, phaseClean: missedFor + 2*time.Second} {
			if got := r.phase(name); got == nil || (got.Duration()-want).Abs() > time.Second {
				t.Errorf("%s after %v, want %s", name, got, want)
			}
		}
		if w.armed(2) || len(w.Fake.SSHErrors()) > 0 {
			t.Errorf("the switch is armed: %v; unknown commands %q", w.armed(2), w.Fake.SSHErrors())
		}
	})
}

func TestADrillOfALinkKeepsTheClusterTogether(t *testing.T) {
	bothReleases(t, func(t *testing.T, w *movingWorld) {
		r, err := w.c.LinkDown(t.Context(), "pve3", 1, Budget{phaseLinkDown: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("\n%s", textOf(t, r))
		if !r.OK() || r.Observer == "pve3" || r.phase(phaseLost) != nil {
			t.Errorf("%+v", *r)
		}
		for name, want := range map[string]time.Duration{phaseLinkDown: 0, phaseLinkUp: missedFor} {
			if got := r.phase(name); got == nil || (got.Duration()-want).Abs() > time.Second {
				t.Errorf("%s after %v, want %s", name, got, want)
			}
		}
		if w.armed(3) || len(w.Fake.SSHErrors()) > 0 {
			t.Errorf("the switch is armed: %v; unknown commands %q", w.armed(3), w.Fake.SSHErrors())
		}
	})
}

func TestSmallDrillsAreRefusedBeforeAnythingIsDone(t *testing.T) {
	osd := func(id int) func(context.Context, *movingWorld) error {
		return func(ctx context.Context, w *movingWorld) error { _, err := w.c.OSDDown(ctx, id, nil); return err }
	}
	link := func(node string, n int) func(context.Context, *movingWorld) error {
		return func(ctx context.Context, w *movingWorld) error { _, err := w.c.LinkDown(ctx, node, n, nil); return err }
	}
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, w *movingWorld)
		run  func(context.Context, *movingWorld) error
		why  string
	}{
		{"no such OSD", nil, osd(99), "there is no osd.99"},
		{"an OSD that is down", func(_ *testing.T, w *movingWorld) { w.Fake.RunCommand(2, "systemctl stop ceph-osd@4", "") }, osd(4), "not up and in"},
		{"Ceph is not well", func(_ *testing.T, w *movingWorld) { w.Fake.RunCommand(2, "systemctl stop ceph-osd@4", "") }, osd(0), "OSD_DOWN"},
		{"no SSH to the OSD's node", func(_ *testing.T, w *movingWorld) {
			w.Fake.Inject(pvefake.Rule{Command: "true", Node: 2, Status: 1, Reason: "no login"})
		}, osd(4), "SSH to pve2 is needed"},
		{"no such link", nil, link("pve3", 5), "no link 5 there; it has [0 1]"},
		{"no such node", nil, link("pve9", 0), "pve9 is no node"},
		{"a node that is down", func(t *testing.T, w *movingWorld) { w.down(t, 2) }, link("pve3", 0), "pve2 is offline"},
		{"the other link is away already", func(t *testing.T, w *movingWorld) {
			cut := transport.CutCorosync(1)
			if exit, _, stderr := w.Fake.RunCommand(1, cut.String(), string(cut.Stdin)); exit != 0 {
				t.Fatal(stderr)
			}
		}, link("pve3", 0), "node id 1 is heard on no other link, and would be lost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newMovingWorld(t, pvefake.V92)
			if tt.do != nil {
				tt.do(t, w)
			}
			before := len(w.Writes())
			err := tt.run(t.Context(), w)
			var refused *RefusedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("%v; want a refusal with %q", err, tt.why)
			}
			if n := len(w.Writes()) - before; n > 0 {
				t.Errorf("%d writes were sent", n)
			}
		})
	}
}

func TestASmallDrillThatBreaksOffIsEndedAllTheSame(t *testing.T) {
	t.Run("interrupted", func(t *testing.T) {
		w := newMovingWorld(t, pvefake.V92)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		w.onTell("(down)", cancel)
		_, err := w.c.OSDDown(ctx, 4, nil)
		if err == nil || ExitCode(err, nil) != engine.ExitInterrupted || !strings.Contains(err.Error(), "was ended again") {
			t.Errorf("%v, exit code %d", err, ExitCode(err, nil))
		}
		if w.armed(2) {
			t.Error("the switch is armed")
		}
		w.upAfter(t, 10*time.Second)
	})
	t.Run("what ends it fails", func(t *testing.T) {
		w := newMovingWorld(t, pvefake.V92)
		for range 2 { // both attempts; the first command that names it arms the switch
			w.Fake.Inject(pvefake.Rule{Command: "systemctl start ceph-osd@4", Nth: 2, Status: 1, Reason: "Job failed"})
		}
		_, err := w.c.OSDDown(t.Context(), 4, nil)
		if err == nil || ExitCode(err, nil) != engine.ExitPartial || !strings.Contains(err.Error(), "pve2 ends it by itself within 10m0s") {
			t.Errorf("%v", err)
		}
		w.upAfter(t, transport.DrillTime)
	})
	t.Run("another drill is on", func(t *testing.T) {
		w := newMovingWorld(t, pvefake.V92)
		if exit, _, stderr := w.Fake.RunCommand(2, transport.ArmDrillUndo(transport.MendCorosync()).String(), ""); exit != 0 {
			t.Fatal(stderr)
		}
		_, err := w.c.OSDDown(t.Context(), 4, nil)
		if err == nil || !strings.Contains(err.Error(), "already loaded") || !strings.Contains(err.Error(), "nothing was begun") {
			t.Errorf("%v", err)
		}
		if !w.armed(2) {
			t.Error("the other's switch was disarmed")
		}
	})
	t.Run("the program is killed", func(t *testing.T) {
		w := newMovingWorld(t, pvefake.V92)
		for _, c := range []transport.Command{transport.ArmDrillUndo(transport.MendCorosync()), transport.CutCorosync(1)} {
			if exit, _, stderr := w.Fake.RunCommand(3, c.String(), string(c.Stdin)); exit != 0 {
				t.Fatal(stderr)
			}
		}
		linked := func() bool {
			_, out, _ := w.Fake.RunCommand(1, "corosync-cfgtool -s", "")
			return parseLinks(out)[1][3] == linkConnected
		}
		if linked() {
			t.Error("the link is not cut")
		}
		w.Fake.Advance(transport.DrillTime + time.Second)
		if !linked() {
			t.Error("its switch has not mended it")
		}
	})
}

// upAfter checks that all OSDs are up after some time.
func (w *movingWorld) upAfter(t *testing.T, d time.Duration) {
	t.Helper()
	w.Fake.Advance(d)
	s, err := w.c.Look(t.Context())
	if err != nil || s.Ceph.OSDMap.Up != s.Ceph.OSDMap.Num {
		t.Errorf("%d of %d OSDs are up, %v", s.Ceph.OSDMap.Up, s.Ceph.OSDMap.Num, err)
	}
}

func TestTheRulesOfALinkNameItsPort(t *testing.T) {
	for want, got := range map[string]transport.Command{"udp dport 5404-5412 drop": transport.CutCorosync(), "udp dport { 5406 } drop": transport.CutCorosync(1)} {
		if n := strings.Count(string(got.Stdin), want); n != 1 {
			t.Errorf("%q stands %d times in\n%s", want, n, got.Stdin)
		}
	}
}

func FuzzParseLinks(f *testing.F) {
	f.Add("Local node ID 1, transport knet\nLINK ID 0 udp\n\taddr\t= 10.77.0.1\n\tstatus:\n\t\tnodeid:          1:\tlocalhost\n\t\tnodeid:          2:\tconnected\n\t\tnodeid:          3:\tdisconnected\n")
	f.Fuzz(func(t *testing.T, text string) {
		for n, l := range parseLinks(text) {
			if n < 0 || l == nil {
				t.Errorf("link %d: %v", n, l)
			}
		}
	})
}
