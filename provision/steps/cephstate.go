package steps

import (
	"context"
	"slices"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/living"
)

func sorted(s []string) []string { slices.Sort(s); return s }

// A daemon is a monitor, manager or metadata server.
type daemon struct {
	Name   string
	Host   string
	State  string // of managers and metadata servers: active, standby
	Quorum bool   // of monitors
}

// daemons lists those of a kind: mon, mgr or mds. None while Ceph is not there.
func (e *Env) daemons(ctx context.Context, node, kind string) (map[string]daemon, error) {
	var rows []struct {
		Name   string   `json:"name"`
		Host   string   `json:"host"`
		State  string   `json:"state"`
		Quorum pve.Bool `json:"quorum"`
	}
	out := map[string]daemon{}
	err := e.Nodes.API(node).Get(ctx, "/nodes/"+node+"/ceph/"+kind, &rows)
	if living.CephAbsent(err) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		out[r.Name] = daemon{r.Name, r.Host, r.State, r.Quorum.V}
	}
	return out, nil
}

// cephNode returns a node to ask about Ceph: one of the cluster's that has it installed, and whether it
// has monitors. The node is "" when there is none.
func (e *Env) cephNode(ctx context.Context) (node string, mons map[string]daemon, err error) {
	m, err := e.member(ctx)
	if err != nil {
		return "", nil, err
	}
	for _, n := range e.cephNodes() {
		// A node that has not joined sees no Ceph but its own.
		if listed, online := m.Has(n); !listed || !online || m.Name == "" && n != m.Node {
			continue
		}
		if mons, err = e.daemons(ctx, n, "mon"); err != nil {
			return "", nil, err
		}
		return n, mons, nil
	}
	return "", nil, nil
}
