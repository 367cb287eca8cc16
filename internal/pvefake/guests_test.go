package pvefake

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// The list says running for a dead node's guests until the last numbers are five minutes old
// (pve-cluster src/PVE/Cluster.pm, rrd data), as recorded in timelines/.
func TestResourcesOfADeadNodeGoStaleInTwoSteps(t *testing.T) {
	c := newCluster(t, Options{Guests: []Guest{{VMID: 103, Node: 3, Name: "vm103"}}})
	c.Advance(30 * time.Second)
	cl := root(t, c)
	row := func(id string) map[string]any {
		for _, e := range cl.must("/cluster/resources").([]any) {
			if o := e.(map[string]any); o["id"] == id {
				return o
			}
		}
		return nil
	}
	if err := c.SetNodeDown(3, true); err != nil {
		t.Fatal(err)
	}
	c.Advance(20 * time.Second)
	if n := row("node/pve3"); n["status"] != "offline" || n["cpu"] != nil || n["maxmem"] == nil {
		t.Errorf("node after 20 s: %v", n)
	}
	if g := row("qemu/103"); g["status"] != "running" || g["node"] != "pve3" {
		t.Errorf("guest after 20 s: %v", g)
	}
	c.Advance(5 * time.Minute)
	if n := row("node/pve3"); n["status"] != "offline" || n["maxmem"] != nil {
		t.Errorf("node after 320 s: %v", n)
	}
	if g := row("qemu/103"); g["status"] != "unknown" || g["cpu"] != nil {
		t.Errorf("guest after 320 s: %v", g)
	}
	if s := row("storage/pve3/local"); s["status"] != "unknown" || s["disk"] != nil {
		t.Errorf("storage after 320 s: %v", s)
	}
}

func TestResourceTypesFilter(t *testing.T) {
	for version, sdn := range map[Version]string{V84: "sdn", V92: "network"} {
		c := newCluster(t, Options{Version: version, Guests: []Guest{{VMID: 100}, {VMID: 200, Container: true, Node: 2, Pool: "web", Tags: "a;b"}}})
		c.Advance(30 * time.Second)
		cl := root(t, c)
		for typ, want := range map[string][]string{"vm": {"qemu", "lxc"}, "node": {"node"}, "storage": {"storage"}, "sdn": {sdn}} {
			seen := map[string]bool{}
			for _, e := range cl.must("/cluster/resources?type=" + typ).([]any) {
				seen[e.(map[string]any)["type"].(string)] = true
			}
			for _, w := range want {
				if !seen[w] || len(seen) != len(want) {
					t.Errorf("%s type=%s gave %v, want %v", version, typ, seen, want)
				}
			}
		}
	}
}

// qemu-server src/PVE/API2/Qemu.pm: these only fail in the task, or before it.
func TestGuestActionsFailWhereTheRealOnesDo(t *testing.T) {
	c := newCluster(t, Options{Guests: []Guest{
		{VMID: 100, Node: 1}, {VMID: 101, Node: 1, Stopped: true, Lock: "backup"}, {VMID: 102, Node: 1, Stopped: true},
	}})
	cl := root(t, c)
	exit := func(path string, form url.Values) string {
		t.Helper()
		a := cl.do(1, "POST", path, form)
		if a.status != 200 {
			t.Fatalf("%s: %d %s", path, a.status, a.reason)
		}
		upid := a.data(t).(string)
		c.Advance(15 * time.Second)
		return cl.must("/nodes/pve1/tasks/" + upid + "/status").(map[string]any)["exitstatus"].(string)
	}
	for name, tc := range map[string]struct{ path, want string }{
		"start a locked one":  {"/nodes/pve1/qemu/101/status/start", "VM is locked (backup)"},
		"start an unknown":    {"/nodes/pve1/qemu/399/status/start", "Configuration file 'nodes/pve1/qemu-server/399.conf' does not exist"},
		"start a running one": {"/nodes/pve1/qemu/100/status/start", "VM 100 already running"},
		"stop a stopped one":  {"/nodes/pve1/qemu/102/status/stop", "OK"},
		"start":               {"/nodes/pve1/qemu/102/status/start", "OK"},
	} {
		if got := exit(tc.path, nil); got != tc.want {
			t.Errorf("%s: task %q, want %q", name, got, tc.want)
		}
	}
	if err := c.SetNodeDown(3, true); err != nil {
		t.Fatal(err)
	}
	if got := exit("/nodes/pve1/qemu/100/migrate", url.Values{"target": {"pve3"}, "online": {"1"}}); !strings.Contains(got, "failed: exit code 255") {
		t.Errorf("migrate to a dead node: task %q", got)
	}
}

