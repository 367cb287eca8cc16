package pvefake

import (
	"slices"
	"time"
)

// tickCRM is the manager's round on the master, every ten seconds.
func (c *Cluster) tickCRM() {
	if c.since(c.started)%c.ha(crmPeriod) != 0 {
		return
	}
	m := c.electMaster()
	if m == nil {
		return
	}
	ms := &c.live.ha.manager
	ms.timestamp, ms.renewed = c.unix(), c.now
	c.updateNodeStatus(m)
	c.runCommands()
	c.syncServices()
	// A round repeats until nothing moves, so recovery follows fencing at once.
	for range 8 {
		moved := c.fenceNodes(m)
		for _, sid := range sortedKeys(ms.services) {
			if c.manageService(sid, ms.services[sid]) {
				moved = true
			}
		}
		if !moved {
			break
		}
	}
	c.updateDisarm()
}

// ha is how long a time of the HA manager lasts.
func (c *Cluster) ha(d time.Duration) time.Duration {
	return max(d/time.Duration(max(c.opt.HAPace, 1)), time.Second)
}

// electMaster returns the node that manages now. A dead master's lock has to run out first.
func (c *Cluster) electMaster() *node {
	ms := &c.live.ha.manager
	if cur := c.nodeByName(ms.master); cur != nil && cur.running() && cur.quorate {
		return cur
	}
	if ms.master == "" && !c.wantsHA {
		return nil
	}
	for _, n := range c.members() {
		if !n.running() || !n.quorate {
			continue
		}
		if ms.master != "" && c.since(later(ms.renewed, n.viewSince)) < c.ha(cfsLockLifetime) {
			return nil
		}
		ms.master = n.name
		// A new master has not seen anybody: it gives every node the full delay again.
		for _, o := range c.members() {
			o.lastOnline = c.now
		}
		n.logLine("pve-ha-crm", "root@pam", "successfully acquired lock 'ha_manager_lock'")
		return n
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (c *Cluster) updateNodeStatus(m *node) {
	ms := &c.live.ha.manager
	for _, n := range c.members() {
		state, known := ms.nodes[n.name]
		if m.members[n.id] {
			n.lastOnline = c.now
			lrm := c.live.ha.lrm[n.name]
			inMaintenance := lrm != nil && lrm.mode == string(modeMaintenance)
			switch {
			case state == "fence": // stays until its lock was taken
			case inMaintenance:
				ms.nodes[n.name] = "maintenance"
			default:
				ms.nodes[n.name] = "online"
			}
			continue
		}
		switch {
		case state == "online" || state == "maintenance" || !known:
			ms.nodes[n.name] = "unknown"
		case state == "unknown" && c.since(n.lastOnline) > goneAfter:
			ms.nodes[n.name] = "gone"
		}
	}
}

// fenceNodes confirms fencing by taking the dead node's agent lock, which pmxcfs gives out 120 s after
// the membership changed.
func (c *Cluster) fenceNodes(m *node) bool {
	ms := &c.live.ha.manager
	moved := false
	for _, n := range c.members() {
		if ms.nodes[n.name] != "fence" || c.since(later(n.agentRenewed, m.viewSince)) < c.ha(cfsLockLifetime) {
			continue
		}
		ms.nodes[n.name] = "unknown"
		if m.members[n.id] {
			ms.nodes[n.name] = "online"
		}
		m.logLine("pve-ha-crm", "root@pam", "fencing: acknowledged - got agent lock for node '"+n.name+"'")
		for _, sid := range sortedKeys(ms.services) {
			if s := ms.services[sid]; s.state == "fence" && s.node == n.name {
				c.change(s, "recovery")
				moved = true
			}
		}
	}
	return moved
}

func (c *Cluster) runCommands() {
	h := &c.live.ha
	for _, cmd := range h.commands {
		s := h.manager.services[cmd.sid]
		switch cmd.verb {
		case "migrate", "relocate":
			// A target that is not online is logged and forgotten: the task that asked has ended OK.
			if s != nil && s.state == "started" && h.manager.nodes[cmd.node] == "online" && s.node != cmd.node {
				s.target = cmd.node
				c.change(s, moveState(cmd))
			}
		case "enable-node-maintenance":
			h.manager.requests[cmd.node] = map[string]int{"maintenance": 1}
		case "disable-node-maintenance":
			h.manager.requests[cmd.node] = map[string]int{}
		case "disarm":
			h.manager.disarm = &disarm{mode: cmd.node, state: "disarming"}
		case "arm":
			c.arm()
		}
	}
	h.commands = nil
}

// moveState: containers cannot migrate, so moving one is a relocation.
func moveState(cmd crmCommand) string {
	if len(cmd.sid) > 2 && cmd.sid[:2] == "ct" {
		return "relocate"
	}
	return cmd.verb
}

func (c *Cluster) arm() {
	ms := &c.live.ha.manager
	if ms.disarm == nil {
		return
	}
	ms.disarm = nil
}

// syncServices takes up new resources and drops those gone or ignored.
func (c *Cluster) syncServices() {
	h := &c.live.ha
	if h.manager.disarm != nil {
		return
	}
	for sid, r := range h.resources {
		if r.state == "ignored" {
			delete(h.manager.services, sid)
			continue
		}
		if h.manager.services[sid] == nil {
			g := c.guestBySID(c.live, sid)
			if g == nil {
				continue
			}
			s := &service{node: g.node.name}
			c.change(s, "started")
			if !r.wantsRunning() {
				c.change(s, "request_stop")
			}
			h.manager.services[sid] = s
		}
	}
	for sid := range h.manager.services {
		if h.resources[sid] == nil {
			delete(h.manager.services, sid)
		}
	}
}

func (r *haResource) wantsRunning() bool { return r.state == "started" || r.state == "enabled" }

// change enters a state: a new uid tells the LRM that there is something to do.
func (c *Cluster) change(s *service, state string) {
	s.state, s.uid, s.running = state, c.newUID(), false
	if state != "migrate" && state != "relocate" {
		s.target = ""
	}
}

// result is what the LRM of the service's node reported for its present uid.
func (c *Cluster) result(s *service) (exit int, ok bool) {
	l := c.live.ha.lrm[s.node]
	if l == nil {
		return 0, false
	}
	r, ok := l.results[s.uid]
	return r.exit, ok
}

// manageService moves one service a step; true means something changed.
func (c *Cluster) manageService(sid string, s *service) bool {
	h := &c.live.ha
	if h.manager.disarm != nil {
		return c.disarmService(s)
	}
	r := h.resources[sid]
	switch s.state {
	case "freeze":
		if l := h.lrm[s.node]; l != nil && l.mode == string(modeActive) && h.manager.nodes[s.node] == "online" {
			c.change(s, startState(r))
			return true
		}
		return false
	case "error":
		if r.state == "disabled" {
			s.failedNodes = nil
			c.change(s, "request_stop")
			return true
		}
		return false
	case "fence":
		return false
	case "recovery":
		return c.recoverService(sid, s, r)
	}
	if c.tryFence(s) {
		return true
	}
	switch s.state {
	case "stopped":
		if r.wantsRunning() {
			c.change(s, "started")
			return true
		}
	case "request_stop":
		if exit, ok := c.result(s); ok && exit == 0 {
			c.change(s, "stopped")
			return true
		}
	case "migrate", "relocate":
		return c.finishMove(s)
	case "started":
		return c.manageStarted(sid, s, r)
	}
	return false
}

func startState(r *haResource) string {
	if r.wantsRunning() {
		return "started"
	}
	return "request_stop"
}

// tryFence condemns the node of a service when it has been away for fenceDelay.
func (c *Cluster) tryFence(s *service) bool {
	ms := &c.live.ha.manager
	n := c.nodeByName(s.node)
	if n == nil || ms.nodes[s.node] != "unknown" && ms.nodes[s.node] != "fence" && ms.nodes[s.node] != "gone" {
		return false
	}
	if ms.nodes[s.node] == "unknown" && c.since(n.lastOnline) < c.ha(fenceDelay) {
		return false
	}
	ms.nodes[s.node] = "fence"
	c.change(s, "fence")
	return true
}

func (c *Cluster) finishMove(s *service) bool {
	exit, ok := c.result(s)
	if !ok {
		return false
	}
	if exit == 0 {
		s.node = s.target
	} else {
		s.maintenanceNode = ""
	}
	c.change(s, "started")
	return true
}

func (c *Cluster) recoverService(sid string, s *service, r *haResource) bool {
	if r.state == "disabled" {
		c.change(s, "stopped")
		return true
	}
	to := c.selectNode(sid, s, r, nil) // the lost node too, once it is back
	if to == "" {
		return false // tried again every round, for ever
	}
	if g := c.guestBySID(c.live, sid); g != nil {
		c.move(g, c.nodeByName(to))
	}
	s.node = to
	c.change(s, startState(r))
	return true
}

func (c *Cluster) manageStarted(sid string, s *service, r *haResource) bool {
	ms := &c.live.ha.manager
	l := c.live.ha.lrm[s.node]
	switch {
	case l != nil && l.mode == string(modeRestart):
		c.change(s, "freeze")
		return true
	case !r.wantsRunning():
		c.change(s, "request_stop")
		return true
	case ms.nodes[s.node] == "maintenance":
		return c.moveAway(sid, s, r)
	case ms.nodes[s.node] != "online":
		return false
	}
	exit, ok := c.result(s)
	if ok && exit != 0 {
		return c.startFailed(sid, s, r)
	}
	changed := false
	if ok && !s.running {
		s.running, s.failedNodes = true, nil
		changed = true
	}
	if s.running {
		return c.moveBack(sid, s, r) || changed
	}
	return changed
}

// startFailed tries another node until max_relocate is used up.
func (c *Cluster) startFailed(sid string, s *service, r *haResource) bool {
	if !slices.Contains(s.failedNodes, s.node) {
		s.failedNodes = append(s.failedNodes, s.node)
	}
	to := ""
	if len(s.failedNodes) <= r.maxRelocate {
		to = c.selectNode(sid, s, r, s.failedNodes)
	}
	if to == "" {
		c.change(s, "error")
		return true
	}
	s.target = to
	c.change(s, moveState(crmCommand{verb: "migrate", sid: sid}))
	return true
}

func (c *Cluster) moveAway(sid string, s *service, r *haResource) bool {
	to := c.selectNode(sid, s, r, []string{s.node})
	if to == "" {
		return false
	}
	if s.maintenanceNode == "" {
		s.maintenanceNode = s.node
	}
	s.target = to
	c.change(s, moveState(crmCommand{verb: "migrate", sid: sid}))
	return true
}

// moveBack returns a service after maintenance, or to a node of higher priority.
func (c *Cluster) moveBack(sid string, s *service, r *haResource) bool {
	ms := &c.live.ha.manager
	to := ""
	switch {
	case s.maintenanceNode != "" && s.maintenanceNode == s.node:
		s.maintenanceNode = ""
	case s.maintenanceNode != "" && ms.nodes[s.maintenanceNode] == "online":
		to = s.maintenanceNode
		s.maintenanceNode = ""
	case s.maintenanceNode == "" && c.failback(r):
		to = c.selectNode(sid, s, r, nil)
	}
	if to == "" || to == s.node {
		return false
	}
	s.target = to
	c.change(s, moveState(crmCommand{verb: "migrate", sid: sid}))
	return true
}

func (c *Cluster) failback(r *haResource) bool {
	if r.failback != nil {
		return *r.failback
	}
	for _, g := range c.live.ha.groups {
		if g.id == r.group {
			return !g.nofailback
		}
	}
	return true
}

func (c *Cluster) disarmService(s *service) bool {
	if c.live.ha.manager.disarm.mode == "freeze" {
		if s.state != "freeze" {
			c.change(s, "freeze")
			return true
		}
		return false
	}
	s.running = false
	return false
}

// updateDisarm ends disarming when every online LRM has let go of its watchdog.
func (c *Cluster) updateDisarm() {
	h := &c.live.ha
	if h.manager.disarm == nil || h.manager.disarm.state == "disarmed" {
		return
	}
	for name, state := range h.manager.nodes {
		l := h.lrm[name]
		if state == "online" && l != nil && (l.mode != string(modeDisarm) || l.state != "wait_for_agent_lock") {
			return
		}
	}
	h.manager.disarm.state = "disarmed"
}
