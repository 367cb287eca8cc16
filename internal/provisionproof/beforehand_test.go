package provisionproof

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/session"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/transport"
)

// refusedApply applies with all checks of preflight, as the program does, and demands that they stop it
// before it has sent any write. It returns what they found.
func refusedApply(t *testing.T, w *World, wrap func(transport.Set) transport.Set) (found string, err error) {
	t.Helper()
	s, _, _ := newSession(t, w, session.FormatText)
	if wrap != nil {
		s.Nodes = wrap(s.Nodes)
	}
	var commands []string
	calls := &wire{Set: s.Nodes}
	s.Nodes = allReads{calls, &commands}
	var b bytes.Buffer
	s.Preflight = session.Checks(w.Spec, w.Here(), &b, w.Fake.Now, 1, nil)
	code, err := s.Apply(t.Context(), nil)
	if code != engine.ExitPreflight || err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("exit %d, %v; want %d and that nothing was changed", code, err, engine.ExitPreflight)
	}
	for _, r := range calls.all {
		if r.method != "GET" {
			t.Errorf("%s was sent", r)
		}
	}
	for _, c := range commands {
		t.Errorf("`%s` was run", c)
	}
	if len(calls.all) < 20 {
		t.Errorf("only %d calls were seen", len(calls.all))
	}
	return b.String(), err
}

// sentence is one line with a fix at its end.
var sentence = regexp.MustCompile(`^(homelab\.yaml:\d+:\d+: )?error: [A-Za-z0-9]+: .+ \(.+\)$`)

// TestAMistakeOfABeginnerIsToldBeforeAnythingIsChanged makes each in the home lab's file and applies it.
func TestAMistakeOfABeginnerIsToldBeforeAnythingIsChanged(t *testing.T) {
	text, err := os.ReadFile("../../examples/homelab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	twoNodes := func(c *spec.Cluster) {
		c.Spec.Nodes = c.Spec.Nodes[:2]
		c.Spec.Ceph.Monitors, c.Spec.Ceph.Managers = c.Spec.Ceph.Monitors[:2], c.Spec.Ceph.Managers[:2]
		delete(c.Spec.HA.Groups[0].Nodes, "pve3")
	}
	for _, tt := range []struct {
		name, old, new string
		change         func(*spec.Cluster)
		want           string
	}{
		{"cron schedule", `schedule: "02:00"`, `schedule: "0 2 * * *"`, nil, "BackupSchedule"},
		{"backup content on RBD", "pool: backup-storage, content: [images]", "pool: backup-storage, content: [backup]", nil, "RBDNoBackupContent"},
		{"two nodes without qdevice", "", "", twoNodes, "Nodes3Plus"},
		{"min_size 1", "vm-storage, size: 3, minSize: 2", "vm-storage, size: 3, minSize: 1", nil, "PoolMinSize"},
		{"the disk of the system as OSD", "{dev: /dev/sdb}", "{dev: /dev/sda}", nil, "OSDisk"},
		{"EOL Ceph release", "release: tentacle", "release: quincy", nil, "CephVersion"},
		{"cluster name of 16 characters", "name: homelab-cluster", "name: homelab-clusters", nil, "ClusterName"},
		{"k+m larger than hosts", "- {name: backup-storage, size: 3, minSize: 2, pgNum: 128}", "- {name: backup-storage, pgNum: 32, erasure: {k: 4, m: 2}}", nil, "ECFits"},
		{"PGs over the limit", "vm-storage, size: 3, minSize: 2, pgNum: 128", "vm-storage, size: 3, minSize: 2, pgNum: 1024", nil, "PGTarget"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(string(text), tt.old) {
				t.Fatalf("the example has no %q", tt.old)
			}
			w := newWorld(t, pvefake.V92)
			c, err := spec.Parse("homelab.yaml", []byte(strings.Replace(string(text), tt.old, tt.new, 1)))
			if err != nil {
				t.Fatal(err)
			}
			if tt.change != nil {
				tt.change(c)
			}
			w.Spec = c
			found, _ := refusedApply(t, w, nil)
			told := 0
			for _, line := range strings.Split(strings.TrimSpace(found), "\n") {
				if strings.Contains(line, "error: "+tt.want+": ") && sentence.MatchString(line) {
					told++
				}
			}
			if told == 0 {
				t.Errorf("no sentence of %s with a fix in:\n%s", tt.want, found)
			}
		})
	}
}

// TestAnHAGroupOn9BecomesARule is what a beginner would get wrong by hand: it needs no change of the file.
func TestAnHAGroupOn9BecomesARule(t *testing.T) {
	w := newWorld(t, pvefake.V92)
	apply(t, w)
	rules := 0
	for _, c := range w.Fake.Calls() {
		if c.Method == "POST" && c.Path == "/cluster/ha/groups" {
			t.Error("a group was sent to 9")
		}
		if c.Method == "POST" && c.Path == "/cluster/ha/rules" {
			rules++
		}
	}
	if rules != 1 {
		t.Errorf("%d rules were made, want 1", rules)
	}
}

// oldNode answers GET /version as another release.
type oldNode struct {
	transport.Set
	node string
}

func (o oldNode) API(node string) transport.API {
	if node != o.node {
		return o.Set.API(node)
	}
	return oldAPI{o.Set.API(node)}
}

type oldAPI struct{ transport.API }

func (o oldAPI) Get(ctx context.Context, path string, out any) error {
	err := o.API.Get(ctx, path, out)
	if path == "/version" && err == nil {
		err = fromJSON(`{"version":"8.4.1","release":"8.4","repoid":"2a5fa54a8503f96d"}`, out)
	}
	return err
}

func TestMachinesThatDoNotFitStopARunBeforeAnythingIsChanged(t *testing.T) {
	for _, tt := range []struct {
		name  string
		more  func(*pvefake.Options)
		wrap  func(transport.Set) transport.Set
		check string
		node  string
	}{
		{"a clock is 10 s late", func(o *pvefake.Options) { o.Machines[1].ClockSkew = -10 * time.Second }, nil, "TimeSync", "pve2"},
		{"another release", nil, func(s transport.Set) transport.Set { return oldNode{s, "pve3"} }, "SameVersion", "pve3"},
		{"a disk is in use", func(o *pvefake.Options) { o.Machines[2].Disks[1].Used = "LVM" }, nil, "DisksEmpty", "pve3"},
		{"a disk is missing", func(o *pvefake.Options) { o.Machines[0].Disks = o.Machines[0].Disks[:3] }, nil, "DisksExist", "pve1"},
		{"cloned machines", func(o *pvefake.Options) {
			o.Machines[0].MachineID, o.Machines[1].MachineID = strings.Repeat("a", 32), strings.Repeat("a", 32)
		}, nil, "UniqueMachineID", "pve2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Homelab("../..", pvefake.V92)
			if err != nil {
				t.Fatal(err)
			}
			var more []func(*pvefake.Options)
			if tt.more != nil {
				more = append(more, tt.more)
			}
			w, err := NewWorld(c, pvefake.V92, more...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.Close)
			found, err := refusedApply(t, w, tt.wrap)
			if !strings.Contains(fmt.Sprint(err), tt.check) {
				t.Errorf("error %v, want one that names %s", err, tt.check)
			}
			want := regexp.MustCompile(fmt.Sprintf(`(?m)^.*error: %s: .*%s.* \(.+\)$`, tt.check, tt.node))
			if !want.MatchString(found) {
				t.Errorf("nothing fits %s in:\n%s", want, found)
			}
		})
	}
}
