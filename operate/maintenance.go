package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/transport"
)

// A Maintenance is a node that shall be empty, or be given its guests back.
type Maintenance struct {
	Node   string
	Leave  []int // VMIDs of guests that may stay on it
	Force  bool  // even if the cluster may not bear it
	NoWait bool  // ask the HA manager, and leave the rest to it
	// Accept are health checks of Ceph that are no reason against it.
	Accept []string
}

// A MaintenanceReport is what came of a Maintenance.
type MaintenanceReport struct {
	Cluster string `json:"cluster"`
	Node    string `json:"node"`
	On      bool   `json:"maintenance"` // asked for
	Changed bool   `json:"changed"`     // false: it was so already
	Waited  bool   `json:"waited"`
	// Moved are the guests that left the node, or came back to it.
	Moved []MovedGuest `json:"moved"`
	// Stay are guests that stay where they are, a sentence each.
	Stay     []string `json:"stay,omitempty"`
	Duration *Seconds `json:"durationSeconds,omitempty"`
}

// A MovedGuest went to a node.
type MovedGuest struct {
	Guest string `json:"guest"`
	Node  string `json:"node"`
}

// OK implements Report.
func (*MaintenanceReport) OK() bool { return true }

// WriteText implements Report.
func (r *MaintenanceReport) WriteText(w io.Writer) error {
	var b strings.Builder
	state := map[bool]string{true: "in maintenance", false: "online"}[r.On]
	switch {
	case !r.Changed:
		fmt.Fprintf(&b, "%s is %s already; nothing was done\n", r.Node, state)
	case !r.Waited:
		fmt.Fprintf(&b, "the HA manager was asked to have %s %s; `quorate status` shows how far it is\n", r.Node, state)
	default:
		verb := map[bool]string{true: "left it", false: "came back"}[r.On]
		fmt.Fprintf(&b, "%s is %s: %d guests %s in %s\n", r.Node, state, len(r.Moved), verb, r.Duration)
	}
	for _, m := range r.Moved {
		fmt.Fprintf(&b, "  %s is on %s\n", m.Guest, m.Node)
	}
	for _, s := range r.Stay {
		fmt.Fprintf(&b, "  %s\n", s)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// How long is waited, and how often is looked. The HA manager has a round every 10 s.
const (
	haLimit     = 3 * time.Minute
	movesLimit  = 4 * time.Hour // until the last guest has left or come back
	movesEvery  = 5 * time.Second
	movesSettle = 25 * time.Second // two rounds in which the HA manager moves nothing
)

// EnableMaintenance puts a node into HA maintenance and waits until no guest runs on it: the HA manager moves
// its services, guests without HA are migrated one after the other.
func (c *Cluster) EnableMaintenance(ctx context.Context, m Maintenance) (*MaintenanceReport, error) {
	began := c.Clock.Now()
	r := &MaintenanceReport{Cluster: c.Name, Node: m.Node, On: true}
	s, err := c.Look(ctx)
	if err != nil {
		return nil, err
	}
	requested, err := c.maintenance(ctx, s, m.Node)
	if err != nil {
		return nil, err
	}
	leaving, err := c.leaving(ctx, s, m)
	if err != nil {
		return nil, err
	}
	if n, _ := s.Node(m.Node); requested && n.HA == pve.HANodeMaintenance && len(leaving) == 0 && len(s.busy(m.Node)) == 0 {
		return r, nil
	}
	reasons, err := c.mayEmpty(ctx, s, m, leaving, requested)
	if err != nil {
		return nil, err
	}
	if err := refuse("empty "+m.Node, reasons); err != nil {
		return nil, err
	}
	r.Changed = true
	tell := c.teller("maintenance")
	if !requested {
		tell.Change(m.Node, "HA maintenance on")
		if err := c.setMaintenance(ctx, s, m.Node, true); err != nil {
			return nil, err
		}
	}
	r.Stay = c.staying(s, m)
	if m.NoWait {
		if without := slices.DeleteFunc(slices.Clone(leaving), s.underHA); len(without) > 0 {
			r.Stay = append(r.Stay, fmt.Sprintf("%s are not under HA and stay; run this again without --no-wait to move them", withMemory(without)))
		}
		return r, nil
	}
	err = c.waitHA(ctx, m.Node, pve.HANodeMaintenance)
	if err == nil {
		r.Moved, err = c.evacuate(ctx, m, leaving, tell)
	}
	if err != nil {
		return nil, c.leftInMaintenance(ctx, m, err)
	}
	r.Waited, r.Duration = true, seconds(c.Clock.Now().Sub(began))
	return r, nil
}

// mayEmpty says why a node cannot be emptied. Guests that cannot move are a reason that no force helps against.
func (c *Cluster) mayEmpty(ctx context.Context, s State, m Maintenance, leaving []Guest, already bool) (reasons []string, err error) {
	n, ok := s.Node(m.Node)
	if !ok || !n.Online {
		return nodesAway(s, m.Node, nil), nil
	}
	if !m.Force && !already {
		if reasons, err = c.MayLose(ctx, s, m.Node, append(m.Accept, flagsCheck)...); err != nil {
			return nil, err
		}
		if _, left := s.place(leaving, m.Node); len(left) > 0 && len(memoryLeft(s, m.Node, nil)) == 0 {
			reasons = append(reasons, fmt.Sprintf("no other node has the memory for %s; free is %s; stop a guest, or give --leave", withMemory(left), s.freeMemory(m.Node)))
		}
	}
	if m.NoWait || already { // then they are on their way
		return reasons, nil
	}
	for _, g := range leaving {
		_, why, err := c.targetFor(ctx, s, g)
		if err != nil {
			return nil, err
		}
		if why != "" {
			reasons = append(reasons, fmt.Sprintf("%s cannot move: %s (or --leave %d, and it stops with the node)", g.SID(), why, g.VMID))
		}
	}
	return reasons, nil
}

// maintenance says whether the HA manager was asked for maintenance of a node.
func (c *Cluster) maintenance(ctx context.Context, s State, node string) (bool, error) {
	m, err := c.manager(ctx, s.Members.Node)
	return m.Requests[node]["maintenance"].V == 1, err
}

// A manager is what pve.HA does not hold of the HA manager's status.
type manager struct {
	Requests map[string]map[string]pve.Int `json:"node_request"`
	Services map[string]struct {
		Home string `json:"maintenance_node"` // that the service left for maintenance
	} `json:"service_status"`
}

func (c *Cluster) manager(ctx context.Context, node string) (manager, error) {
	var reply struct {
		Manager manager `json:"manager_status"`
	}
	err := c.Nodes.API(node).Get(ctx, "/cluster/ha/status/manager_status", &reply)
	return reply.Manager, err
}

// setMaintenance asks the HA manager. The same once more does nothing, so a lost reply is no matter.
func (c *Cluster) setMaintenance(ctx context.Context, s State, node string, on bool) error {
	_, err := c.Nodes.Shell(s.Members.Node).Run(ctx, transport.NodeMaintenance(node, on))
	return err
}

// again says whether to ask again: nodes come and go, and quorum forms, while one waits.
func again(err error) bool { return transport.Passing(err) || errors.Is(err, ErrNoQuorum) }

// until looks at the cluster until it is as wanted. The nodes in without are not asked.
func (c *Cluster) until(ctx context.Context, what string, limit time.Duration, is func(context.Context, State) (bool, string, error), without ...string) error {
	return c.untilEvery(ctx, movesEvery, what, limit, is, without...)
}

// untilEvery is until for what takes its time, and need not be asked so often.
func (c *Cluster) untilEvery(ctx context.Context, every time.Duration, what string, limit time.Duration, is func(context.Context, State) (bool, string, error), without ...string) error {
	p := engine.Poll{Clock: c.Clock, What: what, Every: every, Limit: limit, Again: again}
	return p.Until(ctx, func(ctx context.Context) (bool, string, error) {
		s, err := c.Look(ctx, without...)
		if err != nil {
			return false, "", err
		}
		return is(ctx, s)
	})
}

// waitHA waits until the HA manager says a word of a node.
func (c *Cluster) waitHA(ctx context.Context, node, want string) error {
	return c.until(ctx, fmt.Sprintf("HA to say %q of %s", want, node), haLimit, func(_ context.Context, s State) (bool, string, error) {
		n, _ := s.Node(node)
		return n.HA == want, fmt.Sprintf("it says %q", n.HA), nil
	})
}

// leftInMaintenance tells how a node was left that is not empty.
func (c *Cluster) leftInMaintenance(ctx context.Context, m Maintenance, err error) error {
	left := m.Node + " is in maintenance"
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookAfter)
	defer cancel()
	if s, serr := c.Look(ctx); serr == nil {
		if guests, gerr := c.leaving(ctx, s, m); gerr == nil && len(guests) > 0 {
			left += fmt.Sprintf(", and %d guests still run on it: %s", len(guests), withMemory(guests))
		}
	}
	return unfinished(err, left, fmt.Sprintf("run this again to go on, or end it with `quorate maintenance disable %s`", m.Node))
}

// DisableMaintenance ends the maintenance of a node and waits until the HA manager has moved back what it moved
// away. Guests without HA stay where they are.
func (c *Cluster) DisableMaintenance(ctx context.Context, m Maintenance) (*MaintenanceReport, error) {
	began := c.Clock.Now()
	r := &MaintenanceReport{Cluster: c.Name, Node: m.Node}
	s, err := c.Look(ctx)
	if err != nil {
		return nil, err
	}
	ha, err := c.manager(ctx, s.Members.Node)
	if err != nil {
		return nil, err
	}
	home := map[string]bool{}
	for sid, v := range ha.Services {
		if v.Home == m.Node {
			home[sid] = true
		}
	}
	requested := ha.Requests[m.Node]["maintenance"].V == 1
	n, ok := s.Node(m.Node)
	switch {
	case !ok, !n.Online && !m.Force:
		return nil, refuse("end the maintenance of "+m.Node, nodesAway(s, m.Node, nil))
	case !requested && n.HA != pve.HANodeMaintenance && len(home) == 0:
		return r, nil
	}
	r.Changed = true
	tell := c.teller("maintenance")
	if requested {
		tell.Change(m.Node, "HA maintenance off")
		if err := c.setMaintenance(ctx, s, m.Node, false); err != nil {
			return nil, err
		}
	}
	r.Stay = []string{"guests without HA stay where they are"}
	if m.NoWait {
		return r, nil
	}
	if err = c.waitHA(ctx, m.Node, pve.HANodeOnline); err == nil {
		err = c.comeBack(ctx, m.Node, home, r, tell)
	}
	if err != nil {
		return nil, unfinished(err, "the maintenance of "+m.Node+" was ended", "run this again to wait until its services are back")
	}
	r.Waited, r.Duration = true, seconds(c.Clock.Now().Sub(began))
	return r, nil
}

// comeBack waits until the HA manager moves nothing any more, and reports where the services went that had
// left the node.
func (c *Cluster) comeBack(ctx context.Context, node string, home map[string]bool, r *MaintenanceReport, tell *teller) error {
	quiet := c.Clock.Now()
	return c.until(ctx, "the HA services of "+node+" to come back", movesLimit, func(_ context.Context, s State) (bool, string, error) {
		r.Moved = nil
		moving := s.moving()
		for _, v := range s.HA.Services {
			if home[v.SID] && v.Node == node && v.State == pve.HAServiceStarted {
				r.Moved = append(r.Moved, MovedGuest{v.SID, node})
			}
		}
		if len(moving) > 0 {
			quiet = c.Clock.Now()
		}
		state := fmt.Sprintf("%d of %d services are back", len(r.Moved), len(home))
		tell.pct = 100 * len(r.Moved) / max(len(home), 1)
		tell.Progress(node, state)
		if len(moving) == 0 && c.Clock.Now().Sub(quiet) >= movesSettle {
			for _, v := range s.HA.Services {
				if home[v.SID] && v.Node != node {
					r.Stay = append(r.Stay, fmt.Sprintf("%s stays on %s, as the HA manager has it", v.SID, v.Node))
				}
			}
			return true, state, nil
		}
		return false, state, nil
	})
}
