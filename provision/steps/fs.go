package steps

import (
	"context"
	"fmt"
	"strings"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/living"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/transport"
)

// fsStep makes the CephFS file systems.
type fsStep struct{ *Env }

func (*fsStep) ID() engine.ID      { return idFS }
func (*fsStep) Title() string      { return "CephFS" }
func (*fsStep) Needs() []engine.ID { return []engine.ID{idMDS, idOSDs, idConfig} }

func (s *fsStep) Settle(ctx context.Context, report engine.Reporter) error {
	return s.settle(ctx, s.cephNodes(), report, "cephfscreate")
}

func (s *fsStep) Observe(ctx context.Context) (engine.Observed, error) {
	seen := map[string]bool{}
	if len(s.want().Ceph.Filesystems) == 0 {
		return seen, nil
	}
	node, mons, err := s.cephNode(ctx)
	if err != nil || node == "" || len(mons) == 0 {
		return seen, err
	}
	var rows []struct {
		Name string `json:"name"`
	}
	if err := s.Nodes.API(node).Get(ctx, "/nodes/"+node+"/ceph/fs", &rows); err != nil && !living.CephAbsent(err) {
		return nil, err
	}
	for _, r := range rows {
		seen[r.Name] = true
	}
	return seen, nil
}

func (s *fsStep) Diff(have engine.Observed) []engine.Change {
	seen := have.(map[string]bool)
	var out []engine.Change
	for _, f := range s.want().Ceph.Filesystems {
		if !seen[f.Name] {
			out = append(out, engine.Change{Path: "cephfs/" + f.Name, To: fmt.Sprintf("%d PGs", f.PGNum), Action: engine.Create, Risk: engine.Low, Do: f})
		}
	}
	return out
}

func (s *fsStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	node, _, err := s.cephNode(ctx)
	if err != nil {
		return err
	}
	f := c.Do.(spec.Filesystem)
	p := transport.Params{"add-storage": false}
	if f.PGNum > 0 {
		p["pg_num"] = f.PGNum
	}
	return s.start(ctx, node, "POST", "/nodes/"+node+"/ceph/fs/"+f.Name, p, report)
}

// Wait implements engine.Step: each file system has an active metadata server.
func (s *fsStep) Wait(ctx context.Context, report engine.Reporter) error {
	want := len(s.want().Ceph.Filesystems)
	if want == 0 {
		return nil
	}
	p := s.poll("an active metadata server", s.Limits.Ceph)
	err := p.Until(ctx, func(ctx context.Context) (bool, string, error) {
		node, _, err := s.cephNode(ctx)
		if err != nil {
			return false, "", err
		}
		all, err := s.daemons(ctx, node, "mds")
		if err != nil {
			return false, "", err
		}
		active := 0
		for _, d := range all {
			if strings.Contains(d.State, "active") {
				active++
			}
		}
		return active >= want, fmt.Sprintf("%d of %d", active, want), nil
	})
	if err != nil {
		return err
	}
	return s.clean(ctx, report)
}
