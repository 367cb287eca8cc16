package facts

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
)

// A Target is a node to ask. Shell may be nil.
type Target struct {
	Name  string
	API   API
	Shell Shell
}

// Want says what is read beside the usual.
type Want struct {
	// Configs of all virtual machines, one call each.
	Configs bool
	// Probes are measured by the shells of the nodes they come from.
	Probes []Probe
	// Parallel is how many nodes are asked at a time; 0 means 4.
	Parallel int
	// Now is the clock that skew is measured against; nil leaves skew unknown.
	Now func() time.Time
}

// Gather asks the nodes, all at once but no more than want.Parallel at a time, and then one of them for
// the cluster. It always returns; what it could not read is unknown.
func Gather(ctx context.Context, targets []Target, want Want) Cluster {
	c := Cluster{Nodes: make([]Node, len(targets))}
	each(targets, want.Parallel, func(i int, t Target) { c.Nodes[i] = gatherNode(ctx, t, want) })
	reader, ok := pickReader(targets, c.Nodes)
	if !ok {
		// Why is the same for all of it.
		c.Membership = Unknown[Membership](errors.New("no node answers"))
		return c
	}
	c.Reader = reader.Name
	c.gather(ctx, reader)
	if want.Configs {
		c.gatherConfigs(ctx, reader, want.Parallel)
	}
	return c
}

// each calls f for all items, at most limit at a time, and returns when all have returned.
func each[T any](items []T, limit int, f func(int, T)) {
	if limit <= 0 {
		limit = 4
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, limit)
	for i, item := range items {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(i, item)
		})
	}
	wg.Wait()
}

// pickReader prefers a node that is in a quorate cluster, then one in any, then one that answers.
func pickReader(targets []Target, nodes []Node) (Target, bool) {
	best, found := 0, -1
	for i, n := range nodes {
		m, ok := n.Membership.Get()
		rank := 0
		switch {
		case ok && m.Quorate:
			rank = 3
		case ok && m.Name != "":
			rank = 2
		case ok:
			rank = 1
		}
		if rank > best {
			best, found = rank, i
		}
	}
	if found < 0 {
		return Target{}, false
	}
	return targets[found], true
}

func gatherNode(ctx context.Context, t Target, want Want) Node {
	at := "/nodes/" + url.PathEscape(t.Name)
	n := Node{
		Name:       t.Name,
		Version:    one(ctx, t.API, "/version", toVersion),
		Membership: then(rows(ctx, t.API, "/cluster/status"), toMembership),
	}
	if n.Version.Err() != nil && n.Membership.Err() != nil {
		return n.unreachable() // eleven more timeouts would say the same
	}
	n.Hardware = one(ctx, t.API, at+"/status", toHardware)
	n.Interfaces = many(ctx, t.API, at+"/network", all(toInterface))
	n.Disks = many(ctx, t.API, at+"/disks/list?include-partitions=1", all(toDisk))
	n.Hosts = one(ctx, t.API, at+"/hosts", toHosts)
	n.DNS = one(ctx, t.API, at+"/dns", toDNS)
	n.Time = one(ctx, t.API, at+"/time", toTime)
	n.Packages = then(rows(ctx, t.API, at+"/apt/versions"), toPackages)
	n.Repositories = one(ctx, t.API, at+"/apt/repositories", toRepositories)
	n.Storages = many(ctx, t.API, at+"/storage", all(toStorageState))
	n.Guests = guestsOf(ctx, t.API, at)
	n.Running = many(ctx, t.API, at+"/tasks?source=active", all(func(r *row) string { return r.text("type") }))
	if t.Shell != nil {
		n.Host = gatherHost(ctx, t, n.Interfaces, want)
	}
	return n
}

// unreachable gives every fact the reason why there is none.
func (n Node) unreachable() Node {
	why := n.Version.Err()
	n.Hardware, n.Interfaces, n.Disks = Unknown[Hardware](why), Unknown[[]Interface](why), Unknown[[]Disk](why)
	n.Hosts, n.DNS, n.Time = Unknown[Hosts](why), Unknown[DNS](why), Unknown[Time](why)
	n.Packages, n.Repositories = Unknown[map[string]string](why), Unknown[[]Repository](why)
	n.Storages, n.Guests, n.Running = Unknown[[]StorageState](why), Unknown[[]int](why), Unknown[[]string](why)
	return n
}

func guestsOf(ctx context.Context, api API, at string) Known[[]int] {
	vmid := all(func(r *row) int { return r.int("vmid") })
	vms := many(ctx, api, at+"/qemu", vmid)
	containers := many(ctx, api, at+"/lxc", vmid)
	return then(vms, func(list []int) ([]int, error) {
		return append(list, containers.Or(nil)...), containers.Err()
	})
}

