package operate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/living"
	"github.com/quorate/quorate/provision/transport"
)

// online waits until the node is back in the cluster, and its API and SSH answer.
func (v *nodeUpdate) online(ctx context.Context) error {
	return v.c.until(ctx, v.node+" to be back in the cluster", bootLimit, func(ctx context.Context, s State) (bool, string, error) {
		if n, _ := s.Node(v.node); !n.Online {
			return false, "it is offline", nil
		}
		err := within(ctx, bootAsk, func(ctx context.Context) error {
			own, err := living.ReadView(ctx, v.c.Nodes, v.node)
			if err == nil && !own.Quorate {
				err = ErrNoQuorum
			}
			if err == nil {
				_, err = v.c.Nodes.Shell(v.node).Run(ctx, transport.BootID())
			}
			return err
		})
		return err == nil, "it does not answer yet", err
	}, v.node)
}

// heal waits until the node is as it was: its monitor in quorum and its OSDs up, and all data in all its copies.
// It looks twice: what Ceph says of placement groups lags some seconds behind.
func (v *nodeUpdate) heal(ctx context.Context) error {
	well := 0
	return v.c.untilEvery(ctx, healEvery, "Ceph to recover after "+v.node, healLimit, func(_ context.Context, s State) (bool, string, error) {
		state := s.unhealed(v.node, v.accept())
		if well++; state != "" {
			well = 0
			v.tell.Progress(v.node, state)
		}
		return well > 1, state, nil
	})
}

// accept are the health checks that keep nobody.
func (v *nodeUpdate) accept() []string { return append([]string{flagsCheck}, v.u.Accept...) }

// unhealed says what is still missing, "" if nothing is.
func (s State) unhealed(node string, accept []string) string {
	if n, _ := s.Node(node); n.HA != "" && n.HA != pve.HANodeMaintenance && n.HA != pve.HANodeOnline {
		return fmt.Sprintf("the HA manager says %q of it", n.HA)
	}
	if s.Ceph == nil {
		return ""
	}
	var missing []string
	if up, all := len(s.Ceph.Quorum), s.Ceph.Monitors(); up < all {
		missing = append(missing, fmt.Sprintf("%d of %d monitors in quorum", up, all))
	}
	var downOSDs []int
	for _, o := range s.OSDs {
		if o.Node == node && o.In && !o.Up {
			downOSDs = append(downOSDs, o.ID)
		}
	}
	if len(downOSDs) > 0 {
		missing = append(missing, "OSDs down: "+numbers(downOSDs))
	}
	if n, states := s.Ceph.Dirty(); n > 0 {
		missing = append(missing, fmt.Sprintf("%d of %d placement groups not clean (%s)", n, s.Ceph.PGMap.Num, strings.Join(states, ", ")))
	}
	for _, code := range s.Ceph.Codes() {
		if !slices.Contains(accept, code) && s.Ceph.Health.Status != "HEALTH_OK" {
			missing = append(missing, code+": "+s.Ceph.Health.Checks[code].Summary.Message)
		}
	}
	return strings.Join(missing, "; ")
}
