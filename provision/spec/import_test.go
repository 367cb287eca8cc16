package spec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/provision/facts"
)

// living is the cluster of the example, as it is when it runs.
func living() facts.Cluster {
	f := facts.Cluster{
		Totem:   facts.Is(facts.Totem{ClusterName: "homelab-cluster", TokenCoefficient: 125, Priorities: map[int]int{0: 10, 1: 5}}),
		Options: facts.Is(facts.Options{MigrationNetwork: "10.0.100.0/24", ShutdownPolicy: "migrate"}),
		QDevice: facts.Is(map[string]string{}),
		Ceph: facts.Ceph{
			Ready: facts.Is(true), Global: facts.Is(map[string]string{"public_network": "10.0.100.0/24", "cluster_network": "10.0.100.0/24"}),
			Config: facts.Is([]facts.Setting{{Section: "client", Name: "rbd_cache", Value: "true"}, {Section: "osd", Mask: "class:ssd", Name: "osd_max_backfills", Value: "2"}}),
			Pools: facts.Is([]facts.Pool{
				{Name: ".mgr", Size: 3, MinSize: 2, PGNum: 1},
				{Name: "vm-storage", Size: 3, MinSize: 2, PGNum: 64, PGNumFinal: 128, Autoscale: "warn", Applications: []string{"rbd"}},
				{Name: "ec-data", Erasure: true, Size: 3, MinSize: 2, PGNum: 32, Autoscale: "warn"}, {Name: "ec-metadata", Size: 3, MinSize: 2, PGNum: 32},
				{Name: "fs_data", Size: 3, PGNum: 64}, {Name: "fs_metadata", Size: 3, PGNum: 16},
			}),
			Filesystems: facts.Is([]facts.Filesystem{{Name: "fs", DataPool: "fs_data", MetadataPool: "fs_metadata"}}),
		},
		Storages: facts.Is([]facts.Storage{
			{ID: "local", Type: "dir"}, {ID: "tank", Type: "zfspool"},
			{ID: "vm-storage", Type: "rbd", Content: []string{"images", "rootdir"}, Fields: map[string]string{"pool": "vm-storage", "krbd": "0"}},
			{ID: "ec", Type: "rbd", Content: []string{"images"}, Fields: map[string]string{"pool": "ec-metadata", "data-pool": "ec-data"}},
			{ID: "pbs", Type: "pbs", Content: []string{"backup"}, Fields: map[string]string{"server": "10.0.10.50", "datastore": "main", "username": "backup@pbs"}, Prune: map[string]int{"daily": 7}},
		}),
		HARules:     facts.Is([]facts.HARule{{Name: "prefer-pve1", Type: "node-affinity", Resources: []string{"vm:100"}, Nodes: map[string]int{"pve1": 2, "pve2": 1}}, {Name: "apart", Type: "resource-affinity"}}),
		HAResources: facts.Is([]facts.HAResource{{SID: "vm:100", State: "started", MaxRestart: 3, MaxRelocate: 0, Failback: true}}),
		Guests: facts.Is([]facts.Guest{
			{VMID: 200, Type: "lxc", Name: "proxy", Node: "pve1"}, {VMID: 100, Type: "qemu", Name: "dns", Node: "pve2"}, {VMID: 102, Type: "qemu", Name: "zfs", Node: "pve2"},
		}),
		Configs: map[int]facts.Known[facts.GuestConfig]{
			100: facts.Is(facts.GuestConfig{
				"name": "dns", "cores": "2", "cpu": "x86-64-v2-AES", "memory": "2048", "scsi0": "vm-storage:vm-100-disk-0,cache=writeback,discard=on,size=8G",
				"ide2": "local:iso/debian.iso,media=cdrom,size=600M", "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=5", "agent": "1", "boot": "order=scsi0",
			}),
			102: facts.Is(facts.GuestConfig{"name": "zfs", "scsi0": "tank:vm-102-disk-0,size=8G"}),
		},
		BackupJobs: facts.Is([]facts.BackupJob{{ID: "864a61ca-4721-43b2-a1c2-f8719acebc9a", Schedule: "sun 03:00", Storage: "pbs", VMIDs: []int{100}, Enabled: false, Compress: "0"}}),
		Users:      facts.Is([]facts.User{{ID: "monitoring@pve", Tokens: []facts.Token{{ID: "quorate"}}}}),
	}
	var m facts.Membership
	var members []facts.Member
	var daemons []facts.Daemon
	for i := 1; i <= 3; i++ {
		name, mgmt, storage := fmt.Sprint("pve", i), fmt.Sprint("10.0.10.1", i), fmt.Sprint("10.0.100.1", i)
		m.Nodes = append(m.Nodes, facts.MemberState{Name: name, ID: i, IP: mgmt, Online: true})
		members = append(members, facts.Member{Name: name, ID: i, Votes: 1, Links: map[int]string{0: mgmt, 1: storage}})
		daemons = append(daemons, facts.Daemon{Name: name, Host: name, Version: "20.2.1"})
		f.Nodes = append(f.Nodes, facts.Node{
			Name: name, Version: facts.Is(facts.Version{Major: 9, Minor: 2, Full: "9.2.11"}),
			Repositories: facts.Is([]facts.Repository{{Enabled: true, Components: []string{"pve-no-subscription"}}}),
			Interfaces: facts.Is([]facts.Interface{
				{Name: "eno1", Type: "eth"}, {Name: "vmbr0", Type: "bridge", CIDR: mgmt + "/24", Gateway: "10.0.10.1", Ports: []string{"eno1"}},
				{Name: "eno2", Type: "eth", CIDR: storage + "/24", MTU: 9000},
			}),
			Disks: facts.Is([]facts.Disk{{Dev: "/dev/sda"}, {Dev: "/dev/sdb", ByID: "/dev/disk/by-id/ata-X", OSDs: []int{i}}, {Dev: "/dev/sdc", OSDs: []int{i + 3}}}),
			Host:  facts.Host{Watchdog: facts.Is("softdog")},
		})
	}
	m.Name, m.Quorate = "homelab-cluster", true
	f.Membership, f.Members, f.Ceph.Mons, f.Ceph.Mgrs, f.Ceph.MDSs = facts.Is(m), facts.Is(members), facts.Is(daemons), facts.Is(daemons), facts.Is(daemons[:1])
	return f
}

