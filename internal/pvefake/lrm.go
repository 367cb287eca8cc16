package pvefake

import (
	"fmt"
	"strconv"
	"time"
)

// tickLRM is the local manager of one node: it stamps its status every five seconds and looks at its
// services every ten. Without quorum it can write nothing.
func (c *Cluster) tickLRM(n *node) {
	round := c.since(c.started) % c.ha(crmPeriod)
	work := round == 3*time.Second%c.ha(crmPeriod)
	if !n.running() || !n.quorate || !work && round != 8*time.Second%c.ha(crmPeriod) {
		return
	}
	h := &c.live.ha
	l := h.lrm[n.name]
	if l == nil {
		l = &lrmStatus{state: "wait_for_agent_lock", results: map[string]lrmResult{}, restarts: map[string]int{}, busy: map[string]bool{}}
		h.lrm[n.name] = l
	}
	if n.booted.After(time.Unix(l.timestamp, 0)) {
		l.state = "wait_for_agent_lock" // a fresh process holds no lock
		l.busy, l.restarts = map[string]bool{}, map[string]int{}
	}
	l.timestamp = c.unix()
	l.mode = string(c.lrmModeOf(n))
	c.lrmState(n, l)
	if l.state == "active" || l.state == "maintenance" {
		n.agentRenewed = c.now
		if work {
			c.lrmWork(n, l)
		}
	}
}

func (c *Cluster) lrmModeOf(n *node) lrmMode {
	ms := &c.live.ha.manager
	switch {
	case n.mode != "":
		return n.mode
	case ms.disarm != nil:
		return modeDisarm
	case ms.requests[n.name]["maintenance"] == 1:
		return modeMaintenance
	}
	return modeActive
}

// lrmState: the agent lock is held only while there are services, and let go after idle rounds.
func (c *Cluster) lrmState(n *node, l *lrmStatus) {
	busy := false
	for _, s := range c.live.ha.manager.services {
		if s.node == n.name && s.state != "freeze" && s.state != "stopped" {
			busy = true
		}
	}
	l.empty++
	if busy {
		l.empty = 0
	}
	switch {
	case l.mode == string(modeDisarm):
		l.state = "wait_for_agent_lock"
	case l.mode == string(modeMaintenance):
		l.state = "maintenance"
		if l.empty > lrmIdleRounds {
			l.state = "wait_for_agent_lock"
		}
	case busy:
		l.state = "active"
	case l.state == "maintenance":
		l.state = "active"
	case l.state == "active" && l.empty > lrmIdleRounds:
		l.state = "wait_for_agent_lock"
	}
}

// lrmActive says whether the node's watchdog is armed.
func (n *node) lrmActive() bool {
	l := n.view().ha.lrm[n.name]
	return l != nil && (l.state == "active" || l.state == "maintenance")
}

func (c *Cluster) lrmWork(n *node, l *lrmStatus) {
	ms := &c.live.ha.manager
	current := map[string]bool{}
	for _, sid := range sortedKeys(ms.services) {
		s := ms.services[sid]
		if s.node != n.name {
			continue
		}
		current[s.uid] = true
		c.lrmService(n, l, sid, s)
	}
	for uid := range l.results {
		if !current[uid] {
			delete(l.results, uid)
		}
	}
}

func (c *Cluster) lrmService(n *node, l *lrmStatus, sid string, s *service) {
	g := c.guestBySID(c.live, sid)
	if g == nil || l.busy[s.uid] {
		return
	}
	report := func(exit int) { l.results[s.uid] = lrmResult{sid, s.state, exit} }
	_, done := l.results[s.uid]
	switch s.state {
	case "started":
		c.lrmStart(n, l, sid, s, g)
	case "request_stop":
		if !done {
			c.lrmStop(n, l, s, g, report)
		}
	case "error":
		if !done {
			report(0)
		}
	case "migrate", "relocate":
		if !done {
			c.lrmMove(n, l, s, g, report)
		}
	}
}

// lrmStart keeps a service running: it retries max_restart times, one try a round, then gives up.
func (c *Cluster) lrmStart(n *node, l *lrmStatus, sid string, s *service, g *guestConf) {
	if c.runsOn(g, n) {
		l.results[s.uid] = lrmResult{sid, "started", 0}
		delete(l.restarts, s.uid)
		return
	}
	if r, done := l.results[s.uid]; done && r.exit != 0 {
		return
	}
	delete(l.results, s.uid)
	uid := s.uid
	n.startTask(g.taskPrefix()+"start", strconv.Itoa(g.vmid), "root@pam", time.Second, func(t *task) string {
		if c.failing[sid] {
			l.restarts[uid]++
			if res := c.live.ha.resources[sid]; res != nil && l.restarts[uid] > res.maxRestart {
				l.results[uid] = lrmResult{sid, "started", 1}
			}
			return "start failed: QEMU exited with code 1"
		}
		status := c.startChecked(g)
		if status == "OK" {
			l.results[uid] = lrmResult{sid, "started", 0}
		}
		return status
	})
}

