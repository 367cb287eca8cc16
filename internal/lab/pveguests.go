package lab

import (
	"fmt"
	"strings"

	"github.com/quorate/quorate/internal/pvefake"
)

// demoGuest is a guest and what HA does about it.
type demoGuest struct {
	vmid, node int // the node wraps around in a smaller lab
	name       string
	container  bool
	cores      int
	memoryGiB  int64
	diskGiB    int64
	cpu        float64 // share of its cores that it uses
	tags       string
	onboot     bool
	stopped    bool
	template   bool
	ha         string // requested state; empty: not under HA
	restart    int    // max_restart
	relocate   int    // max_relocate
	backup     bool   // in the nightly job
}

var demoGuests = []demoGuest{
	{vmid: 100, node: 1, name: "gateway", cores: 2, memoryGiB: 2, diskGiB: 16, cpu: .05, tags: "infra;net", onboot: true, ha: "started", restart: 2, relocate: 2, backup: true},
	{vmid: 101, node: 1, name: "web1", cores: 4, memoryGiB: 8, diskGiB: 40, cpu: .35, tags: "prod;web", onboot: true, ha: "started", restart: 1, relocate: 1, backup: true},
	{vmid: 102, node: 2, name: "web2", cores: 4, memoryGiB: 8, diskGiB: 40, cpu: .30, tags: "prod;web", onboot: true, ha: "started", restart: 1, relocate: 1, backup: true},
	{vmid: 103, node: 3, name: "db1", cores: 8, memoryGiB: 32, diskGiB: 200, cpu: .45, tags: "db;prod", onboot: true, ha: "started", restart: 3, relocate: 1, backup: true},
	{vmid: 104, node: 2, name: "db2", cores: 8, memoryGiB: 32, diskGiB: 200, cpu: .20, tags: "db;prod", onboot: true, backup: true},
	{vmid: 105, node: 3, name: "ci-runner", cores: 8, memoryGiB: 16, diskGiB: 80, cpu: .75, tags: "ci"},
	{vmid: 106, node: 1, name: "old-mail", cores: 2, memoryGiB: 4, diskGiB: 60, tags: "legacy", stopped: true, ha: "stopped", restart: 1, relocate: 1},
	{vmid: 200, node: 1, name: "dns1", container: true, cores: 1, memoryGiB: 1, diskGiB: 4, cpu: .02, tags: "infra;net", onboot: true, ha: "started", restart: 1, relocate: 1, backup: true},
	{vmid: 201, node: 3, name: "dns2", container: true, cores: 1, memoryGiB: 1, diskGiB: 4, cpu: .02, tags: "infra;net", onboot: true, backup: true},
	{vmid: 202, node: 2, name: "proxy", container: true, cores: 2, memoryGiB: 2, diskGiB: 8, cpu: .10, tags: "prod;web", onboot: true, ha: "started", restart: 1, relocate: 2, backup: true},
	{vmid: 900, node: 1, name: "debian-12", cores: 2, memoryGiB: 2, diskGiB: 8, tags: "template", template: true},
}

// wanderer is the guest that is migrated now and then.
const wanderer = 101

const (
	gib        = int64(1) << 30
	backupName = "backup"
)

// populate makes storages, guests, HA resources and a backup job.
func populate(c *pvefake.Cluster, o Options) error {
	disks, typ := "shared", "dir"
	if o.Ceph {
		disks, typ = "rbd", "rbd"
	}
	for _, err := range []error{
		c.AddStorage(disks, typ, 2048*gib, 730*gib),
		c.AddStorage(backupName, "dir", 4096*gib, 1900*gib),
	} {
		if err != nil {
			return err
		}
	}
	var saved []int
	for _, g := range demoGuests {
		if err := g.add(c, o.Nodes, disks); err != nil {
			return fmt.Errorf("guest %d: %w", g.vmid, err)
		}
		if g.backup {
			saved = append(saved, g.vmid)
		}
	}
	c.AddBackupJob("backup-nightly", "02:30", backupName, true, saved...)
	return nil
}

func (g demoGuest) add(c *pvefake.Cluster, nodes int, storage string) error {
	guest := pvefake.Guest{
		VMID: g.vmid, Node: 1 + (g.node-1)%nodes, Name: g.name, Container: g.container, Cores: g.cores,
		MemoryBytes: g.memoryGiB * gib, DiskBytes: g.diskGiB * gib, Storage: storage, Tags: g.tags, CPU: g.cpu,
		Stopped: g.stopped, Template: g.template,
	}
	if g.onboot {
		guest.OnBoot = &g.onboot
	}
	if err := c.AddVM(guest); err != nil || g.ha == "" {
		return err
	}
	return c.AddHAResource(pvefake.HAResource{SID: g.sid(), State: g.ha, MaxRestart: &g.restart, MaxRelocate: &g.relocate})
}

func (g demoGuest) sid() string {
	if g.container {
		return fmt.Sprintf("ct:%d", g.vmid)
	}
	return fmt.Sprintf("vm:%d", g.vmid)
}

// migrateNext asks HA to move the wanderer to the next node. HA drops the wish when that node is not
// online or the guest is being recovered.
func migrateNext(c *pvefake.Cluster) error {
	name, running := c.GuestNode(wanderer)
	if !running || c.Size() < 2 {
		return nil
	}
	at := numbers([]string{strings.TrimPrefix(name, "pve")})
	if len(at) == 0 {
		return fmt.Errorf("guest %d is on %q, which is no node of a lab", wanderer, name)
	}
	return c.MigrateHA(fmt.Sprintf("vm:%d", wanderer), 1+at[0]%c.Size())
}
