package pvefake

import "errors"

// TaskStatus returns how a task ended; done is false while it runs or if there is none.
func (c *Cluster) TaskStatus(upid string) (status string, done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tasks {
		if t.upid() == upid {
			return t.status, !t.running()
		}
	}
	return "", false
}

// RunningTasks lists the UPIDs of the running tasks of a type on node i, oldest first.
func (c *Cluster) RunningTasks(i int, typ string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, t := range c.tasks {
		if t.running() && t.typ == typ && t.node.id == i {
			out = append(out, t.upid())
		}
	}
	return out
}

// RunCommand runs a command on node i as root, as over SSH but without a connection.
func (c *Cluster) RunCommand(i int, line, stdin string) (exit int, stdout, stderr string) {
	out := c.Node(i).n.runCommand(line, stdin)
	return out.exit, out.stdout, out.stderr
}

// EnableCeph gives the cluster the small healthy Ceph of Options.Ceph, made by other means than the API.
func (c *Cluster) EnableCeph() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ceph != nil {
		return errors.New("pvefake: this cluster has a Ceph")
	}
	c.enableCeph()
	for _, n := range c.nodes {
		if n.box.cephRelease == "" {
			n.box.cephRelease = "squid"
		}
	}
	return nil
}

// HasCeph says whether the cluster has a Ceph, by whatever means.
func (c *Cluster) HasCeph() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ceph != nil
}

// nodeNames are those of the nodes that fit.
func (c *Cluster) nodeNames(fits func(*node) bool) (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes {
		if fits(n) {
			names = append(names, n.name)
		}
	}
	return names
}

// DownNodes lists the nodes without power.
func (c *Cluster) DownNodes() []string { return c.nodeNames(func(n *node) bool { return !n.up }) }

// QuorateNodes lists the nodes that see quorum.
func (c *Cluster) QuorateNodes() []string {
	return c.nodeNames(func(n *node) bool { return n.up && n.quorate })
}

// CephFlags lists the OSD flags that are set.
func (c *Cluster) CephFlags() (set []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range sortedKeys(c.ceph.flags) {
		if c.ceph.flags[f] {
			set = append(set, f)
		}
	}
	return set
}
