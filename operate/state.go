package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/living"
)

// A State is the cluster at one moment, as one node tells it.
type State struct {
	At      time.Time
	Members living.View
	Votes   Votes
	HA      pve.HA
	Nodes   []Node
	Guests  []Guest

	Ceph     *living.Ceph // nil: there is none
	CephNode string       // that was asked about it; not every node needs to have Ceph's programs
	Flags    []string     // of the OSD map that people set: noout, norebalance, …
	Mons     []Mon
	OSDs     []OSD
}

// Votes are those of corosync.conf, a quorum device's included.
type Votes struct {
	Expected, Present int
	Of                map[string]int // by node
	QDevice           bool
}

// A Mon is a monitor of Ceph.
type Mon struct {
	Name, Node string
	InQuorum   bool
}

// An OSD is one of Ceph's, with the node it belongs to.
type OSD struct {
	ID     int
	Node   string
	Up, In bool
}

// Majority is how many votes make quorum.
func (v Votes) Majority() int { return v.Expected/2 + 1 }

// A Node is a member with its load.
type Node struct {
	Name   string
	Online bool
	Uptime time.Duration // 0 when offline
	// Memory in bytes; 0 when offline.
	Memory, MemoryUsed int64
	HA                 string // state of the HA manager for it, "" where HA was never used
}

// A Guest is a VM or a container.
type Guest struct {
	VMID     int
	Kind     string // qemu or lxc
	Name     string
	Node     string
	Status   string // running, stopped, paused …
	Memory   int64  // bytes it may use
	Lock     string
	Template bool
	Tags     string
}

// SID is the guest's name as a resource of HA: vm:100, ct:101.
func (g Guest) SID() string {
	if g.Kind == "lxc" {
		return fmt.Sprintf("ct:%d", g.VMID)
	}
	return fmt.Sprintf("vm:%d", g.VMID)
}

// Node returns one by name.
func (s State) Node(name string) (Node, bool) {
	i := slices.IndexFunc(s.Nodes, func(n Node) bool { return n.Name == name })
	if i < 0 {
		return Node{}, false
	}
	return s.Nodes[i], true
}

// Guest returns one by its VMID.
func (s State) Guest(vmid int) (Guest, bool) {
	i := slices.IndexFunc(s.Guests, func(g Guest) bool { return g.VMID == vmid })
	if i < 0 {
		return Guest{}, false
	}
	return s.Guests[i], true
}

// Service returns the HA service of a guest.
func (s State) Service(sid string) (pve.HAService, bool) {
	i := slices.IndexFunc(s.HA.Services, func(v pve.HAService) bool { return v.SID == sid })
	if i < 0 {
		return pve.HAService{}, false
	}
	return s.HA.Services[i], true
}

// Look reads the whole state from a node that sees quorum. Nodes in without are not asked.
func (c *Cluster) Look(ctx context.Context, without ...string) (State, error) {
	v, err := c.Speaker(ctx, without...)
	if err != nil {
		return State{}, err
	}
	s := State{At: c.Clock.Now(), Members: v}
	for _, read := range []func(context.Context, *State) error{c.readHA, c.readResources, c.readVotes, c.readCeph} {
		if err := read(ctx, &s); err != nil {
			return State{}, err
		}
	}
	return s, nil
}

func (c *Cluster) readHA(ctx context.Context, s *State) (err error) {
	s.HA, err = c.haOf(ctx, s.Members.Node)
	return err
}

// haOf is what the HA manager says, read from a node.
func (c *Cluster) haOf(ctx context.Context, node string) (pve.HA, error) {
	var current, manager json.RawMessage
	api := c.Nodes.API(node)
	if err := api.Get(ctx, "/cluster/ha/status/current", &current); err != nil {
		return pve.HA{}, err
	}
	if err := api.Get(ctx, "/cluster/ha/status/manager_status", &manager); err != nil {
		return pve.HA{}, err
	}
	h, err := pve.ParseHAReplies(current, manager, c.Clock.Now())
	if err != nil || h.Arming != pve.HAStandby || h.Master == "" {
		return h, err
	}
	// Before 9.1 that no manager is at work follows from the age of its timestamp, and clocks may differ.
	var there struct {
		Time pve.Int `json:"time"`
	}
	if err := api.Get(ctx, "/nodes/"+node+"/time", &there); err != nil {
		return pve.HA{}, err
	}
	return pve.ParseHAReplies(current, manager, time.Unix(there.Time.V, 0))
}

func (c *Cluster) readResources(ctx context.Context, s *State) error {
	var rows []struct {
		Type     string   `json:"type"`
		Node     string   `json:"node"`
		Status   string   `json:"status"`
		VMID     pve.Int  `json:"vmid"`
		Name     string   `json:"name"`
		Lock     string   `json:"lock"`
		Tags     string   `json:"tags"`
		Template pve.Bool `json:"template"`
		Uptime   pve.Int  `json:"uptime"`
		MaxMem   pve.Int  `json:"maxmem"`
		Mem      pve.Int  `json:"mem"`
	}
	if err := c.Nodes.API(s.Members.Node).Get(ctx, "/cluster/resources", &rows); err != nil {
		return err
	}
	load := map[string]Node{}
	for _, r := range rows {
		switch r.Type {
		case "node":
			load[r.Node] = Node{Uptime: time.Duration(r.Uptime.V) * time.Second, Memory: r.MaxMem.V, MemoryUsed: r.Mem.V}
		case "qemu", "lxc":
			s.Guests = append(s.Guests, Guest{int(r.VMID.V), r.Type, r.Name, r.Node, r.Status, r.MaxMem.V, r.Lock, r.Template.V, r.Tags})
		}
	}
	slices.SortFunc(s.Guests, func(a, b Guest) int { return a.VMID - b.VMID })
	for _, m := range s.Members.Members {
		n := load[m.Name]
		n.Name, n.Online = m.Name, m.Online
		for _, h := range s.HA.Nodes {
			if h.Name == m.Name {
				n.HA = h.State
			}
		}
		s.Nodes = append(s.Nodes, n)
	}
	slices.SortFunc(s.Nodes, func(a, b Node) int { return slices.Index(c.Names, a.Name) - slices.Index(c.Names, b.Name) })
	return nil
}

func (c *Cluster) readVotes(ctx context.Context, s *State) error {
	var rows []struct {
		Name  string  `json:"name"`
		Votes pve.Int `json:"quorum_votes"`
	}
	api := c.Nodes.API(s.Members.Node)
	if err := api.Get(ctx, "/cluster/config/nodes", &rows); err != nil {
		return err
	}
	s.Votes.Of = map[string]int{}
	for _, r := range rows {
		votes := 1
		if r.Votes.Known {
			votes = int(r.Votes.V)
		}
		s.Votes.Of[r.Name] = votes
		s.Votes.Expected += votes
		if _, online := s.Members.Has(r.Name); online {
			s.Votes.Present += votes
		}
	}
	var device map[string]any
	if err := api.Get(ctx, "/cluster/config/qdevice", &device); err != nil {
		return err
	}
	if len(device) > 0 {
		votes := 1
		if device["Algorithm"] == "LMS" { // last man standing: as many as all nodes but one
			votes = max(len(rows)-1, 1)
		}
		s.Votes.QDevice = true
		s.Votes.Expected += votes
		if device["State"] == "Connected" {
			s.Votes.Present += votes
		}
	}
	return nil
}
