package operate

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
)

func TestMaintenanceEmptiesANodeAndGivesItsServicesBack(t *testing.T) {
	for _, v := range versions {
		t.Run(string(v), func(t *testing.T) {
			l := newLab(t, v)
			r, err := l.EnableMaintenance(t.Context(), Maintenance{Node: "pve2"})
			if err != nil {
				t.Fatal(err)
			}
			if l.fake.NodeStatus(2) != "maintenance" {
				t.Errorf("HA says %q", l.fake.NodeStatus(2))
			}
			if at, running := l.fake.GuestNode(200); at == "pve2" || !running {
				t.Errorf("vm:200 is on %s, running %v", at, running)
			}
			if _, at := l.fake.ServiceState("vm:101"); at == "pve2" {
				t.Error("vm:101 is still on pve2")
			}
			if !r.Changed || !r.Waited || len(r.Moved) != 2 || r.Duration.Duration() < 10*time.Second {
				t.Errorf("%+v", r)
			}
			if !l.said("2 of 2 moved in") {
				t.Error("no word of how far it was")
			}
			before := len(l.writes())
			again, err := l.EnableMaintenance(t.Context(), Maintenance{Node: "pve2"})
			if err != nil || again.Changed || len(l.writes()) > before {
				t.Errorf("once more: %+v, %v, wrote %q", again, err, l.writes()[before:])
			}
			back, err := l.DisableMaintenance(t.Context(), Maintenance{Node: "pve2"})
			if err != nil {
				t.Fatal(err)
			}
			if len(back.Moved) != 1 || back.Moved[0] != (MovedGuest{"vm:101", "pve2"}) || l.fake.NodeStatus(2) != "online" {
				t.Errorf("%+v, HA says %q", back, l.fake.NodeStatus(2))
			}
			if at, _ := l.fake.GuestNode(200); at == "pve2" {
				t.Error("vm:200, which is not under HA, came back")
			}
			before = len(l.writes())
			again, err = l.DisableMaintenance(t.Context(), Maintenance{Node: "pve2"})
			if err != nil || again.Changed || len(l.writes()) > before {
				t.Errorf("once more: %+v, %v, wrote %q", again, err, l.writes()[before:])
			}
			var text bytes.Buffer
			if err := errors.Join(r.WriteText(&text), back.WriteText(&text), again.WriteText(&text)); err != nil {
				t.Fatal(err)
			}
			for _, w := range []string{"pve2 is in maintenance: 2 guests left it in ", "  vm:200 is on pve3", "pve2 is online: 1 guests came back in ", "guests without HA stay where they are", "pve2 is online already; nothing was done"} {
				if !strings.Contains(text.String(), w) {
					t.Errorf("no word of %q in\n%s", w, text.String())
				}
			}
		})
	}
}

// hold makes pve2 say of vm:200 what keeps it from moving.
func (l *lab) hold(body string) {
	l.fake.Inject(pvefake.Rule{Method: "GET", Path: "/nodes/pve2/qemu/200/migrate", Status: 200, Reason: "OK", Body: body})
}

func TestMaintenanceIsRefusedBeforeAnythingIsChanged(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, l *lab)
		m    Maintenance
		says string
	}{
		{"an unknown node", nil, Maintenance{Node: "pve9"}, "pve9 is no node of the cluster"},
		{"a node that is off", down(2), Maintenance{Node: "pve2"}, "pve2 is offline already"},
		{"the cluster cannot bear it", down(3), Maintenance{Node: "pve2"}, "quorum would be lost"},
		{"local disks", func(_ *testing.T, l *lab) {
			l.hold(`{"data":{"running":1,"local_disks":[{"volid":"local-lvm:vm-200-disk-1"}],"local_resources":[]}}`)
		}, Maintenance{Node: "pve2"}, "vm:200 cannot move: local-lvm:vm-200-disk-1 is on storage that only its own node has"},
		{"passthrough, and force does not help", func(_ *testing.T, l *lab) {
			l.hold(`{"data":{"running":1,"local_disks":[],"local_resources":["hostpci0"]}}`)
		}, Maintenance{Node: "pve2", Force: true}, "vm:200 cannot move: it uses hostpci0"},
		{"a guest that is being backed up", func(_ *testing.T, l *lab) { l.fake.SetLock(200, "backup") }, Maintenance{Node: "pve2"}, "vm:200 is locked (backup)"},
		{"no memory for a guest without HA", func(t *testing.T, l *lab) {
			if err := l.fake.AddVM(pvefake.Guest{VMID: 250, Node: 2, MemoryBytes: 60 << 30}); err != nil {
				t.Fatal(err)
			}
			l.fake.Advance(time.Minute)
		}, Maintenance{Node: "pve2"}, "no other node has the memory for vm:250 (60.0 GiB)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, pvefake.V92)
			if tt.do != nil {
				tt.do(t, l)
			}
			before := len(l.writes())
			_, err := l.EnableMaintenance(t.Context(), tt.m)
			var refused *RefusedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), tt.says) || ExitCode(err, nil) != 4 {
				t.Errorf("%v; want a refusal with %q", err, tt.says)
			}
			if after := l.writes(); len(after) > before {
				t.Errorf("wrote %q", after[before:])
			}
		})
	}
}

