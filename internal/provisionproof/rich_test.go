package provisionproof

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/spec"
)

// enrich adds to the home lab what it does not use.
func enrich(c *spec.Cluster, v pvefake.Version) {
	s := &c.Spec
	s.PVE.Upgrade = true
	if v != pvefake.V84 {
		s.Corosync.TokenCoefficient = 500
	}
	net := s.Networks["storage"]
	net.Bridge, net.VLAN = "vmbr1", 100
	s.Networks["storage"] = net
	s.Ceph.MDS = []string{"pve1", "pve2"}
	s.Ceph.Filesystems = []spec.Filesystem{{Name: "cephfs", PGNum: 32}}
	s.Ceph.Pools = append(s.Ceph.Pools,
		spec.Pool{Name: "archive", PGNum: 32, Autoscale: "warn", Application: "rbd", FailureDomain: "host", Erasure: &spec.Erasure{K: 2, M: 1}},
		spec.Pool{Name: "spread", Size: 3, MinSize: 2, PGNum: 32, Autoscale: "warn", Application: "rbd", FailureDomain: "osd"})
	s.Storage = append(s.Storage,
		spec.Storage{ID: "files", Type: spec.StorageCephFS, Filesystem: "cephfs", Content: []string{"backup", "iso"}},
		spec.Storage{ID: "archive", Type: spec.StorageRBD, Pool: "archive", Content: []string{"images"}},
		spec.Storage{ID: "nas", Type: spec.StorageNFS, Server: "10.0.10.60", Export: "/srv/pve", Content: []string{"iso"}, Nodes: []string{"pve1", "pve2"}, Prune: spec.Prune{Last: 3}})
	s.HA.Watchdog = "ipmi_watchdog"
	for i := range s.Nodes {
		s.Nodes[i].OSDs = []spec.OSD{{Match: &spec.Match{Type: "ssd", Count: 3}}}
	}
	s.Guests = append(s.Guests, spec.Guest{
		VMID: 101, Name: "web", Node: "pve2", CPU: spec.CPU{Cores: 1, Sockets: 1, Type: "host"}, Memory: 1024, OnBoot: true, Agent: true,
		Disks: []spec.Disk{{Bus: "scsi0", Storage: "vm-storage", Size: 4 << 30, IOThread: true, SSD: true}, {Bus: "virtio1", Storage: "archive", Size: 1 << 30}},
		Net:   []spec.Interface{{Bridge: "vmbr0", Model: "virtio", VLAN: 7}, {Bridge: "vmbr1", Model: "e1000", MAC: "BC:24:11:00:00:01"}},
		HA:    &spec.GuestHA{State: "stopped", MaxRestart: 1, MaxRelocate: 1},
	})
	s.Backup.Jobs = append(s.Backup.Jobs, spec.BackupJob{ID: "weekly", Schedule: "sun 03:00", Storage: "files", Mode: "stop", Compress: "none", VMIDs: []int{101}, Notify: "always", Enabled: false})
	s.Monitoring.Token.PrivSep = false
}

// richWorld has machines for the enriched file, whose disks are not told by name.
func richWorld(t *testing.T, v pvefake.Version) *World {
	t.Helper()
	w := newWorld(t, v)
	enrich(w.Spec, v)
	return w
}

func TestEverythingAFileCanSayIsMadeOnce(t *testing.T) {
	for _, v := range versions {
		t.Run(string(v), func(t *testing.T) {
			w := richWorld(t, v)
			run := apply(t, w)
			t.Logf("%d changes, %d writes", run.Result.Changed, run.Writes)
			if planned := run.Result.Plan.Writes(); planned != run.Result.Changed {
				t.Errorf("%d changes were planned, %d made", planned, run.Result.Changed)
			}
			if second := apply(t, w); second.Writes > 0 {
				t.Errorf("a second apply made %d writes", second.Writes)
			}
			for _, c := range report(t, w).Checks {
				if c.Result != "ok" {
					t.Errorf("verify: %s: %s", c.Name, c.Found)
				}
			}
			if err := w.spoken(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestKilledAnywhereAFileThatSaysMoreConvergesToo(t *testing.T) {
	every := 211
	if soak() {
		every = 13
	}
	for _, v := range versions {
		t.Run(string(v), func(t *testing.T) {
			c, err := Homelab("../..", v)
			if err != nil {
				t.Fatal(err)
			}
			enrich(c, v)
			r, err := Prove(t.Context(), c, v, Options{Every: every, From: 5})
			if err != nil {
				t.Fatal(err)
			}
			t.Log(r)
			for _, f := range r.Failures {
				t.Error(f)
			}
		})
	}
}

// withIPv6 gives the storage network of the home lab addresses of IPv6.
func withIPv6(c *spec.Cluster) {
	s := &c.Spec
	net := s.Networks["storage"]
	net.CIDR = netip.MustParsePrefix("fd00:100::/64")
	s.Networks["storage"] = net
	for i := range s.Nodes {
		nic := s.Nodes[i].NICs["storage"]
		nic.Address = netip.MustParseAddr(fmt.Sprintf("fd00:100::1%d", i+1))
		s.Nodes[i].NICs["storage"] = nic
	}
}

func TestAStorageNetworkMayBeOfIPv6(t *testing.T) {
	for _, v := range versions {
		t.Run(string(v), func(t *testing.T) {
			w := newWorld(t, v)
			withIPv6(w.Spec)
			apply(t, w)
			if second := apply(t, w); second.Writes > 0 {
				t.Errorf("a second apply made %d writes", second.Writes)
			}
			for _, c := range report(t, w).Checks {
				if c.Result != "ok" {
					t.Errorf("verify: %s: %s", c.Name, c.Found)
				}
			}
		})
	}
}

func TestChangesOfTheFileAreMadeToALivingCluster(t *testing.T) {
	for _, v := range versions {
		t.Run(string(v), func(t *testing.T) {
			w := newWorld(t, v)
			apply(t, w)
			s := &w.Spec.Spec
			s.Ceph.Pools[0].PGNum = 256
			s.Ceph.Config["osd"]["osd_scrub_end_hour"] = "7"
			s.Storage[1].Content = []string{"images", "rootdir"}
			s.HA.ShutdownPolicy = "failover"
			s.HA.Groups[0].Nodes = map[string]int{"pve2": 2, "pve3": 1}
			s.HA.Groups[0].NoFailback = true
			g := &s.Guests[0]
			g.CPU.Cores, g.Memory, g.Disks[0].Size, g.Disks[0].Cache = 4, 4096, 16<<30, "none"
			g.HA.MaxRestart = 1
			s.Backup.Jobs[0].Schedule, s.Backup.Jobs[0].All, s.Backup.Jobs[0].VMIDs = "03:30", false, []int{100}
			third := s.Nodes[2]
			third.NICs["storage"] = spec.NIC{Address: netip.MustParseAddr("10.0.100.13"), Port: "eno2"}
			p, err := w.Plan(t.Context())
			if err != nil || p.Blocked() != nil {
				t.Fatal(err, p.Blocked())
			}
			run := apply(t, w)
			if run.Result.Changed != p.Writes() || run.Result.Changed < 11 {
				t.Errorf("%d changes were planned, %d made; want at least 11", p.Writes(), run.Result.Changed)
			}
			if second := apply(t, w); second.Writes > 0 {
				t.Errorf("a second apply made %d writes", second.Writes)
			}
		})
	}
}
