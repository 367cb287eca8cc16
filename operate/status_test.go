package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/living"
	"github.com/quorate/quorate/provision/transport"
)

// statusOf looks on a transport that can only read, and returns the report with its text.
func statusOf(t *testing.T, l *lab) (*Status, string) {
	t.Helper()
	l.Nodes = transport.ReadOnly(l.Nodes)
	r, err := l.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var text, js bytes.Buffer
	if err := r.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	if err := WriteJSON(&js, r); err != nil || !json.Valid(js.Bytes()) {
		t.Errorf("no JSON: %v\n%s", err, js.String())
	}
	return r, text.String()
}

func TestStatusOfAHealthyCluster(t *testing.T) {
	for _, v := range versions {
		t.Run(string(v), func(t *testing.T) {
			l := newLab(t, v)
			r, text := statusOf(t, l)
			if !r.OK() {
				t.Error("not well")
			}
			for _, w := range []string{
				"Cluster lab1: all is well (2026-01-01 00:00:40 UTC)", "Quorum    yes, 3 of 3 votes; 2 are needed", "pve1  online  HA online  up 1h 0m", "2 of 2 guests run",
				"HA        master pve1, armed; 3 services, 0 not as they should be", "Ceph      HEALTH_OK",
				"monitors in quorum: 3 of 3 (pve1, pve2, pve3); OSDs: 6 up and 6 in of 6", "placement groups: all 128 active and clean",
				"Tasks     0 running, 0 failed", "any one node can be lost: yes",
			} {
				if !strings.Contains(text, w) {
					t.Errorf("no word of %q", w)
				}
			}
			if n := strings.Count(text, "\n"); n > 25 {
				t.Errorf("%d lines are no screen", n)
			}
			if t.Failed() {
				t.Log(text)
			}
		})
	}
}

func TestStatusTellsWhatIsWrong(t *testing.T) {
	lost := func(ids ...int) func(*testing.T, *lab) {
		return func(t *testing.T, l *lab) {
			for _, i := range ids {
				if err := l.fake.SetNodeDown(i, true); err != nil {
					t.Fatal(err)
				}
			}
			l.fake.Advance(20 * time.Second)
		}
	}
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, l *lab)
		says []string
		not  []string
	}{
		{"a node is off", lost(3), []string{
			"! 2 of 3 votes are there, and 2 are needed", "! pve3 is offline", "! Ceph is HEALTH_WARN: MON_DOWN, OSD_DOWN, PG_DEGRADED", "pve3  OFFLINE",
			"OSD_DOWN: 2 osds down", "placement groups not clean: 128 of 128 (128 active+undersized+degraded)", "any one node can be lost: no\n",
			"any: no, because pve3 is offline; quorum would be lost: 1 of 3 votes would be left, and 2 are needed; Ceph's monitors would lose quorum",
			"pve1: no, because Ceph must keep the OSDs of pve1 (0, 1): 128 placement groups would go offline\n",
		}, []string{"does not answer"}},
		{"quorum is lost", lost(2, 3), []string{
			"! no node that answers sees quorum", "! pve2 does not answer, neither its API nor SSH", "Quorum    NO", "pve1: sees no quorum; hears pve1; 2 guests run on it",
			"pve2: no answer:", "? not known: Ceph, asked at pve1",
		}, []string{"pve2  online", "master"}},
		{"the API of a node hangs", func(t *testing.T, l *lab) {
			if err := l.fake.SetServicesDown(2, true); err != nil {
				t.Fatal(err)
			}
		}, []string{"! the API of pve2 does not answer, though SSH does", "pve2  online"}, nil},
		{"no API answers at all", func(t *testing.T, l *lab) {
			for i := range 3 {
				if err := l.fake.SetServicesDown(i+1, true); err != nil {
					t.Fatal(err)
				}
			}
		}, []string{"! no API of a node that sees quorum answers", "pve3: API does not answer; over SSH it sees quorum"}, []string{"Nodes"}},
		{"two views of quorum", func(t *testing.T, l *lab) {
			if err := l.fake.SetMembership(3, []int{3}, false); err != nil {
				t.Fatal(err)
			}
		}, []string{"! pve3 sees no quorum, only pve3; pve1 does"}, nil},
		{"a service fails", func(t *testing.T, l *lab) {
			l.fake.FailStart("vm:101", true)
			l.fake.KillGuest(101)
			l.fake.Advance(5 * time.Minute)
		}, []string{"! 1 of 3 HA services are not as they should be", "vm:101 should be started, and is in state error on", "failed ", "qmstart 101"}, nil},
		{"a node in maintenance, a flag, a lock", func(t *testing.T, l *lab) {
			l.fake.SetMaintenance(1, true)
			l.fake.SetLock(200, "backup")
			flag("noout")(t, l)
			l.fake.Advance(2 * time.Minute)
		}, []string{"! pve1 is in maintenance", "! Ceph is HEALTH_WARN: OSDMAP_FLAGS", "flags set: noout", "locked: vm:200 (backup)", "any: no, because Ceph is HEALTH_WARN", "pve2: no, because pve1 is in maintenance\n"}, nil},
		{"HA is disarmed", func(t *testing.T, l *lab) {
			if err := l.Nodes.API("pve1").Post(context.Background(), "/cluster/ha/status/disarm-ha", map[string]any{"resource-mode": "freeze"}, nil); err != nil {
				t.Fatal(err)
			}
			l.fake.Advance(2 * time.Minute)
		}, []string{"! HA is disarmed"}, nil},
		{"OSDs cannot be asked about", func(t *testing.T, l *lab) {
			l.fake.Inject(pvefake.Rule{Command: "ok-to-stop", Status: 1, Reason: "no keyring"})
		}, []string{"? not known: whether pve1 may fail", "no keyring"}, []string{"any one node"}},
		{"HA cannot be read", func(t *testing.T, l *lab) {
			l.fake.Inject(pvefake.Rule{Method: "GET", Path: "/cluster/ha/status/current", Status: 500, Reason: "broken"})
		}, []string{"? not known: the HA manager: ", "pve1  online", "HEALTH_OK"}, []string{"any one node", "master"}},
		{"a task runs, another has failed", func(t *testing.T, l *lab) {
			l.fake.AddTask(2, "qmigrate", "101", "root@pam", "migration problems", 30*time.Hour, time.Minute)
			l.fake.AddTask(2, "vzdump", "101", "root@pam", "job errors", 2*time.Hour, time.Minute)
			l.fake.AddTask(1, "vzdump", "100", "root@pam", "", 3*time.Minute, 0)
		}, []string{"all is well", "1 running, 1 failed in the last 24 hours", "running: vzdump 100 on pve1 for 3m 0s", "failed 2h 0m ago: vzdump 101 on pve2: job errors"}, []string{"migration problems"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, pvefake.V92)
			tt.do(t, l)
			before := len(l.writes())
			r, text := statusOf(t, l)
			if well := slices.Contains(tt.says, "all is well"); r.OK() != well {
				t.Errorf("OK says %v", r.OK())
			}
			for _, w := range tt.says {
				if !strings.Contains(text, w) {
					t.Errorf("no word of %q", w)
				}
			}
			for _, w := range tt.not {
				if strings.Contains(text, w) {
					t.Errorf("says %q", w)
				}
			}
			if after := l.writes(); len(after) > before {
				t.Errorf("wrote %q", after[before:])
			}
			if t.Failed() {
				t.Log(text)
			}
		})
	}
}

