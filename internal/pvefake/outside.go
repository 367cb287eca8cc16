package pvefake

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// What somebody outside does on real daemons, while the fake keeps configuration, tasks and its own
// picture of it all. Only what the fake would do itself is handed over: what it refuses stays refused.

// Work is a task of the API that Options.Perform may take over.
type Work struct {
	UPID   string
	Type   string // of the task: clustercreate, clusterjoin, cephcreatemon, cephcreateosd, qmcreate, …
	ID     string
	Node   int               // that does it
	Params map[string]string // of the request
	Images []Image           // of RBD that a new guest's disks are to be, by the names that they will have
}

// Image is one of RBD.
type Image struct {
	Pool, Name string
	Bytes      int64
}

// CephCommand is one of Ceph's that root gives over SSH.
type CephCommand struct {
	Node int // where it is given
	Argv []string
}

// Reply is what a command leaves behind.
type Reply struct {
	Stdout, Stderr string
	Exit           int
}

// perform starts a task that Options.Perform may take over, unless a rule makes it fail.
func (n *node) perform(typ, id string, q *call, lasts time.Duration, finish func(*task) string, images ...Image) *task {
	t := n.startTask(typ, id, q.id.name(), lasts, finish)
	w := Work{UPID: t.upid(), Type: typ, ID: id, Node: n.id, Params: maps.Clone(q.params), Images: images}
	if p := n.c.opt.Perform; p != nil && t.running() && !t.doomed && p(w) {
		t.due, t.live = time.Time{}, true
	}
	return t
}

// orOutside lets Options.PerformCommand give a command that the fake would obey. The fake obeys as well,
// once that went well.
func orOutside(cmd sshCommand) func(*invocation) output {
	return func(v *invocation) output {
		c := v.n.c
		if c.opt.PerformCommand == nil || v.n.cephFails() != nil {
			return cmd.run(v)
		}
		reply, ok := c.opt.PerformCommand(CephCommand{Node: v.n.id, Argv: append(strings.Fields(cmd.words), v.args...)})
		if !ok {
			return cmd.run(v)
		}
		if reply.Exit == 0 {
			_ = cmd.run(v) // what it says was said better
			c.ceph.takeKey(reply.Stdout)
		}
		return output{stdout: reply.Stdout, stderr: reply.Stderr, exit: reply.Exit}
	}
}

// takeKey keeps the key of a keyring that Ceph has shown.
func (s *cephState) takeKey(keyring string) {
	name := ""
	for _, line := range strings.Split(keyring, "\n") {
		line = strings.TrimSpace(line)
		if section, ok := strings.CutPrefix(line, "["); ok {
			name = strings.TrimSuffix(section, "]")
		}
		if key, ok := strings.CutPrefix(line, "key = "); ok && s.keys[name] != "" {
			s.keys[name] = key
		}
	}
}

// cephGuardStatus is what GET ceph/status answers: with Options.CephStatus the real `ceph status`, to which
// Proxmox VE adds the maps of monitors and managers, which it leaves out (PVE::Ceph::Tools::ceph_cluster_status).
func cephGuardStatus(q *call) (any, error) {
	own, err := cephGuard(cephStatus)(q)
	if err != nil || q.c.opt.CephStatus == nil {
		return own, err
	}
	var said map[string]json.RawMessage
	if err := q.c.askCeph(&said); err != nil {
		return nil, err
	}
	o := own.(obj)
	for key, value := range said {
		if key != "monmap" && key != "mgrmap" {
			o[key] = value
		}
	}
	return o, nil
}

// askCeph decodes what Options.CephStatus says.
func (c *Cluster) askCeph(into any) error {
	text, err := c.opt.CephStatus()
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return fail(500, fmt.Sprintf("got timeout (%v)", err))
	}
	return nil
}

// monQuorum says whether a monitor is in quorum, as the real Ceph has it if there is one.
func (c *Cluster) monQuorum() (func(cephDaemon) bool, error) {
	if c.opt.CephStatus == nil || len(c.ceph.mons) == 0 {
		return cephDaemon.runs, nil
	}
	var said struct {
		Names []string `json:"quorum_names"`
	}
	err := c.askCeph(&said)
	return func(d cephDaemon) bool { return slices.Contains(said.Names, d.name) }, err
}