// gather reads what is the same on all members.
func (c *Cluster) gather(ctx context.Context, t Target) {
	api := t.API
	n, _ := c.Node(t.Name)
	c.Membership = n.Membership
	if m, _ := c.Membership.Get(); m.Name == "" {
		// A node on its own has no corosync.conf, and some of these calls refuse then.
		c.Members, c.Totem, c.QDevice = Is([]Member{}), Is(Totem{}), Is(map[string]string{})
	} else {
		c.Members = many(ctx, api, "/cluster/config/nodes", all(toMember))
		c.Totem = one(ctx, api, "/cluster/config/totem", toTotem)
		c.QDevice = one(ctx, api, "/cluster/config/qdevice", toText)
	}
	c.Options = one(ctx, api, "/cluster/options", toOptions)
	c.Storages = many(ctx, api, "/storage", all(toStorage))
	c.HAResources = many(ctx, api, "/cluster/ha/resources", all(toHAResource))
	c.HAGroups = orAbsent(many(ctx, api, "/cluster/ha/groups", all(toHAGroup)), "migrated to rules")
	c.HARules = Is([]HARule{})
	if v, ok := n.Version.Get(); !ok || v.Major >= 9 {
		c.HARules = many(ctx, api, "/cluster/ha/rules", all(toHARule))
	}
	c.Guests = many(ctx, api, "/cluster/resources?type=vm", toGuest)
	c.BackupJobs = many(ctx, api, "/cluster/backup", all(toBackupJob))
	c.Users = many(ctx, api, "/access/users?full=1", all(toUser))
	c.ACL = many(ctx, api, "/access/acl", all(toACL))
	c.Ceph = gatherCeph(ctx, t)
}

// toText keeps the scalars of an object.
func toText(r *row) map[string]string {
	out := map[string]string{}
	for name := range r.fields {
		out[name] = r.text(name)
	}
	return out
}

// noCeph is how Proxmox VE says that Ceph is not there.
var noCeph = []string{"not initialized", "binary not installed", "not fully installed"}

func gatherCeph(ctx context.Context, t Target) Ceph {
	api, at := t.API, "/nodes/"+url.PathEscape(t.Name)+"/ceph"
	c := Ceph{Status: one(ctx, api, at+"/status", toCephStatus)}
	if says(c.Status.Err(), noCeph...) {
		return Ceph{
			Ready: Is(false), Status: c.Status, Global: Is(map[string]string{}), Mons: Is([]Daemon{}), Mgrs: Is([]Daemon{}), MDSs: Is([]Daemon{}),
			OSDs: Is([]OSD{}), Pools: Is([]Pool{}), Config: Is([]Setting{}), Filesystems: Is([]Filesystem{}),
		}
	}
	var conf pve.Text
	if err := api.Get(ctx, at+"/cfg/raw", &conf); err != nil {
		c.Global = Unknown[map[string]string](fmt.Errorf("GET %s/cfg/raw: %w", at, err))
	} else {
		c.Global = Is(ParseCephConf(string(conf), "global"))
	}
	// An initialised Ceph without monitors has a ceph.conf and answers nothing else.
	c.Ready = then(c.Global, func(g map[string]string) (bool, error) { return len(g) > 0, nil })
	c.Mons = many(ctx, api, at+"/mon", all(toDaemon))
	c.Mgrs = many(ctx, api, at+"/mgr", all(toDaemon))
	c.MDSs = many(ctx, api, at+"/mds", all(toDaemon))
	c.OSDs = one(ctx, api, at+"/osd", toOSDs)
	c.Pools = many(ctx, api, at+"/pool", all(toPool))
	c.Config = many(ctx, api, at+"/cfg/db", all(toSetting))
	c.Filesystems = many(ctx, api, at+"/fs", all(toFilesystem))
	return c
}

// gatherConfigs reads the configuration of each virtual machine.
func (c *Cluster) gatherConfigs(ctx context.Context, t Target, parallel int) {
	c.Configs = map[int]Known[GuestConfig]{}
	var vms []Guest
	for _, g := range c.Guests.Or(nil) {
		if g.Type == "qemu" {
			vms = append(vms, g)
		}
	}
	configs := make([]Known[GuestConfig], len(vms))
	each(vms, parallel, func(i int, g Guest) {
		configs[i] = one(ctx, t.API, fmt.Sprintf("/nodes/%s/qemu/%d/config", url.PathEscape(g.Node), g.VMID), toGuestConfig)
	})
	for i, g := range vms {
		c.Configs[g.VMID] = configs[i]
	}
}
