package provisionproof

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/steps"
	"github.com/quorate/quorate/provision/transport"
)

// healing lets a silent joiner speak again once it has been taken out of the cluster.
type healing struct {
	transport.Set
	heal func()
}

func (h healing) Shell(node string) transport.Shell { return healingShell{h.Set.Shell(node), h.heal} }

type healingShell struct {
	transport.Shell
	heal func()
}

func (h healingShell) Run(ctx context.Context, c transport.Command) (transport.Output, error) {
	out, err := h.Shell.Run(ctx, c)
	if strings.HasPrefix(c.String(), "systemctl start pve-cluster") {
		h.heal()
	}
	return out, err
}

// The second node takes the quorum of the first along with it, the third does not.
func TestRepairJoinTakesTheNodeOutAndJoinsItAgain(t *testing.T) {
	for joiner, alone := range map[int]bool{2: true, 3: false} {
		t.Run(fmt.Sprintf("pve%d", joiner), func(t *testing.T) {
			w := newWorld(t, pvefake.V92)
			repairJoin(t, w, joiner)
			expected := slices.Index(commands(w), "1 pvecm expected 1")
			if (expected >= 0) != alone {
				t.Errorf("pvecm expected is number %d of the commands", expected)
			}
			if stopped := slices.Index(commands(w), fmt.Sprintf("%d systemctl stop corosync", joiner)); alone && (stopped < 0 || stopped > expected) {
				t.Errorf("corosync of pve%d was stopped by command %d, and quorum forced by %d: two clusters of one", joiner, stopped, expected)
			}
		})
	}
}

// commands are those that were run, each behind the number of its node.
func commands(w *World) []string {
	var out []string
	for _, c := range w.Fake.Calls() {
		if c.Method == "SSH" {
			out = append(out, fmt.Sprintf("%d %s", c.Node, c.Path))
		}
	}
	return out
}

func TestRepairJoinForcesNoQuorumWhileOthersMayHaveIt(t *testing.T) {
	w := newWorld(t, pvefake.V92)
	if err := w.Fake.SilenceJoiner(3, true); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Apply(t.Context(), nil); err == nil {
		t.Fatal("no error")
	}
	w.Fake.Partition([]int{1}, []int{2}, []int{3})
	w.Fake.Advance(30 * time.Second)
	w.Target = []engine.ID{"join"}
	w.Change = func(e *steps.Env) { e.RepairJoin = true }
	_, err := w.Apply(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "no quorum, and the cluster has 3 nodes") || !strings.Contains(err.Error(), "bring the other nodes back first") {
		t.Errorf("error %v", err)
	}
	for _, c := range commands(w) {
		if strings.Contains(c, "expected") || strings.Contains(c, "stop corosync") {
			t.Errorf("ran %s", c)
		}
	}
}

func repairJoin(t *testing.T, w *World, joiner int) {
	t.Helper()
	if err := w.Fake.SilenceJoiner(joiner, true); err != nil {
		t.Fatal(err)
	}
	_, err := w.Apply(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "--repair-join") {
		t.Fatalf("error %v, want one that names --repair-join", err)
	}
	// By hand it is as dangerous: the advice comes with its condition, and only where it is needed.
	before, after, advised := strings.Cut(err.Error(), "pvecm expected 1")
	if advised != (joiner == 2) || advised && (!strings.Contains(before, "systemctl stop pve-cluster corosync") || !strings.Contains(after, "only now that corosync is stopped on pve2")) {
		t.Errorf("the advice is %v", err)
	}
	w.Change = func(e *steps.Env) { e.RepairJoin = true }
	w.Wrap = func(s transport.Set) transport.Set {
		return healing{s, func() {
			if err := w.Fake.SilenceJoiner(joiner, false); err != nil {
				t.Error(err)
			}
		}}
	}
	w.Target = []engine.ID{"join"}
	apply(t, w)
	w.Wrap, w.Change, w.Target = nil, nil, nil
	apply(t, w)
	if second := apply(t, w); second.Writes > 0 {
		t.Errorf("afterwards %d writes", second.Writes)
	}
	for _, c := range report(t, w).Checks {
		if c.Result != "ok" {
			t.Errorf("%s: %s", c.Name, c.Found)
		}
	}
}
