package steps

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/living"
)

// What follows is read by verify.

// A Quorum is corosync's, as a member sees it.
type Quorum struct {
	Node    string // that was asked
	Name    string // of the cluster
	Quorate bool
	Offline []string // nodes of the file that are not there
	// Votes of the nodes that are online, and of all in corosync.conf.
	Votes, Expected int
}

// Quorum asks a member.
func (e *Env) Quorum(ctx context.Context) (Quorum, error) {
	m, err := e.member(ctx)
	if err != nil {
		return Quorum{}, err
	}
	q := Quorum{Node: m.Node, Name: m.Name, Quorate: m.Quorate}
	for _, n := range e.names() {
		if _, online := m.Has(n); !online {
			q.Offline = append(q.Offline, n)
		}
	}
	var rows []struct {
		Name  string  `json:"name"`
		Votes pve.Int `json:"quorum_votes"`
	}
	if err := e.Nodes.API(m.Node).Get(ctx, "/cluster/config/nodes", &rows); err != nil {
		return q, err
	}
	for _, r := range rows {
		votes := 1
		if r.Votes.Known {
			votes = int(r.Votes.V)
		}
		q.Expected += votes
		if _, online := m.Has(r.Name); online {
			q.Votes += votes
		}
	}
	return q, nil
}

// Apart lists the nodes of the file that see another cluster than all of it with quorum. When the network
// is cut for one direction only, the others do not notice.
func (e *Env) Apart(ctx context.Context) ([]string, error) {
	var out []string
	for _, n := range e.names() {
		v, err := e.view(ctx, n)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, err
		case err != nil:
			out = append(out, n+" does not answer")
			continue
		case v.Name != e.name() || !v.Quorate:
			out = append(out, n+" has no quorum")
		}
		for _, m := range e.names() {
			if _, online := v.Has(m); !online {
				out = append(out, n+" does not see "+m)
			}
		}
	}
	return out, nil
}

// A CephView is the part of `ceph status` that acceptance looks at.
type CephView struct {
	Health       string
	Codes        []string
	Quorum       []string
	OSDs, Up, In int
	PGs, Dirty   int      // placement groups, and those not active and clean
	States       []string // of these
}

// Ceph asks a node of the file.
func (e *Env) Ceph(ctx context.Context) (CephView, error) {
	node, _, err := e.cephNode(ctx)
	if err != nil {
		return CephView{}, err
	}
	if node == "" {
		return CephView{}, fmt.Errorf("no node of the file that has Ceph is in the cluster")
	}
	s, err := living.ReadCeph(ctx, e.Nodes, node)
	if err != nil {
		return CephView{}, err
	}
	v := CephView{Health: s.Health.Status, Codes: s.Codes(), Quorum: s.Quorum, OSDs: s.OSDMap.Num, Up: s.OSDMap.Up, In: s.OSDMap.In, PGs: s.PGMap.Num}
	v.Dirty, v.States = s.Dirty()
	return v, nil
}

// DisksWanted is how many OSDs the file asks for; exact says that no entry leaves the number open.
func (e *Env) DisksWanted() (n int, exact bool) {
	exact = true
	for _, node := range e.want().Nodes {
		for _, o := range node.OSDs {
			switch {
			case o.Match == nil:
				n++
			case o.Match.Count > 0:
				n += o.Match.Count
			default:
				exact = false
			}
		}
	}
	return n, exact
}

// Misplaced lists the disks of the file's guests that are missing or on another storage.
func (e *Env) Misplaced(ctx context.Context) ([]string, error) {
	s := &guestStep{e}
	have, err := s.Observe(ctx)
	if err != nil {
		return nil, err
	}
	seen := have.(map[int]guestSeen)
	var out []string
	for _, g := range e.want().Guests {
		is, there := seen[g.VMID]
		if !there {
			out = append(out, fmt.Sprintf("vm %d does not exist", g.VMID))
			continue
		}
		for _, d := range g.Disks {
			volume, _ := drive(is.config[d.Bus])
			if storage, _, _ := strings.Cut(volume, ":"); storage != d.Storage {
				out = append(out, fmt.Sprintf("vm %d: %s is on %q", g.VMID, d.Bus, storage))
			}
		}
	}
	return out, nil
}

// HAMaster returns the node that runs the active HA manager, "" without one.
func (e *Env) HAMaster(ctx context.Context) (string, error) {
	m, err := e.member(ctx)
	if err != nil {
		return "", err
	}
	rows, err := e.texts(ctx, m.Node, "/cluster/ha/status/current")
	if err != nil {
		return "", err
	}
	for _, r := range rows {
		if r["type"] == "master" && strings.Contains(r["status"], "(active") {
			return r["node"], nil
		}
	}
	return "", nil
}

// JobsOff lists the file's backup jobs that are missing, disabled or never due.
func (e *Env) JobsOff(ctx context.Context) ([]string, error) {
	s := &backupStep{e}
	have, err := s.Observe(ctx)
	if err != nil {
		return nil, err
	}
	seen := have.(map[string]map[string]string)
	var out []string
	for _, j := range e.want().Backup.Jobs {
		is, there := seen[j.ID]
		switch {
		case !j.Enabled:
		case !there:
			out = append(out, j.ID+" does not exist")
		case is["enabled"] == "0":
			out = append(out, j.ID+" is disabled")
		case is["next-run"] == "":
			out = append(out, j.ID+" has no next run")
		}
	}
	return out, nil
}

// Wants says what of a cluster the file speaks of.
func (e *Env) Wants() (ceph, storage, guests, ha, backup bool) {
	w := e.want()
	return w.Ceph.Declared(), len(w.Storage) > 0, len(w.Guests) > 0, len((&haStep{e}).managed()) > 0, len(w.Backup.Jobs) > 0
}

// MonitorsMissing are the file's monitors that are not in quorum.
func (e *Env) MonitorsMissing(v CephView) []string {
	var out []string
	for _, n := range e.want().Ceph.Monitors {
		if !slices.Contains(v.Quorum, n) {
			out = append(out, n)
		}
	}
	return out
}

// Name is the cluster's, as the file has it.
func (e *Env) Name() string { return e.name() }

// ExportersDown are the nodes on which the exporter does not run.
func (e *Env) ExportersDown(ctx context.Context) ([]string, error) {
	return (&exporterStep{e}).down(ctx)
}
