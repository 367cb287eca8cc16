package pvefake

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// guestConf is a configuration file in pmxcfs: where it lies is where the guest is.
type guestConf struct {
	vmid    int
	lxc     bool
	node    *node
	version int
	conf    map[string]string
	pending map[string]string // changes that wait for a stop; "" deletes
	cpu     float64
	disk    int64
}

// guestRun is the guest's process.
type guestRun struct {
	node    *node
	pid     int
	started time.Time
	real    bool // SetGuestProcess: a process outside of the simulation
}

func (g *guestConf) typ() string {
	if g.lxc {
		return "lxc"
	}
	return "qemu"
}

func (g *guestConf) taskPrefix() string {
	if g.lxc {
		return "vz"
	}
	return "qm"
}

func (g *guestConf) sid() string {
	if g.lxc {
		return fmt.Sprintf("ct:%d", g.vmid)
	}
	return fmt.Sprintf("vm:%d", g.vmid)
}

func (g *guestConf) name() string {
	key, fallback := "name", fmt.Sprintf("VM %d", g.vmid)
	if g.lxc {
		key, fallback = "hostname", fmt.Sprintf("CT%d", g.vmid)
	}
	if v := g.conf[key]; v != "" {
		return v
	}
	return fallback
}

func (g *guestConf) cores() int {
	if n, err := strconv.Atoi(g.conf["cores"]); err == nil {
		return n
	}
	return 1
}

func (g *guestConf) maxMem() int64 {
	mib, err := strconv.ParseInt(g.conf["memory"], 10, 64)
	if err != nil {
		return 512 << 20
	}
	return mib << 20
}

func (g *guestConf) configPath() string {
	dir := "qemu-server"
	if g.lxc {
		dir = "lxc"
	}
	return fmt.Sprintf("nodes/%s/%s/%d.conf", g.node.name, dir, g.vmid)
}

// text is the configuration file, keys sorted as PVE writes them.
func (g *guestConf) text() string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(g.conf)) {
		if k != "digest" {
			fmt.Fprintf(&b, "%s: %s\n", k, g.conf[k])
		}
	}
	return b.String()
}

func sha1hex(s string) string {
	sum := sha1.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

// AddVM creates a virtual machine.
func (c *Cluster) AddVM(g Guest) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addGuest(g)
}

// AddCT creates a container.
func (c *Cluster) AddCT(g Guest) error {
	g.Container = true
	return c.AddVM(g)
}

func (c *Cluster) addGuest(g Guest) error {
	setDefault(&g.Node, 1)
	setDefault(&g.Cores, 1)
	setDefault(&g.MemoryBytes, 64<<20)
	setDefault(&g.CPU, 0.08)
	setDefault(&g.Storage, "local")
	n := c.node(g.Node)
	switch {
	case n == nil:
		return fmt.Errorf("pvefake: guest %d on node %d of %d", g.VMID, g.Node, len(c.nodes))
	case g.VMID < 100 || g.VMID > 999999999:
		return fmt.Errorf("pvefake: guest id %d (100 to 999999999)", g.VMID)
	case n.own().guests[g.VMID] != nil:
		return fmt.Errorf("pvefake: guest %d exists", g.VMID)
	}
	conf := &guestConf{vmid: g.VMID, lxc: g.Container, node: n, cpu: g.CPU, disk: g.DiskBytes, conf: c.qemuConf(g)}
	if g.Container {
		conf.conf = lxcConf(g)
	}
	f := n.own()
	f.version++
	conf.version = f.version
	f.guests[g.VMID] = conf
	if !g.Stopped && !g.Template {
		c.startProcess(conf)
	}
	return nil
}

func (c *Cluster) qemuConf(g Guest) map[string]string {
	conf := map[string]string{
		"cores": strconv.Itoa(g.Cores), "memory": strconv.FormatInt(g.MemoryBytes>>20, 10), "kvm": "0", "ostype": "l26",
		"boot": " ", "meta": fmt.Sprintf("creation-qemu=7.2.22,ctime=%d", c.unix()),
		"smbios1": "uuid=" + c.newUUID(), "vmgenid": c.newUUID(),
	}
	if g.DiskBytes > 0 {
		conf["boot"] = "order=scsi0"
		conf["scsi0"] = fmt.Sprintf("%s:vm-%d-disk-0,size=%dG", g.Storage, g.VMID, max(1, g.DiskBytes>>30))
	}
	setIf(conf, "name", g.Name)
	commonConf(conf, g)
	return conf
}

