package provisionproof

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/internal/race"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/steps"
	"github.com/quorate/quorate/provision/transport"
)

// A fault happens during an apply of the home lab. When the run does not get over it by itself, it ends
// with an error that says what there is to know; after mend the next run does the rest.
type fault struct {
	name string
	rule *pvefake.Rule // there from the beginning
	do   func(w *World) error
	at   func(e engine.Event) bool // when do happens; nil: at the beginning
	mend func(w *World) error
	note func(e engine.Event) // sees all events

	says []string // the error; none: the run gets over it
	code int
	log  string // in the log of the task that the error carries
}

func event(kind string, step engine.ID, node string) func(engine.Event) bool {
	return func(e engine.Event) bool { return e.Event == kind && e.Step == step && (node == "" || e.Node == node) }
}

func faults() []fault {
	held := "" // the task that never ends
	all := []fault{
		{name: "595 while a node joins", do: func(w *World) error {
			w.Fake.Inject(pvefake.Rule{Method: "GET", Path: "/cluster/status", Status: 595, Times: 4})
			return nil
		}, at: event(engine.EventTask, "join", "pve2")},
		{name: "tickets expire while Ceph is set up", do: func(w *World) error { w.Fake.ExpireTickets(); return nil }, at: event(engine.EventStart, "ceph-mons", "")},
		{name: "a joiner stays silent", do: func(w *World) error { return w.Fake.SilenceJoiner(2, true) },
			mend: func(w *World) error { return w.Fake.SilenceJoiner(2, false) },
			says: []string{"pve2: step join: member/pve2", "waited 5m0s", "pvecm delnode pve2", "--repair-join"}, code: engine.ExitPartial},
		{name: "quorum is lost while pools are made", do: func(w *World) error {
			w.Fake.Partition([]int{1}, []int{2}, []int{3})
			w.Fake.Advance(20 * time.Second)
			return nil
		},
			at:   event(engine.EventStart, "storages", ""),
			mend: func(w *World) error { w.Fake.Partition(); w.Fake.Advance(60 * time.Second); return nil },
			says: []string{"step storages", "no quorum"}, code: engine.ExitPartial},
		{name: "one of three disks is bad", do: func(w *World) error { return w.Fake.SetDisk(2, pvefake.Disk{Dev: "/dev/sdc", Fails: true}) },
			mend: func(w *World) error { return w.Fake.SetDisk(2, pvefake.Disk{Dev: "/dev/sdc"}) },
			says: []string{"pve2: step ceph-osds: osd/dev/sdc", "UPID:pve2:", "cephcreateosd"}, code: engine.ExitPartial, log: "TASK ERROR"},
		{name: "a task never ends", do: func(w *World) error { w.Fake.HoldTasks("qmcreate", true); return nil },
			note: func(e engine.Event) {
				if strings.Contains(e.UPID, "qmcreate") {
					held = e.UPID
				}
			},
			mend: func(w *World) error {
				w.Fake.HoldTasks("qmcreate", false)
				return w.Fake.FinishTask(held, "")
			},
			says: []string{"pve1: step guests: vm/100", "UPID:pve1:", "qmcreate", "may still run"}, code: engine.ExitPartial},
		{name: "a node is gone after its network was changed", do: func(w *World) error { return w.Fake.SetServicesDown(2, true) }, at: event(engine.EventTask, "network", "pve2"),
			mend: func(w *World) error { w.Fake.Advance(transport.DeadManTime); return w.Fake.SetServicesDown(2, false) },
			says: []string{"pve2: step network", "takes its old network back after 2m0s"}, code: engine.ExitPartial},
		{name: "a task is interrupted", rule: &pvefake.Rule{TaskType: "cephcreateosd", TaskStatus: "interrupted by signal", Times: 1},
			says: []string{"step ceph-osds", "UPID:", "cephcreateosd", "interrupted by signal"}, code: engine.ExitPartial, log: "TASK ERROR"},
		{name: "not allowed", rule: &pvefake.Rule{Method: "POST", Path: "/storage", Status: 403, Reason: "Permission check failed (/storage, Datastore.Allocate)"},
			says: []string{"step storages: storage/vm-storage", "403", "Datastore.Allocate"}, code: engine.ExitPartial},
		{name: "not understood", rule: &pvefake.Rule{Method: "POST", Path: "/cluster/backup", Status: 400, Body: `{"data":null,"errors":{"schedule":"invalid format"}}`},
			says: []string{"step backup-jobs: backup-job/nightly", "400"}, code: engine.ExitPartial},
	}
	for _, task := range []struct{ typ, says string }{
		{"clustercreate", "pve1: step cluster-create"}, {"clusterjoin", "pve2: step join"}, {"cephcreatemon", "pve1: step ceph-mons"},
		{"cephcreatemgr", "pve2: step ceph-mgrs"}, {"cephcreateosd", "step ceph-osds"}, {"cephcreatepool", "pve1: step ceph-pools"},
		{"qmcreate", "pve1: step guests"}, {"srvreload", "pve1: step network"}, {"aptupdate", "step repositories"},
	} {
		all = append(all, fault{name: "task " + task.typ + " fails", rule: &pvefake.Rule{TaskType: task.typ, TaskStatus: "command 'x' failed: exit code 1", Times: 1},
			says: []string{task.says, "UPID:", task.typ, "exit code 1"}, code: engine.ExitPartial, log: "TASK ERROR"})
	}
	for _, p := range []struct{ method, path string }{
		{"POST", "/nodes/*/hosts"}, {"PUT", "/nodes/*/network/*"}, {"PUT", "/nodes/*/network"}, {"POST", "/cluster/config"}, {"POST", "/cluster/config/join"},
		{"PUT", "/cluster/options"}, {"POST", "/nodes/*/ceph/init"}, {"POST", "/nodes/*/ceph/mon/*"}, {"POST", "/nodes/*/ceph/mgr/*"}, {"POST", "/nodes/*/ceph/osd"},
		{"POST", "/nodes/*/ceph/pool"}, {"POST", "/storage"}, {"POST", "/access/users"}, {"PUT", "/access/acl"}, {"POST", "/access/users/*/token/*"},
		{"POST", "/nodes/*/qemu"}, {"POST", "/cluster/ha/resources"}, {"POST", "/cluster/ha/rules"}, {"POST", "/cluster/backup"}, {"PUT", "/nodes/*/apt/repositories"},
	} {
		all = append(all,
			fault{name: "reply lost of " + p.method + " " + p.path, rule: &pvefake.Rule{Method: p.method, Path: p.path, LoseReply: true, Times: 1}},
			fault{name: "closed before " + p.method + " " + p.path, rule: &pvefake.Rule{Method: p.method, Path: p.path, CloseBefore: true, Times: 1}})
	}
	for _, r := range []struct {
		name string
		rule pvefake.Rule
	}{
		{"595 no route", pvefake.Rule{Status: 595, Reason: "No route to host"}},
		{"595 with data null", pvefake.Rule{Status: 595, Body: `{"data":null}`}},
		{"596 timed out", pvefake.Rule{Status: 596, Reason: "Connection timed out"}},
		{"596 broken pipe", pvefake.Rule{Status: 596, Reason: "Broken pipe"}},
		{"599", pvefake.Rule{Status: 599}},
		{"no quorum", pvefake.Rule{Status: 500, Reason: "cluster not ready - no quorum?"}},
		{"cfs lock", pvefake.Rule{Status: 500, Reason: "error with cfs lock 'file-storage_cfg': got lock request timeout"}},
		{"cfs without quorum", pvefake.Rule{Status: 500, Reason: "error with cfs lock 'file-user_cfg': no quorum!"}},
		{"lock file", pvefake.Rule{Status: 500, Reason: "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"}},
		{"digest", pvefake.Rule{Status: 500, Reason: "detected modified configuration - file changed by other user? Try again."}},
		{"ticket", pvefake.Rule{Status: 401, Reason: "permission denied - invalid PVE ticket", Times: 1}}, // refused twice is refused
		{"bad gateway", pvefake.Rule{Status: 502}},
	} {
		for _, at := range [][2]string{{"GET", "/version"}, {"GET", "/cluster/status"}, {"GET", "/nodes/*/ceph/mon"}, {"POST", "/nodes/*/ceph/pool"}, {"PUT", "/cluster/options"}} {
			rule := r.rule
			rule.Method, rule.Path, rule.Times = at[0], at[1], max(rule.Times, 2-rule.Times)
			all = append(all, fault{name: fmt.Sprintf("%s at %s %s", r.name, at[0], at[1]), rule: &rule})
		}
	}
	return all
}

