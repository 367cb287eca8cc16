package pvefake

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
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
	clustered := len(q.c.nodes) > 1
	if clustered {
		rows = append(rows, obj{
			"id": "cluster", "type": "cluster", "name": q.c.opt.ClusterName, "nodes": len(q.c.nodes),
			"quorate": bit(q.n.quorate), "version": len(q.c.nodes),
		})
	}
	for _, n := range shuffledNodes(q.c.nodes) {
		id := n.id
		if !clustered {
			id = 0 // a node without a cluster has no id
		}
		rows = append(rows, obj{
			"id": "node/" + n.name, "type": "node", "name": n.name, "nodeid": id, "ip": n.addr.IP.String(),
			"online": bit(q.n.members[n.id]), "local": bit(n == q.n), "level": "",
		})
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
		for _, n := range shuffledNodes(q.c.nodes) {
			rows = append(rows, q.nodeResource(n))
		}
	}
	if want == "" || want == "storage" {
		for _, n := range q.c.nodes {
			for _, s := range q.storages() {
				rows = append(rows, q.storageResource(n, s))
			}
		}
	}
	if want == "" || want == "sdn" {
		for _, n := range q.c.nodes {
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
	for _, n := range q.c.nodes {
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

func clusterOptions(q *call) (any, error) {
	if !q.may("/", "Sys.Audit") {
		return obj{"allowed-tags": list{}}, nil
	}
	return obj{"allowed-tags": list{}, "description": "", "mac_prefix": "BC:24:11"}, nil
}

func configHandlers() map[string]handler {
	return map[string]handler{
		"GET /cluster/config/join":       configJoin,
		"GET /cluster/config/nodes":      configNodes,
		"GET /cluster/config/totem":      func(q *call) (any, error) { return q.c.totem(), nil },
		"GET /cluster/config/qdevice":    func(*call) (any, error) { return obj{}, nil },
		"GET /cluster/config/apiversion": func(*call) (any, error) { return 1, nil },
	}
}

func (c *Cluster) totem() obj {
	if len(c.nodes) < 2 {
		return obj{}
	}
	return obj{
		"cluster_name": c.opt.ClusterName, "config_version": strconv.Itoa(len(c.nodes)), "interface": obj{"0": obj{"linknumber": "0"}},
		"ip_version": "ipv4-6", "link_mode": "passive", "secauth": "on", "token_coefficient": "125", "version": "2",
	}
}

// corosyncNode is a nodelist entry; corosync.conf knows only text.
func (c *Cluster) corosyncNode(n *node) obj {
	return obj{"name": n.name, "nodeid": strconv.Itoa(n.id), "quorum_votes": "1", "ring0_addr": n.addr.IP.String()}
}

func configNodes(q *call) (any, error) {
	rows := bag{}
	if len(q.c.nodes) < 2 {
		return rows, nil
	}
	for _, n := range q.c.nodes {
		row := q.c.corosyncNode(n)
		row["node"] = n.name
		rows = append(rows, row)
	}
	return rows, nil
}

// configJoin is what a joining node asks for; its nodelist has no order at all.
func configJoin(q *call) (any, error) {
	if len(q.c.nodes) < 2 {
		return nil, fail(424, "node is not in a cluster, no join info available!")
	}
	preferred := q.n.name
	if q.has("node") {
		if preferred = q.str("node"); q.c.nodeByName(preferred) == nil {
			return nil, fail(500, "unknown node '"+preferred+"'")
		}
	}
	nodes := bag{}
	for i, n := range q.c.nodes {
		row := q.c.corosyncNode(n)
		row["pve_addr"], row["pve_fp"] = n.addr.IP.String(), q.c.pki.nodes[i].fingerprint
		nodes = append(nodes, row)
	}
	return obj{"nodelist": nodes, "preferred_node": preferred, "totem": q.c.totem(), "config_digest": sha1hex(q.c.corosyncText())}, nil
}

// corosyncText is corosync.conf.
func (c *Cluster) corosyncText() string {
	if c.conf != "" {
		return c.conf
	}
	var b strings.Builder
	b.WriteString("logging {\n  debug: off\n  to_syslog: yes\n}\n\nnodelist {\n")
	for _, n := range c.nodes {
		fmt.Fprintf(&b, "  node {\n    name: %s\n    nodeid: %d\n    quorum_votes: 1\n    ring0_addr: %s\n  }\n", n.name, n.id, n.addr.IP)
	}
	fmt.Fprintf(&b, "}\n\nquorum {\n  provider: corosync_votequorum\n}\n\ntotem {\n  cluster_name: %s\n  config_version: %d\n"+
		"  interface {\n    linknumber: 0\n  }\n  ip_version: ipv4-6\n  link_mode: passive\n  secauth: on\n  token_coefficient: 125\n  version: 2\n}\n",
		c.opt.ClusterName, len(c.nodes))
	return b.String()
}