// startChecked starts a guest unless its configuration forbids it.
func (c *Cluster) startChecked(g *guestConf) string {
	if lock := g.conf["lock"]; lock != "" {
		return lockedText(g, lock)
	}
	c.startProcess(g)
	return "OK"
}

func (g *guestConf) kind() string {
	if g.lxc {
		return "CT"
	}
	return "VM"
}

func lockedText(g *guestConf, lock string) string {
	return fmt.Sprintf("%s is locked (%s)", g.kind(), lock)
}

func (c *Cluster) lrmStop(n *node, l *lrmStatus, s *service, g *guestConf, report func(int)) {
	if !c.runsOn(g, n) {
		report(0)
		return
	}
	uid := s.uid
	l.busy[uid] = true
	n.startTask(g.taskPrefix()+"shutdown", strconv.Itoa(g.vmid), "root@pam", 2*time.Second, func(*task) string {
		delete(l.busy, uid)
		delete(c.run, g.vmid)
		report(0)
		return "OK"
	})
}

func (c *Cluster) lrmMove(n *node, l *lrmStatus, s *service, g *guestConf, report func(int)) {
	to := c.nodeByName(s.target)
	uid := s.uid
	l.busy[uid] = true
	c.migrate(n, to, g, "root@pam", func(status string) {
		delete(l.busy, uid)
		if status == "OK" {
			report(0)
			return
		}
		report(1)
	})
}

// migrate runs a guest's migration task. The configuration is locked while it runs and changes its
// directory at the end.
func (c *Cluster) migrate(from, to *node, g *guestConf, user string, done func(status string)) *task {
	lasts := c.opt.MigrationTime
	online := c.runsOn(g, from)
	if done == nil {
		done = func(string) {}
	}
	if t, claimed := c.claimed(from, to, g, user, done); claimed {
		return t
	}
	if !online {
		lasts = min(lasts, 5*time.Second)
	}
	c.setConf(g, "lock", "migrate")
	typ := "qmigrate"
	if g.lxc {
		typ = "vzmigrate"
	}
	t := from.startTask(typ, strconv.Itoa(g.vmid), user, lasts, func(t *task) string {
		status := c.finishMigration(t, from, to, g, online)
		done(status)
		return status
	})
	t.log = append(t.log, logTime(c.now)+fmt.Sprintf("starting migration of %s %d to node '%s' (%s)", g.kind(), g.vmid, to.name, to.ip))
	if online && !g.lxc {
		t.log = append(t.log, logTime(c.now)+fmt.Sprintf("migration active, transferred %.1f MiB of %.1f MiB VM-state, 64.0 MiB/s", 16.0, float64(g.maxMem())/(1<<20)))
	}
	t.abort = func(status string) {
		c.setConf(g, "lock", "") // a failed migration leaves the guest where it was, and unlocked
		done(status)
	}
	return t
}

func (c *Cluster) finishMigration(t *task, from, to *node, g *guestConf, online bool) string {
	c.setConf(g, "lock", "")
	if !to.running() || to.group != from.group {
		return noTunnel(to, "")
	}
	c.move(g, to)
	if online {
		c.run[g.vmid].node = to
	}
	if online && !g.lxc {
		t.log = append(t.log, logTime(c.now)+"average migration speed: 64.0 MiB/s - downtime 12 ms")
		if c.opt.Version != V84 { // since 2025-04
			t.log = append(t.log, logTime(c.now)+fmt.Sprintf("migration completed, transferred %.1f MiB VM-state", float64(g.maxMem())/(2<<20)))
		}
	}
	t.log = append(t.log, logTime(c.now)+"migration finished successfully")
	return "OK"
}

// logTime begins each line of a migration's log.
func logTime(t time.Time) string { return t.Format(time.DateTime) + " " }

// noTunnel is what a migration says that cannot reach its target, or finds no address there in the network
// it should use.
func noTunnel(to *node, network string) string {
	option := ""
	if network != "" {
		option = " -migration_network " + network
	}
	return fmt.Sprintf("command '/usr/bin/ssh -e none -o 'BatchMode=yes' -o 'HostKeyAlias=%[1]s' -o 'UserKnownHostsFile=/etc/pve/nodes/%[1]s/ssh_known_hosts'"+
		" -o 'GlobalKnownHostsFile=none' root@%[2]s pvecm mtunnel%[3]s -get_migration_ip' failed: exit code 255", to.name, to.ip, option)
}
