package pvefake

import (
	"fmt"
	"time"
)

// What was measured on PVE 9.2: corosync's token and consensus make a loss visible after about six
// seconds; pmxcfs keeps an orphaned lock for 120 s (pve-cluster src/PVE/Cluster.pm CFS_LOCK_TIMEOUT)
// counted anew from a change of membership.
const (
	membershipDelay = 6 * time.Second
	joinDelay       = 3 * time.Second
	cfsLockLifetime = 120 * time.Second
	watchdogTimeout = 60 * time.Second
)

// wants is the set of nodes that n hears when corosync has settled.
func (n *node) wants() map[int]bool {
	out := map[int]bool{}
	if !n.up {
		return out
	}
	if forced := n.c.half[n.id]; forced != nil {
		return forced
	}
	for _, m := range n.mates() {
		if m.up && m.group == n.group && !m.joining() && (m == n || n.heard(m)) {
			out[m.id] = true
		}
	}
	return out
}

// tickMembership lets a change of the topology reach each node's view when its time has come.
func (c *Cluster) tickMembership() {
	for _, n := range c.nodes {
		if !n.up {
			continue
		}
		if !n.steered {
			n.followTopology()
		}
		if c.opt.Watchdog && !n.quorate && n.lrmActive() && c.since(n.lostAt) >= c.ha(watchdogTimeout) {
			c.powerOff(n) // the watchdog bites: nobody may run the services twice
		}
	}
}

func (n *node) followTopology() {
	c, want := n.c, n.wants()
	if sameSet(want, n.members) && n.quorate == n.majority(want) {
		n.pending = time.Time{}
	} else if n.pending.IsZero() {
		delay := membershipDelay
		if len(want) > len(n.members) {
			delay = joinDelay
		}
		n.pending = c.now.Add(delay - time.Second)
	}
	if !n.pending.IsZero() && !n.pending.After(c.now) {
		n.pending = time.Time{}
		n.setMembers(want, n.majority(want))
	}
}

func (n *node) setMembers(want map[int]bool, quorate bool) {
	c := n.c
	n.members = want
	n.viewSince = c.now
	switch {
	case n.quorate && !quorate:
		n.lostAt = c.now
		n.frozen = c.live.clone() // pmxcfs turns read-only with what it has
	case !n.quorate && quorate:
		n.lostAt = time.Time{}
		n.frozen = nil
	}
	n.quorate = quorate
}

func sameSet(a, b map[int]bool) bool {
	if len(a) != len(b) {
		return false
	}
	for k := range a {
		if !b[k] {
			return false
		}
	}
	return true
}

// quorumIsNear says whether quorum comes while a lock is waited for.
func (n *node) quorumIsNear() bool {
	return (n.pending.IsZero() || n.pending.Sub(n.c.now) < 10*time.Second) && n.up && !n.steered && n.majority(n.wants())
}

// needQuorum refuses a write on a node without quorum.
func (q *call) needQuorum() error {
	if q.n.quorate {
		return nil
	}
	return noQuorum()
}

// SetNodeDown cuts a node's power or boots it. Its API refuses connections at once; the others notice
// as corosync does. Its guests stop; those with onboot start after the boot, HA's when the LRM is told.
func (c *Cluster) SetNodeDown(i int, down bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.node(i)
	switch {
	case n == nil:
		return fmt.Errorf("pvefake: no node %d of %d", i, len(c.nodes))
	case down == !n.up:
		return nil
	case down:
		c.powerOff(n)
		return nil
	}
	return c.powerOn(n)
}

func (c *Cluster) powerOff(n *node) {
	n.up = false
	n.stopListening()
	n.stopSSH()
	n.members, n.pending, n.quorate, n.frozen = map[int]bool{}, time.Time{}, false, nil
	for id, r := range c.run {
		if r.node == n {
			delete(c.run, id)
		}
	}
}

func (c *Cluster) powerOn(n *node) error {
	if err := n.startListening(); err != nil {
		return err
	}
	if err := n.listenSSH(); err != nil {
		return err
	}
	n.up, n.booted, n.lostAt = true, c.now, c.now
	n.mend()
	n.bootKernel()
	c.ceph.booted(n)
	n.stats = nil
	n.members = map[int]bool{n.id: true}
	n.quorate = n.majority(n.members)
	if !n.quorate {
		n.frozen = c.live.clone()
	}
	n.pending = c.now.Add(joinDelay)
	for _, g := range n.view().guests {
		if g.node == n && g.conf["onboot"] == "1" && n.view().ha.resources[g.sid()] == nil {
			n.startTask(g.taskPrefix()+"start", fmt.Sprint(g.vmid), "root@pam", time.Second, func(*task) string {
				c.startProcess(g)
				return "OK"
			})
		}
	}
	return nil
}

// SetServicesDown stops PVE's daemons of a node (API, pvestatd, CRM, LRM) while corosync and the
// guests go on: the others see it online but get 595 and old numbers.
func (c *Cluster) SetServicesDown(i int, down bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.node(i)
	if n == nil {
		return fmt.Errorf("pvefake: no node %d of %d", i, len(c.nodes))
	}
	n.apiDown = down
	if down {
		n.stopListening()
		return nil
	}
	if !n.up {
		return nil
	}
	return n.startListening()
}

// Partition splits the network: nodes in different groups do not hear each other. Nodes not named form
// one more group. No argument heals it.
func (c *Cluster) Partition(groups ...[]int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes {
		n.group = 0
	}
	c.half = map[int]map[int]bool{}
	for g, ids := range groups {
		for _, id := range ids {
			if n := c.node(id); n != nil {
				n.group = g + 1
			}
		}
	}
}

// SetMembership tells node i what corosync would: whom it hears and whether that is a quorum. From
// then on the topology does not change its view, after a boot neither. Of a node without power
// nothing changes. It fails on a node that the cluster does not have.
func (c *Cluster) SetMembership(i int, members []int, quorate bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.node(i)
	if n == nil {
		return fmt.Errorf("pvefake: no node %d of %d", i, len(c.nodes))
	}
	n.steered, n.pending = true, time.Time{}
	set := map[int]bool{}
	for _, m := range members {
		set[m] = true
	}
	if n.up && (!sameSet(set, n.members) || quorate != n.quorate) {
		n.setMembers(set, quorate)
	}
	return nil
}

// SetCorosyncConf replaces the corosync.conf that the cluster makes up.
func (c *Cluster) SetCorosyncConf(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conf = text
}

// HalfOpen gives node i a membership of its own, whatever the others see: two views of quorum at once.
// No members ends it.
func (c *Cluster) HalfOpen(i int, members ...int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(members) == 0 {
		delete(c.half, i)
		return
	}
	set := map[int]bool{}
	for _, m := range members {
		set[m] = true
	}
	c.half[i] = set
}
