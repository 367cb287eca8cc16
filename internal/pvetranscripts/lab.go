package pvetranscripts

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
)

const rootPassword = "replayed-root"

// lab is the cluster that the requests were sent to.
type lab struct {
	c       *pvefake.Cluster
	http    *http.Client
	base    *http.Transport
	headers map[string]http.Header // by the record's auth
	state   state
}

// state is what the real lab was like when a request came.
type state string

const (
	fresh   state = "fresh"   // three nodes in no cluster
	noCeph  state = "no ceph" // a cluster, the plan's users and options, no Ceph
	healthy state = "healthy" // all of the plan is done
	dead3   state = "dead3"   // pve3 is lost
	alone1  state = "alone1"  // pve2 and pve3 are
	afresh  state = "afresh"  // new nodes again, for what is tried on nodes without cluster
)

func (l *lab) close() {
	l.base.CloseIdleConnections()
	l.c.Close()
}

// newLab makes three nodes in no cluster, as they were at start.
func newLab(start time.Time) (*lab, error) {
	var machines []pvefake.Machine
	for i := 1; i <= 3; i++ {
		machines = append(machines, pvefake.Machine{
			Address: fmt.Sprintf("10.77.0.%d/24", i), NICs: []pvefake.NIC{{Name: "eno1"}, {Name: "eno2", Address: fmt.Sprintf("10.78.0.%d/24", i)}},
			Disks: []pvefake.Disk{}, NoIfupdown2: true, Ceph: "squid",
		})
	}
	c, err := pvefake.New(pvefake.Options{Standalone: true, Machines: machines, Start: start, RootPassword: rootPassword})
	if err != nil {
		return nil, err
	}
	c.SetServerOnline("10.77.0.250", false)
	l := &lab{c: c, headers: map[string]http.Header{}, state: fresh}
	l.http, l.base = newHTTP(c)
	for i := 1; i <= 3; i++ {
		text := "127.0.0.1 localhost\n10.77.0.1 pve1.lab pve1\n10.77.0.2 pve2.lab pve2\n10.77.0.3 pve3.lab pve3\n"
		if err := l.do(i, "POST", fmt.Sprintf("/nodes/pve%d/hosts", i), "data", text); err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

// do is a call of the lab's own that has to succeed, its task too.
func (l *lab) do(via int, method, path string, kv ...string) error {
	form := url.Values{}
	for i := 0; i+1 < len(kv); i += 2 {
		form.Set(kv[i], kv[i+1])
	}
	h, err := l.ticket(via, "root@pam", rootPassword)
	if err != nil {
		return err
	}
	a, err := l.send(context.Background(), via, h, method, path, "form", form, "")
	if err != nil {
		return err
	}
	if a.status != 200 {
		return fmt.Errorf("lab: %s %s: %d %s", method, path, a.status, a.reason)
	}
	if upid := a.upid(); upid != "" {
		if exit, err := l.finish(context.Background(), upid); err != nil || exit != "OK" {
			return fmt.Errorf("lab: %s %s: task ended with %q (%v)", method, path, exit, err)
		}
	}
	return nil
}

// step is one call of the plan.
type step struct {
	via          int
	method, path string
	params       []string
}

func (l *lab) run(steps []step) error {
	for _, s := range steps {
		if err := l.do(s.via, s.method, s.path, s.params...); err != nil {
			return err
		}
	}
	return nil
}

// cluster forms the cluster and does what comes before Ceph.
func (l *lab) cluster() error {
	if err := l.do(1, "POST", "/cluster/config", "clustername", "quorate1", "link0", "10.77.0.1", "link1", "10.78.0.1"); err != nil {
		return err
	}
	l.c.Advance(5 * time.Second)
	for i := 2; i <= 3; i++ {
		err := l.do(i, "POST", "/cluster/config/join", "hostname", "10.77.0.1", "password", rootPassword, "fingerprint", l.c.Node(1).Fingerprint(),
			"link0", fmt.Sprintf("10.77.0.%d", i), "link1", fmt.Sprintf("10.78.0.%d", i))
		if err != nil {
			return err
		}
		l.c.Advance(20 * time.Second)
	}
	l.state = noCeph
	return l.run([]step{
		{1, "PUT", "/cluster/options", []string{"migration", "type=secure,network=10.78.0.0/24", "ha", "shutdown_policy=migrate"}},
		{1, "POST", "/access/users", []string{"userid", "prometheus@pve", "comment", "quorate exporter"}},
		{1, "POST", "/access/users", []string{"userid", "nobody@pve", "password", "nobody-pass"}},
		{1, "PUT", "/access/acl", []string{"path", "/", "roles", "PVEAuditor", "users", "prometheus@pve"}},
		{1, "POST", "/storage", []string{"storage", "shared", "type", "dir", "path", "/mnt/shared", "content", "images,rootdir,iso,backup,snippets", "shared", "1"}},
		{1, "POST", "/storage", []string{"storage", "nfs1", "type", "nfs", "server", "10.77.0.250", "export", "/srv/nfs", "content", "backup", "disable", "1"}},
		{1, "POST", "/storage", []string{"storage", "pbs1", "type", "pbs", "server", "10.77.0.251", "datastore", "main", "content", "backup", "disable", "1"}},
		{1, "POST", "/storage", []string{"storage", "cephfs1", "type", "cephfs", "content", "backup,iso,vztmpl", "fs-name", "cephfs", "disable", "1"}},
	})
}

// services are the plan's Ceph, guests, rules and jobs.
func (l *lab) services() error {
	if err := l.c.EnableCeph(); err != nil {
		return err
	}
	steps := []step{
		{1, "POST", "/nodes/pve1/ceph/pool", []string{"name", "vm-pool", "pg_num", "16", "pg_autoscale_mode", "off"}},
		{2, "POST", "/nodes/pve2/ceph/pool", []string{"name", "tmp-pool", "size", "2", "min_size", "1", "pg_num", "8", "pg_autoscale_mode", "off", "add_storages", "1"}},
		{1, "POST", "/nodes/pve1/ceph/pool", []string{"name", "ec-pool", "erasure-coding", "k=2,m=1,failure-domain=host", "pg_num", "8", "pg_autoscale_mode", "off"}},
		vmStorage,
	}
	for vmid, node := range map[int]int{100: 1, 101: 2, 102: 3, 110: 2} {
		path := fmt.Sprintf("/nodes/pve%d/qemu", node)
		steps = append(steps, step{node, "POST", path, []string{"vmid", fmt.Sprint(vmid), "name", fmt.Sprintf("vm%d", vmid), "memory", "64", "kvm", "0", "ide0", "shared:1,format=raw"}},
			step{node, "POST", fmt.Sprintf("%s/%d/status/start", path, vmid), nil})
	}
	steps = append(steps,
		step{1, "POST", "/nodes/pve1/qemu", []string{"vmid", "120", "name", "rbdvm", "memory", "64", "kvm", "0", "scsi0", "vm-storage:1,discard=on"}},
		step{1, "POST", "/nodes/pve1/qemu/120/status/start", nil},
		step{1, "POST", "/nodes/pve1/qemu", []string{"vmid", "103", "name", "broken", "memory", "32", "kvm", "0", "args", "-nonsense"}},
		step{1, "POST", "/cluster/ha/resources", []string{"sid", "vm:103", "max_restart", "0", "max_relocate", "0"}})
	for _, id := range []string{"100", "101", "102"} {
		steps = append(steps, step{1, "POST", "/cluster/ha/resources", []string{"sid", "vm:" + id, "comment", "quorate"}})
	}
	l.c.FailStart("vm:103", true)
	if err := l.run(steps); err != nil {
		return err
	}
	l.c.Advance(2 * time.Minute) // until the HA manager has seen all of it
	l.state = healthy
	return l.run([]step{
		{1, "POST", "/cluster/ha/rules", []string{"rule", "prefer-pve1", "type", "node-affinity", "resources", "vm:100", "nodes", "pve1:2,pve2:1", "comment", "quorate"}},
		{1, "POST", "/cluster/ha/rules", []string{"rule", "apart", "type", "resource-affinity", "resources", "vm:101,vm:102", "affinity", "negative", "disable", "1"}},
		{1, "POST", "/cluster/backup", []string{"id", "quorate-nightly", "schedule", "02:00", "storage", "shared", "all", "1"}},
	})
}

var vmStorage = step{1, "POST", "/storage", []string{"storage", "vm-storage", "type", "rbd", "pool", "vm-pool", "content", "images,rootdir", "krbd", "0"}}

// prepare does what other requests had done to the real lab that are in no file, or in another one.
func (l *lab) prepare(rec record) error {
	switch rec.Step {
	case "vm: delete": // its lock had been removed
		l.c.SetLock(301, "")
	case "storage: status of bad pool":
		return l.ensureStorage("bad4", step{1, "POST", "/storage", []string{"storage", "bad4", "type", "rbd", "pool", "nopool"}})
	case "storage: PUT rbd content=backup": // an earlier case had removed it
		return l.ensureStorage("vm-storage", vmStorage)
	case "50-storage-recreate": // the refused requests had been sent meanwhile, one of which removed it
		return l.do(1, "DELETE", "/storage/vm-storage")
	case "auth: token of a disabled user":
		l.c.DisableUser("prometheus@pve")
	}
	return nil
}

// ensureStorage makes a storage unless it is there.
func (l *lab) ensureStorage(id string, make step) error {
	if err := l.do(1, "GET", "/storage/"+id); err == nil {
		return nil
	}
	return l.run([]step{make})
}

// tokens are those that the requests were sent with.
func (l *lab) tokens() error {
	l.c.AddUser("prometheus@pve", "")
	if err := l.c.Grant("/", "prometheus@pve", "PVEAuditor"); err != nil {
		return err
	}
	for _, t := range [][2]string{{"prometheus@pve", "exporter"}, {"prometheus@pve", "old"}, {"root@pam", "prov"}} {
		v, err := l.c.AddToken(t[0], t[1], false)
		if err != nil {
			return err
		}
		l.headers["token "+t[0]+"!"+t[1]] = http.Header{"Authorization": {"PVEAPIToken=" + v}}
	}
	l.c.ExpireToken("prometheus@pve", "old")
	return nil
}

// stateOf says in which state the real lab was, by the name of the step.
func stateOf(r record, plan bool, prereq bool) state {
	switch {
	case prereq:
		return noCeph
	case plan:
		return fresh
	case strings.HasPrefix(r.Step, "no quorum"):
		return alone1
	case strings.HasPrefix(r.Step, "dead node"):
		return dead3
	case strings.HasPrefix(r.Step, "fresh node"):
		return afresh
	}
	return healthy
}

// enter brings the lab into a state; a new one is returned where nodes have to be new.
func (l *lab) enter(want state) (*lab, error) {
	if l != nil && l.state == want {
		return l, nil
	}
	rank := []state{fresh, noCeph, healthy}
	if l == nil || want == afresh || slices.Contains(rank, want) && !slices.Contains(rank, l.state) && l.state == afresh {
		at := time.Date(2026, 11, 21, 1, 1, 30, 0, time.UTC)
		if l != nil {
			at = l.c.Now()
			l.close()
		}
		var err error
		if l, err = newLab(at); err != nil {
			return nil, err
		}
		if want == afresh || want == fresh {
			l.state = want
			return l, nil
		}
		if err := l.cluster(); err != nil {
			return l, err
		}
		if err := l.tokens(); err != nil {
			return l, err
		}
		if want == noCeph { // what the same run had made before, of what its file does not tell
			for i := 1; i <= 3; i++ {
				l.c.RunCommand(i, "install -m 0644 /dev/stdin /etc/pve/ceph.conf", "[global]\n")
			}
			return l, l.run([]step{vmStorage, {1, "POST", "/cluster/backup", []string{"id", "quorate-nightly", "schedule", "02:00", "storage", "shared", "all", "1"}}})
		}
		if err := l.services(); err != nil {
			return l, err
		}
	}
	return l, l.shift(want)
}

// shift takes nodes away or gives them back.
func (l *lab) shift(want state) error {
	for node, down := range map[int]bool{2: want == alone1, 3: want == alone1 || want == dead3} {
		if err := l.c.SetNodeDown(node, down); err != nil {
			return err
		}
	}
	l.state = want
	l.c.Advance(15 * time.Second)
	clear(l.tickets())
	return nil
}

// tickets are the headers that do not outlive what happens to a node.
func (l *lab) tickets() map[string]http.Header {
	for k := range l.headers {
		if strings.HasPrefix(k, "ticket ") {
			delete(l.headers, k)
		}
	}
	return map[string]http.Header{}
}
