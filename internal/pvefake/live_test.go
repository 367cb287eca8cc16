package pvefake

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// conf returns a node's view of a guest's configuration, "" when it has none there.
func conf(t *testing.T, c *Cluster, owner string) string {
	t.Helper()
	dir := t.TempDir()
	if err := c.WriteEtcPVE(1, dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "nodes", owner, "qemu-server", "100.conf"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(text)
}

func liveCluster(t *testing.T, opt Options) *Cluster {
	t.Helper()
	opt.Guests = []Guest{{VMID: 100, Node: 1}, {VMID: 101, Node: 1, Container: true}}
	c := newCluster(t, opt)
	if err := c.SetGuestProcess(100, 1, 4711); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMigrationDoneOutsideKeepsLockTaskAndConfiguration(t *testing.T) {
	c := liveCluster(t, Options{})
	upid, err := c.BeginMigration(100, 2, "root@pam")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(conf(t, c, "pve1"), "lock: migrate\n") {
		t.Error("the configuration is not locked")
	}
	if _, err := c.BeginMigration(100, 3, "root@pam"); err == nil {
		t.Error("a locked guest is migrated again")
	}
	if err := c.LogTask(upid, "2026-01-01 00:00:01 starting migration"); err != nil {
		t.Fatal(err)
	}
	c.Advance(time.Hour + time.Minute) // it does not end by itself
	dir := t.TempDir()
	if err := c.WriteTaskFiles(1, dir); err != nil {
		t.Fatal(err)
	}
	logs, _ := filepath.Glob(filepath.Join(dir, "?", upid))
	if len(logs) != 1 {
		t.Fatal("the log of a running task is not on disk")
	}
	if text, _ := os.ReadFile(logs[0]); string(text) != "2026-01-01 00:00:01 starting migration\n" {
		t.Errorf("its log is %q", text)
	}

	if err := c.MoveGuest(100, 2); err != nil {
		t.Fatal(err)
	}
	if conf(t, c, "pve1") != "" || !strings.Contains(conf(t, c, "pve2"), "lock: migrate\n") {
		t.Error("the configuration did not move with its lock")
	}
	if err := c.SetGuestProcess(100, 2, 4712); err != nil {
		t.Fatal(err)
	}
	if err := c.FinishTask(upid, ""); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(conf(t, c, "pve2"), "lock:") {
		t.Error("the configuration stayed locked")
	}
	if at, runs := c.GuestNode(100); at != "pve2" || !runs {
		t.Errorf("the guest is on %s, running %t", at, runs)
	}
	if err := c.LogTask(upid, "more"); err == nil {
		t.Error("a task that ended takes more lines")
	}
}

func TestFailedMigrationLeavesTheGuestUnlockedWhereItWas(t *testing.T) {
	c := liveCluster(t, Options{})
	cl := root(t, c)
	upid, err := c.BeginMigration(100, 2, "root@pam")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.FinishTask(upid, "migration problems"); err != nil {
		t.Fatal(err)
	}
	if text := conf(t, c, "pve1"); text == "" || strings.Contains(text, "lock:") {
		t.Errorf("its configuration is %q", text)
	}
	status := cl.must("/nodes/pve1/tasks/" + upid + "/status").(map[string]any)
	if status["exitstatus"] != "migration problems" {
		t.Errorf("the task ended with %v", status["exitstatus"])
	}
}

func TestStoppedTaskTellsItsWorker(t *testing.T) {
	c := liveCluster(t, Options{})
	cl := root(t, c)
	upid, err := c.BeginMigration(100, 2, "root@pam")
	if err != nil {
		t.Fatal(err)
	}
	cl.do(1, "DELETE", "/nodes/pve1/tasks/"+upid, nil)
	if err := c.LogTask(upid, "how far it is"); !errors.Is(err, ErrInterrupted) {
		t.Errorf("%v, want to be told to stop", err)
	}
	status := cl.must("/nodes/pve1/tasks/" + upid + "/status").(map[string]any)
	if status["status"] != "running" {
		t.Errorf("the task is %v before its worker has cleaned up", status)
	}
}

func TestRequestsForGuestsWithARealProcessAreHandedOver(t *testing.T) {
	var asked []MigrationRequest
	c := liveCluster(t, Options{Migrate: func(r MigrationRequest) { asked = append(asked, r) }})
	cl := root(t, c)
	online := url.Values{"target": {"pve3"}, "online": {"1"}}
	upid := cl.do(1, "POST", "/nodes/pve1/qemu/100/migrate", online).data(t).(string)
	cl.do(1, "POST", "/nodes/pve1/lxc/101/migrate", url.Values{"target": {"pve3"}, "restart": {"1"}})
	want := MigrationRequest{UPID: upid, VMID: 100, From: 1, To: 3}
	if len(asked) != 1 || asked[0] != want {
		t.Fatalf("asked for %+v, want %+v alone", asked, want)
	}
	c.Advance(time.Minute)
	if at, _ := c.GuestNode(100); at != "pve1" {
		t.Errorf("the guest was moved to %s by nobody", at)
	}
	if at, _ := c.GuestNode(101); at != "pve3" {
		t.Errorf("the container is on %s: its migration is played", at)
	}
}

func TestKilledProcessIsGone(t *testing.T) {
	c := liveCluster(t, Options{})
	if err := c.SetGuestProcess(100, 1, 0); err != nil {
		t.Fatal(err)
	}
	if _, runs := c.GuestNode(100); runs {
		t.Error("it runs")
	}
	for _, bad := range [][2]int{{999, 1}, {100, 9}} {
		if c.SetGuestProcess(bad[0], bad[1], 1) == nil || c.MoveGuest(bad[0], bad[1]) == nil {
			t.Errorf("guest %d on node %d was accepted", bad[0], bad[1])
		}
	}
	if _, err := c.BeginMigration(999, 1, "root@pam"); err == nil {
		t.Error("a guest that does not exist was migrated")
	}
}
