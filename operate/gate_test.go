package operate

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/living"
	"github.com/quorate/quorate/provision/transport"
)

// gateCases are clusters that cannot bear that pve1 goes, each with what is said. Nothing is said of a healthy one.
var gateCases = []struct {
	name   string
	do     func(t *testing.T, l *lab)
	node   string
	accept []string
	says   []string
}{
	{name: "a healthy cluster", node: "pve1"},
	{name: "an unknown node", node: "pve9", says: []string{"pve9 is no node of the cluster; it has pve1, pve2, pve3"}},
	{name: "another node is off", do: down(3), node: "pve1", says: []string{
		"pve3 is offline", "1 of 3 votes would be left, and 2 are needed", "1 of 3 would be left, and 2 are needed", "OSD_DOWN (2 osds down)",
		"128 of 128 placement groups are not active and clean", "must keep the OSDs of pve1 (0, 1): 128 placement groups would go offline",
	}},
	{name: "the node itself is off", do: down(3), node: "pve3", says: []string{"pve3 is offline already", "OSD_DOWN"}},
	{name: "another node is in maintenance", do: func(t *testing.T, l *lab) {
		l.fake.SetMaintenance(2, true)
		l.fake.Advance(2 * time.Minute)
	}, node: "pve1", says: []string{"pve2 is in maintenance", "quorate maintenance disable pve2"}},
	{name: "a flag is set", do: flag("noout"), node: "pve1", says: []string{"OSDMAP_FLAGS (noout flag(s) set)"}},
	{name: "a flag is set, and accepted", do: flag("noout"), node: "pve1", accept: []string{flagsCheck}},
	{name: "flags are accepted, but not this one", do: flag("noup"), node: "pve1", accept: []string{flagsCheck}, says: []string{"ceph osd unset noup"}},
	{name: "a health check nobody knows", do: func(t *testing.T, l *lab) {
		if err := l.fake.SetCephHealth("HEALTH_ERR", map[string]string{"NEW_CHECK": "something is wrong"}); err != nil {
			t.Fatal(err)
		}
	}, node: "pve1", says: []string{"HEALTH_ERR: NEW_CHECK (something is wrong)"}},
	{name: "no memory for what is under HA", do: func(t *testing.T, l *lab) {
		if err := l.fake.AddVM(pvefake.Guest{VMID: 150, Node: 1, MemoryBytes: 60 << 30}); err != nil {
			t.Fatal(err)
		}
		if err := l.fake.AddHAResource(pvefake.HAResource{SID: "vm:150"}); err != nil {
			t.Fatal(err)
		}
		l.fake.Advance(time.Minute)
	}, node: "pve1", says: []string{"no other node has the memory for vm:150 (60.0 GiB)"}},
	{name: "memory is no matter without HA", do: func(t *testing.T, l *lab) {
		if err := l.fake.AddVM(pvefake.Guest{VMID: 150, Node: 1, MemoryBytes: 60 << 30}); err != nil {
			t.Fatal(err)
		}
		l.fake.Advance(time.Minute)
	}, node: "pve1"},
	{name: "a pool of two copies that must both be there", do: func(t *testing.T, l *lab) {
		for _, kv := range []string{"size 2", "min_size 2"} {
			if exit, _, stderr := l.fake.RunCommand(1, "ceph osd pool set vm-storage "+kv, ""); exit != 0 {
				t.Fatal(stderr)
			}
		}
		l.fake.Advance(time.Minute)
	}, node: "pve2", says: []string{"must keep the OSDs of pve2 (2, 3): 128 placement groups would go offline"}},
}

func down(i int) func(t *testing.T, l *lab) {
	return func(t *testing.T, l *lab) {
		if err := l.fake.SetNodeDown(i, true); err != nil {
			t.Fatal(err)
		}
		l.fake.Advance(20 * time.Second)
	}
}

func flag(name string) func(t *testing.T, l *lab) {
	return func(t *testing.T, l *lab) {
		if err := l.Nodes.API("pve1").Put(context.Background(), "/cluster/ceph/flags/"+name, map[string]any{"value": true}, nil); err != nil {
			t.Fatal(err)
		}
		l.fake.Advance(5 * time.Second)
	}
}

