package pvefake

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

func configHandlers() map[string]handler {
	return map[string]handler{
		"GET /cluster/config":                 configIndex,
		"POST /cluster/config":                configCreate,
		"GET /cluster/config/join":            configJoin,
		"POST /cluster/config/join":           configJoinCluster,
		"GET /cluster/config/nodes":           configNodes,
		"POST /cluster/config/nodes/{node}":   configAddNode,
		"DELETE /cluster/config/nodes/{node}": configDeleteNode,
		"GET /cluster/config/totem":           func(q *call) (any, error) { return q.totem(), nil },
		"GET /cluster/config/qdevice":         configQDevice,
		"GET /cluster/config/apiversion":      func(*call) (any, error) { return 1, nil },
	}
}

func configIndex(*call) (any, error) {
	return list{obj{"name": "nodes"}, obj{"name": "totem"}, obj{"name": "join"}, obj{"name": "qdevice"}, obj{"name": "apiversion"}}, nil
}

func configQDevice(q *call) (any, error) {
	if q.c.qdevice == "" || !q.n.inCluster() {
		return obj{}, nil
	}
	return obj{
		"QNetd host": q.c.qdevice + ":5403", "Algorithm": "Fifty-Fifty split", "State": "Connected", "Tie-breaker": "Node with lowest node ID",
		"Model": "Net", "Cluster name": q.c.name(),
	}, nil
}

func (q *call) totem() obj {
	if !q.n.inCluster() {
		return obj{}
	}
	interfaces := obj{}
	for _, link := range q.c.linkNumbers() {
		interfaces[link] = obj{"linknumber": link}
	}
	t := obj{
		"cluster_name": q.c.name(), "config_version": strconv.Itoa(q.c.confVersion), "interface": interfaces,
		"ip_version": "ipv4-6", "link_mode": "passive", "secauth": "on", "version": "2",
	}
	if q.c.tokenCoefficient != "" {
		t["token_coefficient"] = q.c.tokenCoefficient
	}
	return t
}

// linkNumbers are those of the first member, as text.
func (c *Cluster) linkNumbers() []string {
	var out []string
	for _, ring := range c.members()[0].rings() {
		out = append(out, strings.TrimSuffix(strings.TrimPrefix(ring[0], "ring"), "_addr"))
	}
	return out
}

// corosyncNode is a nodelist entry; corosync.conf knows only text.
func corosyncNode(n *node) obj {
	row := obj{"name": n.name, "nodeid": strconv.Itoa(n.nodeID), "quorum_votes": strconv.Itoa(n.votes)}
	for _, ring := range n.rings() {
		row[ring[0]] = ring[1]
	}
	return row
}

func configNodes(q *call) (any, error) {
	rows := bag{}
	if !q.n.inCluster() {
		return rows, nil
	}
	for _, n := range q.mates() {
		row := corosyncNode(n)
		row["node"] = n.name
		rows = append(rows, row)
	}
	return rows, nil
}

// configJoin is what a joining node asks for; its nodelist has no order at all.
func configJoin(q *call) (any, error) {
	if !q.n.inCluster() {
		return nil, fail(424, "node is not in a cluster, no join info available!")
	}
	preferred := q.n.name
	if q.has("node") {
		if preferred = q.str("node"); q.n.mate(preferred) == nil {
			return nil, fail(500, "unknown node '"+preferred+"'")
		}
	}
	nodes := bag{}
	for _, n := range q.mates() {
		row := corosyncNode(n)
		row["pve_addr"], row["pve_fp"] = n.ip.String(), q.c.pki.nodes[n.id-1].fingerprint
		nodes = append(nodes, row)
	}
	return obj{"nodelist": nodes, "preferred_node": preferred, "totem": q.totem(), "config_digest": sha1hex(q.c.corosyncText())}, nil
}

// corosyncText is corosync.conf.
func (c *Cluster) corosyncText() string {
	if c.conf != "" {
		return c.conf
	}
	var b strings.Builder
	b.WriteString("logging {\n  debug: off\n  to_syslog: yes\n}\n\nnodelist {\n")
	for _, n := range c.members() {
		fmt.Fprintf(&b, "  node {\n    name: %s\n    nodeid: %d\n    quorum_votes: %d\n", n.name, n.nodeID, n.votes)
		for _, ring := range n.rings() {
			fmt.Fprintf(&b, "    %s: %s\n", ring[0], ring[1])
		}
		b.WriteString("  }\n")
	}
	b.WriteString("}\n\nquorum {\n  provider: corosync_votequorum\n")
	if c.qdevice != "" {
		fmt.Fprintf(&b, "  device {\n    model: net\n    votes: 1\n    net {\n      algorithm: ffsplit\n      host: %s\n      tls: on\n    }\n  }\n", c.qdevice)
	}
	fmt.Fprintf(&b, "}\n\ntotem {\n  cluster_name: %s\n  config_version: %d\n", c.name(), c.confVersion)
	for _, link := range c.linkNumbers() {
		fmt.Fprintf(&b, "  interface {\n    linknumber: %s\n  }\n", link)
	}
	b.WriteString("  ip_version: ipv4-6\n  link_mode: passive\n  secauth: on\n")
	if c.tokenCoefficient != "" {
		fmt.Fprintf(&b, "  token_coefficient: %s\n", c.tokenCoefficient)
	}
	b.WriteString("  version: 2\n}\n")
	return b.String()
}

