package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/provision/engine"
)

// When a node is booted after its upgrade.
const (
	RebootAuto   = "auto" // if another kernel would run then
	RebootAlways = "always"
	RebootNever  = "never"
)

// A RollingUpdate brings nodes up to date one after the other.
type RollingUpdate struct {
	Nodes  []string // of the file; none: all
	Reboot string   // RebootAuto, RebootAlways or RebootNever
	Leave  []int    // VMIDs of guests that cannot move, and stop with their node
	Accept []string // health checks of Ceph that are no reason against it
	// Confirm is shown the plan before anything is changed; nil goes on.
	Confirm func(*RollingReport) (bool, error)
}

// ErrNotConfirmed says that somebody was asked and did not say yes.
var ErrNotConfirmed = errors.New("not confirmed; nothing was changed")

// nodes are those to update, in the order of the file.
func (u RollingUpdate) nodes(c *Cluster) ([]string, error) {
	for _, n := range u.Nodes {
		if !slices.Contains(c.Names, n) {
			return nil, &engine.UsageError{Text: fmt.Sprintf("%s is no node of the file; it has %s", n, strings.Join(c.Names, ", "))}
		}
	}
	return slices.DeleteFunc(slices.Clone(c.Names), func(n string) bool { return len(u.Nodes) > 0 && !slices.Contains(u.Nodes, n) }), nil
}

// boots says whether a node is booted that has these packages and kernels.
func (u RollingUpdate) boots(h Host) bool {
	switch u.Reboot {
	case RebootAlways:
		return true
	case RebootNever:
		return false
	}
	return h.Kernel != h.Boots
}

// next is the node whose turn it is: first the one that an earlier run has left in maintenance, last the one
// whose HA manager is at work, as another has to take over when it goes.
func (c *Cluster) next(ctx context.Context, s State, left []string) (node string, resumed bool, err error) {
	m, err := c.manager(ctx, s.Members.Node)
	if err != nil {
		return "", false, err
	}
	for _, n := range left {
		if m.Requests[n]["maintenance"].V == 1 {
			return n, true, nil
		}
	}
	i := slices.IndexFunc(left, func(n string) bool { return n != s.HA.Master })
	return left[max(i, 0)], false, nil
}

// PlanRollingUpdate says what would be done in which order, by what apt knows now. It only reads.
func (c *Cluster) PlanRollingUpdate(ctx context.Context, u RollingUpdate) (*RollingReport, error) {
	left, err := u.nodes(c)
	if err != nil {
		return nil, err
	}
	s, err := c.Look(ctx)
	if err != nil {
		return nil, err
	}
	r := &RollingReport{Cluster: c.Name, Planned: true}
	for len(left) > 0 {
		node, resumed, err := c.next(ctx, s, left)
		if err != nil {
			return nil, err
		}
		left = slices.DeleteFunc(left, func(n string) bool { return n == node })
		row := NodeUpdate{Node: node, Resumed: resumed}
		if n, _ := s.Node(node); n.Online {
			if row.Host, err = c.readHost(ctx, node); err != nil {
				return nil, err
			}
		}
		row.Reboot = u.boots(row.Host) || u.Reboot != RebootNever && row.bringsKernel()
		if row.Skipped = !resumed && len(row.Updates)+len(row.Removes) == 0 && !row.Reboot; !row.Skipped {
			v := &nodeUpdate{c: c, u: u, node: node, resumed: resumed, row: &row}
			if row.Against, err = v.against(ctx, s); err != nil {
				return nil, err
			}
		}
		r.Nodes = append(r.Nodes, row)
	}
	return r, nil
}

// RollingUpdate updates the nodes. It stops at the first that fails, and says how that was left; another run goes
// on from there.
func (c *Cluster) RollingUpdate(ctx context.Context, u RollingUpdate) (*RollingReport, error) {
	left, err := u.nodes(c)
	if err != nil {
		return nil, err
	}
	if u.Confirm != nil {
		plan, err := c.PlanRollingUpdate(ctx, u)
		if err != nil {
			return nil, err
		}
		switch yes, err := u.Confirm(plan); {
		case err != nil:
			return nil, err
		case !yes:
			return nil, ErrNotConfirmed
		}
	}
	if _, err := c.Look(ctx); err != nil { // before anything was done nobody wants to wait
		return nil, err
	}
	began := c.Clock.Now()
	if err := c.settle(ctx); err != nil {
		return nil, err
	}
	r := &RollingReport{Cluster: c.Name}
	for all := len(left); len(left) > 0; {
		s, err := c.steady(ctx)
		if err != nil {
			return r, r.stopped(left, err)
		}
		node, resumed, err := c.next(ctx, s, left)
		if err != nil {
			return r, r.stopped(left, err)
		}
		v := &nodeUpdate{c: c, u: u, node: node, resumed: resumed, touched: resumed, row: &NodeUpdate{Node: node, Resumed: resumed}, tell: c.teller("rolling-update")}
		v.tell.pct = 100 * (all - len(left)) / all
		if !r.idle() || resumed {
			v.patience = gatePatience
		}
		err = v.update(ctx)
		r.Nodes = append(r.Nodes, *v.row)
		if err != nil {
			return r, r.stopped(left, err)
		}
		left = slices.DeleteFunc(left, func(n string) bool { return n == node })
	}
	r.Duration = seconds(c.Clock.Now().Sub(began))
	return r, nil
}

// idle says whether no node was touched.
func (r *RollingReport) idle() bool {
	return !slices.ContainsFunc(r.Nodes, func(n NodeUpdate) bool { return !n.Skipped })
}

// stopped adds to an error which nodes were done before: then it is no refusal any more.
func (r *RollingReport) stopped(left []string, err error) error {
	var had *UnfinishedError
	var done []string
	for _, n := range r.Nodes {
		if n.Done && !n.Skipped {
			done = append(done, n.Node)
		}
	}
	if errors.As(err, &had) || len(done) == 0 {
		return err
	}
	return unfinished(err, fmt.Sprintf("%s done, %s not begun", strings.Join(done, ", "), strings.Join(left, ", ")), "run this again to go on")
}

// steady looks at the cluster when its nodes may be busy with themselves, such as restarting their API.
func (c *Cluster) steady(ctx context.Context) (s State, err error) {
	err = c.until(ctx, "the cluster to answer", steadyLimit, func(_ context.Context, now State) (bool, string, error) {
		s = now
		return true, "", nil
	})
	return s, err
}

// How long things may take.
const (
	steadyLimit  = 2 * time.Minute
	gatePatience = 15 * time.Minute // for Ceph and tasks to calm down after the node before
	bootLimit    = 20 * time.Minute
	bootAsk      = 15 * time.Second // one question to a node that boots
	healLimit    = time.Hour        // until Ceph has recovered what was written meanwhile
	healEvery    = 15 * time.Second
	upgradeLimit = time.Hour

	lookTries = 3 // at a node that may be going down
)
