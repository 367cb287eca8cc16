package pvefake

import (
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

// Version is the Proxmox VE release a cluster speaks.
type Version string

// The releases that can be played.
const (
	V84 Version = "8.4"
	V92 Version = "9.2"
)

// Options describe a cluster. The zero value is three nodes of 9.2 on a virtual clock.
type Options struct {
	Nodes       int     // default 3
	NodePrefix  string  // default "pve": pve1, pve2, …
	ClusterName string  // default "lab1"
	Version     Version // default V92
	// Start is the first instant of the cluster's clock; default 2026-01-01 00:00 UTC. Give time.Now()
	// where readers compare its timestamps with their own clock.
	Start  time.Time
	Guests []Guest
	// RootPassword of root@pam; default "fake-root".
	RootPassword string
	// DelayScale turns the waits of the real server (3 s before a 401, 10 s for a quorum lock, 30 s
	// of a proxy timeout) into wall time: 0 answers at once, 1 waits as long as the real one.
	DelayScale float64
	// Watchdog resets a node with an active LRM 60 s after it lost quorum, as hardware does. Off as in
	// the recordings, whose lab had none.
	Watchdog bool
	// HAPace is how many times faster the HA manager works: its rounds, its delay before fencing and its
	// locks. 0 and 1 are as in reality, more than 10 is no faster, because the clock ticks in seconds.
	HAPace int
	// BootTime is how long a machine is away that reboots or is reset; default 60 s.
	BootTime time.Duration
	// MigrationTime is how long a guest's migration task runs; default 8 s.
	MigrationTime time.Duration
	// Migrate is told of a migration that the API or the HA manager begins for a running VM whose process
	// is real (SetGuestProcess). It is called with the cluster locked and must return at once; what it
	// starts does the work as after BeginMigration. nil: such a migration is played like any other.
	Migrate func(MigrationRequest)
	// Ceph gives the cluster a small healthy Ceph (one monitor, an OSD a node, a pool).
	Ceph bool
	// Port of every node; default 8006, each node having its own loopback address.
	Port int
	// Standalone starts with nodes that are in no cluster: POST /cluster/config and /cluster/config/join
	// make one of them. Each has a machine as described by Machines, or a default one.
	Standalone bool
	Machines   []Machine
	// SSHKeys let root in at the nodes' SSH servers beside RootPassword (Standalone has such servers).
	SSHKeys []ssh.PublicKey
	// Perform is told of work that somebody outside may do on real daemons: making a cluster, joining,
	// a monitor, manager, OSD or pool, a guest with its disks. It is called with the cluster locked and must
	// return at once; with true the task is left to it: it reports with LogTask and ends it with FinishTask,
	// "" for success, whereupon the fake changes its own state.
	Perform func(Work) bool
	// PerformCommand is given the commands of Ceph that arrive over SSH and that the fake would obey; with true
	// its reply is the answer. It is called with the cluster locked, and until it returns all stands still.
	PerformCommand func(CephCommand) (Reply, bool)
	// CephStatus gives the JSON of "ceph status", for what the API says of that and of the monitors' quorum.
	// It is called as PerformCommand is.
	CephStatus func() ([]byte, error)
	// Listen opens the socket of node i where it is not to be a loopback address of its own, and again
	// whenever the node comes back. Addresses are then what the cluster says its nodes have.
	Listen    func(i int) (net.Listener, error)
	Addresses []net.IP
	// Seed makes ids and fingerprints reproducible; key and array order stays random.
	Seed uint64
}

// Guest is a VM or container as created by AddVM, AddCT or Options.Guests.
type Guest struct {
	VMID        int
	Node        int // 1-based; default 1
	Name        string
	Cores       int    // default 1
	MemoryBytes int64  // default 64 MiB
	DiskBytes   int64  // 0: no disk
	Storage     string // of the disk; default "local"
	Tags        string // as in the configuration: "a;b"
	Pool        string
	Lock        string // "backup", "migrate", …
	OnBoot      *bool  // nil: the key is absent
	Template    bool
	Stopped     bool    // created guests run unless told otherwise
	CPU         float64 // share of its cores it uses; default 0.08
	Container   bool    // set by AddCT
}

func (o *Options) fill() error {
	if o.Nodes == 0 {
		o.Nodes = 3
		if len(o.Machines) > 0 {
			o.Nodes = len(o.Machines)
		}
	}
	if o.Nodes < 1 || o.Nodes > 32 {
		return fmt.Errorf("pvefake: %d nodes (a cluster has 1 to 32)", o.Nodes)
	}
	if o.Version == "" {
		o.Version = V92
	}
	if o.Version != V84 && o.Version != V92 {
		return fmt.Errorf("pvefake: version %q (known: %s, %s)", o.Version, V84, V92)
	}
	if o.Listen != nil && len(o.Addresses) != o.Nodes {
		return fmt.Errorf("pvefake: %d addresses for %d nodes (Options.Listen needs one each)", len(o.Addresses), o.Nodes)
	}
	if len(o.Machines) > 0 && o.Nodes != len(o.Machines) {
		return fmt.Errorf("pvefake: %d machines for %d nodes", len(o.Machines), o.Nodes)
	}
	if o.DelayScale < 0 {
		return errors.New("pvefake: negative DelayScale")
	}
	setDefault(&o.NodePrefix, "pve")
	setDefault(&o.ClusterName, "lab1")
	setDefault(&o.RootPassword, "fake-root")
	setDefault(&o.MigrationTime, 8*time.Second)
	setDefault(&o.BootTime, bootTime)
	setDefault(&o.Port, 8006)
	if o.Start.IsZero() {
		o.Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	o.Start = o.Start.Truncate(time.Second)
	return nil
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (v Version) major() int {
	if v == V84 {
		return 8
	}
	return 9
}

// release is what GET /version says.
func (v Version) release() (version, release, repoid string) {
	if v == V84 {
		return "8.4.14", "8.4", "b502d23c55afcba1"
	}
	return "9.2.11", "9.2", "14a22df35955d97d"
}
