package pve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/internal/source"
)

const (
	membersQuorate = `{
"nodename": "pve1",
"version": 9,
"cluster": { "name": "lab", "version": 3, "nodes": 2, "quorate": 1 },
"nodelist": {
  "pve2": { "id": 2, "online": 0, "ip": "10.77.0.2"},
  "pve1": { "id": 1, "online": 1, "ip": "10.77.0.1"}
  }
}
`
	confLocked = "#lock%3A backup\nboot: order=ide0\nlock: migrate\nname: web\nonboot: 1\n\n[snap1]\nlock: snapshot\nname: old\n"
)

func lab() fstest.MapFS {
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	return fstest.MapFS{
		".members":                         file(membersQuorate),
		".vmlist":                          file("{\n\"version\": 2,\n\"ids\": {\n\"200\": { \"node\": \"pve2\", \"type\": \"lxc\", \"version\": 7 },\n\"100\": { \"node\": \"pve1\", \"type\": \"qemu\", \"version\": 3 }}\n\n}\n"),
		".version":                         file(`{"starttime": 1795222900, "clinfo": 9, "vmlist": 2, "ha/manager_status": 32, "kvstore": {"pve1": {"tasklist": 1}}}`),
		"corosync.conf":                    file("totem {\n  cluster_name: lab\n  version: 2\n}\nnodelist {\n  node {\n    name: pve1\n    nodeid: 1\n    ring0_addr: 10.77.0.1\n  }\n}\n"),
		"ha/manager_status":                file(`{"node_status":{}}`),
		"nodes/pve1/qemu-server/100.conf":  file(confLocked),
		"nodes/pve1/qemu-server/100.conf~": file("lock: backup\n"),
		"nodes/pve1/lxc":                   &fstest.MapFile{Mode: fs.ModeDir | 0o755},
		"nodes/pve2/lxc/200.conf":          file("arch: amd64\nhostname: db\ntemplate: 1\nlxc.cap.drop: \nlock: \n[pve:pending]\nonboot: 1\n"),
	}
}

func TestFilesAreReadAsPmxcfsWritesThem(t *testing.T) {
	noLeak(t)
	f := newFiles("/etc/pve", lab(), nil)
	ctx := within(t, 5*time.Second)

	m, err := f.Members(ctx)
	if err != nil || m.NodeName != "pve1" || m.Cluster == nil || *m.Cluster != (MembersInfo{"lab", 3, 2, true}) ||
		!slices.Equal(m.Nodes, []MemberNode{{"pve1", 1, "10.77.0.1", Bool{true, true}}, {"pve2", 2, "10.77.0.2", Bool{false, true}}}) {
		t.Errorf("members: %+v, %v", m, err)
	}
	g, err := f.Guests(ctx)
	if err != nil || !slices.Equal(g, []GuestPlace{{GuestRef{"qemu", 100}, "pve1", 3}, {GuestRef{"lxc", 200}, "pve2", 7}}) {
		t.Errorf("guests: %+v, %v", g, err)
	}
	v, err := f.Versions(ctx)
	if err != nil || v.StartTime != 1795222900 || v.Members != 9 || v.Guests != 2 || !maps.Equal(v.Files, map[string]int64{"ha/manager_status": 32}) {
		t.Errorf("versions: %+v, %v", v, err)
	}
	c, err := f.Corosync(ctx)
	if err != nil || c.ClusterName != "lab" || len(c.Nodes) != 1 {
		t.Errorf("corosync.conf: %+v, %v", c, err)
	}
	web := GuestConfig{GuestRef{"qemu", 100}, "pve1", "web", "migrate", true, false}
	db := GuestConfig{GuestRef{"lxc", 200}, "pve2", "db", "", false, true}
	all, err := f.GuestConfigs(ctx, "")
	if err != nil || !slices.Equal(all, []GuestConfig{web, db}) {
		t.Errorf("all guests: %+v, %v", all, err)
	}
	own, err := f.GuestConfigs(ctx, "pve2")
	if err != nil || !slices.Equal(own, []GuestConfig{db}) {
		t.Errorf("guests of pve2: %+v, %v", own, err)
	}
	locked, err := f.Locks(ctx, "")
	if err != nil || !slices.Equal(locked, []GuestConfig{web}) {
		t.Errorf("locks: %+v, %v", locked, err)
	}
	b, err := f.ReadFile(ctx, "ha/manager_status")
	if err != nil || string(b) != `{"node_status":{}}` {
		t.Errorf("read: %q, %v", b, err)
	}
	if s := f.Status(); !s.Up || s.Name != "pmxcfs" || s.Requests != 8 {
		t.Errorf("status %+v", s)
	}
}

