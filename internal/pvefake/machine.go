package pvefake

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"
)

// Machine is the hardware and the installation of one node (Options.Machines).
type Machine struct {
	Name      string // default NodePrefix and number
	Address   string // that the cluster says it has, with its prefix: "10.0.10.11/24"; default: where it listens
	Gateway   string
	NICs      []NIC  // default eno1 and eno2, 10 Gbit/s
	Disks     []Disk // default sda with the system, and sdb, sdc, sdd of 1 TB, empty
	Memory    int64  // bytes; default 64 GiB
	CPUs      int    // default 16
	ClockSkew time.Duration
	MachineID string // default: its own
	Watchdog  string // module in /etc/default/pve-ha-manager; default softdog
	// Packages replaces versions: "pve-manager", "corosync", "ceph", "proxmox-kernel-…"; "" removes one.
	Packages map[string]string
	// NoIfupdown2: PUT network needs that package.
	NoIfupdown2 bool
	Ceph        string // release whose packages are installed already
}

// NIC is a network card.
type NIC struct {
	Name      string
	SpeedMbit int    // default 10000
	MTU       int    // default 1500
	Address   string // with prefix, configured already
}

// Disk is a block device.
type Disk struct {
	Dev    string // "/dev/sdb"
	Bytes  int64  // default 1 TB
	Type   string // ssd, hdd, nvme; default ssd
	Model  string
	Serial string
	// Used is what disks/list says: "" for an empty disk, "partitions", "LVM", "ZFS", "BIOS boot", "mounted", "ext4".
	Used    string
	Wearout int    // percent left, as the API says it; default 100
	Health  string // default PASSED
	Fails   bool   // an OSD cannot be made of it
}

// machine is the state of one: what is not in pmxcfs.
type machine struct {
	spec     Machine
	recorded bool // a node of the recordings' lab: no disks, one bridge
	hosts    string
	search   string
	dns      [3]string
	timezone string
	// interfaces is /etc/network/interfaces, staged interfaces.new while that exists.
	interfaces, staged []iface
	disks              []*disk
	repos              map[string]bool // by handle; false: there, but disabled
	cephRelease        string          // installed
	machineID          string
	files              map[string]nodeFile
	upgraded           bool
	updates            []Update          // SetUpdates; nil: nobody said
	kernel             string            // that runs; "": the usual one
	kernels            []string          // that came with updates
	stuck              bool              // StayDown
	kept               []iface           // the copy of /etc/network/interfaces
	timers             map[string]int    // of systemd-run, by unit
	enabled            map[string]bool   // units beside those of every node
	started            map[string]string // what a unit ran when it was last started, by unit
	wiped              []string          // devices, in the order of their wiping
}

type nodeFile struct {
	mode    string
	content string
}

type disk struct {
	Disk
	osd int // -1
}

func (d *disk) used() string {
	if d.osd >= 0 {
		return "LVM"
	}
	return d.Used
}

func (d *disk) byID() string {
	prefix := "ata"
	if d.Type == "nvme" {
		prefix = "nvme"
	}
	return "/dev/disk/by-id/" + prefix + "-" + strings.ReplaceAll(d.Model, " ", "_") + "_" + d.Serial
}

func (c *Cluster) newMachine(i int, n *node) *machine {
	if len(c.opt.Machines) == 0 && !c.opt.Standalone {
		m := &machine{recorded: true, dns: [3]string{"127.0.0.53"}, timezone: "UTC", files: map[string]nodeFile{}, machineID: fmt.Sprintf("%032x", i+1), timers: map[string]int{}, enabled: map[string]bool{}, started: map[string]string{}}
		m.interfaces = []iface{bridge("vmbr0", n.ip.String()+"/24", "")}
		return m
	}
	var spec Machine
	if i < len(c.opt.Machines) {
		spec = c.opt.Machines[i]
	}
	spec.fill(i)
	m := &machine{
		spec: spec, search: "lab", dns: [3]string{"192.0.2.53"}, timezone: "Etc/UTC", machineID: spec.MachineID, repos: map[string]bool{"enterprise": true},
		files: map[string]nodeFile{}, timers: map[string]int{}, enabled: map[string]bool{}, started: map[string]string{}, hosts: fmt.Sprintf("127.0.0.1 localhost\n%s %s.lab %s\n", n.ip, n.name, n.name),
	}
	m.cephRelease = spec.Ceph
	m.files[haDefaults] = nodeFile{"0644", "# select watchdog module (default is softdog)\n#WATCHDOG_MODULE=ipmi_watchdog\n"}
	if spec.Watchdog != "softdog" {
		m.files[haDefaults] = nodeFile{"0644", "WATCHDOG_MODULE=" + spec.Watchdog + "\n"}
	}
	for k, nic := range spec.NICs {
		f := iface{name: nic.Name, typ: "eth", fields: map[string]string{}, exists: true, active: k == 0 || nic.Address != ""}
		f.setAddress(nic.Address)
		m.interfaces = append(m.interfaces, f)
	}
	cidr := spec.Address
	if cidr == "" {
		cidr = n.ip.String() + "/24"
	}
	br := bridge("vmbr0", cidr, spec.NICs[0].Name)
	setIf(br.fields, "gateway", spec.Gateway)
	m.interfaces = append(m.interfaces, br)
	for _, d := range spec.Disks {
		m.disks = append(m.disks, &disk{Disk: d, osd: -1})
	}
	return m
}