func lxcConf(g Guest) map[string]string {
	conf := map[string]string{
		"arch": "amd64", "cores": strconv.Itoa(g.Cores), "memory": strconv.FormatInt(g.MemoryBytes>>20, 10),
		"swap": "512", "ostype": "debian", "unprivileged": "1",
		"rootfs": fmt.Sprintf("%s:%d/vm-%d-disk-0.raw,size=%dG", g.Storage, g.VMID, g.VMID, max(1, g.DiskBytes>>30)),
	}
	setIf(conf, "hostname", g.Name)
	commonConf(conf, g)
	return conf
}

func commonConf(conf map[string]string, g Guest) {
	setIf(conf, "tags", g.Tags)
	setIf(conf, "lock", g.Lock)
	if g.Template {
		conf["template"] = "1"
	}
	if g.OnBoot != nil {
		conf["onboot"] = strconv.Itoa(bit(*g.OnBoot))
	}
	if g.Pool != "" { // pools live in user.cfg, not in the configuration: the mark keeps the key out of it
		conf["#pool"] = g.Pool
	}
}

func setIf(conf map[string]string, key, v string) {
	if v != "" {
		conf[key] = v
	}
}

func (c *Cluster) startProcess(g *guestConf) {
	c.applyPending(g)
	c.nextPID += 3
	c.run[g.vmid] = &guestRun{node: g.node, pid: c.nextPID, started: c.now}
}

// runsOn says whether the guest's process lives on its configured node.
func (c *Cluster) runsOn(g *guestConf, n *node) bool {
	r := c.run[g.vmid]
	return r != nil && r.node == n
}

// SetLock puts a lock such as "backup" into a guest's configuration; "" removes it.
func (c *Cluster) SetLock(vmid int, lock string) {
	c.editConf(vmid, "lock", lock)
}

// SetConfig sets or, with "", removes a key of a guest's configuration.
func (c *Cluster) SetConfig(vmid int, key, value string) { c.editConf(vmid, key, value) }

func (c *Cluster) editConf(vmid int, key, value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g := c.live.guests[vmid]; g != nil {
		c.setConf(g, key, value)
	}
}

func (c *Cluster) setConf(g *guestConf, key, value string) {
	delete(g.conf, key)
	setIf(g.conf, key, value)
	f := g.node.own()
	f.version++
	g.version = f.version
}

// move puts the configuration file into another node's directory.
func (c *Cluster) move(g *guestConf, to *node) {
	g.node = to
	c.live.version++
	g.version = c.live.version
}

// KillGuest ends a guest's process as a crash does: no task, no change of configuration.
func (c *Cluster) KillGuest(vmid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.run, vmid)
}

// GuestNode returns where a guest's configuration lies and whether its process runs there.
func (c *Cluster) GuestNode(vmid int) (name string, running bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.live.guests[vmid]
	if g == nil {
		return "", false
	}
	return g.node.name, c.runsOn(g, g.node)
}

// guestNumbers are a running guest's counters: functions of its uptime, so that they only grow and two
// runs of a test see the same.
type guestNumbers struct {
	uptime                               int64
	cpu                                  float64
	mem, netin, netout, diskread, diskwr int64
}

func (c *Cluster) numbers(g *guestConf) guestNumbers {
	r := c.run[g.vmid]
	if r == nil {
		return guestNumbers{}
	}
	up := int64(c.since(r.started) / time.Second)
	wave := 1 + 0.1*math.Sin(float64(c.unix()%600)/95+float64(g.vmid))
	return guestNumbers{
		uptime: up, cpu: g.cpu * wave, mem: int64(float64(g.maxMem()) * 0.5 * wave),
		netin: up * 1200, netout: up * 800, diskread: up * 4096, diskwr: up * 8192,
	}
}

// sortedGuests returns a view's guests by id.
func (f *cfs) sortedGuests() []*guestConf {
	out := make([]*guestConf, 0, len(f.guests))
	for _, g := range f.guests {
		out = append(out, g)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].vmid < out[j].vmid })
	return out
}
