package operate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/internal/source/pve"
)

// leaving are the guests that run on a node now and are not to stay.
func (c *Cluster) leaving(ctx context.Context, s State, m Maintenance) ([]Guest, error) {
	if n, ok := s.Node(m.Node); !ok || !n.Online {
		return nil, nil
	}
	guests, err := c.runningOn(ctx, s.Members.Node, m.Node)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(guests, func(g Guest) bool { return slices.Contains(m.Leave, g.VMID) }), nil
}

// staying are the guests that were told to stay, a sentence each.
func (*Cluster) staying(s State, m Maintenance) (out []string) {
	for _, g := range s.running(m.Node) {
		if slices.Contains(m.Leave, g.VMID) && !s.underHA(g) {
			out = append(out, g.SID()+" stays on "+m.Node+" and stops with it")
		}
	}
	return out
}

// busy are the services that the HA manager still has to move off a node.
func (s State) busy(node string) (out []string) {
	resting := []string{"", pve.HAServiceStopped, pve.HAServiceError, pve.HAServiceFreeze}
	for _, v := range s.HA.Services {
		if v.Node == node && !slices.Contains(resting, v.State) {
			out = append(out, fmt.Sprintf("%s (%s)", v.SID, v.State))
		}
	}
	return out
}

// moving are the services that are on their way, or were not yet started where they went.
func (s State) moving() (out []string) {
	for _, v := range s.HA.Services {
		if v.State == pve.HAServiceMigrate || v.State == pve.HAServiceRelocate || v.State == "request_start_balance" || v.State == pve.HAServiceStarted && !v.Running {
			out = append(out, v.SID)
		}
	}
	return out
}

// settle waits while the HA manager moves services, as it does for a while after a maintenance whose end nobody
// waited for.
func (c *Cluster) settle(ctx context.Context) error {
	quiet := c.Clock.Now()
	return c.until(ctx, "the HA manager to have moved its services", gatePatience, func(ctx context.Context, s State) (bool, string, error) {
		m, err := c.manager(ctx, s.Members.Node)
		if err != nil {
			return false, "", err
		}
		moving, toMove := s.moving(), 0
		for _, v := range m.Services {
			if home, _ := s.Node(v.Home); home.Online && m.Requests[v.Home]["maintenance"].V != 1 {
				toMove++ // or will stay away, if its rules want that
			}
		}
		if len(moving) > 0 {
			quiet = c.Clock.Now()
		}
		still := len(moving) == 0 && (toMove == 0 || c.Clock.Now().Sub(quiet) >= movesSettle)
		return still, fmt.Sprintf("%d are on their way: %s", len(moving), strings.Join(moving, ", ")), nil
	})
}

// evacuate waits until nothing runs on a node that is in maintenance, and moves what the HA manager does not.
func (c *Cluster) evacuate(ctx context.Context, m Maintenance, all []Guest, tell *teller) (moved []MovedGuest, err error) {
	began := c.Clock.Now()
	err = c.until(ctx, "guests to leave "+m.Node, movesLimit, func(ctx context.Context, s State) (bool, string, error) {
		guests, err := c.leaving(ctx, s, m)
		if err != nil {
			return false, "", err
		}
		gone := max(len(all)-len(guests), 0)
		tell.pct = 100 * gone / max(len(all), 1)
		state := fmt.Sprintf("%d of %d moved in %s", gone, len(all), c.Clock.Now().Sub(began))
		tell.Progress(m.Node, state)
		// A guest with this lock is on its way already: a run that was cut off has asked for it.
		if i := slices.IndexFunc(guests, func(g Guest) bool { return !s.underHA(g) && g.Lock != "migrate" }); i >= 0 {
			return false, state, c.moveAway(ctx, s, guests[i])
		}
		busy := s.without(m.Leave).busy(m.Node)
		if len(guests)+len(busy) == 0 {
			for _, g := range all {
				if now, ok := s.Guest(g.VMID); ok {
					moved = append(moved, MovedGuest{g.SID(), now.Node})
				}
			}
			return true, state, nil
		}
		return false, state + "; left: " + strings.Join(busy, ", "), nil
	})
	return moved, err
}

// without is s as if some guests were not under HA.
func (s State) without(vmids []int) State {
	s.HA.Services = slices.DeleteFunc(slices.Clone(s.HA.Services), func(v pve.HAService) bool {
		return slices.ContainsFunc(vmids, func(id int) bool { _, n, _ := strings.Cut(v.SID, ":"); return n == fmt.Sprint(id) })
	})
	return s
}

// moveAway migrates a guest to where it fits best.
func (c *Cluster) moveAway(ctx context.Context, s State, g Guest) error {
	target, why, err := c.targetFor(ctx, s, g)
	if err != nil {
		return err
	}
	if why != "" {
		return fmt.Errorf("%s cannot move: %s", g.SID(), why)
	}
	patient := *c // nobody wants a large guest to be given up on its way
	patient.Limit = max(c.Limit, movesLimit)
	_, err = patient.Migrate(ctx, Move{VMID: g.VMID, Target: target})
	return err
}

// targetFor finds the node with most memory free that a guest may go to. why is the first obstacle if there
// is none.
func (c *Cluster) targetFor(ctx context.Context, s State, g Guest) (target, why string, err error) {
	var nodes []Node
	for _, n := range s.Nodes {
		if n.Name != g.Node && n.takes() {
			nodes = append(nodes, n)
		}
	}
	slices.SortStableFunc(nodes, func(a, b Node) int { return cmp.Compare(b.Memory-b.MemoryUsed, a.Memory-a.MemoryUsed) })
	why = "no other node can be given guests"
	for i, n := range nodes {
		reasons, err := c.mayMove(ctx, s, g, Move{VMID: g.VMID, Target: n.Name})
		if err != nil {
			return "", "", err
		}
		if len(reasons) == 0 {
			return n.Name, "", nil
		}
		if i == 0 {
			why = strings.Join(reasons, "; ")
		}
	}
	return "", why, nil
}