func TestNobodyIsCalledOnlineWithoutQuorum(t *testing.T) {
	// As measured on a node whose corosync was stopped: all nodes stay online.
	m, err := parseMembers([]byte(strings.Replace(membersQuorate, `"quorate": 1`, `"quorate": 0`, 1)))
	if err != nil || m.Cluster.Quorate {
		t.Fatalf("got %+v, %v", m, err)
	}
	for _, n := range m.Nodes {
		if n.Online.Known {
			t.Errorf("%s: online is said to be %t", n.Name, n.Online.V)
		}
	}
}

func TestAStandaloneNodeHasNoCluster(t *testing.T) {
	fsys := lab()
	fsys[".members"] = &fstest.MapFile{Data: []byte("{\n\"nodename\": \"pve1\",\n\"version\": 2\n}\n")}
	delete(fsys, "corosync.conf")
	f := newFiles("/etc/pve", fsys, nil)
	ctx := within(t, 5*time.Second)
	if m, err := f.Members(ctx); err != nil || m.Cluster != nil || m.NodeName != "pve1" {
		t.Errorf("members: %+v, %v", m, err)
	}
	if _, err := f.Corosync(ctx); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("corosync.conf: %v, want one that is fs.ErrNotExist", err)
	}
	if s := f.Status(); !s.Up || s.Errors["other"] != 0 {
		t.Errorf("status %+v: a file that is not there is no failure", s)
	}
}

// brokenFS opens files as open says.
type brokenFS struct {
	open func(name string) (fs.File, error)
}

func (b brokenFS) Open(name string) (fs.File, error) { return b.open(name) }

func TestFailuresOfTheFileSystemAreToldApart(t *testing.T) {
	fail := func(err error) fs.FS {
		return brokenFS{func(name string) (fs.File, error) { return nil, &fs.PathError{Op: "open", Path: name, Err: err} }}
	}
	good := lab()
	with := func(name, data string) fs.FS {
		c := maps.Clone(good)
		c[name] = &fstest.MapFile{Data: []byte(data)}
		return c
	}
	for _, c := range []struct {
		name string
		fsys fs.FS
		kind Kind
		text string
		up   bool
	}{
		{"not mounted", fstest.MapFS{}, NotMounted, "pve-cluster", false},
		{"pmxcfs died", fail(syscall.ENOTCONN), NotMounted, "pve-cluster", false},
		{"no rights", fail(syscall.EACCES), Access, "www-data", false},
		{"I/O error", fail(syscall.EIO), IO, "", false},
		{"not JSON", with(".members", "{"), Type, "/etc/pve/.members", true},
		{"empty", with(".members", ""), Type, "/etc/pve/.members", true},
		{"other form", with(".members", `{"nodename":["a"]}`), Type, "/etc/pve/.members", true},
		{"quorate missing", with(".members", `{"nodename":"pve1","cluster":{}}`), Type, "no quorate", true},
		{"huge", with(".members", strings.Repeat(" ", maxFileBytes+1)), TooLarge, "larger than", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			noLeak(t)
			f := newFiles("/etc/pve", c.fsys, nil)
			m, err := f.Members(within(t, 5*time.Second))
			var e *FileError
			if !errors.As(err, &e) || e.Kind != c.kind || !strings.Contains(err.Error(), c.text) || source.Reason(err) != string(c.kind) {
				t.Errorf("got %v, want kind %s saying %q", err, c.kind, c.text)
			}
			if m.NodeName != "" {
				t.Errorf("got %+v beside the error", m)
			}
			if s := f.Status(); s.Up != c.up || s.Errors[string(c.kind)] != 1 {
				t.Errorf("status %+v", s)
			}
		})
	}
}

