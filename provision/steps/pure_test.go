package steps

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/living"
	"github.com/quorate/quorate/provision/spec"
)

func hostNames(pairs ...string) []hostName {
	var out []hostName
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, hostName{netip.MustParseAddr(pairs[i]), pairs[i+1]})
	}
	return out
}

func TestHostsNameEveryNodeAtItsAddressAndNowhereElse(t *testing.T) {
	want := hostNames("10.0.0.1", "pve1", "10.0.0.2", "pve2")
	for _, tt := range []struct{ name, have, want string }{
		{"as it is", "127.0.0.1 localhost\n10.0.0.1 pve1.lab pve1\n10.0.0.2 pve2\n", "127.0.0.1 localhost\n10.0.0.1 pve1.lab pve1\n10.0.0.2 pve2\n"},
		{"one is missing", "127.0.0.1 localhost\n10.0.0.1 pve1.lab pve1\n", "127.0.0.1 localhost\n10.0.0.1 pve1.lab pve1\n10.0.0.2 pve2\n"},
		{"Debian's own line", "127.0.1.1 pve1.lab pve1 # by the installer\n", "127.0.1.1 pve1.lab # by the installer\n10.0.0.1 pve1\n10.0.0.2 pve2\n"},
		{"an old address", "10.9.0.2 pve2\n10.0.0.1 pve1\n", "10.0.0.1 pve1\n10.0.0.2 pve2\n"},
		{"IPv6 beside it", "fd00::1 pve1\n10.0.0.1 pve1\n10.0.0.2 pve2\n", "fd00::1 pve1\n10.0.0.1 pve1\n10.0.0.2 pve2\n"},
		{"comments stay", "# pve1 is the first\n10.0.0.1 pve1\n\n10.0.0.2 pve2\n", "# pve1 is the first\n10.0.0.1 pve1\n\n10.0.0.2 pve2\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := withHosts(tt.have, want); got != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}

// FuzzHosts: whatever the file is, doing it again changes nothing, and every name is there.
func FuzzHosts(f *testing.F) {
	f.Add("127.0.0.1 localhost\n127.0.1.1 pve1 # x\n")
	f.Add("pve1 pve2\n10.0.0.1\t pve2 pve1\r\n")
	want := hostNames("10.0.0.1", "pve1", "10.0.0.2", "pve2")
	f.Fuzz(func(t *testing.T, text string) {
		once := withHosts(text, want)
		if twice := withHosts(once, want); twice != once {
			t.Errorf("once:\n%q\ntwice:\n%q", once, twice)
		}
		for _, w := range want {
			if !strings.Contains(once, w.name) || !strings.Contains(once, w.addr.String()) {
				t.Errorf("%s is not at %s in %q", w.name, w.addr, once)
			}
		}
	})
}

func disks(all ...disk) []disk { return all }

func size(gb int64) pve.Int { return pve.Int{V: gb * 1e9, Known: true} }

func none() pve.Int { return pve.Int{V: -1, Known: true} }

func TestDisksAreChosenAsTheFileSays(t *testing.T) {
	all := disks(
		disk{Path: "/dev/sda", Type: "ssd", Size: size(100), Used: "BIOS boot", OSD: none()},
		disk{Path: "/dev/sdb", Type: "ssd", Size: size(960), OSD: none(), Serial: "S1", ByID: "/dev/disk/by-id/ata-X_S1"},
		disk{Path: "/dev/sdc", Type: "ssd", Size: size(960), OSD: pve.Int{V: 3, Known: true}, Used: "LVM"},
		disk{Path: "/dev/sdd", Type: "hdd", Size: size(4000), OSD: none(), Model: "WDC Red"},
		disk{Path: "/dev/sde", Type: "ssd", Size: size(960), OSD: none(), Used: "ext4"},
		disk{Path: "/dev/sdaa", Type: "ssd", Size: size(960), OSD: none()},
		disk{Path: "/dev/nvme0n1", Type: "nvme", Size: size(1920), OSD: none(), WWN: "eui.0025"},
	)
	for _, tt := range []struct {
		name string
		osd  spec.OSD
		want []string
		lack string
	}{
		{"by name", spec.OSD{Dev: "/dev/sdb"}, []string{"/dev/sdb"}, ""},
		{"by a name that is not there", spec.OSD{Dev: "/dev/sdz"}, nil, "no such disk"},
		{"by id", spec.OSD{ByID: "ata-X_S1"}, []string{"/dev/sdb"}, ""},
		{"by another of its ids", spec.OSD{ByID: "scsi-SATA_X_S1"}, []string{"/dev/sdb"}, ""},
		{"by WWN", spec.OSD{ByID: "nvme-eui.0025"}, []string{"/dev/nvme0n1"}, ""},
		{"what is an OSD already comes first", spec.OSD{Match: &spec.Match{Type: "ssd", Count: 1}}, []string{"/dev/sdc"}, ""},
		{"by type, those in use left out", spec.OSD{Match: &spec.Match{Type: "ssd"}}, []string{"/dev/sdc", "/dev/sdb", "/dev/sdaa"}, ""},
		{"by size", spec.OSD{Match: &spec.Match{MinSize: 1e12, MaxSize: 2e12}}, []string{"/dev/nvme0n1"}, ""},
		{"by model, in any case", spec.OSD{Match: &spec.Match{Model: "wdc"}}, []string{"/dev/sdd"}, ""},
		{"fewer than wanted", spec.OSD{Match: &spec.Match{Type: "hdd", Count: 2}}, []string{"/dev/sdd"}, "2 disks are wanted, 1 fit"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found, lack := choose(all, tt.osd, map[string]bool{})
			var got []string
			for _, d := range found {
				got = append(got, d.Path)
			}
			if !slices.Equal(got, tt.want) || (tt.lack == "") != (lack == "") || !strings.Contains(lack, tt.lack) {
				t.Errorf("got %v (%s), want %v (%s)", got, lack, tt.want, tt.lack)
			}
		})
	}
}

func TestOnlyADiskThatMayBeWipedIsWiped(t *testing.T) {
	for _, tt := range []struct {
		name       string
		d          disk
		wipe, flag bool
		want       engine.Action // "" for no change
		wipes      bool
	}{
		{"empty", disk{OSD: none()}, true, true, engine.Create, false},
		{"an OSD", disk{OSD: pve.Int{V: 0, Known: true}, Used: "LVM"}, true, true, "", false},
		{"in use", disk{OSD: none(), Used: "ext4"}, false, false, engine.Forbidden, false},
		{"in use, the file alone", disk{OSD: none(), Used: "ext4"}, true, false, engine.Forbidden, false},
		{"in use, the flag alone", disk{OSD: none(), Used: "ext4"}, false, true, engine.Forbidden, false},
		{"in use, both", disk{OSD: none(), Used: "partitions"}, true, true, engine.Create, true},
		{"the system's, both", disk{OSD: none(), Used: "BIOS boot"}, true, true, engine.Forbidden, false},
		{"mounted, both", disk{OSD: none(), Mount: pve.Bool{V: true, Known: true}}, true, true, engine.Forbidden, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &osdStep{&Env{AllowWipe: tt.flag}}
			c, differs := s.diff("pve1", tt.d, spec.OSD{Wipe: tt.wipe})
			if !differs && tt.want == "" {
				return
			}
			wipes := c.Writes() && c.Do.(osdWork).wipe
			if c.Action != tt.want || wipes != tt.wipes || wipes != (c.Risk == engine.High && c.Writes()) {
				t.Errorf("%s (risk %s), wipes %t; want %s, %t", c.Action, c.Risk, wipes, tt.want, tt.wipes)
			}
		})
	}
}

// lines are changes as path: from → to (action).
func lines(changes []engine.Change) string {
	var out []string
	for _, c := range changes {
		out = append(out, string(c.Action)+" "+c.Path+": "+c.From+" → "+c.To)
	}
	return strings.Join(out, "\n")
}

func TestPoolsGrowButDoNotShrink(t *testing.T) {
	want := spec.Pool{Name: "vm", Size: 3, MinSize: 2, PGNum: 128, Autoscale: "warn", Application: "rbd"}
	is := pool{Name: "vm", Size: 3, MinSize: 2, PGNum: 128, Autoscale: "warn", Application: map[string]any{"rbd": nil}}
	for _, tt := range []struct {
		name   string
		change func(w *spec.Pool, p *pool)
		want   string
	}{
		{"as it is", func(*spec.Pool, *pool) {}, ""},
		{"fewer PGs", func(_ *spec.Pool, p *pool) { p.PGNum = 32 }, "update pool/vm/pg_num: 32 → 128"},
		{"more PGs than wanted", func(_ *spec.Pool, p *pool) { p.PGNum = 256 }, "forbidden pool/vm/pg_num: 256 → 128"},
		{"the autoscaler rules", func(w *spec.Pool, p *pool) { p.PGNum, w.Autoscale, p.Autoscale = 32, "on", "on" }, ""},
		{"fewer copies", func(_ *spec.Pool, p *pool) { p.Size, p.MinSize = 2, 1 }, "update pool/vm/size: 2 → 3\nupdate pool/vm/min_size: 1 → 2"},
		{"more copies than wanted", func(_ *spec.Pool, p *pool) { p.Size = 4 }, "forbidden pool/vm/size: 4 → 3"},
		{"no application", func(_ *spec.Pool, p *pool) { p.Application = nil }, "update pool/vm/application:  → rbd"},
		{"an erasure code stays what it is", func(w *spec.Pool, p *pool) { w.Erasure = &spec.Erasure{K: 2, M: 1}; p.Size, p.MinSize = 9, 9 }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, p := want, is
			tt.change(&w, &p)
			if got := lines(poolChanges(w, p)); got != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}

func TestCephWritesValuesInItsOwnWay(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"true", "1", true}, {"true", "false", false}, {"67108864", "64M", true}, {"2", "2.000000", true}, {"2", "3", false},
		{"", "0", false}, {"abc", "abc", true}, {"abc", "abd", false},
	} {
		if got := sameValue(tt.a, tt.b); got != tt.want {
			t.Errorf("%q and %q: %t, want %t", tt.a, tt.b, got, tt.want)
		}
	}
}

func TestGuestDisksKeepWhatTheFileDoesNotSpeakOf(t *testing.T) {
	want := spec.Disk{Bus: "scsi0", Storage: "vm", Size: 8 << 30, Cache: "writeback", Discard: true}
	for _, tt := range []struct{ name, have, want string }{
		{"as it is", "vm:vm-100-disk-0,cache=writeback,discard=on,iothread=1,size=8G", ""},
		{"another cache", "vm:vm-100-disk-0,backup=0,cache=none,discard=on,size=8G",
			"update vm/100/scsi0/options: vm:vm-100-disk-0,backup=0,cache=none,discard=on,size=8G → vm:vm-100-disk-0,backup=0,cache=writeback,discard=on,size=8G"},
		{"smaller", "vm:vm-100-disk-0,cache=writeback,discard=on,size=4G", "update vm/100/scsi0/size: 4G → 8G"},
		{"larger", "vm:vm-100-disk-0,cache=writeback,discard=on,size=16G", "forbidden vm/100/scsi0/size: 16G → 8G"},
		{"on another storage", "local:100/vm-100-disk-0.raw,size=8G", "forbidden vm/100/scsi0/storage: local → vm"},
		{"missing", "", "update vm/100/scsi0:  → vm:8,cache=writeback,discard=on"},
		{"written with file=", "file=vm:vm-100-disk-0,cache=writeback,discard=on,size=8192M", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := guestSeen{node: "pve1", config: map[string]string{"scsi0": tt.have}}
			if got := lines(diskChanges(spec.Guest{VMID: 100}, is, want)); got != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
}

func TestANetworkCardKeepsItsAddress(t *testing.T) {
	have := "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1"
	n := spec.Interface{Bridge: "vmbr0"}
	if !sameNet(have, n) {
		t.Errorf("%s is not what %+v asks for", have, n)
	}
	n.VLAN = 5
	if sameNet(have, n) || netText(n, macOf(have)) != "virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=5" {
		t.Errorf("a VLAN makes %s", netText(n, macOf(have)))
	}
	n.MAC = "bc:24:11:00:00:02"
	if sameNet("virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=5", n) {
		t.Error("another MAC is taken for the same")
	}
}

// FuzzForeignText: readers of other programs' text bear everything.
func FuzzForeignText(f *testing.F) {
	f.Add("vm:disk,cache=none,size=8G")
	f.Add("pve1:2,pve2")
	f.Add("[client.x]\n\tkey = AQ==\n")
	f.Fuzz(func(t *testing.T, s string) {
		drive(s)
		parseNodes(s)
		keyOf(s)
		majorOf(s)
		living.NodeOf(s)
		hasTag(s)
		sameNet(s, spec.Interface{Bridge: "vmbr0"})
		withOptions(s, spec.Disk{Cache: "none", Discard: true})
		if b, err := json.Marshal(s); err == nil {
			properties(b)
		}
		properties([]byte(s))
	})
}

func TestHAIsAGroupOn8AndARuleOn9(t *testing.T) {
	c := &spec.Cluster{}
	c.Spec.HA.Groups = []spec.HAGroup{{Name: "crit", Nodes: map[string]int{"pve1": 2, "pve2": 1, "pve3": 0}, Restricted: true}}
	c.Spec.Guests = []spec.Guest{{VMID: 100, HA: &spec.GuestHA{State: "started", Group: "crit", MaxRestart: 3, MaxRelocate: 3}}}
	s := &haStep{&Env{Spec: c}}
	for _, tt := range []struct {
		major int
		want  string
	}{
		{8, "create ha-group/crit:  → nodes pve1:2,pve2:1,pve3, nofailback 0, restricted 1\ncreate ha-resource/vm:100:  → group crit, max_relocate 3, max_restart 3, state started"},
		{9, "create ha-resource/vm:100:  → failback 1, max_relocate 3, max_restart 3, state started\ncreate ha-rule/crit:  → nodes pve1:2,pve2:1,pve3, resources vm:100, strict 1"},
	} {
		if got := lines(s.Diff(haSeen{major: tt.major})); got != tt.want {
			t.Errorf("PVE %d: got:\n%s\nwant:\n%s", tt.major, got, tt.want)
		}
	}
	same := haSeen{major: 9,
		resources: map[string]map[string]string{"vm:100": {"sid": "vm:100", "max_relocate": "3", "max_restart": "3", "state": "enabled"}},
		groups:    map[string]map[string]string{"crit": {"rule": "crit", "type": "node-affinity", "nodes": "pve3,pve2:1,pve1:2", "resources": "vm:100", "strict": "1"}}}
	if got := lines(s.Diff(same)); got != "" {
		t.Errorf("as it is: %s", got)
	}
}
