package steps

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/living"
)

// monStep makes the monitors, one after the other: each has to be in quorum before the next.
type monStep struct{ *Env }

// mgrStep makes the managers. The first monitor brings one along.
type mgrStep struct{ *Env }

// mdsStep makes the metadata servers.
type mdsStep struct{ *Env }

func (*monStep) ID() engine.ID      { return idMons }
func (*monStep) Title() string      { return "Ceph monitors" }
func (*monStep) Needs() []engine.ID { return []engine.ID{idInit} }
func (*mgrStep) ID() engine.ID      { return idMgrs }
func (*mgrStep) Title() string      { return "Ceph managers" }
func (*mgrStep) Needs() []engine.ID { return []engine.ID{idMons} }
func (*mdsStep) ID() engine.ID      { return idMDS }
func (*mdsStep) Title() string      { return "Ceph metadata servers" }
func (*mdsStep) Needs() []engine.ID { return []engine.ID{idMgrs} }

func (s *monStep) Settle(ctx context.Context, report engine.Reporter) error {
	return s.settle(ctx, s.want().Ceph.Monitors, report, "cephcreatemon")
}

func (s *mgrStep) Settle(ctx context.Context, report engine.Reporter) error {
	return s.settle(ctx, s.want().Ceph.Managers, report, "cephcreatemgr")
}

func (s *mdsStep) Settle(ctx context.Context, report engine.Reporter) error {
	return s.settle(ctx, s.want().Ceph.MDS, report, "cephcreatemds")
}

func (s *monStep) Observe(ctx context.Context) (engine.Observed, error) {
	return s.observeDaemons(ctx, "mon", s.want().Ceph.Monitors)
}

func (s *mgrStep) Observe(ctx context.Context) (engine.Observed, error) {
	return s.observeDaemons(ctx, "mgr", s.want().Ceph.Managers)
}

func (s *mdsStep) Observe(ctx context.Context) (engine.Observed, error) {
	return s.observeDaemons(ctx, "mds", s.want().Ceph.MDS)
}

// daemonsSeen are the daemons of a kind.
type daemonsSeen struct {
	there map[string]daemon
	mons  bool // there are monitors
}

func (e *Env) observeDaemons(ctx context.Context, kind string, want []string) (engine.Observed, error) {
	seen := daemonsSeen{there: map[string]daemon{}}
	if len(want) == 0 {
		return seen, nil
	}
	node, mons, err := e.cephNode(ctx)
	if err != nil || node == "" || len(mons) == 0 {
		return seen, err
	}
	if seen.mons = true; kind == "mon" {
		seen.there = mons
		return seen, nil
	}
	seen.there, err = e.daemons(ctx, node, kind)
	return seen, err
}

func (s *monStep) Diff(have engine.Observed) []engine.Change {
	return missingDaemons(have.(daemonsSeen), "mon", s.want().Ceph.Monitors)
}

func (s *mgrStep) Diff(have engine.Observed) []engine.Change {
	seen := have.(daemonsSeen)
	out := missingDaemons(seen, "mgr", s.want().Ceph.Managers)
	if seen.mons || len(s.want().Ceph.Monitors) == 0 {
		return out
	}
	for i, first := 0, s.want().Ceph.Monitors[0]; i < len(out); i++ {
		if out[i].Node == first {
			out[i].Action, out[i].Risk, out[i].Note = engine.Noop, engine.Safe, "the first monitor brings it along"
		}
	}
	return out
}

func (s *mdsStep) Diff(have engine.Observed) []engine.Change {
	return missingDaemons(have.(daemonsSeen), "mds", s.want().Ceph.MDS)
}

func missingDaemons(seen daemonsSeen, kind string, want []string) []engine.Change {
	var out []engine.Change
	for _, n := range want {
		if _, ok := seen.there[n]; !ok {
			out = append(out, engine.Change{Node: n, Path: kind + "/" + n, To: "running", Action: engine.Create, Risk: engine.Low})
		}
	}
	return out
}

func (s *monStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	if err := s.start(ctx, c.Node, "POST", "/nodes/"+c.Node+"/ceph/mon/"+c.Node, nil, report); err != nil {
		return err
	}
	return s.inQuorum(ctx, []string{c.Node}, report)
}

func (s *mgrStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	return s.start(ctx, c.Node, "POST", "/nodes/"+c.Node+"/ceph/mgr/"+c.Node, nil, report)
}

func (s *mdsStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	return s.start(ctx, c.Node, "POST", "/nodes/"+c.Node+"/ceph/mds/"+c.Node, nil, report)
}

// Wait implements engine.Step.
func (s *monStep) Wait(ctx context.Context, report engine.Reporter) error {
	return s.inQuorum(ctx, s.want().Ceph.Monitors, report)
}

func (s *monStep) inQuorum(ctx context.Context, names []string, report engine.Reporter) error {
	if len(names) == 0 {
		return nil
	}
	p := s.poll("monitors in quorum", s.Limits.Ceph)
	err := p.Until(ctx, func(ctx context.Context) (bool, string, error) {
		st, err := living.ReadCeph(ctx, s.Nodes, names[0])
		if living.CephAbsent(err) {
			return false, err.Error(), nil
		}
		if err != nil {
			return false, "", err
		}
		var out []string
		for _, n := range names {
			if !slices.Contains(st.Quorum, n) {
				out = append(out, n)
			}
		}
		state := fmt.Sprintf("in quorum: %s; missing: %s", strings.Join(st.Quorum, ", "), strings.Join(out, ", "))
		return len(out) == 0, state, nil
	})
	if err != nil {
		return &engine.Advice{Node: names[0], Err: err, Do: "see `journalctl -u ceph-mon@" + names[0] + "` there"}
	}
	return nil
}

// Wait implements engine.Step.
func (s *mgrStep) Wait(ctx context.Context, report engine.Reporter) error {
	return s.waitDaemons(ctx, "mgr", s.want().Ceph.Managers, true)
}

// Wait implements engine.Step. A metadata server has nothing to do before there is a file system.
func (s *mdsStep) Wait(ctx context.Context, report engine.Reporter) error {
	return s.waitDaemons(ctx, "mds", s.want().Ceph.MDS, false)
}

// waitDaemons waits until all are active or standing by, and one is active if it has to be.
func (e *Env) waitDaemons(ctx context.Context, kind string, want []string, oneActive bool) error {
	if len(want) == 0 {
		return nil
	}
	p := e.poll("ceph-"+kind+" on "+strings.Join(want, ", "), e.Limits.Ceph)
	return p.Until(ctx, func(ctx context.Context) (bool, string, error) {
		seen, err := e.daemons(ctx, want[0], kind)
		if err != nil {
			return false, "", err
		}
		active, missing := false, []string{}
		for _, n := range want {
			switch d := seen[n]; {
			case d.State == "active" || strings.HasPrefix(d.State, "up:active"):
				active = true
			case d.State == "standby" || strings.HasPrefix(d.State, "up:"):
			default:
				missing = append(missing, n)
			}
		}
		return len(missing) == 0 && (active || !oneActive), "not up: " + strings.Join(missing, ", "), nil
	})
}