func (s *Machine) fill(i int) {
	if s.NICs == nil {
		s.NICs = []NIC{{Name: "eno1"}, {Name: "eno2"}}
	}
	s.NICs = slices.Clone(s.NICs)
	for k := range s.NICs {
		setDefault(&s.NICs[k].SpeedMbit, 10000)
		setDefault(&s.NICs[k].MTU, 1500)
	}
	if s.Disks == nil {
		s.Disks = []Disk{{Dev: "/dev/sda", Bytes: 128 << 30, Used: "BIOS boot"}, {Dev: "/dev/sdb"}, {Dev: "/dev/sdc"}, {Dev: "/dev/sdd"}}
	}
	s.Disks = slices.Clone(s.Disks)
	for k := range s.Disks {
		d := &s.Disks[k]
		setDefault(&d.Bytes, 1000204886016)
		setDefault(&d.Type, "ssd")
		setDefault(&d.Model, "FAKE SSD")
		setDefault(&d.Serial, fmt.Sprintf("S%03d%02d", i+1, k))
		setDefault(&d.Wearout, 100)
		setDefault(&d.Health, "PASSED")
	}
	setDefault(&s.Memory, 64<<30)
	setDefault(&s.CPUs, 16)
	setDefault(&s.MachineID, fmt.Sprintf("%032x", 0xfa4e0000+i))
	setDefault(&s.Watchdog, "softdog")
}

// addresses are those of the active interfaces, with prefix.
func (n *node) addresses() []string {
	var out []string
	for _, f := range n.box.interfaces {
		for _, a := range []string{f.cidr(), f.fields["cidr6"]} {
			if a != "" {
				out = append(out, a)
			}
		}
	}
	return out
}

// hasAddress says whether an active interface has this IP.
func (n *node) hasAddress(ip string) bool {
	if n.ip.String() == ip {
		return true
	}
	return slices.ContainsFunc(n.addresses(), func(a string) bool { host, _, _ := strings.Cut(a, "/"); return host == ip })
}

// hasNetwork says whether an interface has an address in this network.
func (n *node) hasNetwork(cidr string) bool {
	_, network, err := net.ParseCIDR(cidr)
	if err != nil {
		return false
	}
	if network.Contains(n.ip) {
		return true
	}
	return slices.ContainsFunc(n.addresses(), func(a string) bool { ip, _, err := net.ParseCIDR(a); return err == nil && network.Contains(ip) })
}

// findDisk resolves a device by its name or by-id link.
func (m *machine) findDisk(dev string) *disk {
	for _, d := range m.disks {
		if d.Dev == dev || d.byID() == dev {
			return d
		}
	}
	return nil
}

// packages are the installed ones with their versions.
func (n *node) packages() map[string]string {
	v, _, _ := n.c.opt.Version.release()
	out := map[string]string{
		"pve-manager": v, "corosync": "3.1.9-pve2", "pve-cluster": "9.1.6", "pve-ha-manager": "5.2.0", "qemu-server": "9.1.3", "libpve-storage-perl": "9.1.7",
		"proxmox-ve": "9.0.0", "proxmox-kernel-helper": "9.0.4", "ifupdown2": "3.3.0-1+pmx10", "chrony": "4.6.1-3",
	}
	if n.c.opt.Version == V84 {
		maps.Copy(out, map[string]string{"corosync": "3.1.9-pve1", "pve-cluster": "8.1.2", "pve-ha-manager": "4.0.7", "qemu-server": "8.4.2",
			"libpve-storage-perl": "8.3.7", "proxmox-ve": "8.4.0", "proxmox-kernel-helper": "8.1.4", "ifupdown2": "3.2.0-1+pmx11", "chrony": "4.3-2"})
	}
	if n.box.spec.NoIfupdown2 || n.box.recorded {
		delete(out, "ifupdown2")
	}
	if r := n.box.cephRelease; r != "" {
		out["ceph"] = cephPackage[r]
	}
	for k, v := range n.box.spec.Packages {
		out[k] = v
		if v == "" {
			delete(out, k)
		}
	}
	return out
}

// cephPackage is the version that pveceph install brings, by release.
var cephPackage = map[string]string{"quincy": "17.2.8-pve1", "reef": "18.2.7-pve1", "squid": "19.2.3-pve2", "tentacle": "20.2.0-pve1"}

// WipedDisks lists the devices of node i that were wiped, oldest first: an empty answer is what a
// provisioner that was told nothing about wiping must leave behind.
func (c *Cluster) WipedDisks(i int) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.node(i).box.wiped)
}

// SetDisk replaces what a disk of node i is like, for example to make its next OSD fail.
func (c *Cluster) SetDisk(i int, d Disk) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.node(i); n != nil {
		if have := n.box.findDisk(d.Dev); have != nil {
			setDefault(&d.Serial, have.Serial)
			setDefault(&d.Model, have.Model)
			setDefault(&d.Bytes, have.Bytes)
			setDefault(&d.Type, have.Type)
			setDefault(&d.Health, have.Health)
			have.Disk = d
			return nil
		}
	}
	return fmt.Errorf("pvefake: no disk %s on node %d", d.Dev, i)
}
