package pvefake

import (
	"fmt"
	"time"
)

// ctime is Perl's scalar(localtime).
func ctime(unix int64) string {
	return time.Unix(unix, 0).UTC().Format("Mon Jan _2 15:04:05 2006")
}

// freshness is the word for a timestamp of the CRM or an LRM (pve-ha-manager
// src/PVE/API2/HA/Status.pm): too old, from the future, or neither.
func freshness(now, stamp int64) string {
	switch age := now - stamp; {
	case age > oldTimestamp:
		return "old timestamp - dead?"
	case age < timeDrift:
		return "detected time drift!"
	}
	return ""
}

// newHA says whether the cluster speaks of fencing and watchdogs (pve-ha-manager from 5.1.3).
func (c *Cluster) newHA() bool { return c.opt.Version.major() >= 9 }

func haCurrent(q *call) (any, error) {
	rows := list{q.quorumRow()}
	ms := &q.view().ha.manager
	if ms.master != "" {
		rows = append(rows, q.masterRow(ms))
	}
	if q.c.newHA() {
		rows = append(rows, q.fencingRow(ms))
	}
	for _, name := range sortedKeys(q.view().ha.lrm) {
		// Until a CRM has worked, nobody has looked for LRMs.
		if ms.master != "" {
			rows = append(rows, q.lrmRow(name))
		}
	}
	for _, sid := range sortedKeys(q.view().ha.resources) {
		rows = append(rows, q.serviceRow(sid))
	}
	return rows, nil
}

func (q *call) quorumRow() obj {
	row := obj{"id": "quorum", "type": "quorum", "node": q.n.name, "quorate": bit(q.n.quorate), "status": "OK"}
	if !q.n.quorate {
		row["status"] = fmt.Sprintf("No quorum on node '%s'!", q.n.name)
	}
	return row
}

func (q *call) masterRow(ms *managerStatus) obj {
	word := freshness(q.c.unix(), ms.timestamp)
	if word == "" {
		word = "active"
	}
	status := fmt.Sprintf("%s (%s, %s)", ms.master, word, ctime(ms.timestamp))
	if ms.disarm != nil {
		status += fmt.Sprintf(" - %s, resource mode: %s", ms.disarm.state, ms.disarm.mode)
	}
	return obj{"id": "master", "type": "master", "node": ms.master, "timestamp": ms.timestamp, "status": status}
}

func (q *call) fencingRow(ms *managerStatus) obj {
	node := ms.master
	if node == "" {
		node = q.n.name
	}
	row := obj{"id": "fencing", "type": "fencing", "node": node}
	word, dog := "standby", "standby"
	switch {
	case ms.disarm != nil:
		word, dog = ms.disarm.state, "active"
		if word == "disarmed" {
			dog = "released"
		}
		row["resource_mode"] = ms.disarm.mode
	case ms.master != "" && freshness(q.c.unix(), ms.timestamp) == "":
		word, dog = "armed", "active"
	}
	row["armed-state"] = word
	text := word
	if ms.disarm != nil {
		text += ", resource mode: " + ms.disarm.mode
	}
	row["status"] = fmt.Sprintf("%s (CRM watchdog %s)", text, dog)
	return row
}

func (q *call) lrmRow(name string) obj {
	l := q.view().ha.lrm[name]
	stale := freshness(q.c.unix(), l.timestamp)
	word := l.state
	switch {
	case stale != "":
		word = stale
	case l.mode != string(modeActive):
		word = l.mode + " mode"
	case l.state == "wait_for_agent_lock" && !q.hasServices(name):
		word = "idle"
	}
	status := fmt.Sprintf("%s (%s, %s)", name, word, ctime(l.timestamp))
	if q.c.newHA() {
		status = fmt.Sprintf("%s (%s, watchdog %s, %s)", name, word, watchdogWord(l, stale), ctime(l.timestamp))
	}
	return obj{"id": "lrm:" + name, "type": "lrm", "node": name, "timestamp": l.timestamp, "status": status}
}

func watchdogWord(l *lrmStatus, stale string) string {
	switch {
	case stale != "":
		return "standby"
	case l.mode == string(modeDisarm):
		return "released"
	case l.state == "active" || l.state == "maintenance":
		return "active"
	}
	return "standby"
}

