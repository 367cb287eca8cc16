package steps

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/quorate/quorate/internal/source/pve"
)

func sorted(s []string) []string { slices.Sort(s); return s }

// notThere are the refusals that mean that Ceph has not come so far yet (PVE::Ceph::Tools).
var notThere = []string{
	"binary not installed",                   // check_ceph_installed
	"pveceph configuration not initialized",  // check_ceph_inited
	"ceph not fully configured",              // check_ceph_configured
	"no ceph monitors", "no active monitors", // clients of a cluster without monitors
	"rados_conf_read_file failed",         // no configuration to read
	"rados_connect failed - No such file", // no keyring yet
	"rados_connect failed - No monitors",
}

// cephAbsent says whether err means that there is nothing to look at yet.
func cephAbsent(err error) bool { return refused(err, notThere...) }

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
	if cephAbsent(err) {
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
		if listed, online := m.has(n); !listed || !online || m.Name == "" && n != m.Node {
			continue
		}
		if mons, err = e.daemons(ctx, n, "mon"); err != nil {
			return "", nil, err
		}
		return n, mons, nil
	}
	return "", nil, nil
}

// cephStatus is the part of `ceph status` that is waited for.
type cephStatus struct {
	Health struct {
		Status string         `json:"status"`
		Checks map[string]any `json:"checks"`
	} `json:"health"`
	Quorum []string `json:"quorum_names"`
	OSDMap struct {
		Num int `json:"num_osds"`
		Up  int `json:"num_up_osds"`
		In  int `json:"num_in_osds"`
	} `json:"osdmap"`
	PGMap struct {
		Num    int `json:"num_pgs"`
		States []struct {
			Name  string `json:"state_name"`
			Count int    `json:"count"`
		} `json:"pgs_by_state"`
	} `json:"pgmap"`
}

func (e *Env) cephStatus(ctx context.Context, node string) (cephStatus, error) {
	var s cephStatus
	err := e.Nodes.API(node).Get(ctx, "/nodes/"+node+"/ceph/status", &s)
	return s, err
}

// dirty counts the placement groups that are not active and clean. Scrubbing is no harm.
func (s cephStatus) dirty() (n int, states []string) {
	clean := []string{"active+clean", "active+clean+scrubbing", "active+clean+scrubbing+deep", "active+clean+snaptrim", "active+clean+snaptrim_wait"}
	sum := 0
	for _, g := range s.PGMap.States {
		sum += g.Count
		if !slices.Contains(clean, g.Name) {
			n += g.Count
			states = append(states, fmt.Sprintf("%d %s", g.Count, g.Name))
		}
	}
	if missing := s.PGMap.Num - sum; missing > 0 {
		n += missing
		states = append(states, fmt.Sprintf("%d unknown", missing))
	}
	return n, states
}

// codes are the health checks that are raised.
func (s cephStatus) codes() []string { return slices.Sorted(maps.Keys(s.Health.Checks)) }
