package facts

import (
	"net/netip"
	"time"
)

// Cluster is everything that was read.
type Cluster struct {
	// Nodes in the order in which they were asked for.
	Nodes []Node
	// Reader is the node that told what follows; empty if none answered.
	Reader string

	Membership Known[Membership]
	Members    Known[[]Member]
	Totem      Known[Totem]
	// QDevice is empty if there is none.
	QDevice Known[map[string]string]
	Options Known[Options]

	Ceph     Ceph
	Storages Known[[]Storage]

	HAResources Known[[]HAResource]
	// HAGroups are those of PVE 8; on 9 there are none.
	HAGroups Known[[]HAGroup]
	// HARules are those of PVE 9; on 8 there are none.
	HARules Known[[]HARule]

	Guests Known[[]Guest]
	// Configs of virtual machines by VMID, if Options.Configs asked for them.
	Configs map[int]Known[GuestConfig]

	BackupJobs Known[[]BackupJob]
	Users      Known[[]User]
	ACL        Known[[]ACLEntry]

	Here Here
}

// Here is what the machine has that this runs on. Gather leaves it out.
type Here struct {
	// Program is what would be copied to the nodes as their exporter.
	Program Known[Program]
	// Package is true if the file that would be installed instead is a Debian package.
	Package Known[bool]
}

// A Program is a built quorate.
type Program struct {
	// Built is what for: linux/amd64.
	Built string
	// Cgo is true if it was built with librados and corosync's libraries.
	Cgo bool
	// Machine is what `uname -m` says where it runs; empty if it runs on no node.
	Machine string
}

// Node returns the facts of one node.
func (c Cluster) Node(name string) (Node, bool) {
	for _, n := range c.Nodes {
		if n.Name == name {
			return n, true
		}
	}
	return Node{}, false
}

// Node is what one machine says of itself.
type Node struct {
	Name string

	Version    Known[Version]
	Membership Known[Membership]
	Hardware   Known[Hardware]
	Interfaces Known[[]Interface]
	Disks      Known[[]Disk]
	Hosts      Known[Hosts]
	DNS        Known[DNS]
	Time       Known[Time]
	// Packages are installed versions by name.
	Packages     Known[map[string]string]
	Repositories Known[[]Repository]
	// Guests are the VMIDs of its virtual machines and containers.
	Guests Known[[]int]
	// Running are the types of its tasks that have not ended: clusterjoin, cephcreateosd, ….
	Running Known[[]string]
	// Storages are their states on this node.
	Storages Known[[]StorageState]

	Host Host
}

// Host is what only a shell on the node tells. All of it is unknown without one.
type Host struct {
	// MachineID is that of /etc/machine-id, ProductUUID that of the mainboard.
	MachineID   Known[string]
	ProductUUID Known[string]
	// HostKey is the public Ed25519 host key of SSH.
	HostKey Known[string]
	// Machine is the kind of processor, as uname -m says: x86_64.
	Machine Known[string]
	// Addresses the host name resolves to, on the node itself.
	Addresses Known[[]netip.Addr]
	// NTP is true if the clock is synchronised.
	NTP Known[bool]
	// Skew is how far the clock is ahead of ours, give or take SkewError.
	Skew      Known[time.Duration]
	SkewError time.Duration
	// Speeds of interfaces in Mbit/s; one without link is missing.
	Speeds Known[map[string]int]
	// Watchdog is the configured module; softdog if nothing is configured.
	Watchdog Known[string]
	// Authkey is true if there is a corosync authkey, left over or in use.
	Authkey Known[bool]
	Probes  []ProbeResult
}

// A Probe asks for measurements of the way from one node to an address of another.
type Probe struct {
	From, To string
	// Network is a name for messages.
	Network string
	Addr    netip.Addr
	// MTU that must pass unfragmented; 0 does not try.
	MTU int
	// Latency asks for round-trip times.
	Latency bool
	// Ports that must be open.
	Ports []int
}

// ProbeResult is what a Probe has measured.
type ProbeResult struct {
	Probe
	// RTT in the order in which they were measured; lost packets are missing.
	RTT Known[Pings]
	// MTUPasses is true if a packet of that size came back.
	MTUPasses Known[bool]
	// Closed are the ports that could not be reached.
	Closed Known[[]int]
}

// Pings are round-trip times.
type Pings struct {
	Sent int
	RTT  []time.Duration
}

// Version of Proxmox VE.
type Version struct {
	Major, Minor int
	Full         string // 9.2.11
}

// Membership is /cluster/status.
type Membership struct {
	// Name of the cluster; empty for a node that is in none.
	Name    string
	Quorate bool
	// ConfigVersion of corosync.conf.
	ConfigVersion int
	Nodes         []MemberState
}

// MemberState is a node as the cluster sees it.
type MemberState struct {
	Name   string
	ID     int
	IP     string
	Online bool
	Local  bool
}

// Member is a node of corosync.conf.
type Member struct {
	Name  string
	ID    int
	Votes int
	// Links are ring addresses by number.
	Links map[int]string
}

// Totem is the totem section of corosync.conf.
type Totem struct {
	ClusterName   string
	ConfigVersion int
	// TokenCoefficient in milliseconds; 0 if not set.
	TokenCoefficient int
	// Priorities of the links that have one.
	Priorities map[int]int
}

// Options are those of datacenter.cfg that matter here.
type Options struct {
	MigrationNetwork string
	MigrationType    string
	ShutdownPolicy   string
}

// Hardware is /nodes/{node}/status.
type Hardware struct {
	CPUs     int
	CPUModel string
	// Vendor such as GenuineIntel.
	Vendor      string
	MemoryTotal int64 // bytes
	Kernel      string
	PVEVersion  string
	Uptime      time.Duration
}

// Interface is one of /etc/network/interfaces.
type Interface struct {
	Name    string
	Type    string // eth, bridge, bond, vlan, …
	Method  string
	CIDR    string
	Gateway string
	Ports   []string // of a bridge or bond
	MTU     int      // 0: not configured, 1500 then
	VLAN    int
	Active  bool
}

// Disk of a node, or a partition if Parent is set.
type Disk struct {
	Dev    string
	ByID   string
	Size   int64  // bytes
	Type   string // hdd, ssd, nvme, usb, unknown
	Model  string
	Serial string
	WWN    string
	Health string
	// Wearout is the life that is left in percent; -1 if the disk does not say.
	Wearout int
	// Used says by what: partitions, LVM, ZFS, mounted, …; empty for an empty disk.
	Used    string
	Mounted bool
	GPT     bool
	// OSDs on it.
	OSDs   []int
	Parent string
}

// Hosts is /etc/hosts.
type Hosts struct{ Data, Digest string }

// DNS is /etc/resolv.conf.
type DNS struct {
	Search  string
	Servers []string
}

// Time of a node.
type Time struct {
	Zone string
	Unix int64
}

// Repository is an APT repository.
type Repository struct {
	File       string
	Enabled    bool
	URIs       []string
	Suites     []string
	Components []string
}

// StorageState is a storage on one node.
type StorageState struct {
	ID      string
	Type    string
	Active  bool
	Enabled bool
	Total   int64
	Used    int64
}