func (q *call) hasServices(node string) bool {
	for _, s := range q.view().ha.manager.services {
		if s.node == node {
			return true
		}
	}
	return false
}

func (q *call) serviceRow(sid string) obj {
	h := &q.view().ha
	r, s := h.resources[sid], h.manager.services[sid]
	state, crm, node := q.serviceWords(r, s, sid)
	row := obj{
		"id": "service:" + sid, "type": "service", "sid": sid, "node": node, "state": state, "request_state": r.requestState(),
		"max_restart": r.maxRestart, "max_relocate": r.maxRelocate, "status": fmt.Sprintf("%s (%s, %s)", sid, node, state),
	}
	if crm != "" {
		row["crm_state"] = crm
	}
	if r.comment != "" {
		row["comment"] = r.comment
	}
	if q.c.opt.Version == V84 {
		if r.group != "" {
			row["group"] = r.group
		}
		return row
	}
	row["failback"] = 1
	if r.failback != nil {
		row["failback"] = bit(*r.failback)
	}
	return row
}

func (r *haResource) requestState() string {
	if r.state == "enabled" {
		return "started"
	}
	return r.state
}

// serviceWords returns the verbose state, the CRM's state and the node. The verbose one depends on the
// request and on whether the LRM has confirmed that it runs.
func (q *call) serviceWords(r *haResource, s *service, sid string) (state, crm, node string) {
	node = "unknown"
	if g := q.c.guestBySID(q.view(), sid); g != nil {
		node = g.node.name
	}
	if r.state == "ignored" {
		return "ignored", "", node
	}
	if s == nil {
		return "queued", "", node
	}
	ms := &q.view().ha.manager
	switch {
	case ms.disarm != nil && ms.disarm.mode == "ignore":
		state = "ignore"
	case s.state == "started" && !r.wantsRunning():
		state = "stopping"
	case s.state == "started" && !s.running:
		state = "starting"
	case s.state == "stopped" && r.state == "disabled":
		state = "disabled"
	default:
		state = s.state
	}
	return state, s.state, s.node
}

func haManagerStatus(q *call) (any, error) {
	quorate := ""
	if q.n.quorate {
		quorate = "1"
	}
	h := &q.view().ha
	out := obj{
		"quorum":         obj{"node": q.n.name, "quorate": quorate},
		"manager_status": h.manager.object(),
	}
	if h.manager.master != "" {
		lrm := obj{}
		for name, l := range h.lrm {
			lrm[name] = l.object()
		}
		out["lrm_status"] = lrm
	}
	return out, nil
}

// object is the content of /etc/pve/ha/manager_status.
func (m *managerStatus) object() obj {
	nodes := obj{}
	for n, s := range m.nodes {
		nodes[n] = s
	}
	if m.master == "" {
		return obj{"node_status": nodes}
	}
	services := obj{}
	for sid, s := range m.services {
		services[sid] = s.object()
	}
	out := obj{"master_node": m.master, "timestamp": m.timestamp, "node_status": nodes, "service_status": services}
	if len(m.requests) > 0 {
		reqs := obj{}
		for n, r := range m.requests {
			o := obj{}
			for k, v := range r {
				o[k] = v
			}
			reqs[n] = o
		}
		out["node_request"] = reqs
	}
	if m.disarm != nil {
		out["disarm"] = obj{"mode": m.disarm.mode, "state": m.disarm.state}
	}
	return out
}

func (s *service) object() obj {
	o := obj{"state": s.state, "node": s.node, "uid": s.uid}
	if s.running {
		o["running"] = 1
	}
	if s.target != "" {
		o["target"] = s.target
	}
	if s.maintenanceNode != "" {
		o["maintenance_node"] = s.maintenanceNode
	}
	if len(s.failedNodes) > 0 {
		failed := list{}
		for _, n := range s.failedNodes {
			failed = append(failed, n)
		}
		o["failed_nodes"] = failed
	}
	return o
}

// object is the content of /etc/pve/nodes/NODE/lrm_status.
func (l *lrmStatus) object() obj {
	results := obj{}
	for uid, r := range l.results {
		results[uid] = obj{"sid": r.sid, "state": r.state, "exit_code": r.exit}
	}
	return obj{"mode": l.mode, "state": l.state, "timestamp": l.timestamp, "results": results}
}
