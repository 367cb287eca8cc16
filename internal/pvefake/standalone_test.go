package pvefake

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// fresh are three nodes in no cluster, at the addresses of the home lab.
func fresh(t *testing.T, v Version) *Cluster {
	t.Helper()
	return newCluster(t, Options{Version: v, Standalone: true, Machines: homeMachines(), RootPassword: "fake-root"})
}

func homeMachines() (machines []Machine) {
	for i := 1; i <= 3; i++ {
		machines = append(machines, Machine{
			Address: fmt.Sprintf("10.0.10.1%d/24", i), Gateway: "10.0.10.1",
			NICs: []NIC{{Name: "eno1"}, {Name: "eno2", Address: fmt.Sprintf("10.0.100.1%d/24", i), MTU: 9000}},
		})
	}
	return machines
}

// operator speaks to the nodes by the names and addresses that they believe to have.
type operator struct {
	t    *testing.T
	c    *Cluster
	http *http.Client
}

func newOperator(t *testing.T, c *Cluster) *operator {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(c.CAPEM()) {
		t.Fatal("the CA is no certificate")
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DialContext: c.Dial, DisableKeepAlives: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &operator{t: t, c: c, http: &http.Client{Transport: tr, Timeout: 10 * time.Second}}
}

// call logs in at a host and makes one request; kv are parameters.
func (o *operator) call(host, method, path string, kv ...string) (answer, error) {
	o.t.Helper()
	login, err := o.send(host, http.Header{}, "POST", "/access/ticket", url.Values{"username": {"root@pam"}, "password": {"fake-root"}})
	if err != nil || login.status != 200 {
		return login, err
	}
	d := login.data(o.t).(map[string]any)
	h := http.Header{"Cookie": {"PVEAuthCookie=" + url.QueryEscape(d["ticket"].(string))}, "Csrfpreventiontoken": {d["CSRFPreventionToken"].(string)}}
	form := url.Values{}
	for i := 0; i+1 < len(kv); i += 2 {
		form.Set(kv[i], kv[i+1])
	}
	return o.send(host, h, method, path, form)
}

func (o *operator) send(host string, h http.Header, method, path string, form url.Values) (answer, error) {
	u := "https://" + host + ":8006/api2/json" + path
	var body io.Reader
	if method == "GET" || method == "DELETE" {
		u += "?" + form.Encode()
	} else {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(context.Background(), method, u, body)
	if err != nil {
		return answer{}, err
	}
	req.Header = h.Clone()
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := o.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	_, reason, _ := strings.Cut(resp.Status, " ")
	return answer{resp.StatusCode, reason, b}, err
}

// must makes a request that succeeds, and waits for its task; it returns the data.
func (o *operator) must(host, method, path string, kv ...string) any {
	o.t.Helper()
	a, err := o.call(host, method, path, kv...)
	if err != nil || a.status != 200 {
		o.t.Fatalf("%s %s at %s: %d %s %s (%v)", method, path, host, a.status, a.reason, a.body, err)
	}
	d := a.data(o.t)
	if upid, ok := d.(string); ok && strings.HasPrefix(upid, "UPID:") {
		if exit := o.end(upid); exit != "OK" {
			o.t.Fatalf("%s %s at %s: task ended with %q", method, path, host, exit)
		}
	}
	return d
}

// end waits for a task on the virtual clock.
func (o *operator) end(upid string) string {
	o.t.Helper()
	exit := ""
	until(o.t, o.c, 5*time.Minute, "the end of "+upid, func() bool {
		var done bool
		exit, done = o.c.TaskStatus(upid)
		return done
	})
	return exit
}

// formed joins all three nodes.
func (o *operator) formed() *operator {
	o.t.Helper()
	o.must("10.0.10.11", "POST", "/cluster/config", "clustername", "homelab", "link0", "10.0.10.11", "link1", "10.0.100.11")
	o.c.Advance(5 * time.Second)
	for i := 2; i <= 3; i++ {
		o.must(fmt.Sprintf("10.0.10.1%d", i), "POST", "/cluster/config/join", "hostname", "10.0.10.11", "password", "fake-root",
			"fingerprint", o.c.Node(1).Fingerprint(), "link0", fmt.Sprintf("10.0.10.1%d", i), "link1", fmt.Sprintf("10.0.100.1%d", i))
		o.c.Advance(10 * time.Second)
	}
	return o
}

func TestAClusterIsBuiltFromNodesThatHaveNone(t *testing.T) {
	for _, v := range []Version{V84, V92} {
		t.Run(string(v), func(t *testing.T) {
			c := fresh(t, v)
			o := newOperator(t, c)
			if rows := o.must("pve2", "GET", "/cluster/status").([]any); len(rows) != 1 {
				t.Errorf("a node without cluster knows of %v", rows)
			}
			o.formed()
			for _, host := range []string{"pve1", "pve2", "pve3"} {
				votes := 0
				for _, r := range o.must(host, "GET", "/cluster/status").([]any) {
					row := r.(map[string]any)
					if row["type"] == "cluster" && (row["name"] != "homelab" || row["quorate"] != 1.0 || row["nodes"] != 3.0) {
						t.Errorf("%s: %v", host, row)
					}
					if row["type"] == "node" && row["online"] == 1.0 {
						votes++
					}
				}
				if votes != 3 {
					t.Errorf("%s sees %d nodes online", host, votes)
				}
			}
			buildCeph(t, o, map[Version]string{V84: "squid", V92: "tentacle"}[v])
			if errs := c.SSHErrors(); errs != nil {
				t.Errorf("commands nobody knew: %v", errs)
			}
		})
	}
}

// buildCeph installs and makes a Ceph, a pool, a storage and a guest under HA.
func buildCeph(t *testing.T, o *operator, release string) {
	t.Helper()
	if a, err := o.call("pve1", "GET", "/nodes/pve1/ceph/status"); err != nil || a.reason != "binary not installed: /usr/bin/ceph-mon" {
		t.Errorf("before the installation: %s (%v)", a.reason, err)
	}
	for i := 1; i <= 3; i++ {
		exit, _, stderr := o.c.RunCommand(i, "pveceph install --repository no-subscription --version "+release, "yes\n")
		if exit != 0 {
			t.Fatalf("pveceph install: %d %s", exit, stderr)
		}
	}
	o.c.Advance(5 * time.Second)
	o.must("pve1", "POST", "/nodes/pve1/ceph/init", "network", "10.0.100.0/24")
	for i := 1; i <= 3; i++ {
		n := fmt.Sprintf("pve%d", i)
		o.must("pve1", "POST", "/nodes/"+n+"/ceph/mon/"+n)
		if i > 1 {
			o.must("pve1", "POST", "/nodes/"+n+"/ceph/mgr/"+n)
		}
	}
	for i := 1; i <= 3; i++ {
		for _, dev := range []string{"/dev/sdb", "/dev/sdc", "/dev/sdd"} {
			o.must("pve1", "POST", fmt.Sprintf("/nodes/pve%d/ceph/osd", i), "dev", dev)
		}
	}
	o.must("pve1", "POST", "/nodes/pve1/ceph/pool", "name", "vm-storage", "pg_num", "128", "add_storages", "1")
	o.c.Advance(10 * time.Second)
	status := o.must("pve2", "GET", "/cluster/ceph/status").(map[string]any)
	if h := status["health"].(map[string]any); h["status"] != "HEALTH_OK" {
		t.Errorf("health %v", h)
	}
	if q := status["quorum_names"].([]any); len(q) != 3 {
		t.Errorf("monitors in quorum: %v", q)
	}
	if m := status["osdmap"].(map[string]any); m["num_up_osds"] != 9.0 || m["num_in_osds"] != 9.0 {
		t.Errorf("OSDs: %v", m)
	}
	o.must("pve1", "POST", "/nodes/pve2/qemu", "vmid", "100", "scsi0", "vm-storage:8,cache=writeback", "memory", "512")
	o.must("pve1", "POST", "/cluster/ha/resources", "sid", "vm:100", "state", "started")
	until(t, o.c, 2*time.Minute, "vm:100 started", func() bool { s, _ := o.c.ServiceState("vm:100"); return s == "started" })
	exit, sum, _ := o.c.RunCommand(1, "rbd export vm-storage/vm-100-disk-0 - | sha256sum", "")
	if exit != 0 || len(strings.Fields(sum)[0]) != 64 {
		t.Errorf("checksum of the image: %d %q", exit, sum)
	}
}

func TestAJoinTakesTheJoinersTicketsUsersAndAPIAwayForAWhile(t *testing.T) {
	c := fresh(t, V92)
	o := newOperator(t, c)
	o.must("pve1", "POST", "/cluster/config", "clustername", "homelab")
	c.Advance(5 * time.Second)
	o.must("pve2", "POST", "/access/users", "userid", "local@pve", "password", "password")
	a, err := o.call("pve2", "POST", "/cluster/config/join", "hostname", "10.0.10.11", "password", "fake-root", "fingerprint", c.Node(1).Fingerprint())
	if err != nil || a.status != 200 {
		t.Fatalf("%d %s (%v)", a.status, a.reason, err)
	}
	c.Advance(joinListed)
	if rows := o.must("pve1", "GET", "/cluster/config/nodes").([]any); len(rows) != 2 {
		t.Errorf("after %s the member lists %v", joinListed, rows)
	}
	c.Advance(joinReplaced - joinListed)
	if a, err := o.call("pve2", "GET", "/version"); err != nil || a.status != 401 {
		t.Errorf("after %s a login at the joiner: %d (%v), want 401", joinReplaced, a.status, err)
	}
	c.Advance(joinRestart - joinReplaced)
	if _, err := o.call("pve2", "GET", "/version"); err == nil {
		t.Errorf("after %s the joiner's API answers although it restarts", joinRestart)
	}
	if a, err := o.call("pve1", "GET", "/nodes/pve2/status"); err != nil || a.status != 595 {
		t.Errorf("after %s through the member: %d (%v), want 595", joinRestart, a.status, err)
	}
	c.Advance(joinBack - joinRestart)
	if users := o.must("pve2", "GET", "/access/users").([]any); len(users) != 1 {
		t.Errorf("the joiner kept users of its own: %v", users)
	}
	if exit := o.end(a.data(t).(string)); exit != "OK" {
		t.Errorf("the join ended with %q", exit)
	}
}

func TestAJoinIsRefusedForTheReasonsOfTheRealOne(t *testing.T) {
	c := fresh(t, V92)
	o := newOperator(t, c)
	o.must("pve1", "POST", "/cluster/config", "clustername", "homelab", "link0", "10.0.10.11")
	c.Advance(5 * time.Second)
	o.must("pve3", "POST", "/nodes/pve3/qemu", "vmid", "300", "memory", "64")
	member := c.Node(1).Fingerprint()
	cases := []struct {
		name, host, exit string
		params           []string
	}{
		{"guests on the joiner", "pve3", "Check if node may join a cluster failed!", []string{"fingerprint", member}},
		{"link not local", "pve2", "Check if node may join a cluster failed!", []string{"fingerprint", member, "link0", "10.0.10.99"}},
		{"wrong fingerprint", "pve2", "fingerprint '" + member + "' not verified, abort!", []string{"fingerprint", strings.Repeat("AA:", 31) + "AA"}},
		{"wrong password", "pve2", "401 authentication failure", []string{"fingerprint", member, "password", "wrong"}},
		{"a link the cluster lacks", "pve2", "Cluster join aborted!", []string{"fingerprint", member, "link0", "10.0.10.12", "link1", "10.0.100.12"}},
		{"a node id that is taken", "pve2", "Cluster join aborted!", []string{"fingerprint", member, "nodeid", "1"}},
		{"already a member", "pve1", "Check if node may join a cluster failed!", []string{"fingerprint", member}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			params := append([]string{"hostname", "10.0.10.11", "password", "fake-root"}, tc.params...)
			a, err := o.call(tc.host, "POST", "/cluster/config/join", params...)
			if err != nil || a.status != 200 {
				t.Fatalf("%d %s (%v)", a.status, a.reason, err)
			}
			if exit := o.end(a.data(t).(string)); exit != tc.exit {
				t.Errorf("ended with %q, want %q", exit, tc.exit)
			}
			if rows := o.must("pve1", "GET", "/cluster/config/nodes").([]any); len(rows) != 1 {
				t.Errorf("the member lists %v", rows)
			}
		})
	}
}

func TestASilentJoinerIsListedUntilItIsDeletedAndCleaned(t *testing.T) {
	c := fresh(t, V92)
	o := newOperator(t, c)
	if err := c.SilenceJoiner(2, true); err != nil {
		t.Fatal(err)
	}
	o.must("pve1", "POST", "/cluster/config", "clustername", "homelab")
	c.Advance(5 * time.Second)
	join := []string{"hostname", "10.0.10.11", "password", "fake-root", "fingerprint", c.Node(1).Fingerprint()}
	if _, err := o.call("pve2", "POST", "/cluster/config/join", join...); err != nil {
		t.Fatal(err)
	}
	c.Advance(5 * time.Second)
	if rows := o.must("pve1", "GET", "/cluster/config/nodes").([]any); len(rows) != 2 {
		t.Errorf("the member lists %v", rows)
	}
	o.must("pve1", "DELETE", "/cluster/config/nodes/pve2")
	for _, cmd := range []string{"systemctl stop pve-cluster corosync", "pmxcfs -l", "rm -f /etc/pve/corosync.conf /etc/corosync/corosync.conf /etc/corosync/authkey", "killall pmxcfs", "systemctl start pve-cluster"} {
		if exit, _, stderr := c.RunCommand(2, cmd, ""); exit != 0 {
			t.Fatalf("%s: %d %s", cmd, exit, stderr)
		}
	}
	if err := c.SilenceJoiner(2, false); err != nil {
		t.Fatal(err)
	}
	o.must("pve2", "POST", "/cluster/config/join", join...)
	c.Advance(15 * time.Second)
	if !c.InCluster(2) {
		t.Error("pve2 has not joined after it was cleaned")
	}
}

func TestALostReplyAndACrashHaveDoneTheirEffect(t *testing.T) {
	c := fresh(t, V92)
	o := newOperator(t, c)
	died := false
	c.CrashAfter(2, func() { died = true }) // 1: login, 2: the write
	if _, err := o.call("pve1", "POST", "/storage", "storage", "extra", "type", "dir", "path", "/srv"); err == nil {
		t.Error("the reply came although the run was to die")
	}
	if !died {
		t.Error("the run was not told to die")
	}
	if rows := o.must("pve1", "GET", "/storage").([]any); len(rows) != 2 {
		t.Errorf("storages after the crash: %v", rows)
	}
}

func jsonOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func TestWritesAreRefusedForTheirMeaning(t *testing.T) {
	c := fresh(t, V92)
	o := newOperator(t, c).formed()
	if err := c.SetDisk(2, Disk{Dev: "/dev/sdc", Fails: true}); err != nil {
		t.Fatal(err)
	}
	buildSmallCeph(o)
	o.must("pve1", "POST", "/nodes/pve1/qemu", "vmid", "100", "memory", "64", "scsi0", "vm-storage:1")
	cases := []struct {
		name, method, path string
		params             []string
		status             int
		says               string // of the reason, or of the task's end
	}{
		{"OSD on the system's disk", "POST", "/nodes/pve1/ceph/osd", []string{"dev", "/dev/sda"}, 500, "device '/dev/sda' is already in use"},
		{"OSD twice", "POST", "/nodes/pve1/ceph/osd", []string{"dev", "/dev/sdb"}, 500, "device '/dev/sdb' is already in use"},
		{"OSD on a bad disk", "POST", "/nodes/pve2/ceph/osd", []string{"dev", "/dev/sdc"}, 200, "failed: exit code 1"},
		{"monitor twice", "POST", "/nodes/pve1/ceph/mon/pve1", nil, 500, "monitor 'pve1' already exists"},
		{"min_size above size", "POST", "/nodes/pve1/ceph/pool", []string{"name", "p1", "size", "2", "min_size", "3", "pg_num", "8"}, 200, "Could not set: min_size"},
		{"too many PGs", "POST", "/nodes/pve1/ceph/pool", []string{"name", "p2", "pg_num", "4096"}, 200, "exceeds the mon_max_pg_per_osd value of 250"},
		{"backup on RBD only", "POST", "/storage", []string{"storage", "s1", "type", "rbd", "pool", "vm-storage", "content", "backup"}, 500, "does not support content type 'none'"},
		{"group on 9", "POST", "/cluster/ha/groups", []string{"group", "g1", "nodes", "pve1"}, 500, "ha groups have been migrated to rules"},
		{"cron", "POST", "/cluster/backup", []string{"schedule", "0 2 * * *", "storage", "local", "all", "1"}, 400, "Parameter verification failed."},
		{"cluster twice", "POST", "/cluster/config", []string{"clustername", "other"}, 500, "cluster config '/etc/pve/corosync.conf' already exists"},
		{"long cluster name", "POST", "/cluster/config", []string{"clustername", "abcdefghijklmnop"}, 400, "Parameter verification failed."},
		{"wrong digest of hosts", "POST", "/nodes/pve1/hosts", []string{"data", "x", "digest", strings.Repeat("0", 40)}, 500, "detected modified configuration"},
		{"second gateway", "POST", "/nodes/pve1/network", []string{"iface", "vmbr1", "type", "bridge", "cidr", "10.9.0.1/24", "gateway", "10.9.0.254"}, 400, "Parameter verification failed."},
		{"disk on a storage that is not there", "POST", "/nodes/pve1/qemu", []string{"vmid", "101", "scsi0", "nope:1"}, 500, "storage 'nope' does not exist"},
		{"VM twice", "POST", "/nodes/pve2/qemu", []string{"vmid", "100"}, 500, "VM 100 already exists on node 'pve1'"},
		{"pool in use", "DELETE", "/nodes/pve1/ceph/pool/vm-storage", nil, 200, "still in use by storage 'vm-storage'"},
		{"wipe of the system's disk", "PUT", "/nodes/pve1/disks/wipedisk", []string{"disk", "/dev/sda"}, 500, "has a holder"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			a, err := o.call("pve1", tc.method, tc.path, tc.params...)
			if err != nil || a.status != tc.status {
				t.Fatalf("%d %s (%v), want %d", a.status, a.reason, err, tc.status)
			}
			said := a.reason
			if a.status == 200 {
				said = o.end(a.data(t).(string))
			}
			if !strings.Contains(said, tc.says) {
				t.Errorf("%q, want %q", said, tc.says)
			}
		})
	}
	for i := 1; i <= 3; i++ {
		if w := c.WipedDisks(i); len(w) > 0 {
			t.Errorf("pve%d: wiped %v", i, w)
		}
	}
}

