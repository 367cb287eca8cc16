package preflight

import (
	"errors"
	"net/netip"
	"time"

	"github.com/quorate/quorate/provision/facts"
	"github.com/quorate/quorate/provision/spec"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// specTrips are files that are not right.
func specTrips() []trip {
	on := func(check, name string, level Level, want string, change func(s *spec.Spec)) trip {
		return trip{check, name, level, want, func(c *spec.Cluster, _ *facts.Cluster) { change(&c.Spec) }}
	}
	pool := func(change func(p *spec.Pool)) func(*spec.Spec) {
		return func(s *spec.Spec) { change(&s.Ceph.Pools[0]) }
	}
	network := func(name string, change func(n *spec.Network)) func(*spec.Spec) {
		return func(s *spec.Spec) {
			n := s.Networks[name]
			change(&n)
			s.Networks[name] = n
		}
	}
	return []trip{
		{"ClusterName", "16 characters", Error, "has 16 characters", func(c *spec.Cluster, _ *facts.Cluster) { c.Metadata.Name = "homelab-clusters" }},
		on("Nodes3Plus", "two", Error, "1 of 2 votes", func(s *spec.Spec) { s.Nodes = s.Nodes[:2] }),
		on("Nodes3Plus", "one", Warning, "one node", func(s *spec.Spec) { s.Nodes = s.Nodes[:1] }),
		on("VotesOdd", "four", Warning, "4 votes", func(s *spec.Spec) { s.Nodes = append(s.Nodes, s.Nodes[0]) }),
		on("VotesOdd", "three with qdevice", Warning, "qdevice gets 2 votes", func(s *spec.Spec) { s.Corosync.QDevice = "10.0.10.9" }),
		on("NodeCountMax", "21", Warning, "21 nodes", func(s *spec.Spec) {
			for len(s.Nodes) < 21 {
				s.Nodes = append(s.Nodes, s.Nodes[0])
			}
		}),
		on("CorosyncLinks", "missing", Error, "pve2 has no address on link 1", func(s *spec.Spec) { delete(s.Nodes[1].NICs, "storage") }),
		on("CorosyncLinks", "families", Error, "one IP family", func(s *spec.Spec) {
			s.Nodes[2].NICs["mgmt"] = spec.NIC{Address: addr("fd00::13"), Port: "eno1"}
		}),
		on("CorosyncRedundant", "one link", Warning, "one link", network("storage", func(n *spec.Network) { n.CorosyncLink = nil })),
		on("CorosyncSeparateNIC", "one port", Warning, "share port eno1", func(s *spec.Spec) {
			s.Nodes[0].NICs["storage"] = spec.NIC{Address: addr("10.0.100.11"), Port: "eno1"}
		}),
		on("CephNetDistinct", "preferred", Warning, "network storage is Ceph's", network("storage", func(n *spec.Network) { n.Priority = 20 })),
		on("CephAddresses", "missing", Error, "pve3 has no address in network storage", func(s *spec.Spec) { delete(s.Nodes[2].NICs, "storage") }),
		on("CephVersion", "unknown", Error, `called "luminary"`, func(s *spec.Spec) { s.Ceph.Release = "luminary" }),
		on("CephVersion", "too old for packages", Error, "no packages of Ceph pacific", func(s *spec.Spec) { s.Ceph.Release = "pacific" }),
		on("CephVersion", "replaced", Error, "squid is out of support since 2026-09-19", func(s *spec.Spec) { s.Ceph.Release = "squid" }),
		on("CephVersion", "newest of 8", Warning, "Proxmox VE 8 has no newer", func(s *spec.Spec) { s.PVE.Major, s.Ceph.Release = 8, "squid" }),
		on("MonsOdd", "two", Error, "2 monitors", func(s *spec.Spec) { s.Ceph.Monitors = s.Ceph.Monitors[:2] }),
		on("MonsOdd", "four", Error, "4 monitors", func(s *spec.Spec) { s.Ceph.Monitors = append(s.Ceph.Monitors, "pve4") }),
		on("MonsOdd", "seven", Warning, "7 monitors", func(s *spec.Spec) { s.Ceph.Monitors = append(s.Ceph.Monitors, "4", "5", "6", "7") }),
		on("MgrStandby", "one", Warning, "no second manager", func(s *spec.Spec) { s.Ceph.Managers = s.Ceph.Managers[:1] }),
		on("PoolSize", "more than hosts", Error, "4 copies on different hosts, and 3", pool(func(p *spec.Pool) { p.Size = 4 })),
		on("PoolSize", "two", Warning, "2 copies", pool(func(p *spec.Pool) { p.Size = 2 })),
		on("PoolMinSize", "one", Error, "min_size 1", pool(func(p *spec.Pool) { p.MinSize = 1 })),
		on("PoolMinSize", "above size", Error, "needs 4 copies to work and keeps 3", pool(func(p *spec.Pool) { p.MinSize = 4 })),
		on("PoolMinSize", "equal", Warning, "at every reboot", pool(func(p *spec.Pool) { p.MinSize = 3 })),
		on("ECFits", "too wide", Error, "needs 4+2 = 6 hosts", pool(func(p *spec.Pool) { p.Erasure = &spec.Erasure{K: 4, M: 2} })),
		on("ECFits", "one fault", Warning, "survives one fault only", pool(func(p *spec.Pool) { p.Erasure = &spec.Erasure{K: 2, M: 1} })),
		on("PGTarget", "refused", Error, "creates no pool above 250", pool(func(p *spec.Pool) { p.PGNum = 1024 })),
		on("PGTarget", "many", Warning, "213 placement groups", pool(func(p *spec.Pool) { p.PGNum = 512 })),
		on("PGTarget", "few", Warning, "44 placement groups", pool(func(p *spec.Pool) { p.PGNum = 4 })),
		on("PGPowerOfTwo", "100", Warning, "100 placement groups", pool(func(p *spec.Pool) { p.PGNum = 100 })),
		on("Autoscaler", "on", Info, "may change the pgNum of vm-storage", pool(func(p *spec.Pool) { p.Autoscale = "on" })),
		on("Autoscaler", "warn", Info, "POOL_TOO_MANY_PGS", pool(func(p *spec.Pool) { p.Autoscale = "warn" })),
		on("RBDCache", "no disk with writeback", Info, "no effect", func(s *spec.Spec) { s.Guests[0].Disks[0].Cache = "none" }),
		on("RBDNoBackupContent", "content", Error, "storage vm-storage is RBD", func(s *spec.Spec) { s.Storage[0].Content = []string{"backup"} }),
		on("RBDNoBackupContent", "job", Error, "job nightly writes to vm-storage", func(s *spec.Spec) { s.Backup.Jobs[0].Storage = "vm-storage" }),
		on("BackupSchedule", "cron", Error, "cron line", func(s *spec.Spec) { s.Backup.Jobs[0].Schedule = "0 2 * * *" }),
		on("BackupSchedule", "no event", Error, `"25:00" is neither`, func(s *spec.Spec) { s.Backup.Jobs[0].Schedule = "25:00" }),
		on("HASharedStorage", "local", Error, "its disk is on local-lvm", func(s *spec.Spec) { s.Guests[0].Disks[0].Storage = "local-lvm" }),
		on("HASharedStorage", "some nodes", Warning, "can only run where", func(s *spec.Spec) { s.Storage[0].Nodes = []string{"pve1"} }),
		on("HAGroupOn9", "a group", Info, "g becomes the node-affinity rule", func(s *spec.Spec) { s.HA.Groups = []spec.HAGroup{{Name: "g"}} }),
		on("ShutdownPolicy", "default", Info, "conditional", func(s *spec.Spec) { s.HA.ShutdownPolicy = "" }),
		on("WatchdogPresent", "softdog", Warning, "softdog", func(s *spec.Spec) { s.HA.Watchdog = "softdog" }),
		on("DiskNames", "sdb", Info, "/dev/sdb may stand for another disk", func(s *spec.Spec) { s.Nodes[0].OSDs[0] = spec.OSD{Dev: "/dev/sdb"} }),
	}
}

// factTrips are machines that do not fit.
func factTrips() []trip {
	// on changes the facts of pve2.
	on := func(check, name string, level Level, want string, change func(n *facts.Node)) trip {
		return trip{check, name, level, want, func(_ *spec.Cluster, f *facts.Cluster) { change(&f.Nodes[1]) }}
	}
	// disk changes one of its disks.
	disk := func(i int, change func(d *facts.Disk)) func(*facts.Node) {
		return func(n *facts.Node) {
			with(&n.Disks, func(d *[]facts.Disk) { change(&(*d)[i]) })
		}
	}
	return []trip{
		on("Reachable", "dead", Error, "connection refused", func(n *facts.Node) {
			n.Version = facts.Unknown[facts.Version](errors.New("connection refused"))
		}),
		{"Reachable", "restarting", Warning, "is in the cluster and does not answer", func(_ *spec.Cluster, f *facts.Cluster) {
			f.Members = facts.Is([]facts.Member{{Name: "pve2"}})
			f.Nodes[1].Version = facts.Unknown[facts.Version](errors.New("connection refused"))
		}},
		on("SameVersion", "8", Error, "runs Proxmox VE 8.4.1, and the file says 9", func(n *facts.Node) { n.Version = facts.Is(facts.Version{Major: 8, Minor: 4, Full: "8.4.1"}) }),
		on("SameVersion", "9.1", Warning, "runs Proxmox VE 9.1.2, pve1 runs 9.2.11", func(n *facts.Node) { n.Version = facts.Is(facts.Version{Major: 9, Minor: 1, Full: "9.1.2"}) }),
		on("UniqueHostname", "swapped", Error, "is called pve3", func(n *facts.Node) {
			with(&n.Membership, func(m *facts.Membership) { m.Nodes[0].Name = "pve3" })
		}),
		on("HostnameResolves", "loopback", Error, "stands for 127.0.1.1", func(n *facts.Node) { n.Hosts = facts.Is(facts.Hosts{Data: "127.0.1.1 pve2\n"}) }),
		on("HostnameResolves", "other address", Error, "stands for 10.0.10.99 in /etc/hosts, not for 10.0.10.12", func(n *facts.Node) { n.Hosts = facts.Is(facts.Hosts{Data: "10.0.10.99 pve2.lan pve2\n"}) }),
		on("HostnameResolves", "not configured", Error, "no interface has the address 10.0.10.12", func(n *facts.Node) { n.Interfaces = facts.Is([]facts.Interface{}) }),
		on("UniqueMachineID", "clone", Error, "has the machine id of pve1", func(n *facts.Node) { n.Host.MachineID = facts.Is("id0") }),
		on("UniqueSystemUUID", "clone", Error, "has the system UUID of pve1", func(n *facts.Node) { n.Host.ProductUUID = facts.Is("uuid0") }),
		on("UniqueSSHHostKey", "clone", Error, "has the SSH host key of pve1", func(n *facts.Node) { n.Host.HostKey = facts.Is("key0") }),
		on("NotClustered", "other name", Error, "is in cluster old already", func(n *facts.Node) { with(&n.Membership, func(m *facts.Membership) { m.Name = "old" }) }),
		{"NotClustered", "same name", Error, "is in another cluster that is also called homelab-cluster", func(c *spec.Cluster, f *facts.Cluster) {
			f.Members = facts.Is([]facts.Member{{Name: "pve1"}})
			with(&f.Nodes[1].Membership, func(m *facts.Membership) { m.Name = "homelab-cluster" })
		}},
		on("NotClustered", "leftover key", Error, "corosync authkey from an earlier cluster", func(n *facts.Node) { n.Host.Authkey = facts.Is(true) }),
		on("NoGuestsOnJoiner", "guests", Error, "has 6 guests (100, 101, 102, 103, 104, …)", func(n *facts.Node) { n.Guests = facts.Is([]int{100, 101, 102, 103, 104, 105}) }),
		{"VMIDFree", "taken", Error, "VMID 100 belongs to lxc web on pve1", func(_ *spec.Cluster, f *facts.Cluster) {
			f.Guests = facts.Is([]facts.Guest{{VMID: 100, Name: "web", Node: "pve1", Type: "lxc"}})
		}},
		on("TimeSync", "far", Error, "7s away from that of pve1", func(n *facts.Node) { n.Host.Skew = facts.Is(7 * time.Second) }),
		on("TimeSync", "near", Warning, "2s away", func(n *facts.Node) { n.Host.Skew = facts.Is(-2 * time.Second) }),
		on("TimeSync", "no NTP", Warning, "not synchronised", func(n *facts.Node) { n.Host.NTP = facts.Is(false) }),
		on("PortsOpen", "closed", Warning, "cannot reach port 8006 of pve3", func(n *facts.Node) {
			probe(n, func(p *facts.ProbeResult) {
				if len(p.Ports) > 0 {
					p.Closed = facts.Is([]int{8006})
				}
			})
		}),
		on("CorosyncLatency", "slow", Error, "take up to 12ms", func(n *facts.Node) {
			probe(n, func(p *facts.ProbeResult) {
				p.RTT = facts.Is(facts.Pings{Sent: 1, RTT: []time.Duration{12 * time.Millisecond}})
			})
		}),
		on("CorosyncLatency", "slowish", Warning, "take up to 6ms", func(n *facts.Node) {
			probe(n, func(p *facts.ProbeResult) {
				p.RTT = facts.Is(facts.Pings{Sent: 1, RTT: []time.Duration{6 * time.Millisecond}})
			})
		}),
		on("CorosyncLatency", "lossy", Warning, "1 of 2 packets", func(n *facts.Node) {
			probe(n, func(p *facts.ProbeResult) {
				p.RTT = facts.Is(facts.Pings{Sent: 2, RTT: []time.Duration{time.Millisecond}})
			})
		}),
		on("CorosyncLatency", "dead", Error, "none of 20 packets", func(n *facts.Node) {
			probe(n, func(p *facts.ProbeResult) { p.RTT = facts.Is(facts.Pings{Sent: 20}) })
		}),
		on("MTUEqual", "switch", Error, "packets of 9000 bytes to pve3", func(n *facts.Node) {
			probe(n, func(p *facts.ProbeResult) { p.MTUPasses = facts.Is(false) })
		}),
		on("CephNet10G", "gigabit", Warning, "eno2 of network storage has 1000 Mbit/s", func(n *facts.Node) { n.Host.Speeds = facts.Is(map[string]int{"eno2": 1000}) }),
		on("CephNet10G", "no link", Warning, "has no link", func(n *facts.Node) { n.Host.Speeds = facts.Is(map[string]int{}) }),
		{"CephNetworksFixed", "moved", Error, "public_network is 10.9.0.0/24", func(_ *spec.Cluster, f *facts.Cluster) {
			f.Ceph.Global = facts.Is(map[string]string{"public_network": "10.9.0.0/24", "cluster_network": "10.0.100.11/24"})
		}},
		on("DisksExist", "gone", Error, "pve2 has no disk nvme-c", disk(3, func(d *facts.Disk) { d.ByID = "/dev/disk/by-id/nvme-x" })),
		{"DisksExist", "too few match", Error, "3 empty disks of pve2 fit, and 4 are wanted", func(c *spec.Cluster, _ *facts.Cluster) {
			c.Spec.Nodes[1].OSDs = []spec.OSD{{Match: &spec.Match{Type: "nvme", MinSize: 900e9, Count: 4}}}
		}},
		{"OSDisk", "named", Error, "nvme-a of pve2 holds the operating system", func(c *spec.Cluster, _ *facts.Cluster) {
			c.Spec.Nodes[1].OSDs = append(c.Spec.Nodes[1].OSDs[:2:2], spec.OSD{ByID: "nvme-a"})
		}},
		on("DisksEmpty", "LVM", Error, "nvme-b of pve2 is not empty (LVM)", disk(2, func(d *facts.Disk) { d.Used = "LVM" })),
		{"DisksEmpty", "wipe", Warning, "all of it will be destroyed", func(c *spec.Cluster, f *facts.Cluster) {
			c.Spec.Nodes[1].OSDs = append([]spec.OSD{{ByID: "nvme-b", Wipe: true}}, c.Spec.Nodes[1].OSDs[1:]...)
			with(&f.Nodes[1].Disks, func(d *[]facts.Disk) { (*d)[2].Used = "partitions" })
		}},
		on("DisksEqual", "larger", Warning, "has 1920 GB nvme, 960 GB nvme, 960 GB nvme for OSDs", disk(2, func(d *facts.Disk) { d.Size = 1920e9 })),
		on("DiskHealth", "failed", Warning, "says of its health: FAILED!", disk(2, func(d *facts.Disk) { d.Health = "FAILED!" })),
		on("DiskHealth", "worn", Warning, "has 3 % of its life left", disk(2, func(d *facts.Disk) { d.Wearout = 3 })),
		on("DiskHealth", "RAID", Warning, "behind a RAID controller", disk(2, func(d *facts.Disk) { d.Model = "PERC H730P" })),
		on("RAMForOSD", "too little", Error, "has 16 GiB", func(n *facts.Node) { with(&n.Hardware, func(h *facts.Hardware) { h.MemoryTotal = 16 << 30 }) }),
		on("RAMForOSD", "little", Warning, "are well served with 29", func(n *facts.Node) { with(&n.Hardware, func(h *facts.Hardware) { h.MemoryTotal = 20 << 30 }) }),
		on("CPUForCeph", "few", Warning, "has 4 threads for 5 daemons", func(n *facts.Node) { with(&n.Hardware, func(h *facts.Hardware) { h.CPUs = 4 }) }),
		{"HACapacity", "too large", Warning, "have 204800 MiB", func(c *spec.Cluster, _ *facts.Cluster) { c.Spec.Guests[0].Memory = 200 << 10 }},
		on("CPUCompat", "vendors", Warning, "AuthenticAMD and GenuineIntel", func(n *facts.Node) {
			with(&n.Hardware, func(h *facts.Hardware) { h.CPUModel, h.Vendor = "Xeon", "GenuineIntel" })
		}),
		{"CPUCompat", "host", Warning, "cannot migrate live", func(c *spec.Cluster, f *facts.Cluster) {
			c.Spec.Guests[0].CPU.Type = "host"
			with(&f.Nodes[1].Hardware, func(h *facts.Hardware) { h.CPUModel = "older EPYC" })
		}},
		{"ExporterProgram", "no cgo", Error, "neither corosync nor Ceph", func(_ *spec.Cluster, f *facts.Cluster) {
			with(&f.Here.Program, func(p *facts.Program) { p.Cgo = false })
		}},
		{"ExporterProgram", "a laptop's", Error, "built for darwin/arm64", func(_ *spec.Cluster, f *facts.Cluster) {
			f.Here.Program = facts.Is(facts.Program{Built: "darwin/arm64", Cgo: true})
		}},
		{"ExporterProgram", "unreadable", Warning, "could not be read", func(_ *spec.Cluster, f *facts.Cluster) {
			f.Here.Program = facts.Unknown[facts.Program](errors.New("permission denied"))
		}},
		on("ExporterProgram", "another processor", Error, "type aarch64", func(n *facts.Node) { n.Host.Machine = facts.Is("aarch64") }),
		{"ExporterPackage", "missing", Error, "no such file", func(c *spec.Cluster, f *facts.Cluster) {
			c.Spec.Monitoring.Exporter.Package, f.Here.Package = "./quorate.deb", facts.Unknown[bool](errors.New("open ./quorate.deb: no such file or directory"))
		}},
		{"ExporterPackage", "something else", Error, "./quorate.tar is no Debian package", func(c *spec.Cluster, f *facts.Cluster) {
			c.Spec.Monitoring.Exporter.Package, f.Here.Package = "./quorate.tar", facts.Is(false)
		}},
		{"EnterpriseRepo", "left", Warning, "answers 401", func(c *spec.Cluster, f *facts.Cluster) {
			c.Spec.PVE.Repository = "leave"
			f.Nodes[1].Repositories = facts.Is([]facts.Repository{{Enabled: true, URIs: []string{"https://enterprise.proxmox.com/debian/pve"}}})
		}},
		on("EnterpriseRepo", "replaced", Info, "apply replaces by no-subscription", func(n *facts.Node) {
			n.Repositories = facts.Is([]facts.Repository{{Enabled: true, URIs: []string{"https://enterprise.proxmox.com/debian/pve"}}})
		}),
		{"WatchdogPresent", "as found", Warning, "fences with softdog", func(c *spec.Cluster, f *facts.Cluster) {
			c.Spec.HA.Watchdog = ""
			f.Nodes[1].Host.Watchdog = facts.Is("softdog")
		}},
		{"HAGroupOn9", "left over", Warning, "1 HA groups of Proxmox VE 8", func(_ *spec.Cluster, f *facts.Cluster) {
			f.HAGroups = facts.Is([]facts.HAGroup{{Name: "old"}})
		}},
	}
}

// calendarEvents that Proxmox VE takes, and what it does not.
var calendarEvents = map[string]bool{
	"02:00": true, "2:00": true, "sun 03:00": true, "mon..fri 22:30": true, "mon,wed 8:0/30": true, "*/15": true, "daily": true,
	"*:0/30": true, "sat *-1..7 15:00": true, "2027-01-01": true, "*-*-1 4:00:30": true, "monday 5:00": true, "Sat 1:00": true,
	"": false, "0 2 * * *": false, "25:00": false, "12:60": false, "foo": false, "mon..xyz 1:00": false, "13-32": false,
	"02:00 extra": false, "1:2:3:4": false, "*/0": false, "mon tue": false, "*..5:00": false,
}