func TestMaintenanceLeavesGuestsThatItWasToldToLeave(t *testing.T) {
	l := newLab(t, pvefake.V92)
	l.hold(`{"data":{"running":1,"local_disks":[{"volid":"local-lvm:vm-200-disk-1"}],"local_resources":[]}}`)
	r, err := l.EnableMaintenance(t.Context(), Maintenance{Node: "pve2", Leave: []int{200}})
	if err != nil {
		t.Fatal(err)
	}
	if at, running := l.fake.GuestNode(200); at != "pve2" || !running || !slices.Contains(r.Stay, "vm:200 stays on pve2 and stops with it") {
		t.Errorf("vm:200 is on %s; %+v", at, r)
	}
}

func TestMaintenanceGoesOnWhereItWasCutOff(t *testing.T) {
	for _, v := range versions {
		for k := 1; ; k++ {
			l := newLab(t, v)
			ctx, cancel := context.WithCancel(t.Context())
			first := len(l.writes())
			cut := 0
			l.Nodes = afterWrites(l.Nodes, k, func() { cut++; cancel() })
			_, err := l.EnableMaintenance(ctx, Maintenance{Node: "pve2"})
			cancel()
			if cut == 0 {
				if err != nil || k < 3 {
					t.Errorf("%s: %d writes, %v", v, k-1, err)
				}
				break
			}
			if err == nil || ExitCode(err, nil) != 130 {
				t.Errorf("%s, cut off after write %d: %v", v, k, err)
			}
			if n := len(l.writes()) - first; n > k {
				t.Errorf("%s: %d writes after having been cut off", v, n-k)
			}
			l.start()
			if _, err := l.EnableMaintenance(t.Context(), Maintenance{Node: "pve2"}); err != nil {
				t.Errorf("%s, cut off after write %d, the second run: %v", v, k, err)
			}
			if guests, _ := l.runningOn(t.Context(), "pve1", "pve2"); len(guests) > 0 || l.fake.NodeStatus(2) != "maintenance" {
				t.Errorf("%s, cut off after write %d: %d guests are left, HA says %s", v, k, len(guests), l.fake.NodeStatus(2))
			}
			l.fake.Close()
		}
	}
}

func TestAMaintenanceThatFailsSaysHowTheNodeWasLeft(t *testing.T) {
	l := newLab(t, pvefake.V92)
	l.fake.Inject(pvefake.Rule{TaskType: "qmigrate", TaskID: "200", TaskStatus: "migration aborted"})
	_, err := l.EnableMaintenance(t.Context(), Maintenance{Node: "pve2"})
	var unfinished *UnfinishedError
	if !errors.As(err, &unfinished) || ExitCode(err, nil) != 5 {
		t.Fatalf("got %v", err)
	}
	for _, w := range []string{"migration aborted", "pve2 is in maintenance, and ", "vm:200 (2.0 GiB)", "quorate maintenance disable pve2"} {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("no word of %q in %v", w, err)
		}
	}
}

func TestMaintenanceWithoutWaitingOnlyAsks(t *testing.T) {
	l := newLab(t, pvefake.V92)
	before := len(l.writes())
	r, err := l.EnableMaintenance(t.Context(), Maintenance{Node: "pve2", NoWait: true})
	if err != nil || r.Waited || len(l.writes()) != before+1 {
		t.Errorf("%+v, %v, wrote %q", r, err, l.writes()[before:])
	}
	if !strings.Contains(strings.Join(r.Stay, ""), "vm:200 (2.0 GiB) are not under HA and stay") {
		t.Errorf("%q", r.Stay)
	}
}
