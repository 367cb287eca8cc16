package pvefake

import (
	"errors"
	"fmt"
	"time"
)

// How long after its boot a node's monitor and manager serve, its OSDs are up, and what they missed is
// recovered.
const (
	monBoot      = 5 * time.Second
	osdBoot      = 10 * time.Second
	recoveryTime = 20 * time.Second
)

// SpreadCeph gives the cluster a Ceph as provisioning leaves it: a monitor, a manager and OSDs on every node,
// a pool "vm-storage" of three copies, of which two must be there, and no repository
// that needs a subscription. Its health follows from what is up.
func (c *Cluster) SpreadCeph(osds int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ceph != nil {
		return errors.New("pvefake: this cluster has a Ceph")
	}
	s := newCeph(c.newUUID())
	s.made = true
	for i, n := range c.nodes {
		if n.box.cephRelease == "" {
			n.box.cephRelease = "squid"
		}
		if n.box.repos != nil {
			n.box.repos = map[string]bool{"no-subscription": true}
		}
		d := cephDaemon{name: n.name, n: n, addr: n.ip.String(), since: c.started}
		s.mons, s.mgrs = append(s.mons, d), append(s.mgrs, d)
		for k := range osds {
			s.osds = append(s.osds, &cephOSD{id: i*osds + k, n: n, dev: fmt.Sprintf("/dev/sd%c", 'b'+k), bytes: cephOSDBytes, class: "ssd", in: true, since: c.started})
		}
	}
	s.pools = []*cephPool{{id: 1, size: 3, minSize: 2, pgs: 128, name: "vm-storage", rule: "replicated_rule", kind: "replicated", app: "rbd", autoscale: "warn", needs: 3}}
	s.nextPool = 2
	c.ceph = s
	return nil
}

// ServeSSH gives the nodes SSH servers, which only Standalone ones have from the beginning.
func (c *Cluster) ServeSSH() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nodes[0].ssh != nil {
		return nil
	}
	return c.startSSH()
}

// booted lets a node's daemons of Ceph start after it, and the pools recover what they wrote meanwhile.
func (s *cephState) booted(n *node) {
	if s == nil || !s.made {
		return
	}
	now := n.c.now
	for _, daemons := range [][]cephDaemon{s.mons, s.mgrs} {
		for i := range daemons {
			if daemons[i].n == n {
				daemons[i].since = now.Add(monBoot)
			}
		}
	}
	for _, o := range s.osds {
		if o.n == n {
			o.since = now.Add(osdBoot)
		}
	}
	for _, p := range s.pools {
		p.healed = now.Add(osdBoot + recoveryTime)
	}
}
