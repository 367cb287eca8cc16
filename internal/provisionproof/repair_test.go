package provisionproof

import (
	"context"
	"strings"
	"testing"

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

func TestRepairJoinTakesTheNodeOutAndJoinsItAgain(t *testing.T) {
	w := newWorld(t, pvefake.V92)
	if err := w.Fake.SilenceJoiner(3, true); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Apply(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "--repair-join") {
		t.Fatalf("error %v, want one that names --repair-join", err)
	}
	w.Change = func(e *steps.Env) { e.RepairJoin = true }
	w.Wrap = func(s transport.Set) transport.Set {
		return healing{s, func() {
			if err := w.Fake.SilenceJoiner(3, false); err != nil {
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
