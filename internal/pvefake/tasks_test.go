package pvefake

import (
	"fmt"
	"regexp"
	"testing"
	"time"
)

func taskRows(t *testing.T, v any) []map[string]any {
	t.Helper()
	var out []map[string]any
	for _, e := range v.([]any) {
		out = append(out, e.(map[string]any))
	}
	return out
}

// pve-common src/PVE/Tools.pm upid_encode.
func TestUPIDHasTheRealForm(t *testing.T) {
	c := newCluster(t, Options{Guests: []Guest{{VMID: 100, Node: 1, Stopped: true}}})
	cl := root(t, c)
	upid := cl.do(1, "POST", "/nodes/pve1/qemu/100/status/start", nil).data(t).(string)
	if !regexp.MustCompile(`^UPID:pve1:[0-9A-F]{8}:[0-9A-F]{8,9}:[0-9A-F]{8}:qmstart:100:root@pam:$`).MatchString(upid) {
		t.Errorf("UPID %q", upid)
	}
	status := cl.must("/nodes/pve1/tasks/" + upid + "/status").(map[string]any)
	if status["status"] != "running" || status["exitstatus"] != nil {
		t.Errorf("while it runs: %v", status)
	}
	c.Advance(2 * time.Second)
	status = cl.must("/nodes/pve1/tasks/" + upid + "/status").(map[string]any)
	if status["status"] != "stopped" || status["exitstatus"] != "OK" {
		t.Errorf("afterwards: %v", status)
	}
	log := taskRows(t, cl.must("/nodes/pve1/tasks/"+upid+"/log"))
	if len(log) == 0 || log[len(log)-1]["t"] != "TASK OK" {
		t.Errorf("log %v", log)
	}
}

// pve-common src/PVE/RESTEnvironment.pm active_workers: a node tells of 25 tasks beside those running,
// so a failure is forgotten after 25 newer ones, while the node's own index keeps it.
func TestTheClusterListForgetsATaskAfter25NewerOnes(t *testing.T) {
	c := newCluster(t, Options{})
	cl := root(t, c)
	c.AddTask(1, "qmigrate", "100", "root@pam", "migration aborted", time.Hour, time.Second)
	for i := range 24 {
		c.AddTask(1, "vzdump", fmt.Sprint(200+i), "root@pam", "OK", 30*time.Minute-time.Duration(i)*time.Minute, time.Second)
	}
	failed := func() bool {
		for _, r := range taskRows(t, cl.must("/cluster/tasks")) {
			if r["status"] == "migration aborted" {
				return true
			}
		}
		return false
	}
	if !failed() || len(taskRows(t, cl.must("/cluster/tasks"))) != 25 {
		t.Fatalf("with 25 tasks the failure should be listed: %d rows", len(taskRows(t, cl.must("/cluster/tasks"))))
	}
	c.AddTask(1, "vzdump", "300", "root@pam", "OK", time.Minute, time.Second)
	if failed() {
		t.Error("after 25 newer tasks the failure is still in the cluster's list")
	}
	rows := taskRows(t, cl.must("/nodes/pve1/tasks?errors=1"))
	if len(rows) != 1 || rows[0]["status"] != "migration aborted" {
		t.Errorf("the node's own errors: %v", rows)
	}
	// Another node has 25 of its own.
	c.AddTask(2, "vzdump", "301", "root@pam", "WARNINGS: 2", time.Minute, time.Second)
	if n := len(taskRows(t, cl.must("/cluster/tasks"))); n != 26 {
		t.Errorf("%d rows with a task on a second node, want 26", n)
	}
	if rows := taskRows(t, cl.must("/nodes/pve2/tasks?errors=1")); len(rows) != 0 {
		t.Errorf("warnings are no errors: %v", rows)
	}
	if rows := taskRows(t, cl.must("/nodes/pve1/tasks?limit=2&start=1")); len(rows) != 2 || rows[0]["id"] != "223" {
		t.Errorf("second page: %v", rows)
	}
}

func TestADeadNodesTasksStayInTheClusterList(t *testing.T) {
	c := newCluster(t, Options{})
	cl := root(t, c)
	c.AddTask(3, "qmigrate", "100", "root@pam", "migration aborted", time.Minute, time.Second)
	c.AddTask(3, "vzdump", "100", "root@pam", "", time.Minute, 0)
	if err := c.SetNodeDown(3, true); err != nil {
		t.Fatal(err)
	}
	c.Advance(time.Minute)
	if n := len(taskRows(t, cl.must("/cluster/tasks"))); n != 2 {
		t.Errorf("%d tasks of the dead node, want 2", n)
	}
	if a := cl.get("/nodes/pve3/tasks"); a.status != 595 {
		t.Errorf("its own list: %d, want 595", a.status)
	}
}