func TestImportedClusterReadsBack(t *testing.T) {
	c := FromFacts(living())
	out, err := Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse("f", out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	Fits(t, out)
	flat := strings.Join(strings.Fields(string(out)), " ")
	for _, want := range []string{
		"storage: cidr: 10.0.100.0/24 mtu: 9000 corosyncLink: 1 priority: 5 ceph: public+cluster migration: true",
		"mgmt: cidr: 10.0.10.0/24 gateway: 10.0.10.1 bridge: vmbr0 mtu: 1500 corosyncLink: 0 priority: 10 ceph: none",
		"nics: mgmt: {address: 10.0.10.12, port: eno1} storage: {address: 10.0.100.12, port: eno2}",
		"osds: [{byId: ata-X}, {dev: /dev/sdc}]", "release: tentacle", "'osd/class:ssd': {osd_max_backfills: 2}",
		"- name: vm-storage size: 3 minSize: 2 pgNum: 128 autoscale: warn application: rbd failureDomain: host",
		"erasure: {k: 2, m: 1}", "- {id: ec, type: rbd, content: [images], pool: ec}", "password: {env: PBS_PASSWORD}",
		"groups: - {name: prefer-pve1, nodes: {pve1: 2, pve2: 1}}", "ha: {state: started, group: prefer-pve1, maxRestart: 3, maxRelocate: 0}",
		"{bus: scsi0, storage: vm-storage, size: 8G, cache: writeback, discard: true}", "{bridge: vmbr0, model: virtio, vlan: 5, mac: 'BC:24:11:00:00:01'}",
		"enabled: false", "watchdog: softdog", "tokenCoefficient: 125",
		"# storage tank of type zfspool", "# container 200 (proxy)", "# guest 102 (zfs): no storage is called \"tank\"", "# HA rule apart of type resource-affinity",
		"# token quorate of monitoring@pve: its secret cannot be read",
	} {
		if !strings.Contains(flat, want) {
			t.Errorf("no %q", want)
		}
	}
	if t.Failed() {
		t.Logf("\n%s", out)
	}
	if d := cmp.Diff(again.Spec.Ceph.Filesystems, []Filesystem{{Name: "fs", PGNum: 64}}); d != "" {
		t.Error(d)
	}
}

func TestImportOfPVE8KeepsGroups(t *testing.T) {
	f := living()
	f.HARules = facts.Is([]facts.HARule{})
	f.HAGroups = facts.Is([]facts.HAGroup{{Name: "prefer-pve1", Nodes: map[string]int{"pve1": 2}, Restricted: true, NoFailback: true}})
	f.HAResources = facts.Is([]facts.HAResource{{SID: "vm:100", State: "enabled", Group: "prefer-pve1", MaxRestart: 1, MaxRelocate: 1}})
	c := FromFacts(f)
	if d := cmp.Diff(c.Spec.HA.Groups, []HAGroup{{Name: "prefer-pve1", Nodes: map[string]int{"pve1": 2}, Restricted: true, NoFailback: true}}); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(c.Spec.Guests[0].HA, &GuestHA{State: "started", Group: "prefer-pve1", MaxRestart: 1, MaxRelocate: 1}); d != "" {
		t.Error(d)
	}
}

func TestImportOfNothingDoesNotPanic(t *testing.T) {
	if _, err := Marshal(FromFacts(facts.Cluster{})); err != nil {
		t.Error(err)
	}
}

// recorded answers with the replies of a real cluster.
type recorded string

func (dir recorded) Get(_ context.Context, path string, into any) error {
	path, _, _ = strings.Cut(path, "?")
	body, err := os.ReadFile(filepath.Join(string(dir), strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", "_")+".json"))
	if err != nil {
		return errors.New("not recorded")
	}
	var reply struct {
		Data    json.RawMessage
		Message string
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return err
	}
	if reply.Message != "" {
		return errors.New(reply.Message)
	}
	return json.Unmarshal(reply.Data, into)
}

func TestRecordedClusterIsImported(t *testing.T) {
	dir := "../../../shared/data/proxmox/recorded/healthy"
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no recordings: %v", err)
	}
	var targets []facts.Target
	for i := 1; i <= 3; i++ {
		targets = append(targets, facts.Target{Name: fmt.Sprint("pve", i), API: recorded(dir)})
	}
	out, err := Marshal(FromFacts(facts.Gather(t.Context(), targets, facts.Want{Configs: true})))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("f", out)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	Fits(t, out)
	if c.Metadata.Name != "lab1" || len(c.Spec.Nodes) != 3 || c.Spec.Nodes[1].NICs["mgmt"].Address.String() != "10.77.0.2" || c.Spec.Ceph.Declared() {
		t.Errorf("\n%s", out)
	}
}
