package acceptance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
	"github.com/quorate/quorate/internal/provisionproof"
	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/session"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/transport"
)

// TestLabProvisionEndsWithARealQuorumAndARealHealthyCeph applies the documentation's home lab to the fake
// Proxmox, whose cluster, monitors, managers, OSDs, pools, images, settings and clients of Ceph are those
// of a real lab, and breaks an OSD at the end.
func TestLabProvisionEndsWithARealQuorumAndARealHealthyCeph(t *testing.T) {
	t.Parallel()
	for _, v := range []pvefake.Version{pvefake.V92, pvefake.V84} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, lab.Options{Nodes: 3, Ceph: true, Bare: true})
			w, c := provisioned(t, l, v)
			planned(t, w, c)
			if v == pvefake.V92 {
				withoutAMonitor(t, l, w)
			}
			applied(t, l, w, c)
			imported(t, w)
			broken(t, l, w)
		})
	}
}

// planned looks at a plan, which tells of everything and does nothing.
func planned(t *testing.T, w *provisionproof.World, c *coupling) {
	t.Helper()
	code, said, err := start(t, w, transport.ReadOnly, func(s *session.Session) (int, error) { return s.Plan(t.Context(), nil, false) })
	if code != engine.ExitOK {
		t.Fatalf("plan: exit code %d, %v", code, err)
	}
	for _, part := range []string{"homelab-cluster", "osd", "pool/vm-storage", "ceph-config/client/rbd_cache", "vm/100", "cephx/client.quorate"} {
		if !strings.Contains(said, part) {
			t.Errorf("the plan does not speak of %s:\n%s", part, said)
		}
	}
	if made := c.made(); len(made) > 0 {
		t.Errorf("plan did %v", made)
	}
}

// withoutAMonitor applies while there is a directory with something in it, which the real ceph-mon refuses.
func withoutAMonitor(t *testing.T, l *lab.Lab, w *provisionproof.World) {
	t.Helper()
	foreign := filepath.Join(l.NodeDir(2), "ceph/mon.pve2/foreign")
	if err := os.MkdirAll(foreign, 0o755); err != nil {
		t.Fatal(err)
	}
	if code, said, err := apply(t, w); code != engine.ExitPartial || err == nil || !strings.Contains(err.Error(), "pve2") {
		t.Fatalf("where no monitor can be made on pve2: exit code %d, %v; want %d\n%s", code, err, engine.ExitPartial, said)
	}
	if mons := askCeph[monStat](t, l, "mon", "stat"); mons.Leader != "pve1" || len(mons.Quorum) != 1 {
		t.Errorf("after that, monitors %+v; want pve1 alone", mons)
	}
	if err := os.RemoveAll(filepath.Dir(foreign)); err != nil {
		t.Fatal(err)
	}
}

// applied applies until nothing is left to do, and looks at what is there.
func applied(t *testing.T, l *lab.Lab, w *provisionproof.World, c *coupling) {
	t.Helper()
	if code, said, err := apply(t, w); code != engine.ExitOK {
		t.Fatalf("apply: exit code %d, %v\n%s", code, err, said)
	}
	want := map[string]int{
		"clustercreate": 1, "clusterjoin": 2, "cephcreatemon": 3, "cephcreatemgr": 2, "cephcreateosd": 9, "cephcreatepool": 2, "qmcreate": 1,
		"ceph config set": 4,
	}
	made := c.made()
	for kind, n := range want {
		if made[kind] != n {
			t.Errorf("%d times %s was done for real, want %d", made[kind], kind, n)
		}
	}
	again, err := w.Apply(t.Context(), nil)
	if err != nil || again.Writes > 0 {
		t.Errorf("apply once more: %d writes, %v; want none", again.Writes, err)
	}
	realQuorum(t, l)
	realCeph(t, l)
	if have, told := realOSDs(t, l), toldOSDs(t, w); len(have) != 9 || !maps.Equal(have, told) {
		t.Errorf("OSDs by node: Ceph has %v, Proxmox shows %v; want the same nine", have, told)
	}
	realConfig(t, l, w.Spec.Spec.Ceph.Config)
	realClient(t, l, w.Fake, "client.quorate", w.Spec.Spec.Monitoring.Cephx.Keyring)
	realImages(t, l, "vm-storage", map[string]int64{"vm-100-disk-0": 8 << 30})
	if code, said, err := verified(t, w); code != engine.ExitOK || strings.Contains(said, "FAIL") {
		t.Errorf("verify: exit code %d, %v\n%s", code, err, said)
	}
}

