package operate

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/provisionproof"
	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/transport"
)

var versions = []pvefake.Version{pvefake.V84, pvefake.V92}

// A lab is a fake cluster of three nodes with Ceph and HA, and this program beside it. Time passes when the
// program waits.
type lab struct {
	*Cluster
	t     *testing.T
	fake  *pvefake.Cluster
	world *provisionproof.World

	mu   sync.Mutex
	told []engine.Event
}

// newWorld has a fake cluster of three nodes with SSH, and no guests yet.
func newWorld(t *testing.T, v pvefake.Version, change ...func(*pvefake.Options)) *provisionproof.World {
	t.Helper()
	o := pvefake.Options{Version: v, Machines: make([]pvefake.Machine, 3), RootPassword: provisionproof.RootPassword, Seed: 3}
	for _, f := range change {
		f(&o)
	}
	fake, err := pvefake.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	pins, err := transport.OpenPins("")
	if err := errors.Join(err, fake.ServeSSH(), fake.AddStorage("vm-storage", "rbd", 1<<40, 1<<30)); err != nil {
		t.Fatal(err)
	}
	c := &spec.Cluster{}
	for i := range fake.Size() {
		c.Spec.Nodes = append(c.Spec.Nodes, spec.Node{Name: fake.Node(i + 1).Name()})
	}
	return &provisionproof.World{Fake: fake, Spec: c, Pins: pins}
}

// newLab has vm:100 and ct:110 under HA on pve1, vm:101 under HA on pve2, vm:200 without HA on pve2.
func newLab(t *testing.T, v pvefake.Version, change ...func(*pvefake.Options)) *lab {
	t.Helper()
	w := newWorld(t, v, change...)
	fake := w.Fake
	l := &lab{t: t, fake: fake, world: w}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(fake.SpreadCeph(2))
	for _, g := range []pvefake.Guest{
		{VMID: 100, Node: 1, Name: "dns", MemoryBytes: 2 << 30, DiskBytes: 8 << 30, Storage: "vm-storage"},
		{VMID: 110, Node: 1, Name: "mail", MemoryBytes: 1 << 30, Storage: "vm-storage", Container: true},
		{VMID: 101, Node: 2, Name: "web", MemoryBytes: 4 << 30, DiskBytes: 8 << 30, Storage: "vm-storage"},
		{VMID: 200, Node: 2, Name: "build", MemoryBytes: 2 << 30, DiskBytes: 8 << 30, Storage: "vm-storage"},
	} {
		must(fake.AddVM(g))
	}
	for _, sid := range []string{"vm:100", "ct:110", "vm:101"} {
		must(fake.AddHAResource(pvefake.HAResource{SID: sid}))
	}
	fake.Advance(40 * time.Second)
	l.start()
	return l
}

// start is the program started anew.
func (l *lab) start() {
	l.t.Helper()
	fleet, err := l.world.Fleet()
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = fleet.Close() })
	var names []string
	for i := range l.fake.Size() {
		names = append(names, l.fake.Node(i+1).Name())
	}
	l.Cluster = &Cluster{Name: "lab1", Names: names, Nodes: fleet, Clock: l.world.Clock(), Tell: l.tell}
}

func (l *lab) tell(e engine.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.told = append(l.told, e)
}

// said says whether somebody was told a text with these words.
func (l *lab) said(words string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.told, func(e engine.Event) bool { return strings.Contains(e.Text, words) })
}

// look fails the test if the cluster cannot be read.
func (l *lab) look() State {
	l.t.Helper()
	s, err := l.Look(context.Background())
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

// writes are the requests and commands that were not reads.
func (l *lab) writes() []string { return l.world.Writes() }

// afterWrites calls do after the k-th write that goes through s.
func afterWrites(s transport.Set, k int, do func()) transport.Set {
	return &cutSet{Set: s, left: k, do: do}
}

type cutSet struct {
	transport.Set
	mu   sync.Mutex
	left int
	do   func()
}

func (s *cutSet) wrote() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left--; s.left == 0 {
		s.do()
	}
}

func (s *cutSet) API(node string) transport.API { return cutAPI{s.Set.API(node), s} }

func (s *cutSet) Shell(node string) transport.Shell { return cutShell{s.Set.Shell(node), s} }

type cutAPI struct {
	transport.API
	s *cutSet
}

func (a cutAPI) Post(ctx context.Context, path string, p transport.Params, out any) error {
	defer a.s.wrote()
	return a.API.Post(ctx, path, p, out)
}

func (a cutAPI) Put(ctx context.Context, path string, p transport.Params, out any) error {
	defer a.s.wrote()
	return a.API.Put(ctx, path, p, out)
}

type cutShell struct {
	transport.Shell
	s *cutSet
}

func (h cutShell) Run(ctx context.Context, c transport.Command) (transport.Output, error) {
	if !c.Reads() {
		defer h.s.wrote()
	}
	return h.Shell.Run(ctx, c)
}