func TestAHangingFileSystemHoldsOneReadAndRecovers(t *testing.T) {
	noLeak(t)
	release := make(chan struct{})
	var opened atomic.Int32
	good := lab()
	f := newFiles("/etc/pve", brokenFS{func(name string) (fs.File, error) {
		opened.Add(1)
		<-release
		return good.Open(name)
	}}, nil)

	_, err := f.Members(within(t, 50*time.Millisecond))
	var e *FileError
	if !errors.As(err, &e) || e.Kind != Timeout || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("first: %v", err)
	}
	for name, read := range map[string]func() error{
		"same file":     func() error { _, err := f.Members(within(t, time.Minute)); return err },
		"other file":    func() error { _, err := f.ReadFile(within(t, time.Minute), "ha/manager_status"); return err },
		"guest configs": func() error { _, err := f.Locks(within(t, time.Minute), ""); return err },
	} {
		begun := time.Now()
		var stuck *source.StuckError
		if err := read(); !errors.As(err, &stuck) || time.Since(begun) > time.Second {
			t.Errorf("%s: got %v after %s, want to be refused at once", name, err, time.Since(begun))
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d reads hang, want 1", n)
	}
	if s := f.Status(); s.Up || s.Stuck == 0 || s.Errors["stuck"] != 3 || s.Errors["timeout"] != 1 {
		t.Errorf("status while it hangs: %+v", s)
	}

	close(release)
	ctx := within(t, 10*time.Second)
	for ctx.Err() == nil {
		if _, err = f.Members(ctx); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if s := f.Status(); err != nil || !s.Up || s.Stuck != 0 {
		t.Errorf("after it went on: %v, %+v", err, s)
	}
}

func TestAGuestThatMovesWhileWeReadIsNoError(t *testing.T) {
	good := lab()
	f := newFiles("/etc/pve", movedFS{good}, nil)
	got, err := f.GuestConfigs(within(t, 5*time.Second), "pve1")
	if err != nil || len(got) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

// movedFS lists files that are gone when they are opened.
type movedFS struct{ fstest.MapFS }

func (m movedFS) Open(name string) (fs.File, error) {
	if strings.HasSuffix(name, ".conf") {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return m.MapFS.Open(name)
}

func TestConcurrentReadsOfDifferentFormsDoNotMix(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := make(chan struct{})
		good := lab()
		f := newFiles("/etc/pve", brokenFS{func(name string) (fs.File, error) { <-start; return good.Open(name) }}, nil)
		errs := make(chan error, 20)
		for range 10 {
			go func() {
				m, err := f.Members(t.Context())
				if err == nil && m.NodeName != "pve1" {
					err = fmt.Errorf("members: %+v", m)
				}
				errs <- err
			}()
			go func() {
				b, err := f.ReadFile(t.Context(), ".members")
				if err == nil && string(b) != membersQuorate {
					err = fmt.Errorf("file: %q", b)
				}
				errs <- err
			}()
		}
		synctest.Wait() // now all wait for the same two reads
		close(start)
		for range 20 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if s := f.Status(); s.Requests != 2 {
			t.Errorf("%d reads, want one of each form", s.Requests)
		}
	})
}

// Every state of the recorded clusters, as every node of it had it on disk.
func TestRecordedFilesAreUnderstood(t *testing.T) {
	roots := slices.Concat(recorded(t, "files/*/etc/pve"), recorded(t, "files/*/*/etc/pve"))
	members, guests := 0, 0
	for _, root := range roots {
		name := strings.TrimPrefix(root, recordings+"/files/")
		f := NewFiles(root, nil)
		ctx := within(t, 20*time.Second)
		_, partial := os.Stat(filepath.Join(root, ".members"))
		if partial != nil {
			// Only configurations were recorded, of a guest that was moving.
			f = newFiles(root, memberedFS{os.DirFS(root)}, nil)
		}
		configs, err := f.GuestConfigs(ctx, "")
		if partial != nil {
			if err != nil || len(configs) == 0 || configs[0].Lock != "migrate" {
				t.Errorf("%s: %+v, %v", name, configs, err)
			}
			continue
		}
		m, merr := f.Members(ctx)
		list, lerr := f.Guests(ctx)
		_, verr := f.Versions(ctx)
		conf, cerr := f.Corosync(ctx)
		if err := errors.Join(err, merr, lerr, verr, cerr); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(m.Nodes) != len(conf.Nodes) || m.Cluster.Name != conf.ClusterName || m.Cluster.Version != int64(conf.ConfigVersion) {
			t.Errorf("%s: .members %+v does not fit corosync.conf %+v", name, m, conf)
		}
		if quorate := !strings.HasPrefix(name, "no-quorum"); m.Cluster.Quorate != quorate || m.Nodes[0].Online.Known != quorate {
			t.Errorf("%s: %+v", name, m.Cluster)
		}
		compareGuests(t, name, list, configs)
		members++
		guests += len(list)
	}
	t.Logf("%d roots, %d with .members, %d guests", len(roots), members, guests)
	if members < 20 || guests < 100 {
		t.Errorf("only %d members and %d guests were compared", members, guests)
	}
}

// memberedFS has a .members beside what else there is.
type memberedFS struct{ fs.FS }

func (m memberedFS) Open(name string) (fs.File, error) {
	if name == ".members" {
		return lab().Open(name)
	}
	return m.FS.Open(name)
}

// compareGuests holds .vmlist against the configurations that are there.
func compareGuests(t *testing.T, name string, list []GuestPlace, configs []GuestConfig) {
	t.Helper()
	place := map[GuestRef]string{}
	for _, c := range configs {
		place[c.GuestRef] = c.Node
	}
	for _, g := range list {
		if place[g.GuestRef] != g.Node {
			t.Errorf("%s: %s is on %q in .vmlist and on %q by its file", name, g.GuestRef, g.Node, place[g.GuestRef])
		}
	}
	if len(list) != len(configs) {
		t.Errorf("%s: %d guests in .vmlist, %d files", name, len(list), len(configs))
	}
}

func TestRecordedMembersOfAStoppedCorosyncAreNotBelieved(t *testing.T) {
	for state, quorate := range map[string]bool{"node3-corosync-down/pve3": false, "node3-corosync-down/pve1": true, "quorum-lost/pve1": false, "healthy/pve2": true} {
		b := read(t, recorded(t, "../corosync/pmxcfs/"+state+"/dot.members")[0])
		m, err := parseMembers(b)
		if err != nil || len(m.Nodes) != 3 || m.Cluster.Quorate != quorate {
			t.Fatalf("%s: %+v, %v", state, m, err)
		}
		for _, n := range m.Nodes {
			if n.Online.Known != quorate {
				t.Errorf("%s: online of %s known: %t", state, n.Name, n.Online.Known)
			}
		}
		if state == "node3-corosync-down/pve1" && m.Nodes[2].Online.V {
			t.Errorf("%s: pve3 is online", state)
		}
	}
}

func FuzzFileParsers(f *testing.F) {
	for name, file := range lab() {
		if !file.Mode.IsDir() && name != "corosync.conf" {
			f.Add(file.Data)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parseMembers(b); err == nil && m.NodeName == "" {
			t.Fatalf("members without a name: %+v", m)
		} else if err == nil && m.Cluster != nil && !m.Cluster.Quorate {
			for _, n := range m.Nodes {
				if n.Online.Known {
					t.Fatal("online without quorum")
				}
			}
		}
		if list, err := parseVMList(b); err == nil {
			for _, g := range list {
				if g.Node == "" || g.VMID < 0 {
					t.Fatalf("guest %+v", g)
				}
			}
		}
		if v, err := parseVersions(b); err == nil && v.StartTime == 0 {
			t.Fatal("no start time")
		}
		if g := parseGuestConfig(b); strings.ContainsAny(g.Lock+g.Name, "\n") {
			t.Fatalf("a line break in %+v", g)
		}
	})
}