func TestMayLoseTellsEachReasonWithItsNumbers(t *testing.T) {
	for _, v := range versions {
		for _, tt := range gateCases {
			t.Run(string(v)+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				l := newLab(t, v)
				if tt.do != nil {
					tt.do(t, l)
				}
				before := len(l.writes())
				got, err := l.MayLose(t.Context(), l.look(), tt.node, tt.accept...)
				if err != nil {
					t.Fatal(err)
				}
				text := strings.Join(got, "\n")
				for _, w := range tt.says {
					if !strings.Contains(text, w) {
						t.Errorf("no word of %q in\n%s", w, text)
					}
				}
				if len(tt.says) == 0 && len(got) > 0 {
					t.Errorf("want no reason, got\n%s", text)
				}
				if after := l.writes(); len(after) > before {
					t.Errorf("wrote %q", after[before:])
				}
			})
		}
	}
}

func TestMayLoseFailsIfCephCannotBeAsked(t *testing.T) {
	l := newLab(t, pvefake.V92)
	s := l.look()
	l.fake.Inject(pvefake.Rule{Command: "ok-to-stop", Status: 1, Reason: "monclient(hunting): authenticate timed out after 300"})
	if _, err := l.MayLose(t.Context(), s, "pve1"); err == nil || !strings.Contains(err.Error(), "authenticate timed out") {
		t.Errorf("got %v", err)
	}
}

// A quorum device of an even number of nodes gives one vote, of an odd number as many as all nodes but one.
func TestVotesLeftCountsAQuorumDevice(t *testing.T) {
	for _, tt := range []struct {
		name              string
		of                map[string]int
		expected, present int
		node              string
		lost              bool
	}{
		{"2 nodes", map[string]int{"a": 1, "b": 1}, 2, 2, "a", true},
		{"2 nodes and a device", map[string]int{"a": 1, "b": 1}, 3, 3, "a", false},
		{"2 nodes and a device that is away", map[string]int{"a": 1, "b": 1}, 3, 2, "a", true},
		{"4 nodes", map[string]int{"a": 1, "b": 1, "c": 1, "d": 1}, 4, 4, "a", false},
		{"a node with more votes", map[string]int{"a": 3, "b": 1, "c": 1}, 5, 5, "a", true},
		{"the same, and another goes", map[string]int{"a": 3, "b": 1, "c": 1}, 5, 5, "b", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := State{Votes: Votes{Expected: tt.expected, Present: tt.present, Of: tt.of}}
			s.Members.Members = append(s.Members.Members, member(tt.node))
			if got := votesLeft(s, tt.node, nil); (len(got) > 0) != tt.lost {
				t.Errorf("got %q", got)
			}
		})
	}
}

func member(name string) living.Member { return living.Member{Name: name, Online: true} }

// What Ceph 16.2.15 answered to `ceph osd ok-to-stop 0 1`, shortened.
const (
	notOK    = `{"ok_to_stop":false,"osds":[0,1],"num_ok_pgs":0,"num_not_ok_pgs":40,"bad_become_inactive":["1.0","1.1"]}` + "\n"
	notOKErr = "Error EBUSY: unsafe to stop osd(s) at this time (40 PGs are or would become offline)\n"
)

type answering struct {
	transport.Set
	out transport.Output
	err error
}

func (a answering) Shell(string) transport.Shell { return a }

func (a answering) Run(context.Context, transport.Command) (transport.Output, error) {
	return a.out, a.err
}

func TestOKToStopReadsWhatCephSays(t *testing.T) {
	refused := func(code int, stderr string) error {
		return &transport.CommandError{Node: "pve1", Command: "ceph osd ok-to-stop 0 1", Code: code, Stderr: stderr}
	}
	for _, tt := range []struct {
		name, stdout string
		err          error
		why          string
		fails        bool
	}{
		{"they may", `{"ok_to_stop":true,"osds":[0,1],"num_ok_pgs":40,"num_not_ok_pgs":0}` + "\n", nil, "", false},
		{"they must not", notOK, refused(16, notOKErr), "40 placement groups would go offline", false},
		{"they must not, without JSON", "", refused(16, notOKErr), "EBUSY: unsafe to stop osd(s) at this time (40 PGs are or would become offline)", false},
		{"unknown", "", refused(11, "Error EAGAIN: 3 pgs have unknown state; cannot draw any conclusions\n"), "EAGAIN: 3 pgs have unknown state; cannot draw any conclusions", false},
		{"no connection", "", refused(1, "monclient(hunting): authenticate timed out"), "", true},
		{"no ceph", "", refused(127, "ceph: command not found"), "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &Cluster{Nodes: answering{out: transport.Output{Stdout: tt.stdout}, err: tt.err}}
			why, err := c.okToStop(t.Context(), "pve1", []int{0, 1})
			if why != tt.why || (err != nil) != tt.fails {
				t.Errorf("got %q, %v", why, err)
			}
		})
	}
}
