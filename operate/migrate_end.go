package operate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/transport"
)

// How long the HA manager is waited for. It has a round every 10 s.
const (
	haIgnores = time.Minute // until it takes a request up
	haLook    = 2 * time.Second
)

// arrived returns when the guest is on its target as it was before.
func (v *moving) arrived(ctx context.Context) error {
	if v.report.HA {
		return v.arrivedHA(ctx)
	}
	p := engine.Poll{Clock: v.c.Clock, What: v.g.SID() + " on " + v.target, Every: time.Second, Limit: 30 * time.Second, Again: transport.Passing}
	return p.Until(ctx, func(ctx context.Context) (bool, string, error) {
		is, err := v.c.where(ctx, v.by, v.g)
		return err == nil && is.Node == v.target && is.Status == v.g.Status && !is.paused(), is.String(), err
	})
}

// arrivedHA follows what the HA manager makes of the request: the task that asked it has ended at once.
func (v *moving) arrivedHA(ctx context.Context) error {
	var task string // that does the work
	began, moved, ended := v.c.Clock.Now(), false, false
	p := engine.Poll{Clock: v.c.Clock, What: v.g.SID() + " on " + v.target, Every: haLook, Limit: v.c.tasks().Limit, Again: transport.Passing}
	return p.Until(ctx, func(ctx context.Context) (bool, string, error) {
		if task == "" {
			if task = v.begun(ctx); task != "" {
				v.report.UPID = task
				v.tell.Task(v.g.Node, task)
			}
		}
		ha, err := v.ha(ctx)
		if err != nil {
			return false, "", err
		}
		s, known := State{HA: ha}.Service(v.g.SID())
		state := fmt.Sprintf("%s is %s on %s", v.g.SID(), s.State, s.Node)
		moved = moved || s.State == pve.HAServiceMigrate || s.State == pve.HAServiceRelocate || s.Node == v.target
		if task != "" && !ended {
			// A source that died answers no more: then the manager's word counts alone.
			if ended, err = v.followTask(ctx, task); err != nil && !transport.Passing(err) {
				return false, state, err
			}
		}
		switch {
		case !known:
			return false, "", fmt.Errorf("%s is no longer under HA", v.g.SID())
		case s.State == pve.HAServiceError:
			return false, "", fmt.Errorf("the HA manager has %s in error on %s; it leaves that only by being disabled (`ha-manager set %s --state disabled`)", s.SID, s.Node, s.SID)
		case s.Node == v.target && (s.State == pve.HAServiceStopped || s.State == pve.HAServiceStarted && s.Running):
			return true, "", nil
		case s.State == pve.HAServiceStarted && s.Running && s.Node != v.g.Node:
			return false, "", fmt.Errorf("the HA manager has put %s on %s", s.SID, s.Node)
		case moved && s.Node == v.target && s.Target == v.g.Node:
			return false, "", fmt.Errorf("the HA manager takes %s back to %s: its rules prefer that node (see its group or node affinity, and failback)", s.SID, v.g.Node)
		case !moved && v.c.Clock.Now().Sub(began) > haIgnores:
			return false, "", fmt.Errorf("the HA manager has not taken the request up in %s: its rules may keep %s from %s (its log on the master says why)", haIgnores, s.SID, v.target)
		}
		return false, state, nil
	})
}

// ha is what the HA manager says; the node that is asked may be the one that dies.
func (v *moving) ha(ctx context.Context) (pve.HA, error) {
	ha, err := v.c.haOf(ctx, v.by)
	if err == nil || ctx.Err() != nil {
		return ha, err
	}
	s, serr := v.c.Speaker(ctx)
	if serr != nil {
		return ha, err
	}
	v.by = s.Node
	return v.c.haOf(ctx, v.by)
}

// followTask tells how far the HA manager's task is; it fails if the task did.
func (v *moving) followTask(ctx context.Context, upid string) (ended bool, err error) {
	status, err := v.c.tasks().Status(ctx, upid)
	if err != nil {
		return false, err
	}
	if status.Status != "stopped" {
		if log, err := v.c.tasks().Tail(ctx, upid, 1); err == nil && len(log) > 0 {
			v.tell.Progress(v.g.Node, log[0])
		}
		return false, nil
	}
	if !status.Good() {
		return true, v.c.tasks().Failure(ctx, upid, status.Exit)
	}
	return true, nil
}

// A whereabouts is where a guest is and how.
type whereabouts struct {
	Guest
	QEMU string // what QEMU says: running, paused, postmigrate …; "" of containers
}

func (w whereabouts) paused() bool {
	return w.QEMU != "" && w.Status == "running" && w.QEMU != "running"
}

