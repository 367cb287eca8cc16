package pvefake

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// haLab is three nodes with one VM each under HA, settled.
func haLab(t *testing.T, opt Options) *Cluster {
	t.Helper()
	c := newCluster(t, opt)
	for i := 1; i <= c.Size() && i <= 3; i++ {
		if err := c.AddVM(Guest{VMID: 100 + i, Node: i, Name: fmt.Sprintf("vm%d", 100+i)}); err != nil {
			t.Fatal(err)
		}
		if err := c.AddHAResource(HAResource{SID: fmt.Sprintf("vm:%d", 100+i)}); err != nil {
			t.Fatal(err)
		}
	}
	c.Advance(2 * time.Minute)
	return c
}

// currentRows reads ha/status/current by id.
func currentRows(t *testing.T, cl *client, via int) map[string]map[string]any {
	t.Helper()
	a := cl.do(via, "GET", "/cluster/ha/status/current", nil)
	out := map[string]map[string]any{}
	for _, e := range a.data(t).([]any) {
		o := e.(map[string]any)
		out[o["id"].(string)] = o
	}
	return out
}

// The numbers are those measured on PVE 9.2: online=0 after 6 s, the node condemned 60 s after it was
// last seen, its lock free 120 s after the membership changed, the service confirmed a round later.
func TestNodeLossFollowsTheMeasuredTimeline(t *testing.T) {
	c := haLab(t, Options{})
	cl := root(t, c)
	if m := c.Master(); m != "pve1" {
		t.Fatalf("master %q", m)
	}
	if err := c.SetNodeDown(3, true); err != nil {
		t.Fatal(err)
	}
	start := c.Now()
	at := func(what string, from, to time.Duration, ok func() bool) {
		t.Helper()
		until(t, c, 5*time.Minute, what, ok)
		d := c.Now().Sub(start)
		t.Logf("%-28s +%v", what, d)
		if d < from || d > to {
			t.Errorf("%s after %v, measured %v to %v", what, d, from, to)
		}
	}
	online := func(node string) any {
		for _, e := range cl.must("/cluster/status").([]any) {
			if o := e.(map[string]any); o["name"] == node {
				return o["online"]
			}
		}
		return nil
	}
	service := func() map[string]any { return currentRows(t, cl, 1)["service:vm:103"] }
	at("online 0", 6*time.Second, 6*time.Second, func() bool { return online("pve3") == 0.0 })
	at("node unknown", 6*time.Second, 16*time.Second, func() bool { return c.NodeStatus(3) == "unknown" })
	if s := service()["crm_state"]; s != "started" {
		t.Errorf("the service reads %v while its node is unknown, want started", s)
	}
	at("lrm old", 20*time.Second, 36*time.Second, func() bool {
		return strings.Contains(currentRows(t, cl, 1)["lrm:pve3"]["status"].(string), "old timestamp - dead?")
	})
	at("fence", 58*time.Second, 70*time.Second, func() bool { return c.NodeStatus(3) == "fence" && service()["crm_state"] == "fence" })
	at("recovered", 126*time.Second, 136*time.Second, func() bool { _, n := c.ServiceState("vm:103"); return n != "pve3" })
	if got := c.NodeStatus(3); got != "unknown" {
		t.Errorf("after fencing the node is %q, want unknown", got)
	}
	if s := service(); s["state"] != "starting" || s["crm_state"] != "started" {
		t.Errorf("right after recovery %v/%v, want starting/started", s["state"], s["crm_state"])
	}
	at("started", 128*time.Second, 150*time.Second, func() bool { return service()["state"] == "started" })
	node, running := c.GuestNode(103)
	if !running || node == "pve3" {
		t.Errorf("the guest is on %s, running=%v", node, running)
	}
}

func TestLosingTheMasterTakesAFullLockAndFenceDelayMore(t *testing.T) {
	c := haLab(t, Options{})
	if err := c.SetNodeDown(1, true); err != nil { // pve1 is master and runs vm 101
		t.Fatal(err)
	}
	start := c.Now()
	until(t, c, 5*time.Minute, "running elsewhere", func() bool { n, on := c.GuestNode(101); return on && n != "pve1" })
	if d := c.Now().Sub(start); d < 180*time.Second || d > 230*time.Second {
		t.Errorf("running again after %v, the simulator says about 200 s", d)
	}
	if m := c.Master(); m == "pve1" || m == "" {
		t.Errorf("master %q", m)
	}
}

