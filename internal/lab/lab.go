package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// DefaultDir is where a lab lives unless Options.Dir says otherwise.
const DefaultDir = "/var/tmp/quorate-lab"

// The networks of a node, in the order of its interfaces.
const (
	Link0      = 0 // corosync's first link
	Link1      = 1 // corosync's second link
	Storage    = 2 // Ceph's public and cluster network
	management = 3 // to the qnetd server, in labs with a QDevice
)

const (
	maxNodes  = 20
	qnetdNode = 250 // the qnetd server is kept like a node, with a number no node has

	upTimeout   = 3 * time.Minute
	downTimeout = 30 * time.Second
)

// ErrUsage is wrapped by errors about a fault's name or arguments.
var ErrUsage = errors.New("usage")

// ErrNoLab says that a directory holds no lab.
var ErrNoLab = errors.New("no lab there (start one with: quorate-lab up)")

// Options describe a lab.
type Options struct {
	Dir     string // all state; empty: DefaultDir. Not below /run or /dev/shm, which are private in a node
	Nodes   int    // 1 to 20; 0: 3
	QDevice bool   // a qnetd server, and corosync-qdevice on every node
	Ceph    bool   // a monitor, a manager or OSDs on the nodes
	CephPGs int    // placement groups of the rbd pool; 0: a small default
	// Bare starts the nodes alone. Corosync's cluster is then made by MakeCluster and JoinCluster and, with
	// Ceph, its daemons one by one by MakeMon, MakeMgr and MakeOSD; Ceph shares corosync's second link.
	Bare bool
	PVE  bool // a Proxmox VE that is played: API, /etc/pve, guests, HA
	// PVEVersion is its release, "8.4" or "9.2"; empty: "9.2".
	PVEVersion string
	PVEStill   bool          // no guest of it is migrated now and then
	HAPace     int           // how many times faster its HA manager works; 0: as in reality
	Token      time.Duration // corosync's token timeout; 0: corosync's default. Tests shorten it
	Self       string        // the quorate-lab binary, which a lab starts as its link box; empty: found or built
	Log        *slog.Logger  `json:"-"` // nil: silent
}

// Lab is a running lab. Its state is on disk; methods may be called by several goroutines and
// several processes at once.
type Lab struct {
	o       Options
	log     *slog.Logger
	names   names
	reapers *sync.WaitGroup
}

// Up starts a lab. When it returns, corosync is quorate on every node and, with Options.Ceph, Ceph
// is healthy. When it fails or ctx ends it removes what it started.
func Up(ctx context.Context, o Options) (*Lab, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	if err := requirements(o); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	l := newLab(o)
	if err := l.claim(); err != nil {
		return nil, err
	}
	unlock, err := l.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := l.build(ctx); err != nil {
		// ctx may be what ended: cleaning up must not depend on it.
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), downTimeout)
		defer cancel()
		return nil, errors.Join(fmt.Errorf("lab %s: %w", o.Dir, err), l.remove(clean))
	}
	return l, nil
}

// build starts everything, bottom up.
func (l *Lab) build(ctx context.Context) error {
	for _, step := range []struct {
		name string
		when bool
		do   func(context.Context) error
	}{
		{"switches", true, l.makeSwitches},
		{"nodes", true, l.makeNodes},
		{"corosync configuration", !l.o.Bare, func(context.Context) error { return l.writeConfigs(corosyncSettings{}) }},
		{"qnetd", l.o.QDevice, l.makeQnetd},
		{"corosync", !l.o.Bare, l.startAllCorosync},
		{"quorum", !l.o.Bare, l.settle},
		{"Ceph", l.o.Ceph && !l.o.Bare, l.cephUp},
		{"Proxmox VE", l.o.PVE, l.pveUp},
	} {
		if !step.when {
			continue
		}
		began := time.Now()
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("start %s: %w", step.name, err)
		}
		l.log.Debug("lab step done", "step", step.name, "took", time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// Open returns the lab in dir as its files describe it, whether its processes run or not. It fails
// with ErrNoLab when there is none.
func Open(dir string, log *slog.Logger) (*Lab, error) {
	dir, err := absolute(dir)
	if err != nil {
		return nil, err
	}
	var o Options
	err = readJSON(filepath.Join(dir, stateFile), &o)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoLab)
	}
	if err != nil {
		return nil, err
	}
	o.Dir, o.Log = dir, log
	return newLab(o), nil
}

