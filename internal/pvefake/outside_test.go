package pvefake

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// outside is a cluster of three with Ceph, whose tasks, commands and status somebody outside can take over.
type outside struct {
	*operator
	works    []Work
	take     string // the type of task that is taken over
	commands []string
	reply    *Reply // to commands; nil leaves them to the fake
	status   string // of Ceph; "" fails
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	x := &outside{}
	c := newCluster(t, Options{
		Standalone: true, RootPassword: "fake-root", Machines: homeMachines(),
		Perform: func(w Work) bool { x.works = append(x.works, w); return w.Type == x.take },
		PerformCommand: func(c CephCommand) (Reply, bool) {
			x.commands = append(x.commands, strings.Join(c.Argv, " "))
			if x.reply == nil {
				return Reply{}, false
			}
			return *x.reply, true
		},
		CephStatus: func() ([]byte, error) {
			if x.status == "" {
				return nil, errors.New("nobody answers")
			}
			return []byte(x.status), nil
		},
	})
	x.operator = newOperator(t, c)
	return x
}

// cephed is that cluster with a small Ceph.
func (x *outside) cephed() *outside {
	x.t.Helper()
	x.formed()
	if exit, _, _ := x.c.RunCommand(1, "ceph config set osd a 1", ""); exit == 0 || len(x.commands) > 0 {
		x.t.Errorf("without Ceph: exit %d, handed over %q", exit, x.commands)
	}
	buildSmallCeph(x.operator)
	x.c.Advance(10 * time.Second)
	return x
}

func TestWhatIsRefusedOrMadeToFailIsNotHandedOver(t *testing.T) {
	x := newOutside(t)
	join := []string{"hostname", "10.0.10.11", "password", "fake-root", "link0", "10.0.10.12", "fingerprint", x.c.Node(1).Fingerprint()}
	for _, tt := range []struct {
		name, host, path string
		kv               []string
		prepare          func()
	}{
		{"a join of nothing", "10.0.10.12", "/cluster/config/join", join, func() {}},
		{"a creation that a rule makes fail", "10.0.10.11", "/cluster/config", []string{"clustername", "homelab", "link0", "10.0.10.11"}, func() {
			x.c.Inject(Rule{TaskType: "clustercreate", TaskStatus: "out of luck", Times: 1})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.prepare()
			a, err := x.call(tt.host, "POST", tt.path, tt.kv...)
			if err != nil || a.status != 200 {
				t.Fatalf("%d %s (%v)", a.status, a.reason, err)
			}
			if exit := x.end(a.data(t).(string)); exit == "OK" {
				t.Error("the task went well")
			}
			if len(x.works) > 0 {
				t.Errorf("handed over: %s", jsonOf(x.works))
			}
		})
	}
}

func TestANewGuestsDisksAreHandedOverByTheNamesThatTheyGet(t *testing.T) {
	x := newOutside(t).cephed()
	x.works, x.take = nil, "qmcreate"
	upid := func() string {
		t.Helper()
		a, err := x.call("pve1", "POST", "/nodes/pve2/qemu", "vmid", "100", "scsi0", "vm-storage:8,cache=writeback", "scsi1", "vm-storage:0.5", "ide2", "none,media=cdrom", "memory", "512")
		if err != nil || a.status != 200 {
			t.Fatalf("%d %s (%v)", a.status, a.reason, err)
		}
		return a.data(t).(string)
	}
	first := upid()
	want := []Image{{"vm-storage", "vm-100-disk-0", 8 << 30}, {"vm-storage", "vm-100-disk-1", 1 << 29}}
	if len(x.works) != 1 || x.works[0].Node != 2 || !slices.Equal(x.works[0].Images, want) {
		t.Fatalf("handed over %s, want the images %v", jsonOf(x.works), want)
	}
	if err := x.c.FinishTask(first, "rbd create failed"); err != nil {
		t.Fatal(err)
	}
	if a, _ := x.call("pve1", "GET", "/nodes/pve2/qemu/100/config"); a.status == 200 {
		t.Error("the guest is there although its disk could not be made")
	}
	if err := x.c.FinishTask(upid(), ""); err != nil {
		t.Fatal(err)
	}
	conf := x.must("pve1", "GET", "/nodes/pve2/qemu/100/config").(map[string]any)
	if conf["scsi0"] != "vm-storage:vm-100-disk-0,cache=writeback,size=8G" || conf["scsi1"] != "vm-storage:vm-100-disk-1,size=0.5G" {
		t.Errorf("disks %v and %v", conf["scsi0"], conf["scsi1"])
	}
}

func TestCommandsOfCephGoOutsideAndTheFakeFollows(t *testing.T) {
	x := newOutside(t).cephed()
	stored := func() string {
		return jsonOf(x.must("pve2", "GET", "/nodes/pve2/ceph/cfg/db"))
	}
	for _, tt := range []struct {
		name, command string
		reply         *Reply
		stored        bool
		says          string
	}{
		{"left to the fake", "ceph config set osd osd_a 1", nil, true, ""},
		{"done", "ceph config set osd osd_b 2", &Reply{Stdout: "real\n"}, true, "real\n"},
		{"refused", "ceph config set osd osd_c 3", &Reply{Stderr: "Error EINVAL: no\n", Exit: 22}, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x.commands, x.reply = nil, tt.reply
			exit, stdout, stderr := x.c.RunCommand(2, tt.command, "")
			if tt.reply != nil && (exit != tt.reply.Exit || stderr != tt.reply.Stderr) || stdout != tt.says {
				t.Errorf("exit %d, %q, %q", exit, stdout, stderr)
			}
			if !slices.Equal(x.commands, []string{tt.command}) {
				t.Errorf("handed over %q", x.commands)
			}
			if key := strings.Fields(tt.command)[4]; strings.Contains(stored(), key) != tt.stored {
				t.Errorf("the API shows %s", stored())
			}
		})
	}
	x.reply = &Reply{Stdout: "[client.a]\n\tkey = cmVhbA==\n\n"}
	x.c.RunCommand(1, "ceph auth get-or-create client.a mon 'allow r'", "")
	x.reply = nil
	if _, keyring, _ := x.c.RunCommand(1, "ceph auth get client.a", ""); !strings.Contains(keyring, "key = cmVhbA==\n") {
		t.Errorf("the fake has another key: %q", keyring)
	}
}

func TestTheStatusOfARealCephIsWhatTheAPISays(t *testing.T) {
	x := newOutside(t).cephed()
	x.status = `{"health": {"status": "HEALTH_ERR", "checks": {}}, "quorum_names": [], "monmap": {"num_mons": 1}}`
	for _, path := range []string{"/cluster/ceph/status", "/nodes/pve3/ceph/status"} {
		s := x.must("pve3", "GET", path).(map[string]any)
		if s["health"].(map[string]any)["status"] != "HEALTH_ERR" {
			t.Errorf("%s: health %v", path, s["health"])
		}
		if mons, _ := s["monmap"].(map[string]any)["mons"].([]any); len(mons) != 1 {
			t.Errorf("%s: monitors %v; want the list that Proxmox VE adds", path, s["monmap"])
		}
	}
	if mon := x.must("pve3", "GET", "/nodes/pve3/ceph/mon").([]any)[0].(map[string]any); mon["quorum"] != 0.0 {
		t.Errorf("monitor %v; want it out of quorum", mon)
	}
	x.status = ""
	if a, err := x.call("pve3", "GET", "/cluster/ceph/status"); err != nil || a.status != 500 || !strings.Contains(a.reason, "nobody answers") {
		t.Errorf("when nobody answers: %d %s (%v)", a.status, a.reason, err)
	}
}