func TestQuorumLossFreezesEverythingButTimestamps(t *testing.T) {
	c := haLab(t, Options{})
	cl := root(t, c)
	for _, i := range []int{2, 3} {
		if err := c.SetNodeDown(i, true); err != nil {
			t.Fatal(err)
		}
	}
	c.Advance(7 * time.Second)
	rows := currentRows(t, cl, 1)
	if q := rows["quorum"]; q["quorate"] != 0.0 || q["status"] != "No quorum on node 'pve1'!" {
		t.Errorf("quorum entry %v", q)
	}
	if s := rows["master"]["status"].(string); strings.Contains(s, "old timestamp") {
		t.Errorf("master is old too early: %s", s)
	}
	c.Advance(10 * time.Minute)
	rows = currentRows(t, cl, 1)
	for id, want := range map[string]string{"master": "old timestamp - dead?", "lrm:pve1": "old timestamp - dead?, watchdog standby", "fencing": "standby (CRM watchdog standby)"} {
		if s := rows[id]["status"].(string); !strings.Contains(s, want) {
			t.Errorf("%s says %q, want %q", id, s, want)
		}
	}
	if s := rows["service:vm:103"]; s["state"] != "started" || s["node"] != "pve3" {
		t.Errorf("a service on a dead node without quorum reads %v on %v, want it frozen as started on pve3", s["state"], s["node"])
	}
	ms := cl.must("/cluster/ha/status/manager_status").(map[string]any)
	if q := ms["quorum"].(map[string]any)["quorate"]; q != "" {
		t.Errorf("manager_status quorate is %v, want the empty string", q)
	}
	if n := ms["manager_status"].(map[string]any)["node_status"].(map[string]any)["pve3"]; n != "online" {
		t.Errorf("node_status of the dead node is %v, want it frozen online", n)
	}
}

func TestAPartitionHasOneQuorateSide(t *testing.T) {
	c := haLab(t, Options{Watchdog: true})
	cl := root(t, c)
	c.Partition([]int{1, 2}, []int{3})
	c.Advance(30 * time.Second)
	if q := currentRows(t, cl, 1)["quorum"]["quorate"]; q != 1.0 {
		t.Errorf("majority quorate=%v", q)
	}
	if q := currentRows(t, cl, 3)["quorum"]["quorate"]; q != 0.0 {
		t.Errorf("minority quorate=%v", q)
	}
	c.Advance(40 * time.Second)
	if _, err := cl.try(t.Context(), 3, "GET", "/version", nil); err == nil {
		t.Error("the watchdog should have reset the isolated node after 60 s")
	}
	c.Advance(90 * time.Second)
	if n, on := c.GuestNode(103); n == "pve3" || !on {
		t.Errorf("vm 103 on %s running=%v, want it recovered", n, on)
	}
}

func TestHalfOpenPartitionGivesTwoViewsOfQuorum(t *testing.T) {
	c := haLab(t, Options{})
	cl := root(t, c)
	c.HalfOpen(3, 3)
	c.Advance(10 * time.Second)
	for via, want := range map[int]float64{1: 1, 3: 0} {
		for _, e := range cl.do(via, "GET", "/cluster/status", nil).data(t).([]any) {
			if o := e.(map[string]any); o["type"] == "cluster" && o["quorate"] != want {
				t.Errorf("node %d says quorate=%v, want %v", via, o["quorate"], want)
			}
		}
	}
}

func TestAFailingStartRelocatesAndEndsInError(t *testing.T) {
	c := haLab(t, Options{})
	cl := root(t, c)
	c.FailStart("vm:102", true)
	c.KillGuest(102)
	start := c.Now()
	seen := map[string]bool{}
	until(t, c, 3*time.Minute, "error", func() bool {
		s, _ := c.ServiceState("vm:102")
		seen[s] = true
		return s == "error"
	})
	d := c.Now().Sub(start)
	if d < 35*time.Second || d > 75*time.Second {
		t.Errorf("error after %v, measured 55 s", d)
	}
	if !seen["migrate"] {
		t.Error("the service was not tried on another node")
	}
	failed := 0
	for _, e := range cl.must("/cluster/tasks").([]any) {
		if o := e.(map[string]any); o["type"] == "qmstart" && o["status"] == "start failed: QEMU exited with code 1" {
			failed++
		}
	}
	if failed != 4 { // max_restart 1: two tries on each of two nodes
		t.Errorf("%d failed starts in the task list, want 4", failed)
	}
	// error ends only by disabling (pve-ha-manager src/PVE/HA/Manager.pm, next_state_error)
	c.FailStart("vm:102", false)
	c.Advance(time.Minute)
	if s, _ := c.ServiceState("vm:102"); s != "error" {
		t.Errorf("error was left by itself: %s", s)
	}
	for _, want := range []string{"disabled", "started"} {
		if err := c.SetHAState("vm:102", want); err != nil {
			t.Fatal(err)
		}
		c.Advance(time.Minute)
	}
	if s := currentRows(t, cl, 1)["service:vm:102"]; s["state"] != "started" {
		t.Errorf("after disabling and starting it is %v", s["state"])
	}
}