func TestFaultsAreToldAndTheNextApplyGoesOn(t *testing.T) {
	calm := newWorld(t, pvefake.V92)
	apply(t, calm)
	want, err := calm.end(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range faults() {
		if len(f.says) == 0 && f.at == nil && i%7 != 0 && !soak() {
			continue // what a run gets over is of many kinds that end alike
		}
		if race.Enabled && i%5 != 0 {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			w := newWorld(t, pvefake.V92)
			run, err := f.strike(t, w)
			if len(f.says) == 0 && err != nil {
				t.Fatalf("the run did not get over it: %v", err)
			}
			for _, s := range f.says {
				if !strings.Contains(fmt.Sprint(err), s) {
					t.Errorf("the error does not say %q: %v", s, err)
				}
			}
			if code := engine.ExitCode(err, run.Result.Changed > 0, transport.Unreachable); code != f.code {
				t.Errorf("exit code %d, want %d", code, f.code)
			}
			var step *engine.StepError
			if f.log != "" && (!errors.As(err, &step) || !strings.Contains(strings.Join(step.Log, "\n"), f.log)) {
				t.Errorf("the task's log does not come with the error: %v", step)
			}
			w.Fake.ClearFaults()
			if f.mend != nil {
				if err := f.mend(w); err != nil {
					t.Fatal(err)
				}
			}
			w.Change = nil
			apply(t, w)
			converged(t, w, want)
		})
	}
}

// converged demands that nothing is left to do, and that the cluster is the one of a calm run.
func converged(t *testing.T, w *World, want State) {
	t.Helper()
	if second := apply(t, w); second.Writes > 0 {
		t.Errorf("afterwards %d writes", second.Writes)
	}
	have, err := w.end(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := want.Diff(have); len(d) > 0 {
		t.Errorf("another cluster came of it:\n%s", strings.Join(d, "\n"))
	}
}

// strike applies while the fault happens.
func (f fault) strike(t *testing.T, w *World) (Run, error) {
	t.Helper()
	w.Change = func(e *steps.Env) { e.Limits.Task = 3 * time.Minute }
	if f.rule != nil {
		w.Fake.Inject(*f.rule)
	}
	if f.do != nil && f.at == nil {
		if err := f.do(w); err != nil {
			t.Fatal(err)
		}
	}
	done := false
	return w.Apply(t.Context(), func(e engine.Event) {
		if f.note != nil {
			f.note(e)
		}
		if f.at != nil && !done && f.at(e) {
			done = true
			if err := f.do(w); err != nil {
				t.Error(err)
			}
		}
	})
}
