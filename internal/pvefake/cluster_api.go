package pvefake

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
)

func clusterHandlers() map[string]handler {
	empty := func(*call) (any, error) { return list{}, nil }
	return map[string]handler{
		"GET /version":                 version,
		"GET /cluster":                 index("replication", "metrics", "notifications", "config", "firewall", "backup", "backup-info", "ha", "acme", "ceph", "jobs", "mapping", "sdn", "log", "resources", "tasks", "options", "status", "nextid"),
		"GET /cluster/status":          clusterStatus,
		"GET /cluster/resources":       clusterResources,
		"GET /cluster/nextid":          nextID,
		"GET /cluster/options":         clusterOptions,
		"GET /cluster/replication":     empty,
		"GET /cluster/metrics/export":  func(*call) (any, error) { return obj{"data": list{}}, nil },
		"GET /cluster/metrics/server":  empty,
		"GET /cluster/jobs/realm-sync": empty,
	}
}

func version(q *call) (any, error) {
	v, rel, repo := q.c.opt.Version.release()
	return obj{"version": v, "release": rel, "repoid": repo}, nil
}

func shuffledNodes(nodes []*node) []*node {
	out := slices.Clone(nodes)
	rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

func clusterStatus(q *call) (any, error) {
	rows := list{}
	clustered := q.n.inCluster()
	if clustered {
		rows = append(rows, obj{
			"id": "cluster", "type": "cluster", "name": q.c.name(), "nodes": len(q.mates()),
			"quorate": bit(q.n.quorate), "version": q.c.confVersion,
		})
	}
	for _, n := range shuffledNodes(q.mates()) {
		id := n.nodeID
		if !clustered {
			id = 0 // a node without a cluster has no id
		}
		row := obj{
			"id": "node/" + n.name, "type": "node", "name": n.name, "nodeid": id, "ip": n.ip.String(),
			"online": bit(q.n.members[n.id]), "local": bit(n == q.n), "level": "",
		}
		if n.joining() {
			delete(row, "ip") // pmxcfs has not heard of it
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// clusterResources is what pvestatd of each node has sent to the answering one; it tells of dead nodes
// too, until their numbers are five minutes old.
func clusterResources(q *call) (any, error) {
	want := q.str("type")
	rows := list{}
	if want == "" || want == "vm" {
		for _, g := range q.view().sortedGuests() {
			if q.may(fmt.Sprintf("/vms/%d", g.vmid), "VM.Audit") {
				rows = append(rows, q.guestResource(g))
			}
		}
	}
	if want == "" || want == "node" {
		for _, n := range shuffledNodes(q.mates()) {
			rows = append(rows, q.nodeResource(n))
		}
	}
	if want == "" || want == "storage" {
		for _, n := range q.mates() {
			for _, s := range q.storages() {
				rows = append(rows, q.storageResource(n, s))
			}
		}
	}
	if want == "" || want == "sdn" {
		for _, n := range q.mates() {
			if row := q.networkResource(n); row != nil {
				rows = append(rows, row)
			}
		}
	}
	return rows, nil
}

func (q *call) guestResource(g *guestConf) obj {
	row := obj{
		"id": fmt.Sprintf("%s/%d", g.typ(), g.vmid), "type": g.typ(), "vmid": g.vmid, "node": g.node.name,
		"status": "unknown", "template": bit(g.conf["template"] == "1"),
	}
	// After a failover the newest sample that knows the guest may be the new node's or the dead one's.
	if s := q.guestStat(g); s != nil {
		row["name"], row["status"] = s.name, s.status
		row["maxcpu"], row["maxmem"], row["maxdisk"] = s.maxcpu, s.maxmem, s.maxdisk
		row["cpu"], row["uptime"], row["mem"], row["disk"] = s.numbers.cpu, s.numbers.uptime, s.numbers.mem, 0
		row["netin"], row["netout"] = s.numbers.netin, s.numbers.netout
		row["diskread"], row["diskwrite"] = s.numbers.diskread, s.numbers.diskwr
		if !g.lxc && q.c.opt.Version != V84 {
			row["memhost"] = s.numbers.mem
		}
	}
	for key, conf := range map[string]string{"tags": "tags", "lock": "lock", "pool": "#pool"} {
		if v := g.conf[conf]; v != "" {
			row[key] = v
		}
	}
	if s := q.view().ha.manager.services[g.sid()]; s != nil {
		row["hastate"] = s.state
	}
	return row
}

func (q *call) guestStat(g *guestConf) *guestSample {
	var newest *sample
	for _, n := range q.mates() {
		s := q.n.stat(n)
		if s == nil {
			continue
		}
		if _, ok := s.guests[g.vmid]; ok && (newest == nil || s.at.After(newest.at)) {
			newest = s
		}
	}
	if newest == nil {
		return nil
	}
	gs := newest.guests[g.vmid]
	return &gs
}

// nodeStats is the part of a node's entry that /nodes and /cluster/resources share.
func (q *call) nodeStats(n *node) obj {
	row := obj{"id": "node/" + n.name, "type": "node", "node": n.name, "status": "offline"}
	s := q.n.stat(n)
	online := q.n.members[n.id]
	switch {
	case online && s != nil:
		row["status"] = "online"
	case online:
		row["status"] = "unknown"
	}
	if !q.may("/nodes/"+n.name, "Sys.Audit") {
		row["level"] = ""
		return row
	}
	if s == nil {
		return row
	}
	row["level"], row["maxcpu"], row["maxmem"], row["maxdisk"] = "", s.node.maxcpu, s.node.maxmem, s.node.maxdisk
	if online {
		row["cpu"], row["mem"], row["disk"], row["uptime"] = s.node.cpu, s.node.mem, s.node.disk, s.node.uptime
	}
	return row
}

func (q *call) nodeResource(n *node) obj {
	row := q.nodeStats(n)
	row["cgroup-mode"] = 2
	if state := q.view().ha.manager.nodes[n.name]; state != "" {
		row["hastate"] = state
	}
	return row
}

func (q *call) storageResource(n *node, s *storageConf) obj {
	row := obj{
		"id": "storage/" + n.name + "/" + s.id, "type": "storage", "storage": s.id, "node": n.name,
		"shared": bit(s.shared), "content": s.content, "plugintype": s.typ, "status": "unknown",
	}
	if st := q.n.stat(n); st != nil {
		if u, ok := st.storage[s.id]; ok {
			row["status"], row["disk"], row["maxdisk"] = "available", u.used, u.total
		}
	}
	return row
}

// networkResource is the built-in zone of every node: 9 calls it network, 8 sdn.
func (q *call) networkResource(n *node) obj {
	if !q.may("/sdn/zones/localnetwork", "SDN.Audit") {
		return nil
	}
	if q.c.opt.Version == V84 {
		return obj{"id": "sdn/" + n.name + "/localnetwork", "type": "sdn", "sdn": "localnetwork", "node": n.name, "status": "ok"}
	}
	return obj{
		"id": "network/" + n.name + "/zone/localnetwork", "type": "network", "network": "localnetwork", "network-type": "zone",
		"node": n.name, "status": "ok",
	}
}

func nextID(q *call) (any, error) {
	if q.has("vmid") {
		id := int(q.num("vmid", 0))
		if q.view().guests[id] != nil {
			return nil, invalid(map[string]string{"vmid": fmt.Sprintf("VM %d already exists", id)})
		}
		return strconv.Itoa(id), nil
	}
	for id := 100; ; id++ {
		if q.view().guests[id] == nil {
			return strconv.Itoa(id), nil
		}
	}
}