// imported describes what is there in a file by which nothing is left to do.
func imported(t *testing.T, w *provisionproof.World) {
	t.Helper()
	code, said, err := start(t, w, transport.ReadOnly, func(s *session.Session) (int, error) {
		found, err := s.Import(t.Context())
		if err != nil || len(found.Spec.Guests) != 1 || len(found.Spec.Ceph.Pools) < 2 || len(found.Spec.Nodes) != 3 {
			return engine.ExitError, fmt.Errorf("not the home lab: %v", err)
		}
		text, err := spec.Marshal(found)
		if err != nil {
			return engine.ExitError, err
		}
		if s.Spec, err = spec.Parse("imported.yaml", text); err != nil {
			return engine.ExitError, err
		}
		return s.Plan(t.Context(), nil, true)
	})
	if code != engine.ExitOK {
		t.Errorf("plan of what was imported: exit code %d, %v; want no changes\n%s", code, err, said)
	}
}

// broken stops an OSD, which verify must see.
func broken(t *testing.T, l *lab.Lab, w *provisionproof.World) {
	t.Helper()
	const osd = "osd.0"
	where := realOSDs(t, l)[osd]
	node := slices.IndexFunc(l.Nodes(), func(n int) bool { return lab.NodeName(n) == where }) + 1
	if err := l.StopDaemon(t.Context(), node, osd, syscall.SIGTERM); err != nil || node == 0 {
		t.Fatalf("stop %s of node %d: %v", osd, node, err)
	}
	eventually(t, 30*time.Second, func() error {
		if s := askCeph[cephStatus](t, l, "status"); s.OSDs.Up != 8 {
			return fmt.Errorf("OSDs %+v, want one down", s.OSDs)
		}
		return nil
	})
	code, said, err := verified(t, w)
	if code != engine.ExitVerify || err != nil || !strings.Contains(said, "OSD_DOWN") || !strings.Contains(said, "9, 8 up, 9 in") {
		t.Errorf("verify with an OSD down: exit code %d, %v; want %d\n%s", code, err, engine.ExitVerify, said)
	}
}

// labs makes the file fit the lab's addresses, and release v.
func labs(v pvefake.Version) *strings.Replacer {
	pairs := []string{
		"10.0.10.11", "10.77.0.1", "10.0.10.12", "10.77.0.2", "10.0.10.13", "10.77.0.3", "10.0.10.1\n", "10.77.0.254\n", "10.0.10.", "10.77.0.",
		"10.0.100.11", "10.77.1.1", "10.0.100.12", "10.77.1.2", "10.0.100.13", "10.77.1.3", "10.0.100.", "10.77.1.",
	}
	if v == pvefake.V84 {
		pairs = append(pairs, "pve: {major: 9,", "pve: {major: 8,", "release: tentacle", "release: squid")
	}
	return strings.NewReplacer(pairs...)
}

// provisioned is the home lab's file with the lab's addresses, on a fake that is coupled to the lab.
func provisioned(t *testing.T, l *lab.Lab, v pvefake.Version) (*provisionproof.World, *coupling) {
	t.Helper()
	const name = "../../examples/homelab.yaml"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := spec.Parse(name, []byte(labs(v).Replace(string(text))))
	if err != nil {
		t.Fatal(err)
	}
	c := newCoupling(t, l)
	w, err := provisionproof.NewWorld(cluster, v, c.options)
	if err != nil {
		t.Fatal(err)
	}
	c.fake, w.Idle, w.Parallel = w.Fake, c.wait, 2
	w.Timeout = 3 * cephAnswers // a request waits while a command is given
	ended := make(chan struct{})
	go func() { defer close(ended); c.run(t.Context()) }()
	t.Cleanup(func() {
		w.Close() // whereafter nothing is asked for any more
		close(c.work)
		<-ended
		c.asker.close()
	})
	return w, c
}

// start is one start of the program.
func start(t *testing.T, w *provisionproof.World, wrap func(transport.Set) transport.Set, do func(*session.Session) (int, error)) (code int, said string, err error) {
	t.Helper()
	fleet, err := w.Fleet()
	if err != nil {
		t.Fatal(err)
	}
	defer fleet.Close()
	var out bytes.Buffer
	begun := time.Now()
	code, err = do(&session.Session{
		Spec: w.Spec, Nodes: wrap(fleet), Clock: w.Clock(), Resolver: w.Resolver(), Files: w.Files, Program: w.Program, Redact: &engine.Redactor{}, StateDir: t.TempDir(),
		Out: &out, Err: &out, Format: session.FormatText, Verbose: true, Options: engine.Options{Parallel: w.Parallel},
	})
	t.Logf("exit code %d after %s", code, time.Since(begun).Round(time.Millisecond))
	return code, out.String(), err
}

// apply is `quorate provision apply`.
func apply(t *testing.T, w *provisionproof.World) (code int, said string, err error) {
	t.Helper()
	unchanged := func(s transport.Set) transport.Set { return s }
	return start(t, w, unchanged, func(s *session.Session) (int, error) { return s.Apply(t.Context(), nil) })
}

// verified is `quorate provision verify`.
func verified(t *testing.T, w *provisionproof.World) (code int, said string, err error) {
	t.Helper()
	return start(t, w, transport.ReadOnly, func(s *session.Session) (int, error) { return s.Verify(t.Context(), nil) })
}

