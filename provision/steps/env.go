package steps

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/program"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/transport"
)

// Tag marks the guests that were made by a file.
const Tag = "quorate"

// A Files is where this machine's files are written and read: the secret of a token, the list of targets.
type Files interface {
	// Exists says whether there is a file with something in it.
	Exists(path string) (bool, error)
	Read(path string) ([]byte, error)
	// Write replaces a file at once; mode is that of a new one.
	Write(path string, data []byte, mode uint32) error
	// Remove removes a file that need not be there.
	Remove(path string) error
}

// Limits are how long things may take.
type Limits struct {
	Quorum time.Duration // a new cluster, default 90 s
	Join   time.Duration // a node, default 5 min
	Task   time.Duration // any other task, default 15 min
	Ceph   time.Duration // a daemon to come up, default 3 min
	Clean  time.Duration // placement groups to become active and clean, default 15 min
	HA     time.Duration // a service to be started, default 5 min
	Token  time.Duration // a new token to be known on all nodes, default 30 s
	Reach  time.Duration // a node to answer again after a restart of its API, default 2 min
}

func (l *Limits) fill() {
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{
		{&l.Quorum, 90 * time.Second}, {&l.Join, 5 * time.Minute}, {&l.Task, 15 * time.Minute}, {&l.Ceph, 3 * time.Minute},
		{&l.Clean, 15 * time.Minute}, {&l.HA, 5 * time.Minute}, {&l.Token, 30 * time.Second}, {&l.Reach, 2 * time.Minute},
	} {
		if *d.v <= 0 {
			*d.v = d.d
		}
	}
}

// An Env is what the steps share.
type Env struct {
	Spec  *spec.Cluster
	Nodes transport.Set
	Clock engine.Clock
	// Secret fetches a secret of the file. Whoever provides it sees to it that it is never shown.
	Secret func(ctx context.Context, s spec.Secret) (string, error)
	// Hide is told of secrets that come up on the way, such as that of a new token.
	Hide  func(string)
	Files Files
	// Program is what is copied to the nodes as their exporter.
	Program program.Source
	Limits  Limits

	BySSH       bool // join without the password of root, by SSH from node to node
	AllowWipe   bool
	RotateToken bool
	RepairJoin  bool

	mu     sync.Mutex
	inside string // the node that was last seen in the cluster
	major  int    // of Proxmox VE
	minor  int
}

// All returns the steps of a file, in the order of their story.
func All(e *Env) []engine.Step {
	e.Limits.fill()
	if e.Hide == nil {
		e.Hide = func(string) {}
	}
	all := []engine.Step{
		&reposStep{e}, &upgradeStep{e}, &hostsStep{e}, &networkStep{e}, &watchdogStep{e}, &createStep{e}, &joinStep{Env: e}, &qdeviceStep{e},
		&optionsStep{e}, &installStep{e}, &initStep{e}, &monStep{e}, &mgrStep{e}, &osdStep{e}, &configStep{e}, &poolStep{e},
		&mdsStep{e}, &fsStep{e}, &storageStep{e}, &accessStep{e}, &guestStep{e}, &haStep{e}, &backupStep{e},
		&exporterStep{e},
	}
	return all
}

// IDs of the steps.
const (
	idRepos    engine.ID = "repositories"
	idHosts    engine.ID = "hosts"
	idNetwork  engine.ID = "network"
	idWatchdog engine.ID = "watchdog"
	idCreate   engine.ID = "cluster-create"
	idJoin     engine.ID = "join"
	idQDevice  engine.ID = "qdevice"
	idOptions  engine.ID = "options"
	idInstall  engine.ID = "ceph-install"
	idInit     engine.ID = "ceph-init"
	idMons     engine.ID = "ceph-mons"
	idMgrs     engine.ID = "ceph-mgrs"
	idOSDs     engine.ID = "ceph-osds"
	idConfig   engine.ID = "ceph-config"
	idPools    engine.ID = "ceph-pools"
	idMDS      engine.ID = "ceph-mds"
	idFS       engine.ID = "ceph-fs"
	idStorage  engine.ID = "storages"
	idAccess   engine.ID = "monitoring"
	idGuests   engine.ID = "guests"
	idHA       engine.ID = "ha"
	idBackup   engine.ID = "backup-jobs"
	idExporter engine.ID = "exporter"
	idUpgrade  engine.ID = "upgrade"
)

// want is the file's spec.
func (e *Env) want() *spec.Spec { return &e.Spec.Spec }

// name is the cluster's.
func (e *Env) name() string { return e.Spec.Metadata.Name }

// names are the nodes in the order in which they join.
func (e *Env) names() []string {
	out := make([]string, len(e.want().Nodes))
	for i, n := range e.want().Nodes {
		out[i] = n.Name
	}
	return out
}

// node returns a node of the file.
func (e *Env) node(name string) (spec.Node, bool) {
	for _, n := range e.want().Nodes {
		if n.Name == name {
			return n, true
		}
	}
	return spec.Node{}, false
}

// links are a node's addresses by corosync link.
func (e *Env) links(n spec.Node) map[int]string {
	out := map[int]string{}
	for name, net := range e.want().Networks {
		if net.CorosyncLink == nil {
			continue
		}
		if nic, ok := n.NICs[name]; ok {
			out[*net.CorosyncLink] = nic.Address.String()
		}
	}
	if len(out) == 0 {
		out[0] = n.Management.String()
	}
	return out
}

// linkParams are links as parameters: link0=ADDRESS,priority=N.
func (e *Env) linkParams(n spec.Node, p transport.Params) map[int]string {
	out := map[int]string{}
	priority := map[int]int{}
	for _, net := range e.want().Networks {
		if net.CorosyncLink != nil {
			priority[*net.CorosyncLink] = net.Priority
		}
	}
	for i, addr := range e.links(n) {
		v := addr
		if priority[i] > 0 {
			v = fmt.Sprintf("%s,priority=%d", addr, priority[i])
		}
		out[i] = v
		if p != nil {
			p[fmt.Sprintf("link%d", i)] = v
		}
	}
	return out
}

// cephNodes are the nodes that run anything of Ceph, in the order of the file.
func (e *Env) cephNodes() []string {
	c := e.want().Ceph
	if !c.Declared() {
		return nil
	}
	var out []string
	for _, n := range e.want().Nodes {
		if len(n.OSDs) > 0 || slices.Contains(c.Monitors, n.Name) || slices.Contains(c.Managers, n.Name) || slices.Contains(c.MDS, n.Name) {
			out = append(out, n.Name)
		}
	}
	return out
}

// poll is an engine.Poll that takes passing errors for "not yet".
func (e *Env) poll(what string, limit time.Duration) engine.Poll {
	return engine.Poll{Clock: e.Clock, What: what, Limit: limit, Every: 2 * time.Second, Again: transport.Passing}
}

// release learns the version of Proxmox VE from a node.
func (e *Env) release(ctx context.Context, node string) (major, minor int, err error) {
	e.mu.Lock()
	major, minor = e.major, e.minor
	e.mu.Unlock()
	if major > 0 {
		return major, minor, nil
	}
	var v struct {
		Release string `json:"release"`
	}
	if err := e.Nodes.API(node).Get(ctx, "/version", &v); err != nil {
		return 0, 0, err
	}
	if _, err := fmt.Sscanf(v.Release, "%d.%d", &major, &minor); err != nil {
		return 0, 0, fmt.Errorf("%s: %q is no release of Proxmox VE", node, v.Release)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.major, e.minor = major, minor
	return major, minor, nil
}