func (w whereabouts) String() string {
	text := fmt.Sprintf("%s is %s on %s", w.SID(), w.Status, w.Node)
	if w.paused() {
		text += ", and QEMU says " + w.QEMU
	}
	if w.Lock != "" {
		text += ", and locked (" + w.Lock + ")"
	}
	return text
}

// where looks for a guest and asks its node about it.
func (c *Cluster) where(ctx context.Context, node string, g Guest) (whereabouts, error) {
	var s State
	s.Members.Node = node
	if err := c.readResources(ctx, &s); err != nil {
		return whereabouts{}, err
	}
	is, ok := s.Guest(g.VMID)
	if !ok {
		return whereabouts{}, fmt.Errorf("%s is gone", g.SID())
	}
	var now struct {
		Name   string `json:"name"`
		Status string `json:"status"`
		QEMU   string `json:"qmpstatus"`
		Lock   string `json:"lock"`
	}
	if err := c.Nodes.API(node).Get(ctx, fmt.Sprintf("/nodes/%s/%s/%d/status/current", is.Node, is.Kind, is.VMID), &now); err != nil {
		return whereabouts{Guest: is}, err
	}
	is.Name, is.Status, is.Lock = now.Name, now.Status, now.Lock
	return whereabouts{is, now.QEMU}, nil
}

// lookAfter is how long looking at what was left may take once the operation's own context has ended.
const lookAfter = 30 * time.Second

// failed is the error of a migration that was asked for and did not end well: how the guest is now, and what is
// to be done when.
func (v *moving) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &UnfinishedError{err, "the migration goes on without us",
			fmt.Sprintf("watch it with `pvesh get /nodes/%s/tasks/%s/log`, or run this again: it does nothing once the guest is there", v.g.Node, v.report.UPID)}
	}
	var task *engine.TaskError
	if errors.As(err, &task) && len(task.Log) > 0 {
		v.tell.tell(engine.Event{Event: engine.EventError, Node: task.Node, UPID: task.UPID, Text: task.Status, Log: task.Log})
		err = fmt.Errorf("%w; it said: %s", err, lastError(task.Log))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookAfter)
	defer cancel()
	by := v.by
	if speaker, serr := v.c.Speaker(ctx); serr == nil { // the one before may be what died
		by = speaker.Node
	}
	is, werr := v.c.where(ctx, by, v.g)
	if werr != nil {
		return &UnfinishedError{err, fmt.Sprintf("where %s is now cannot be seen: %v", v.g.SID(), werr), "see `ha-manager status` and the summary of the guest"}
	}
	working, terr := v.stillWorking(ctx)
	return &UnfinishedError{err, is.String(), v.advice(is, working, terr)}
}

// lastError is the line of a task's log that says what went wrong.
func lastError(log []string) string {
	for i := len(log) - 1; i >= 0; i-- {
		if _, text, ok := strings.Cut(log[i], "ERROR: "); ok && !strings.HasPrefix(log[i], "TASK ERROR") {
			return text
		}
	}
	return log[len(log)-1]
}

// stillWorking is the UPID of a migration of the guest that runs.
func (v *moving) stillWorking(ctx context.Context) (string, error) {
	running, err := v.c.tasks().Active(ctx, v.g.Node)
	if err != nil {
		return "", err
	}
	for _, t := range running {
		if t.Type != v.taskType() || t.ID != fmt.Sprint(v.g.VMID) {
			continue
		}
		if s, err := v.c.tasks().Status(ctx, t.UPID); err == nil && s.Status != "stopped" {
			return t.UPID, nil
		}
	}
	return "", nil
}

// advice says what is right to do with a guest that was left so.
func (v *moving) advice(is whereabouts, working string, unknown error) string {
	do := func(verb string) string {
		return fmt.Sprintf("`%s %s %d` on %s", program(v.g), verb, v.g.VMID, is.Node)
	}
	var out []string
	switch {
	case working != "":
		return "task " + working + " still works on it: wait for that"
	case unknown != nil && is.Lock != "":
		return fmt.Sprintf("whether a task still works on it cannot be seen, as %s does not answer; leave the lock until it does", v.g.Node)
	case is.Lock != "":
		out = append(out, "no task works on it any more: "+do("unlock"))
	}
	switch {
	case is.paused():
		out = append(out, fmt.Sprintf("if it runs on no other node (`%s list` on %s and %s), %s", program(v.g), v.g.Node, v.target, do("resume")))
	case is.Status != v.g.Status && v.g.Status == "running" && !v.report.HA:
		out = append(out, fmt.Sprintf("if it runs on no other node (`%s list` on %s and %s), %s", program(v.g), v.g.Node, v.target, do("start")))
	case is.Node == v.g.Node:
		out = append(out, "it is as before: once the cause is gone, run this again")
	default:
		out = append(out, "see `ha-manager status`")
	}
	return strings.Join(out, "; ")
}