// realQuorum asks the real corosync of every node.
func realQuorum(t *testing.T, l *lab.Lab) {
	t.Helper()
	for _, node := range l.Nodes() {
		q, err := l.Quorum(t.Context(), node)
		if err != nil || !q.Quorate || q.Total != 3 || q.Expected != 3 || !slices.Equal(q.Members, []int{1, 2, 3}) {
			t.Errorf("%s: %+v, %v; want 3 of 3 votes and quorate", lab.NodeName(node), q, err)
		}
		name, err := l.Run(t.Context(), node, "corosync-cmapctl", "-g", "totem.cluster_name")
		if err != nil || !strings.HasSuffix(strings.TrimSpace(name), "= homelab-cluster") {
			t.Errorf("%s: %q, %v; want the file's name of the cluster", lab.NodeName(node), name, err)
		}
	}
}

type monStat struct {
	Leader string
	Quorum []struct{ Name string }
}

type cephStatus struct {
	Health struct {
		Status string
		Checks map[string]any
	}
	Quorum []string `json:"quorum_names"`
	OSDs   struct {
		All int `json:"num_osds"`
		Up  int `json:"num_up_osds"`
		In  int `json:"num_in_osds"`
	} `json:"osdmap"`
	PGs struct {
		All    int `json:"num_pgs"`
		States []struct {
			Name  string `json:"state_name"`
			Count int
		} `json:"pgs_by_state"`
	} `json:"pgmap"`
}

// realCeph asks the real Ceph.
func realCeph(t *testing.T, l *lab.Lab) {
	t.Helper()
	if err := l.WaitCephHealthy(t.Context()); err != nil {
		t.Error(err)
	}
	s := askCeph[cephStatus](t, l, "status")
	if s.Health.Status != "HEALTH_OK" || !slices.Equal(s.Quorum, []string{"pve1", "pve2", "pve3"}) {
		t.Errorf("%s (%v), monitors %v in quorum; want HEALTH_OK and three", s.Health.Status, s.Health.Checks, s.Quorum)
	}
	if s.OSDs.All != 9 || s.OSDs.Up != 9 || s.OSDs.In != 9 {
		t.Errorf("OSDs %+v; want 9 up and in", s.OSDs)
	}
	if s.PGs.All != 256 || len(s.PGs.States) != 1 || s.PGs.States[0].Name != "active+clean" || s.PGs.States[0].Count != 256 {
		t.Errorf("PGs %+v; want 256 active+clean", s.PGs)
	}
	type pool struct {
		Name        string         `json:"pool_name"`
		Size        int            `json:"size"`
		MinSize     int            `json:"min_size"`
		PGs         int            `json:"pg_num"`
		Application map[string]any `json:"application_metadata"`
	}
	var names []string
	for _, p := range askCeph[[]pool](t, l, "osd", "pool", "ls", "detail") {
		names = append(names, p.Name)
		if p.Size != 3 || p.MinSize != 2 || p.PGs != 128 || p.Application["rbd"] == nil {
			t.Errorf("pool %+v; want 3/2, 128 PGs, for RBD", p)
		}
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"backup-storage", "vm-storage"}) {
		t.Errorf("pools %v", names)
	}
}

// osdTree is "ceph osd tree"; Proxmox nests it.
type osdTree struct {
	Nodes []struct {
		Name, Type string
		Children   []int
	}
}

// realOSDs are the nodes of the real OSDs by name.
func realOSDs(t *testing.T, l *lab.Lab) map[string]string {
	t.Helper()
	nodes := map[string]string{}
	for _, n := range askCeph[osdTree](t, l, "osd", "tree").Nodes {
		for _, id := range n.Children {
			if n.Type == "host" {
				nodes[fmt.Sprintf("osd.%d", id)] = n.Name
			}
		}
	}
	return nodes
}

// toldOSDs are the same as Proxmox's API has them.
func toldOSDs(t *testing.T, w *provisionproof.World) map[string]string {
	t.Helper()
	e, closer, err := w.Env()
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	type item struct {
		Name, Host string
		Children   []item
	}
	var all struct{ Root item }
	if err := e.Nodes.API("pve1").Get(t.Context(), "/nodes/pve1/ceph/osd", &all); err != nil {
		t.Fatal(err)
	}
	nodes := map[string]string{}
	var walk func(item)
	walk = func(i item) {
		if strings.HasPrefix(i.Name, "osd.") {
			nodes[i.Name] = i.Host
		}
		for _, child := range i.Children {
			walk(child)
		}
	}
	walk(all.Root)
	return nodes
}

// askCeph is what the real Ceph answers.
func askCeph[T any](t *testing.T, l *lab.Lab, command ...string) T {
	t.Helper()
	var v T
	out, err := l.CephCLI(t.Context(), append(command, "--format", "json")...)
	if err == nil {
		err = json.Unmarshal([]byte(out), &v)
	}
	if err != nil {
		t.Fatalf("ceph %s: %v", strings.Join(command, " "), err)
	}
	return v
}
