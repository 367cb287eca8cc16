package living

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/transport"
)

// tailLines are how much of a failed task's log is shown.
const tailLines = 20

// Tasks starts tasks of Proxmox VE and waits for them.
type Tasks struct {
	Nodes transport.Set
	Clock engine.Clock
	Limit time.Duration // of one task
}

// TaskStatus is how a task stands.
type TaskStatus struct {
	Status string `json:"status"` // running or stopped
	Exit   string `json:"exitstatus"`
}

// Good says whether a task that has ended did its work. Warnings are for the log.
func (t TaskStatus) Good() bool { return t.Exit == "OK" || strings.HasPrefix(t.Exit, "WARNINGS:") }

// NodeOf is the node that runs a task, UPID:NODE:…, or "".
func NodeOf(upid string) string {
	if f := strings.SplitN(upid, ":", 3); len(f) == 3 && f[0] == "UPID" {
		return f[1]
	}
	return ""
}

// Start sends a write that answers with the UPID of a task, and waits for the task.
func (t Tasks) Start(ctx context.Context, node, method, path string, p transport.Params, report engine.Reporter) error {
	var upid string
	api := t.Nodes.API(node)
	var err error
	switch method {
	case "PUT":
		err = api.Put(ctx, path, p, &upid)
	case "DELETE":
		err = api.Delete(ctx, path, &upid)
	default:
		err = api.Post(ctx, path, p, &upid)
	}
	if err != nil {
		return err
	}
	report.Task(node, upid)
	return t.Wait(ctx, upid, report)
}

// Status asks how a task stands.
func (t Tasks) Status(ctx context.Context, upid string) (TaskStatus, error) {
	var s TaskStatus
	node := NodeOf(upid)
	err := t.Nodes.API(node).Get(ctx, taskPath(node, upid)+"/status", &s)
	return s, err
}

func taskPath(node, upid string) string { return "/nodes/" + node + "/tasks/" + url.PathEscape(upid) }

// Wait returns when a task has done its work; a task that ended otherwise is an *engine.TaskError with
// the end of its log.
func (t Tasks) Wait(ctx context.Context, upid string, report engine.Reporter) error {
	node := NodeOf(upid)
	if node == "" {
		return fmt.Errorf("the reply is no task: %q", upid)
	}
	var last TaskStatus
	p := engine.Poll{Clock: t.Clock, What: "task " + upid, Limit: t.Limit, Every: 2 * time.Second, Again: transport.Passing}
	began := t.Clock.Now()
	err := p.Until(ctx, func(ctx context.Context) (done bool, state string, err error) {
		if last, err = t.Status(ctx, upid); err != nil {
			return false, "", err
		}
		if last.Status == "stopped" {
			return true, "", nil
		}
		if t.Clock.Now().Sub(began) > 3*time.Second {
			if log, err := t.Tail(ctx, upid, 1); err == nil && len(log) > 0 {
				report.Progress(node, log[len(log)-1])
			}
		}
		return false, "the task is " + last.Status, nil
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("task %s still runs on %s: %w", upid, node, ctx.Err())
	case err != nil:
		return &engine.Advice{Node: node, Err: fmt.Errorf("task %s: %w", upid, err), Do: "it may still run: look at its log, then run this again"}
	case last.Good():
		t.Warn(ctx, upid, last.Exit, report)
		return nil
	}
	return t.Failure(ctx, upid, last.Exit)
}

// Warn tells of a task that did its work, but ended with warnings: which they are stands in its log.
func (t Tasks) Warn(ctx context.Context, upid, exit string, report engine.Reporter) {
	if !strings.HasPrefix(exit, "WARNINGS:") {
		return
	}
	log, err := t.Tail(ctx, upid, 1000)
	if err != nil {
		log = nil
	}
	said := slices.DeleteFunc(log, func(l string) bool { return !strings.HasPrefix(l, "WARN") })
	node := NodeOf(upid)
	report.Warning(node, upid, fmt.Sprintf("task ended with %q; see `pvesh get /nodes/%s/tasks/%s/log`", exit, node, upid), said[max(0, len(said)-tailLines):])
}

// Failure is the error of a task that ended with an exit status other than a good one, with the end of
// its log.
func (t Tasks) Failure(ctx context.Context, upid, exit string) *engine.TaskError {
	log, err := t.Tail(ctx, upid, tailLines)
	if err != nil {
		log = []string{"(its log cannot be read: " + err.Error() + ")"}
	}
	return &engine.TaskError{Node: NodeOf(upid), UPID: upid, Status: exit, Log: log}
}

// Tail returns the last n lines of a task's log.
func (t Tasks) Tail(ctx context.Context, upid string, n int) ([]string, error) {
	var lines []struct {
		N int    `json:"n"`
		T string `json:"t"`
	}
	node := NodeOf(upid)
	if err := t.Nodes.API(node).Get(ctx, taskPath(node, upid)+"/log?limit=5000", &lines); err != nil {
		return nil, err
	}
	var out []string
	for _, l := range lines {
		if l.T != "no content" { // what the API says for an empty log
			out = append(out, l.T)
		}
	}
	return out[max(0, len(out)-n):], nil
}

// A Running is a task that has not ended.
type Running struct {
	UPID string `json:"upid"`
	Type string `json:"type"`
	ID   string `json:"id"`
}

// Active lists the tasks that run on a node.
func (t Tasks) Active(ctx context.Context, node string) ([]Running, error) {
	var rows []Running
	err := t.Nodes.API(node).Get(ctx, "/nodes/"+node+"/tasks?source=active", &rows)
	return rows, err
}

// Settle waits for the tasks of some types that still run on nodes. A run that was killed, or whose
// reply was lost, leaves them behind, and what they make is not to be seen yet.
func (t Tasks) Settle(ctx context.Context, nodes []string, report engine.Reporter, types ...string) error {
	for _, n := range nodes {
		rows, err := t.Active(ctx, n)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if !slices.Contains(types, r.Type) {
				continue
			}
			report.Task(n, r.UPID)
			report.Progress(n, "waiting for a task that an earlier run has started")
			err := t.Wait(ctx, r.UPID, report)
			var failed *engine.TaskError
			if err != nil && !errors.As(err, &failed) {
				return err // that a task failed is no matter here: its work is then still to be done
			}
		}
	}
	return nil
}