func TestMigrationMovesALockedConfiguration(t *testing.T) {
	c := newCluster(t, Options{Guests: []Guest{{VMID: 100, Node: 1}}})
	cl := root(t, c)
	a := cl.do(1, "POST", "/nodes/pve1/qemu/100/migrate", url.Values{"target": {"pve2"}, "online": {"1"}})
	if a.status != 200 {
		t.Fatalf("%d %s", a.status, a.reason)
	}
	c.Advance(3 * time.Second)
	if l := cl.must("/nodes/pve1/qemu/100/config").(map[string]any)["lock"]; l != "migrate" {
		t.Errorf("lock %v during the migration", l)
	}
	c.Advance(10 * time.Second)
	if l := cl.must("/nodes/pve2/qemu/100/config").(map[string]any)["lock"]; l != nil {
		t.Errorf("lock %v after the migration", l)
	}
}

// An HA guest's migration is only queued: its hamigrate task ends OK, the manager does the rest, and a
// dead target is ignored (pve-ha-manager src/PVE/HA/Manager.pm).
func TestMigratingAnHAGuestOnlyQueues(t *testing.T) {
	c := haLab(t, Options{})
	cl := root(t, c)
	upid := cl.do(1, "POST", "/nodes/pve1/qemu/101/migrate", url.Values{"target": {"pve2"}, "online": {"1"}}).data(t).(string)
	if !strings.Contains(upid, ":hamigrate:101:") {
		t.Errorf("task %s", upid)
	}
	until(t, c, time.Minute, "migrate", func() bool { s, _ := c.ServiceState("vm:101"); return s == "migrate" })
	until(t, c, time.Minute, "there", func() bool { s, n := c.ServiceState("vm:101"); return s == "started" && n == "pve2" })
	if err := c.SetNodeDown(3, true); err != nil {
		t.Fatal(err)
	}
	c.Advance(20 * time.Second)
	if a := cl.do(1, "POST", "/cluster/ha/resources/vm:101/migrate", url.Values{"node": {"pve3"}}); a.status != 200 {
		t.Errorf("to a dead node: %d %s", a.status, a.reason)
	}
	c.Advance(30 * time.Second)
	if s, n := c.ServiceState("vm:101"); s != "started" || n != "pve2" {
		t.Errorf("after the ignored request: %s on %s", s, n)
	}
}

func TestOnbootGuestsStartWithTheirNode(t *testing.T) {
	c := newCluster(t, Options{Guests: []Guest{{VMID: 100, Node: 2, OnBoot: ptr(true)}, {VMID: 101, Node: 2, OnBoot: ptr(false)}}})
	for _, down := range []bool{true, false} {
		if err := c.SetNodeDown(2, down); err != nil {
			t.Fatal(err)
		}
		c.Advance(10 * time.Second)
	}
	if _, on := c.GuestNode(100); !on {
		t.Error("the onboot guest does not run")
	}
	if _, on := c.GuestNode(101); on {
		t.Error("the other guest runs")
	}
}

// pve-cluster src/PVE/Cluster.pm: check_cfs_quorum answers at once, cfs_lock after ten seconds;
// invalid.jsonl 384 to 409.
func TestWritesNeedQuorum(t *testing.T) {
	c := haLab(t, Options{DelayScale: 0.005}) // 10 s become 50 ms
	cl := root(t, c)
	for _, i := range []int{2, 3} {
		if err := c.SetNodeDown(i, true); err != nil {
			t.Fatal(err)
		}
	}
	c.Advance(10 * time.Second)
	if err := c.AddVM(Guest{VMID: 120, Node: 1}); err != nil {
		t.Fatal(err)
	}
	c.SetConfig(101, "description", "x") // a write on the live state must not show in the frozen one
	for name, tc := range map[string]struct {
		method, path string
		form         url.Values
		reason       string
		waits        bool
	}{
		"migrate":         {"POST", "/nodes/pve1/qemu/101/migrate", url.Values{"target": {"pve2"}}, "cluster not ready - no quorum?", false},
		"create resource": {"POST", "/cluster/ha/resources", url.Values{"sid": {"vm:101"}}, "cluster not ready - no quorum?", false},
		"update resource": {"PUT", "/cluster/ha/resources/vm:101", url.Values{"state": {"started"}}, "update resources config failed: cfs-lock 'domain-ha' error: no quorum!", true},
		"disarm":          {"POST", "/cluster/ha/status/disarm-ha", url.Values{"resource-mode": {"freeze"}}, "cfs-lock 'domain-ha' error: no quorum!", true},
		"replication":     {"GET", "/nodes/pve1/replication", nil, "cfs-lock 'file-replication_cfg' error: no quorum!", true},
	} {
		start := time.Now()
		a := cl.do(1, tc.method, tc.path, tc.form)
		if a.status != 500 || a.reason != tc.reason {
			t.Errorf("%s: %d %q, want 500 %q", name, a.status, a.reason, tc.reason)
		}
		if waited := time.Since(start) >= 50*time.Millisecond; tc.waits && !waited {
			t.Errorf("%s answered at once, the lock takes ten (scaled) seconds", name)
		}
	}
	if d := cl.must("/nodes/pve1/qemu/101/config").(map[string]any)["description"]; d != nil {
		t.Errorf("the frozen view moved: %v", d)
	}
	if a := cl.do(1, "POST", "/nodes/pve1/qemu/101/status/stop", nil); a.status != 200 {
		t.Errorf("stop works without quorum: %d %s", a.status, a.reason)
	}
}