func TestStatusFailsOnlyIfNobodyAnswersOrItIsAnotherCluster(t *testing.T) {
	l := newLab(t, pvefake.V92)
	l.Name = "other"
	if _, err := l.Status(t.Context()); err == nil || !strings.Contains(err.Error(), `not cluster "other" of the file: pve1 is in "lab1"`) {
		t.Errorf("got %v", err)
	}
	l.Name = "lab1"
	for i := range 3 {
		if err := l.fake.SetNodeDown(i+1, true); err != nil {
			t.Fatal(err)
		}
	}
	_, err := l.Status(t.Context())
	if code := ExitCode(err, transport.Unreachable); code != 3 {
		t.Errorf("exit code %d with %v", code, err)
	}
}

func TestParseQuorate(t *testing.T) {
	for _, tt := range []struct {
		name, text, want string
	}{
		{"yes", "Quorum information\n------------------\nNodes:            3\nQuorate:          Yes\n\nVotequorum information\nFlags:            Quorate\n", "yes"},
		{"no", "Quorate:          No\nFlags:            \n", "no"},
		{"nothing", "Cannot initialize QUORUM service\n", "unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := "unknown"
			if q := parseQuorate(tt.text); q != nil {
				got = map[bool]string{true: "yes", false: "no"}[*q]
			}
			if got != tt.want {
				t.Errorf("got %s", got)
			}
		})
	}
}

// shifted is a clock that differs from the cluster's.
type shifted struct {
	engine.Clock
	by time.Duration
}

func (s shifted) Now() time.Time { return s.Clock.Now().Add(s.by) }

func TestAClockThatDiffersDoesNotMakeHAStandby(t *testing.T) {
	for _, v := range versions {
		for _, by := range []time.Duration{-time.Hour, time.Hour} {
			l := newLab(t, v)
			l.Clock = shifted{l.Clock, by}
			if got := l.look().HA.Arming; got != "armed" {
				t.Errorf("%s, a clock off by %s: HA is %s", v, by, got)
			}
		}
	}
}

func TestANodeOfAnotherClusterIsAProblem(t *testing.T) {
	yes := true
	mine := Voice{Node: "a", API: true, Quorate: &yes, view: living.View{Name: "lab1", Quorate: true}}
	alone := Voice{Node: "b", API: true, Quorate: &yes, view: living.View{Quorate: true}}
	r := &Status{Cluster: "lab1", ToldBy: "a", Voices: []Voice{mine, alone}}
	if err := (&Cluster{Name: "lab1"}).heard(t.Context(), r.Voices); err != nil {
		t.Error(err)
	}
	r.silentNodes()
	if want := `b is in cluster "" ("" is none)`; len(r.Problems) != 1 || r.Problems[0] != want {
		t.Errorf("%q, want %q", r.Problems, want)
	}
	if err := (&Cluster{Name: "lab1"}).heard(t.Context(), []Voice{alone}); err == nil {
		t.Error("a status of a node in no cluster")
	}
}
