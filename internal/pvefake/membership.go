package pvefake

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// alone is what a node that is in no cluster has of its own: pmxcfs with users and keys.
type alone struct {
	live *cfs
	auth *authState
}

// ownGrace is how long after it was listed a joiner's vote does not count yet: corosync of the others
// reads the new nodelist when it is told to, not when the file appears.
const ownGrace = 10 * time.Second

// members are the nodes of the cluster: those in corosync.conf, or before there is one the first node.
func (c *Cluster) members() []*node {
	var out []*node
	for _, n := range c.nodes {
		if n.alone == nil || n.listed {
			out = append(out, n)
		}
	}
	return out
}

// inCluster says whether this node has a corosync.conf.
func (n *node) inCluster() bool { return n.alone == nil && n.c.clustered }

// joining says whether corosync.conf lists the node but its corosync does not run yet.
func (n *node) joining() bool { return n.alone != nil && n.listed }

// mates are the nodes this one knows of, itself among them.
func (n *node) mates() []*node {
	if n.alone != nil {
		return []*node{n}
	}
	return n.c.members()
}

func (n *node) mate(name string) *node {
	for _, m := range n.mates() {
		if m.name == name {
			return m
		}
	}
	return nil
}

func (q *call) mates() []*node { return q.n.mates() }

// own is the pmxcfs this node writes to.
func (n *node) own() *cfs {
	if n.alone != nil {
		return n.alone.live
	}
	return n.c.live
}

func (n *node) auth() *authState {
	if n.alone != nil {
		return n.alone.auth
	}
	return n.c.auth
}

func (q *call) live() *cfs { return q.n.own() }

// name is the cluster's in corosync.conf.
func (c *Cluster) name() string { return c.clusterName }

// majority says whether the votes of these members are a quorum of what n's corosync.conf expects. A
// node in no cluster needs nobody.
func (n *node) majority(members map[int]bool) bool {
	if n.alone != nil || !n.c.clustered {
		return true
	}
	have, all := 0, 0
	for _, m := range n.c.members() {
		if m.joining() && n.c.since(m.listedAt) < ownGrace {
			continue
		}
		all += m.votes
		if members[m.id] {
			have += m.votes
		}
	}
	if n.c.qdevice != "" { // the qnetd host stays reachable, and sides with whom it hears
		have, all = have+1, all+1
	}
	if n.expected > 0 && n.expected < all { // no less than there are
		all = max(n.expected, have)
	}
	return 2*have > all
}

// makeAlone takes a node out of every cluster, with an empty pmxcfs.
func (c *Cluster) makeAlone(n *node) {
	n.alone = &alone{live: newCFS(), auth: newAuthState(c)}
	n.listed, n.members, n.quorate, n.frozen = false, map[int]bool{n.id: true}, true, nil
	n.links, n.votes, n.nodeID = nil, 1, n.id
}

// found makes n the first node of the cluster: its pmxcfs becomes the one that others will share.
func (c *Cluster) found(n *node, name string, nodeID, votes int, links map[int]string) {
	if n.alone != nil { // the first node had been first only by number
		for _, o := range c.nodes {
			if o.alone == nil {
				o.alone = &alone{live: c.live, auth: c.auth}
			}
		}
		c.live, c.auth, n.alone = n.alone.live, n.alone.auth, nil
	}
	c.clustered, c.clusterName, c.confVersion = true, name, 1
	n.links, n.votes, n.nodeID = links, votes, nodeID
	n.members, n.quorate = map[int]bool{}, false // corosync restarts
	n.lostAt, n.frozen = c.now, c.live.clone()
	n.pending = time.Time{}
	for _, o := range c.nodes {
		if o != n && o.alone == nil {
			c.makeAlone(o)
		}
	}
}

// enter lets a listed joiner into the cluster: what it had in its own pmxcfs is gone.
func (c *Cluster) enter(n *node) {
	n.alone = nil
	n.members, n.quorate, n.lostAt = map[int]bool{n.id: true}, false, c.now
	n.frozen, n.pending, n.viewSince = c.live.clone(), c.now, c.now
	n.seen = map[int]*sample{}
}

// freeNodeID is the lowest number that corosync.conf does not have.
func (c *Cluster) freeNodeID() int {
	for id := 1; ; id++ {
		if !slices.ContainsFunc(c.members(), func(n *node) bool { return n.nodeID == id }) {
			return id
		}
	}
}

// linkText is "ring0_addr" and so on of a node, in the order of the links.
func (n *node) rings() [][2]string {
	links := n.links
	if len(links) == 0 {
		links = map[int]string{0: n.ip.String()}
	}
	var out [][2]string
	for _, k := range slices.Sorted(maps.Keys(links)) {
		out = append(out, [2]string{fmt.Sprintf("ring%d_addr", k), links[k]})
	}
	return out
}

// SilenceJoiner makes node i fail in the middle of its next join: the members list it, its corosync
// never comes up and its API never comes back, until it is let go again.
func (c *Cluster) SilenceJoiner(i int, silent bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.node(i)
	if n == nil {
		return fmt.Errorf("pvefake: no node %d of %d", i, len(c.nodes))
	}
	n.silent = silent
	if !silent && n.joining() {
		n.locked, n.apiDown = false, false
		c.enter(n)
		return n.startListening()
	}
	return nil
}

// InCluster says whether node i has joined.
func (c *Cluster) InCluster(i int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.node(i)
	return n != nil && n.inCluster()
}
