package pvefake

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"
)

// The moments of a join, from its beginning, as a real one showed them: the members list the joiner,
// its pmxcfs is replaced, corosync is up, the API's services restart, they are back.
const (
	joinListed   = 1 * time.Second
	joinReplaced = 2 * time.Second
	joinOnline   = 6 * time.Second
	joinRestart  = 8 * time.Second
	joinBack     = 13 * time.Second
)

// join is one node's joining, moved by tickJoins.
type join struct {
	n, member *node
	t         *task
	began     time.Time
	links     map[int]string
	nodeID    int
	votes     int
	stage     int
}

// configJoinCluster is called on the joiner (pve-cluster src/PVE/Cluster/Setup.pm join).
func configJoinCluster(q *call) (any, error) {
	c, n := q.c, q.n
	j := &join{n: n, began: c.now, links: q.givenLinks(), nodeID: int(q.num("nodeid", 0)), votes: int(q.num("votes", 1))}
	host, password, fp := q.str("hostname"), q.str("password"), q.str("fingerprint")
	problems := n.assertJoinable(j.links)
	if q.flag("force") {
		problems = nil
	}
	status := ""
	var log []string
	switch {
	case len(problems) > 0:
		log = append(log, "detected the following error(s):")
		for _, p := range problems {
			log = append(log, "* "+p)
		}
		status = "Check if node may join a cluster failed!"
	default:
		log = append(log, "Establishing API connection with host '"+host+"'")
		var said []string
		j.member, said, status = c.askMember(n, host, password, fp)
		log = append(log, said...)
	}
	if status != "" {
		t := n.startTask("clusterjoin", "", q.id.name(), time.Second, func(*task) string { return status })
		t.log = append(t.log, log...)
		return t.upid(), nil
	}
	t := n.perform("clusterjoin", "", q, time.Second, nil)
	t.log = append(t.log, log...)
	j.t = t
	switch {
	case t.live || c.held[t.typ]: // somebody does it on real daemons, or lets it end
		t.finish = func(*task) string { return j.atOnce() }
	case t.finish == nil: // else a rule makes it fail
		t.due = time.Time{}
		c.joins = append(c.joins, j)
	}
	return t.upid(), nil
}

// askMember is the joiner's login at the member.
func (c *Cluster) askMember(n *node, host, password, fp string) (m *node, log []string, status string) {
	m = c.nodeByAddress(host)
	switch {
	case m == nil && net.ParseIP(host) == nil:
		return nil, nil, "500 Can't connect to " + host + ":8006 (Temporary failure in name resolution)"
	case m == nil || !m.running() || m == n && m.locked:
		return nil, nil, "500 Can't connect to " + host + ":8006 (Connection refused)"
	case !strings.EqualFold(fp, c.pki.nodes[m.id-1].fingerprint):
		return nil, nil, "fingerprint '" + c.pki.nodes[m.id-1].fingerprint + "' not verified, abort!"
	case m.auth().users["root@pam"].password != password:
		return nil, nil, "401 authentication failure"
	}
	log = []string{"Login succeeded.", "check cluster join API version", "Request addition of this node"}
	if !m.inCluster() || !m.quorate {
		return nil, append(log, "An error occurred on the cluster node: cluster not ready - no quorum?"), "Cluster join aborted!"
	}
	return m, log, ""
}

// assertJoinable is pve-cluster src/PVE/Cluster/Setup.pm assert_joinable.
func (n *node) assertJoinable(links map[int]string) []string {
	var out []string
	if n.inCluster() || n.joining() || n.stale {
		out = append(out, "authentication key '/etc/corosync/authkey' already exists", clusterExists)
	}
	for _, g := range n.own().guests {
		if g.node == n {
			out = append(out, "this host already contains virtual guests")
			break
		}
	}
	if n.inCluster() || n.joining() || n.stale {
		out = append(out, "corosync is already running, is this node already in a cluster?!")
	}
	for _, k := range slices.Sorted(maps.Keys(links)) {
		if !n.hasAddress(links[k]) {
			out = append(out, fmt.Sprintf("link%d: cannot use IP '%s', not found on local node!", k, links[k]), "")
		}
	}
	return out
}

// tickJoins moves joins on.
func (c *Cluster) tickJoins() {
	var left []*join
	for _, j := range c.joins {
		if c.stepJoin(j) {
			left = append(left, j)
		}
	}
	c.joins = left
}

// stepJoin does what is due; false means that the join is over.
func (c *Cluster) stepJoin(j *join) bool {
	stages := []struct {
		after time.Duration
		do    func() bool
	}{
		{joinListed, j.list}, {joinReplaced, j.replace}, {joinOnline, j.online}, {joinRestart, j.restart}, {joinBack, j.back},
	}
	for j.stage < len(stages) && c.since(j.began) >= stages[j.stage].after {
		if j.t.failed() || !j.n.up {
			return false
		}
		if !stages[j.stage].do() {
			return false
		}
		j.stage++
	}
	return j.stage < len(stages)
}

// atOnce is the whole of a join that was done outside.
func (j *join) atOnce() string {
	if e := j.n.c.list(j.n, j.nodeID, j.votes, j.links); e != "" {
		return e
	}
	j.n.c.enter(j.n)
	return "OK"
}

func (j *join) list() bool {
	c := j.n.c
	e := "cluster not ready - no quorum?"
	if j.member.quorate && j.member.running() {
		e = c.list(j.n, j.nodeID, j.votes, j.links)
	}
	if e != "" {
		j.t.log = append(j.t.log, "An error occurred on the cluster node: "+e)
		c.endTask(j.t, "Cluster join aborted!")
		return false
	}
	j.t.log = append(j.t.log, "Join request OK, finishing setup locally", "stopping pve-cluster service")
	return true
}

// replace: from here on nobody can log in at the joiner, and what it knew is gone.
func (j *join) replace() bool {
	j.t.log = append(j.t.log, fmt.Sprintf("backup old database to '/var/lib/pve-cluster/backup/config-%d.sql.gz'", j.n.c.unix()))
	j.n.locked = true
	if j.n.silent {
		j.n.apiDown = true
		j.n.stopListening()
		j.t.status, j.t.end = "unexpected status", j.n.c.unix()
		return false
	}
	return true
}

func (j *join) online() bool {
	j.n.c.enter(j.n)
	j.t.log = append(j.t.log, "waiting for quorum...OK", "(re)generate node files", "generate new node certificate", "merge authorized SSH keys")
	return true
}

func (j *join) restart() bool {
	j.t.log = append(j.t.log, "generated new node certificate, restart pveproxy and pvedaemon services", "successfully added node '"+j.n.name+"' to cluster.")
	j.n.apiDown = true
	j.n.stopListening()
	j.n.c.endTask(j.t, "")
	return true
}

func (j *join) back() bool {
	j.n.locked, j.n.apiDown = false, false
	if err := j.n.startListening(); err != nil {
		j.n.logLine("pveproxy", "root@pam", err.Error())
	}
	return true
}

// nodeByAddress finds a machine by a name or any of its addresses.
func (c *Cluster) nodeByAddress(host string) *node {
	for _, n := range c.nodes {
		if n.name == host || n.name+".lab" == host || n.hasAddress(host) {
			return n
		}
	}
	return nil
}