// buildSmallCeph makes three OSDs, one a node, and a pool with a storage.
func buildSmallCeph(o *operator) {
	o.t.Helper()
	for i := 1; i <= 3; i++ {
		o.c.RunCommand(i, "pveceph install --repository no-subscription --version tentacle", "yes\n")
	}
	o.c.Advance(5 * time.Second)
	o.must("pve1", "POST", "/nodes/pve1/ceph/init", "network", "10.0.100.0/24")
	o.must("pve1", "POST", "/nodes/pve1/ceph/mon/pve1")
	for i := 1; i <= 3; i++ {
		o.must("pve1", "POST", fmt.Sprintf("/nodes/pve%d/ceph/osd", i), "dev", "/dev/sdb")
	}
	o.must("pve1", "POST", "/nodes/pve1/ceph/pool", "name", "vm-storage", "pg_num", "32", "add_storages", "1")
}

func TestANetworkIsStagedUntilItIsReloadedAndTheSwitchPutsItBack(t *testing.T) {
	c := fresh(t, V92)
	o := newOperator(t, c)
	has := func(addr string) bool {
		return slices.ContainsFunc(o.must("pve1", "GET", "/nodes/pve1/network").([]any), func(r any) bool {
			row := r.(map[string]any)
			return row["cidr"] == addr && row["active"] == 1.0
		})
	}
	arm := "systemd-run --unit=restore --on-active=120 /bin/sh -c 'cp --preserve /etc/network/interfaces.kept /etc/network/interfaces && ifreload -a'"
	for _, cmd := range []string{"cp --preserve /etc/network/interfaces /etc/network/interfaces.kept", arm} {
		if exit, _, stderr := c.RunCommand(1, cmd, ""); exit != 0 {
			t.Fatalf("%s: %s", cmd, stderr)
		}
	}
	o.must("pve1", "POST", "/nodes/pve1/network", "iface", "vmbr1", "type", "bridge", "cidr", "10.9.0.1/24", "bridge_ports", "eno2")
	if has("10.9.0.1/24") {
		t.Error("the bridge is active before the reload")
	}
	o.must("pve1", "PUT", "/nodes/pve1/network")
	if !has("10.9.0.1/24") {
		t.Error("the bridge is not active after the reload")
	}
	c.Advance(2 * time.Minute)
	if has("10.9.0.1/24") {
		t.Error("the network was not put back when nobody stopped the timer")
	}
}

func TestPerformHandsTasksOver(t *testing.T) {
	var works []Work
	c := newCluster(t, Options{Standalone: true, RootPassword: "fake-root", Perform: func(w Work) bool { works = append(works, w); return true }})
	o := newOperator(t, c)
	a, err := o.call("pve1", "POST", "/cluster/config", "clustername", "lab")
	if err != nil || a.status != 200 || len(works) != 1 {
		t.Fatalf("%d %s (%v), works %v", a.status, a.reason, err, works)
	}
	c.Advance(time.Minute)
	if c.InCluster(1) || works[0].Type != "clustercreate" || works[0].Params["clustername"] != "lab" {
		t.Errorf("before it was done: in cluster %v, work %s", c.InCluster(1), jsonOf(works[0]))
	}
	if err := c.FinishTask(works[0].UPID, ""); err != nil || !c.InCluster(1) {
		t.Errorf("after it was done: in cluster %v (%v)", c.InCluster(1), err)
	}
}