// Remove takes down whatever is left of a lab in dir, even if its files are damaged or gone.
// The directory itself is removed only if it is a lab's.
func Remove(ctx context.Context, dir string, log *slog.Logger) error {
	dir, err := absolute(dir)
	if err != nil {
		return err
	}
	return newLab(Options{Dir: dir, Log: log}).Down(ctx)
}

// Down kills every process of the lab and removes its namespaces and its directory. It is
// idempotent and needs none of the lab's processes to be alive.
func (l *Lab) Down(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	unlock, err := l.lock(ctx)
	if errors.Is(err, ErrNoLab) {
		return l.remove(ctx) // its namespaces may be left
	}
	if err != nil {
		return err
	}
	defer unlock()
	return l.remove(ctx)
}

// Nodes lists the node ids, from 1.
func (l *Lab) Nodes() []int {
	nodes := make([]int, l.o.Nodes)
	for i := range nodes {
		nodes[i] = i + 1
	}
	return nodes
}

// Dir is the lab's directory.
func (l *Lab) Dir() string { return l.o.Dir }

// NodeDir is the directory of one node, the same path inside and outside of it. Node 0 is the
// machine itself.
func (l *Lab) NodeDir(node int) string { return filepath.Join(l.o.Dir, strconv.Itoa(node)) }

// NodeName is a node's hostname and its name in corosync.conf.
func NodeName(node int) string {
	if node == qnetdNode {
		return "qnetd"
	}
	return "pve" + strconv.Itoa(node)
}

// Addr is a node's address in a network: Link0, Link1 or Storage.
func (l *Lab) Addr(node, network int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, 77, byte(network), byte(node)})
}

// networks are those that a node is attached to.
func (l *Lab) networks() []int {
	if l.o.QDevice {
		return []int{Link0, Link1, Storage, management}
	}
	return []int{Link0, Link1, Storage}
}

func newLab(o Options) *Lab {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Lab{o: o, log: log, names: namesOf(o.Dir), reapers: new(sync.WaitGroup)}
}

func (o Options) complete() (Options, error) {
	dir, err := absolute(o.Dir)
	if err != nil {
		return o, err
	}
	o.Dir = dir
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.Nodes < 1 || o.Nodes > maxNodes {
		return o, fmt.Errorf("a lab has 1 to %d nodes, not %d", maxNodes, o.Nodes)
	}
	return o, nil
}

func absolute(dir string) (string, error) {
	if dir == "" {
		dir = DefaultDir
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("lab directory: %w", err)
	}
	for _, hidden := range []string{"/run", "/var/run", "/dev", "/etc", "/proc", "/sys"} {
		if dir == hidden || strings.HasPrefix(dir, hidden+"/") {
			return "", fmt.Errorf("lab directory %s: %s is private in each node (choose one below /var/tmp)", dir, hidden)
		}
	}
	if slices.Contains([]string{"/", "/var", "/tmp", "/var/tmp", "/home", "/root", "/usr"}, dir) {
		return "", fmt.Errorf("lab directory %s: choose a directory of its own, because down removes it", dir)
	}
	return dir, nil
}

// requirements names what is missing on this machine, with the Debian package that has it.
func requirements(o Options) error {
	if os.Geteuid() != 0 {
		return errors.New("a lab needs root, for network and mount namespaces")
	}
	packages := map[string]string{"ip": "iproute2", "bridge": "iproute2", "unshare": "util-linux",
		"nsenter": "util-linux", "mount": "mount", "corosync": "corosync", "corosync-quorumtool": "corosync"}
	if o.QDevice {
		packages["corosync-qnetd"] = "corosync-qnetd"
		packages["corosync-qdevice"] = "corosync-qdevice"
		packages["certutil"] = "libnss3-tools"
	}
	var missing []string
	for program, pkg := range packages {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, pkg)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("programs are missing (apt install %s)", strings.Join(slices.Compact(missing), " "))
	}
	return nil
}
