package spec

import (
	"cmp"
	"fmt"
)

// applyDefaults fills in what the file leaves out. All defaults there are stand here.
func (c *Cluster) applyDefaults() {
	s := &c.Spec
	or(&s.PVE.Major, 9)
	or(&s.PVE.Repository, "no-subscription")
	or(&s.Access.API.User, "root@pam")
	or(&s.Access.API.TLS.Pin, "trust-on-first-use")
	or(&s.Access.SSH.User, "root")
	or(&s.Access.SSH.Port, 22)
	or(&s.Access.SSH.KnownHosts, "~/.ssh/known_hosts")
	or(&s.Corosync.QDevice, "none")
	for name, n := range s.Networks {
		or(&n.MTU, 1500)
		or(&n.Ceph, "none")
		s.Networks[name] = n
	}
	c.defaultCeph()
	c.defaultStorage()
	c.defaultGuests()
	for i := range s.Backup.Jobs {
		j := &s.Backup.Jobs[i]
		or(&j.Mode, "snapshot")
		or(&j.Compress, "zstd")
		c.orTrue(&j.Enabled, fmt.Sprintf("spec.backup.jobs[%d].enabled", i))
	}
	if m := &s.Monitoring; m.Declared() {
		or(&m.Role, "PVEAuditor")
		or(&m.Token.ID, "quorate")
		c.orTrue(&m.Token.PrivSep, "spec.monitoring.token.privsep")
		or(&m.Exporter.Port, 9921)
		if m.Cephx.Name != "" {
			or(&m.Cephx.Keyring, "/etc/quorate/ceph."+m.Cephx.Name+".keyring")
		}
	}
}

func (c *Cluster) defaultCeph() {
	ceph := &c.Spec.Ceph
	if !c.has("spec.ceph") {
		return
	}
	or(&ceph.Release, defaultRelease(c.Spec.PVE.Major))
	if len(ceph.Monitors) == 0 {
		for _, n := range c.Spec.Nodes[:min(3, len(c.Spec.Nodes))] {
			ceph.Monitors = append(ceph.Monitors, n.Name)
		}
	}
	if len(ceph.Managers) == 0 {
		ceph.Managers = append(ceph.Managers, ceph.Monitors...)
	}
	for i := range ceph.Pools {
		p := &ceph.Pools[i]
		or(&p.Size, 3)
		or(&p.MinSize, 2)
		or(&p.PGNum, 128)
		or(&p.Autoscale, "off") // warn makes a HEALTH_WARN of a pool that is still empty
		or(&p.Application, "rbd")
		or(&p.FailureDomain, "host")
	}
	for i := range ceph.Filesystems {
		or(&ceph.Filesystems[i].PGNum, 128)
	}
}

func (c *Cluster) defaultStorage() {
	for i := range c.Spec.Storage {
		s := &c.Spec.Storage[i]
		if len(s.Content) == 0 {
			switch s.Type {
			case StorageRBD:
				s.Content = []string{"images", "rootdir"}
			case StorageCephFS:
				s.Content = []string{"backup", "iso", "vztmpl"}
			case StoragePBS:
				s.Content = []string{"backup"}
			}
		}
		if fs := c.Spec.Ceph.Filesystems; s.Type == StorageCephFS && len(fs) == 1 {
			or(&s.Filesystem, fs[0].Name)
		}
	}
}

func (c *Cluster) defaultGuests() {
	for i := range c.Spec.Guests {
		g := &c.Spec.Guests[i]
		or(&g.CPU.Cores, 1)
		or(&g.CPU.Sockets, 1)
		or(&g.CPU.Type, "x86-64-v2-AES")
		or(&g.Memory, 2048)
		for j := range g.Disks {
			or(&g.Disks[j].Cache, "none")
		}
		for j := range g.Net {
			or(&g.Net[j].Model, "virtio")
		}
		if g.HA != nil {
			at := fmt.Sprintf("spec.guests[%d].ha.", i)
			or(&g.HA.State, "started")
			// 0 is a value of its own: never try again.
			if !c.has(at + "maxRestart") {
				g.HA.MaxRestart = 1
			}
			if !c.has(at + "maxRelocate") {
				g.HA.MaxRelocate = 1
			}
		}
	}
}

// defaultRelease is the Ceph release a Proxmox VE release installs by itself.
func defaultRelease(major int) string {
	if major == 8 {
		return "squid"
	}
	return "tentacle"
}

// or sets a field that has no value.
func or[T comparable](field *T, value T) { *field = cmp.Or(*field, value) }

// orTrue sets a switch that the file does not mention.
func (c *Cluster) orTrue(field *bool, path string) {
	if !c.has(path) {
		*field = true
	}
}