func TestMaintenanceMovesServicesAwayAndBack(t *testing.T) {
	c := haLab(t, Options{})
	cl := root(t, c)
	c.SetMaintenance(3, true)
	c.Advance(2 * time.Minute)
	if n, _ := c.GuestNode(103); n == "pve3" || c.NodeStatus(3) != "maintenance" {
		t.Errorf("guest on %s, node status %s", n, c.NodeStatus(3))
	}
	if s := currentRows(t, cl, 1)["lrm:pve3"]["status"].(string); !strings.Contains(s, "maintenance mode") {
		t.Errorf("lrm says %q", s)
	}
	c.SetMaintenance(3, false)
	c.Advance(2 * time.Minute)
	if n, on := c.GuestNode(103); n != "pve3" || !on {
		t.Errorf("after maintenance the guest is on %s running=%v", n, on)
	}
}

func TestFreezeHoldsServicesOfARestartingLRM(t *testing.T) {
	c := haLab(t, Options{})
	c.Freeze(2, true)
	c.Advance(30 * time.Second)
	if s, _ := c.ServiceState("vm:102"); s != "freeze" {
		t.Errorf("state %s, want freeze", s)
	}
	c.Freeze(2, false)
	c.Advance(40 * time.Second)
	if s, _ := c.ServiceState("vm:102"); s != "started" {
		t.Errorf("state %s, want started", s)
	}
}

func TestDisarmedClusterNeitherFencesNorRecovers(t *testing.T) {
	c := haLab(t, Options{})
	cl := root(t, c)
	if a := cl.do(1, "POST", "/cluster/ha/status/disarm-ha", map[string][]string{"resource-mode": {"freeze"}}); a.status != 200 {
		t.Fatalf("disarm: %d %s", a.status, a.reason)
	}
	c.Advance(time.Minute)
	rows := currentRows(t, cl, 1)
	if f := rows["fencing"]; f["armed-state"] != "disarmed" || f["resource_mode"] != "freeze" || f["status"] != "disarmed, resource mode: freeze (CRM watchdog released)" {
		t.Errorf("fencing %v", f)
	}
	if s := rows["lrm:pve2"]["status"].(string); !strings.Contains(s, "disarm mode, watchdog released") {
		t.Errorf("lrm %q", s)
	}
	if err := c.SetNodeDown(3, true); err != nil {
		t.Fatal(err)
	}
	c.Advance(5 * time.Minute)
	if s, n := c.ServiceState("vm:103"); s != "freeze" || n != "pve3" || c.NodeStatus(3) != "unknown" {
		t.Errorf("disarmed: vm:103 %s on %s, node %s; want freeze on pve3, unknown", s, n, c.NodeStatus(3))
	}
	if a := cl.do(1, "POST", "/cluster/ha/status/arm-ha", nil); a.status != 200 {
		t.Fatalf("arm: %d %s", a.status, a.reason)
	}
	c.Advance(time.Minute)
	if s, _ := c.ServiceState("vm:102"); s != "started" {
		t.Errorf("after arming vm:102 is %s", s)
	}
}

func TestStrictAffinityWithoutANodeStaysInRecovery(t *testing.T) {
	c := haLab(t, Options{})
	c.AddNodeAffinity("only3", map[string]int{"pve3": 0}, true, "vm:103")
	if err := c.SetNodeDown(3, true); err != nil {
		t.Fatal(err)
	}
	c.Advance(10 * time.Minute)
	if s, _ := c.ServiceState("vm:103"); s != "recovery" {
		t.Errorf("state %s, want recovery for ever", s)
	}
	if err := c.SetNodeDown(3, false); err != nil {
		t.Fatal(err)
	}
	c.Advance(time.Minute)
	if n, on := c.GuestNode(103); n != "pve3" || !on {
		t.Errorf("after the node came back: on %s running=%v", n, on)
	}
}

func TestVersion84SpeaksWithoutFencingAndRules(t *testing.T) {
	c := haLab(t, Options{Version: V84})
	cl := root(t, c)
	rows := currentRows(t, cl, 1)
	if rows["fencing"] != nil {
		t.Error("8.4 has no fencing entry")
	}
	if s := rows["lrm:pve1"]["status"].(string); strings.Contains(s, "watchdog") {
		t.Errorf("8.4 does not speak of watchdogs: %q", s)
	}
	if _, ok := rows["service:vm:101"]["failback"]; ok {
		t.Error("8.4 has no failback")
	}
	if a := cl.get("/cluster/ha/rules"); a.status != 501 {
		t.Errorf("rules on 8.4: %d, want 501", a.status)
	}
	if a := cl.get("/cluster/ha/groups"); a.status != 200 {
		t.Errorf("groups on 8.4: %d", a.status)
	}
}

func TestNoHAEverUsedHasNoMaster(t *testing.T) {
	c := newCluster(t, Options{})
	c.Advance(time.Minute)
	cl := root(t, c)
	rows := currentRows(t, cl, 1)
	if len(rows) != 2 || rows["fencing"]["armed-state"] != "standby" {
		t.Errorf("rows %v, want quorum and fencing only", rows)
	}
	ms := cl.must("/cluster/ha/status/manager_status").(map[string]any)
	if len(ms["manager_status"].(map[string]any)) != 1 || ms["lrm_status"] != nil {
		t.Errorf("manager_status %v, want only an empty node_status", ms)
	}
}
