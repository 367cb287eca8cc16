package pvefake

import (
	"fmt"
	"strings"
	"time"
)

// task is one worker process of a node.
type task struct {
	node       *node
	pid        int
	pstart     int64
	start, end int64
	typ, id    string
	user       string
	log        []string
	status     string    // "" while running
	due        time.Time // when it ends by itself; zero: only by FinishTask
	finish     func(*task) string
	abort      func(status string) // cleans up when the task is made to fail instead of finishing

	warned      string // ends with that instead of OK
	doomed      bool   // a rule makes it fail
	live        bool   // somebody outside does its work and ends it
	interrupted bool   // that one is to be told to stop
}

// workerKeep is how many ended tasks a node tells the others about, beside all running ones
// (pve-common src/PVE/RESTEnvironment.pm active_workers; the list is cut at 32 KiB by pmxcfs).
const (
	workerKeep     = 25
	workerListSize = 32 << 10
)

// upid is UPID:node:pid:pstart:starttime:type:id:user: in hexadecimal (pve-common src/PVE/Tools.pm).
func (t *task) upid() string {
	return fmt.Sprintf("UPID:%s:%08X:%08X:%08X:%s:%s:%s:", t.node.name, t.pid, t.pstart, t.start, t.typ, t.id, t.user)
}

func (t *task) running() bool { return t.status == "" }

// failed says whether the task list shows it under errors: warnings are no errors.
func (t *task) failed() bool {
	return !t.running() && t.status != "OK" && !strings.HasPrefix(t.status, "WARNINGS:")
}

// startTask forks a worker. finish runs when it ends, returns the exit status and may add to the log.
func (n *node) startTask(typ, id, user string, lasts time.Duration, finish func(*task) string) *task {
	c := n.c
	c.nextPID += 1 + c.rnd.IntN(7)
	t := &task{
		node: n, pid: c.nextPID, pstart: int64(c.since(n.booted)/(10*time.Millisecond)) + int64(c.rnd.IntN(100)),
		start: c.stamp(), typ: typ, id: id, user: user, due: c.now.Add(lasts), finish: finish,
	}
	if c.held[typ] {
		t.due = time.Time{}
	}
	c.tasks = append(c.tasks, t)
	n.logLine("pvedaemon", user, "starting task "+t.upid())
	switch forced := c.taskFault(t); {
	case forced == "":
	case strings.HasPrefix(forced, "WARNINGS:"): // it has done its work
		t.warned = forced
	default:
		t.doomed = true
		t.finish = func(*task) string {
			t.aborted(forced)
			return forced
		}
	}
	if lasts <= 0 && !t.due.IsZero() {
		c.endTask(t, "")
	}
	return t
}

func (t *task) aborted(status string) {
	if t.abort != nil {
		t.abort(status)
	}
}

// endTask ends a running task; a forced status skips what the task would have done.
func (c *Cluster) endTask(t *task, forced string) {
	if !t.running() {
		return
	}
	status := forced
	if forced != "" {
		t.aborted(forced)
	} else {
		status = "OK"
		if t.finish != nil {
			status = t.finish(t)
		}
		if status == "OK" && t.warned != "" {
			t.log = append(t.log, "WARN: a warning")
			status = t.warned
		}
	}
	if status == "OK" || strings.HasPrefix(status, "WARNINGS:") {
		t.log = append(t.log, "TASK "+status)
	} else {
		t.log = append(t.log, "TASK ERROR: "+status)
	}
	t.status, t.end = status, c.stamp()
	t.node.logLine("pvedaemon", t.user, "end task "+t.upid()+" "+status)
}

func (c *Cluster) tickTasks() {
	for _, t := range c.tasks {
		switch {
		case !t.running():
		case !t.node.up || t.node.booted.After(time.Unix(t.start, 0)):
			// The worker died with its node; the index says so after the next boot.
			t.status, t.end = "unexpected status", c.unix()
		case !t.due.IsZero() && !t.due.After(c.now):
			c.endTask(t, "")
		}
	}
}

// broadcast is what a node tells the cluster of its tasks: newest first, all that run and as many ended
// ones as make 25 in total, and no more than 32 KiB.
func (n *node) broadcast() []*task {
	var out []*task
	running := 0
	for _, t := range n.c.tasks {
		if t.node == n && t.running() {
			running++
		}
	}
	ended, size := 0, 0
	for i := len(n.c.tasks) - 1; i >= 0; i-- {
		t := n.c.tasks[i]
		if t.node != n {
			continue
		}
		if !t.running() {
			if running+ended >= workerKeep {
				continue
			}
			ended++
		}
		if size += len(t.upid()) + len(t.status) + 160; size > workerListSize {
			break
		}
		out = append(out, t)
	}
	return out
}

// HoldTasks makes tasks of a type run until FinishTask ends them.
func (c *Cluster) HoldTasks(typ string, hold bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held[typ] = hold
}

// FinishTask ends a running task: "" lets it do its work, any other status ends it with that and
// without effect.
func (c *Cluster) FinishTask(upid, status string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tasks {
		if t.upid() == upid {
			if !t.running() {
				return fmt.Errorf("pvefake: task %s has ended with %q", upid, t.status)
			}
			c.endTask(t, status)
			return nil
		}
	}
	return fmt.Errorf("pvefake: no task %s", upid)
}

// AddTask records a task that began ago and ended with status after lasted; "" leaves it running. It
// returns the UPID. Tasks are to be added oldest first.
func (c *Cluster) AddTask(nodeID int, typ, id, user, status string, ago, lasted time.Duration) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.node(nodeID)
	c.nextPID += 1 + c.rnd.IntN(7)
	t := &task{node: n, pid: c.nextPID, pstart: int64(c.rnd.IntN(1 << 20)), start: c.now.Add(-ago).Unix(), typ: typ, id: id, user: user, status: status}
	if status != "" {
		t.end = t.start + int64(lasted/time.Second)
		t.log = []string{"TASK " + status}
		if t.failed() {
			t.log = []string{"TASK ERROR: " + status}
		}
	}
	c.tasks = append(c.tasks, t)
	return t.upid()
}

// logEntry is a line of the cluster log.
type logEntry struct {
	node         *node
	uid, pid     int
	at           int64
	pri          int
	tag, user, m string
}

func (n *node) logLine(tag, user, msg string) {
	c := n.c
	c.logUID++
	c.log = append(c.log, logEntry{node: n, uid: c.logUID, pid: 1000 + n.id, at: c.unix(), pri: 6, tag: tag, user: user, m: msg})
	if len(c.log) > 500 {
		c.log = c.log[len(c.log)-500:]
	}
}
