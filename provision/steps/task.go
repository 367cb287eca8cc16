package steps

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/transport"
)

// tailLines are how much of a failed task's log is shown.
const tailLines = 20

type taskStatus struct {
	Status string `json:"status"` // running or stopped
	Exit   string `json:"exitstatus"`
}

// good says whether a task that has ended did its work. Warnings are for the log.
func (t taskStatus) good() bool { return t.Exit == "OK" || strings.HasPrefix(t.Exit, "WARNINGS:") }

// start sends a write that answers with the UPID of a task, and waits for the task.
func (e *Env) start(ctx context.Context, node, method, path string, p transport.Params, report engine.Reporter) error {
	var upid string
	api := e.Nodes.API(node)
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
	return e.wait(ctx, upid, e.Limits.Task, report)
}

// nodeOf is the node that runs a task: UPID:NODE:….
func nodeOf(upid string) string {
	if f := strings.SplitN(upid, ":", 3); len(f) == 3 && f[0] == "UPID" {
		return f[1]
	}
	return ""
}

// wait returns when a task has done its work.
func (e *Env) wait(ctx context.Context, upid string, limit time.Duration, report engine.Reporter) error {
	node := nodeOf(upid)
	if node == "" {
		return fmt.Errorf("the reply is no task: %q", upid)
	}
	var last taskStatus
	p := e.poll("task "+upid, limit)
	began := e.Clock.Now()
	err := p.Until(ctx, func(ctx context.Context) (bool, string, error) {
		last = taskStatus{}
		if err := e.Nodes.API(node).Get(ctx, "/nodes/"+node+"/tasks/"+url.PathEscape(upid)+"/status", &last); err != nil {
			return false, "", err
		}
		if last.Status == "stopped" {
			return true, "", nil
		}
		if e.Clock.Now().Sub(began) > 3*time.Second {
			if log, err := e.tail(ctx, node, upid, 1); err == nil && len(log) > 0 {
				report.Progress(node, log[len(log)-1])
			}
		}
		return false, "the task is " + last.Status, nil
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("task %s still runs on %s: %w", upid, node, ctx.Err())
	case err != nil:
		return &engine.Advice{Node: node, Err: fmt.Errorf("task %s: %w", upid, err), Do: "it may still run: look at its log, then run apply again"}
	case last.good():
		return nil
	}
	log, err := e.tail(ctx, node, upid, tailLines)
	if err != nil {
		log = []string{"(its log cannot be read: " + err.Error() + ")"}
	}
	return &engine.TaskError{Node: node, UPID: upid, Status: last.Exit, Log: log}
}

// tail returns the last n lines of a task's log.
func (e *Env) tail(ctx context.Context, node, upid string, n int) ([]string, error) {
	var lines []struct {
		N int    `json:"n"`
		T string `json:"t"`
	}
	path := "/nodes/" + node + "/tasks/" + url.PathEscape(upid) + "/log?limit=5000"
	if err := e.Nodes.API(node).Get(ctx, path, &lines); err != nil {
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

// settle waits for the tasks of some types that still run on nodes. A run that was killed, or whose
// reply was lost, leaves them behind, and what they make is not to be seen yet.
func (e *Env) settle(ctx context.Context, nodes []string, report engine.Reporter, types ...string) error {
	for _, n := range nodes {
		var rows []struct {
			UPID string `json:"upid"`
			Type string `json:"type"`
		}
		if err := e.Nodes.API(n).Get(ctx, "/nodes/"+n+"/tasks?source=active", &rows); err != nil {
			return err
		}
		for _, r := range rows {
			if !slices.Contains(types, r.Type) {
				continue
			}
			report.Task(n, r.UPID)
			report.Progress(n, "waiting for a task that an earlier run has started")
			err := e.wait(ctx, r.UPID, e.Limits.Task, report)
			var failed *engine.TaskError
			if err != nil && !errors.As(err, &failed) {
				return err // that a task failed is no matter here: its work is then still to be done
			}
		}
	}
	return nil
}

// refused says whether err is an answer of the API whose text contains one of the texts.
func refused(err error, texts ...string) bool {
	var e *pve.Error
	if !errors.As(err, &e) || e.Status == 0 {
		return false
	}
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(e.Text, t) })
}

// clusterNodes are the nodes of the file that are in the cluster and online.
func (e *Env) clusterNodes(ctx context.Context) ([]string, error) {
	m, err := e.member(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, n := range e.names() {
		if listed, online := m.has(n); listed && online {
			out = append(out, n)
		}
	}
	return out, nil
}
