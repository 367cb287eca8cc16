package pvefake

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Guests whose process is real: somebody outside runs it, tells the cluster where it lives, and does
// the work of its migrations. The cluster keeps configuration, lock and task.

// ErrInterrupted is what a migration's worker learns when its task was stopped through the API.
var ErrInterrupted = errors.New("interrupted by signal")

// MigrationRequest is a migration that a request or the HA manager has begun.
type MigrationRequest struct {
	UPID     string
	VMID     int
	From, To int // nodes
}

// BeginMigration starts the qmigrate task of a running VM and locks its configuration. Its worker
// calls LogTask, MoveGuest and at last FinishTask: "" for success, else the exit status of the task.
func (c *Cluster) BeginMigration(vmid, to int, user string) (upid string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, target := c.live.guests[vmid], c.node(to)
	switch {
	case g == nil:
		return "", fmt.Errorf("pvefake: no guest %d", vmid)
	case target == nil || target == g.node:
		return "", fmt.Errorf("pvefake: guest %d cannot be migrated from %s to node %d", vmid, g.node.name, to)
	case !g.node.quorate:
		return "", errors.New("cluster not ready - no quorum?")
	case g.conf["lock"] != "":
		return "", errors.New(lockedText(g, g.conf["lock"]))
	}
	return c.beginLive(g, user, func(string) {}).upid(), nil
}

func (c *Cluster) beginLive(g *guestConf, user string, done func(status string)) *task {
	c.setConf(g, "lock", "migrate")
	t := g.node.startTask("qmigrate", strconv.Itoa(g.vmid), user, time.Hour, func(*task) string {
		c.setConf(g, "lock", "")
		done("OK")
		return "OK"
	})
	t.due, t.live = time.Time{}, true
	t.abort = func(status string) {
		c.setConf(g, "lock", "")
		done(status)
	}
	return t
}

// claimed says whether a migration is the business of Options.Migrate, and hands it over.
func (c *Cluster) claimed(from, to *node, g *guestConf, user string, done func(status string)) (*task, bool) {
	if c.opt.Migrate == nil || g.lxc || !c.runsOn(g, from) || !c.run[g.vmid].real {
		return nil, false
	}
	t := c.beginLive(g, user, done)
	c.opt.Migrate(MigrationRequest{UPID: t.upid(), VMID: g.vmid, From: from.id, To: to.id})
	return t, true
}

// LogTask adds lines to a running task's log. It fails with ErrInterrupted once the task was told to stop.
func (c *Cluster) LogTask(upid string, lines ...string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tasks {
		switch {
		case t.upid() != upid:
		case !t.running():
			return fmt.Errorf("pvefake: task %s has ended with %q", upid, t.status)
		default:
			t.log = append(t.log, lines...)
			if t.interrupted {
				return ErrInterrupted
			}
			return nil
		}
	}
	return fmt.Errorf("pvefake: no task %s", upid)
}

// MoveGuest puts a guest's configuration into another node's directory, locked or not. Its process
// stays where SetGuestProcess said.
func (c *Cluster) MoveGuest(vmid, to int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, n := c.live.guests[vmid], c.node(to)
	if g == nil || n == nil {
		return fmt.Errorf("pvefake: no guest %d or no node %d", vmid, to)
	}
	if !g.node.quorate {
		return errors.New("cluster not ready - no quorum?")
	}
	c.move(g, n)
	return nil
}

// SetGuestProcess says on which node a guest's real process lives and its pid there; pid 0 says that
// there is none.
func (c *Cluster) SetGuestProcess(vmid, nodeID, pid int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.node(nodeID)
	if c.live.guests[vmid] == nil || n == nil {
		return fmt.Errorf("pvefake: no guest %d or no node %d", vmid, nodeID)
	}
	r := c.run[vmid]
	switch {
	case pid == 0:
		delete(c.run, vmid)
	case r == nil || r.pid != pid || r.node != n:
		c.run[vmid] = &guestRun{node: n, pid: pid, started: c.now, real: true}
	}
	return nil
}