// givenLinks reads link0 to link7.
func (q *call) givenLinks() map[int]string {
	links := map[int]string{}
	for k := range indexLimits["link"] {
		if v := q.str(fmt.Sprintf("link%d", k)); v != "" {
			links[k] = properties(v, "address")["address"]
		}
	}
	return links
}

const clusterExists = "cluster config '/etc/pve/corosync.conf' already exists"

// configCreate is pve-cluster src/PVE/API2/ClusterConfig.pm create.
func configCreate(q *call) (any, error) {
	c, n := q.c, q.n
	links := q.givenLinks()
	if n.inCluster() {
		return nil, fail(500, clusterExists)
	}
	for _, addr := range links {
		if net.ParseIP(addr) == nil && c.nodeByName(addr) == nil {
			return nil, fail(500, "hostname lookup '"+addr+"' failed - failed to get address info for: "+addr+": Name or service not known")
		}
	}
	name, id, votes := q.str("clustername"), int(q.num("nodeid", 1)), int(q.num("votes", 1))
	token := q.str("token-coefficient")
	if token == "" && c.newHA() {
		token = "125"
	}
	t := n.perform("clustercreate", name, q, 4*time.Second, func(t *task) string {
		if c.clustered {
			return clusterExists
		}
		t.log = append(t.log, "Corosync Cluster Engine Authentication key generator.", "Gathering 2048 bits for key from /dev/urandom.",
			"Writing corosync key to /etc/corosync/authkey.", "Writing corosync config to /etc/pve/corosync.conf", "Restart corosync and cluster filesystem")
		c.tokenCoefficient = token
		c.found(n, name, id, votes, links)
		return "OK"
	})
	return t.upid(), nil
}

// configAddNode is what a joiner's node asks a member for.
func configAddNode(q *call) (any, error) {
	if err := q.needQuorum(); err != nil {
		return nil, err
	}
	links := q.givenLinks()
	if len(links) == 0 && !q.has("new_node_ip") {
		return nil, fail(500, "no links and no fallback ip (new_node_ip) given, cannot join cluster")
	}
	n := q.c.nodeByName(q.str("node"))
	if !q.n.inCluster() || n == nil {
		return nil, fail(500, "unable to add '"+q.str("node")+"'")
	}
	if err := q.c.list(n, int(q.num("nodeid", 0)), int(q.num("votes", 1)), links); err != "" {
		return nil, fail(500, err)
	}
	return obj{"warnings": list{}, "corosync_authkey": "", "corosync_conf": q.c.corosyncText()}, nil
}

// list writes a new node into corosync.conf; the texts are those of PVE::API2::ClusterConfig addnode.
func (c *Cluster) list(n *node, nodeID, votes int, links map[int]string) string {
	first := c.members()[0]
	have := first.links
	if len(have) == 0 {
		have = map[int]string{0: first.ip.String()}
	}
	if len(links) == 0 && len(have) > 1 {
		return "no links given but multiple links found on other nodes, fallback not supported on multi-link clusters"
	}
	if len(links) == 0 {
		for k := range have {
			links = map[int]string{k: n.ip.String()}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(links)) {
		if _, ok := have[k]; !ok {
			return fmt.Sprintf("corosync: link %d specified for new node doesn't exist in cluster config", k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(have)) {
		if _, ok := links[k]; !ok {
			return fmt.Sprintf("corosync: link %d specified in cluster config but not given for new node", k)
		}
	}
	for _, o := range c.members() {
		for k, addr := range links {
			if o != n && o.links[k] == addr {
				return fmt.Sprintf("corosync: address '%s' already used on link %d by node '%s'", addr, k, o.name)
			}
		}
		if nodeID != 0 && o != n && o.nodeID == nodeID {
			return fmt.Sprintf("corosync: node ID '%d' already used by node '%s'", nodeID, o.name)
		}
	}
	if nodeID == 0 {
		nodeID = c.freeNodeID()
	}
	for _, m := range c.members() {
		m.expected = 0 // corosync reads the nodelist again
	}
	n.listed, n.listedAt, n.nodeID, n.votes, n.links = true, c.now, nodeID, votes, links
	c.confVersion++
	return ""
}

// configDeleteNode removes a node from corosync.conf. Nobody stops who removes one that runs: it goes on
// for itself, with the files of the cluster it was in.
func configDeleteNode(q *call) (any, error) {
	if err := q.needQuorum(); err != nil {
		return nil, err
	}
	c := q.c
	n := q.n.mate(q.str("node"))
	switch {
	case n == nil || !q.n.inCluster():
		return nil, fail(500, "Node/IP: "+q.str("node")+" is not a known host of the cluster.")
	case n == q.n:
		return nil, fail(500, "Cannot delete myself from cluster!")
	}
	for _, m := range c.members() {
		m.expected = 0 // corosync reads the nodelist again
	}
	n.stale = n.up // its corosync.conf and authkey are left there
	c.makeAlone(n)
	c.confVersion++
	delete(c.live.ha.manager.nodes, n.name)
	delete(c.live.ha.lrm, n.name)
	return nil, nil
}
