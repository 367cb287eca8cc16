package pvefake

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func taskHandlers() map[string]handler {
	return map[string]handler{
		"GET /cluster/tasks":                    clusterTasks,
		"GET /cluster/log":                      clusterLog,
		"GET /nodes/{node}/tasks":               nodeTasks,
		"DELETE /nodes/{node}/tasks/{upid}":     stopTask,
		"GET /nodes/{node}/tasks/{upid}/status": taskStatus,
		"GET /nodes/{node}/tasks/{upid}/log":    taskLog,
	}
}

// mayRead says whether the caller may see a task: its owner, or Sys.Audit on its node.
func (q *call) mayRead(t *task) bool {
	return t.user == q.id.name() || q.may("/nodes/"+t.node.name, "Sys.Audit")
}

func clusterTasks(q *call) (any, error) {
	rows := list{}
	for _, n := range shuffledNodes(q.mates()) {
		for _, t := range n.broadcast() {
			if !q.mayRead(t) {
				continue
			}
			row := obj{"upid": t.upid(), "node": n.name, "type": t.typ, "id": t.id, "user": t.user, "starttime": t.start}
			if !t.running() {
				row["endtime"], row["status"], row["saved"] = t.end, t.status, "1"
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

func nodeTasks(q *call) (any, error) {
	want, err := q.taskFilter()
	if err != nil {
		return nil, err
	}
	var found []*task
	for i := len(q.c.tasks) - 1; i >= 0; i-- {
		if t := q.c.tasks[i]; t.node == q.n && q.mayRead(t) && want(t) {
			found = append(found, t)
		}
	}
	start, limit := int(q.num("start", 0)), int(q.num("limit", 50))
	rows := list{}
	for i, t := range found {
		if i < start || limit > 0 && i >= start+limit {
			continue
		}
		row := obj{
			"upid": t.upid(), "node": t.node.name, "type": t.typ, "id": t.id, "user": t.user,
			"pid": t.pid, "pstart": t.pstart, "starttime": t.start,
		}
		if !t.running() {
			row["endtime"], row["status"] = t.end, t.status
		}
		rows = append(rows, row)
	}
	return counted{rows, len(found)}, nil
}

// taskFilter makes the filter of GET /nodes/{node}/tasks (pve-manager PVE/API2/Tasks.pm): the archive
// has what ended, "active" what runs or ended lately.
func (q *call) taskFilter() (func(*task) bool, error) {
	source := q.str("source")
	statuses := listSepRE.Split(q.str("statusfilter"), -1)
	active := q.n.broadcast()
	return func(t *task) bool {
		switch {
		case (source == "" || source == "archive") && t.running():
			return false
		case source == "active" && !slices.Contains(active, t):
			return false
		case q.flag("errors") && !t.failed():
			return false
		case q.has("since") && t.start < q.num("since", 0), q.has("until") && t.start > q.num("until", 0):
			return false
		case q.has("typefilter") && t.typ != q.str("typefilter"):
			return false
		case q.has("userfilter") && !strings.Contains(strings.ToLower(t.user), strings.ToLower(q.str("userfilter"))):
			return false
		case q.has("vmid") && t.id != q.str("vmid"):
			return false
		case q.has("statusfilter") && !slices.Contains(statuses, t.class()):
			return false
		}
		return true
	}, nil
}

// class is the task's status type as statusfilter names it.
func (t *task) class() string {
	switch {
	case t.status == "OK":
		return "ok"
	case strings.HasPrefix(t.status, "WARNINGS:"):
		return "warning"
	case t.running() || t.status == "unexpected status":
		return "unknown"
	}
	return "error"
}

// findTask resolves the UPID of the path.
func (q *call) findTask(priv string) (*task, error) {
	upid := q.str("upid")
	if parts := strings.Split(upid, ":"); len(parts) != 9 || parts[0] != "UPID" {
		return nil, fail(400, "unable to parse worker upid '"+upid+"'")
	}
	for _, t := range q.c.tasks {
		if t.upid() != upid || t.node != q.n {
			continue
		}
		if t.user != q.id.name() && !q.may("/nodes/"+t.node.name, priv) {
			return nil, forbidden(fmt.Sprintf("Permission check failed (/nodes/%s, %s)", t.node.name, priv))
		}
		return t, nil
	}
	return nil, invalid(map[string]string{"upid": "no such task"})
}

func taskStatus(q *call) (any, error) {
	t, err := q.findTask("Sys.Audit")
	if err != nil {
		return nil, err
	}
	row := obj{
		"upid": t.upid(), "node": t.node.name, "type": t.typ, "id": t.id, "user": t.user,
		"pid": t.pid, "pstart": t.pstart, "starttime": t.start, "status": "running",
	}
	if !t.running() {
		row["status"], row["exitstatus"] = "stopped", t.status
	}
	return row, nil
}

func taskLog(q *call) (any, error) {
	t, err := q.findTask("Sys.Audit")
	if err != nil {
		return nil, err
	}
	start, limit := int(q.num("start", 0)), int(q.num("limit", 50))
	rows := list{}
	for i, line := range t.log {
		if i >= start && (limit == 0 || i < start+limit) {
			rows = append(rows, obj{"n": i + 1, "t": line})
		}
	}
	if len(t.log) == 0 {
		rows = append(rows, obj{"n": 1, "t": "no content"})
	}
	return counted{rows, len(t.log)}, nil
}

func stopTask(q *call) (any, error) {
	t, err := q.findTask("Sys.Modify")
	if err != nil {
		return nil, err
	}
	if t.live {
		t.interrupted = true // its worker cleans up first
		return nil, nil
	}
	q.c.endTask(t, ErrInterrupted.Error())
	return nil, nil
}

func clusterLog(q *call) (any, error) {
	left := q.num("max", 500)
	rows := list{}
	for i := len(q.c.log) - 1; i >= 0 && left > 0; i-- {
		e := q.c.log[i]
		if e.user != q.id.name() && !q.may("/", "Sys.Syslog") {
			continue
		}
		left--
		rows = append(rows, obj{
			"uid": strconv.Itoa(e.uid), "id": fmt.Sprintf("%d:%s", e.uid, e.node.name), "node": e.node.name,
			"time": e.at, "pri": e.pri, "tag": e.tag, "user": e.user, "pid": e.pid, "msg": e.m,
		})
	}
	return rows, nil
}
