package spec

import (
	"fmt"
	"strconv"
	"strings"
)

func (v *validator) ha() {
	unique(v, "spec.ha.groups", v.c.Spec.HA.Groups, "name", func(g HAGroup) string { return g.Name })
	for i, g := range v.c.Spec.HA.Groups {
		at := fmt.Sprintf("spec.ha.groups[%d]", i)
		v.name(configID, at+".name", g.Name)
		v.require(len(g.Nodes) > 0, at+".nodes", "such as {pve1: 2, pve2: 1}", "names no node")
		for _, name := range sortedKeys(g.Nodes) {
			v.isNode(at+".nodes."+name, name)
		}
	}
}

func (v *validator) guests() {
	guests := v.c.Spec.Guests
	unique(v, "spec.guests", guests, "vmid", func(g Guest) string { return strconv.Itoa(g.VMID) })
	for i, g := range guests {
		at := fmt.Sprintf("spec.guests[%d]", i)
		for _, label := range strings.Split(g.Name, ".") {
			v.name(hostName, at+".name", label)
		}
		v.isNode(at+".node", g.Node)
		v.require(g.Memory >= 16, at+".memory", "", "%d MiB is less than the 16 MiB Proxmox demands", g.Memory)
		unique(v, at+".disks", g.Disks, "bus", func(d Disk) string { return d.Bus })
		for j, d := range g.Disks {
			at := fmt.Sprintf("%s.disks[%d]", at, j)
			v.require(diskBus.MatchString(d.Bus), at+".bus", "such as scsi0", "%q is no bus of a disk", d.Bus)
			v.require(d.Size > 0 && d.Size%mebi == 0, at+".size", "write a whole number with G or M", "%s is no whole number of MiB", d.Size)
			v.holds(at+".storage", d.Storage, "images")
			// QEMU has I/O threads for these two only.
			v.require(!d.IOThread || strings.HasPrefix(d.Bus, "scsi") || strings.HasPrefix(d.Bus, "virtio"), at+".iothread", "use scsi or virtio", "%s has none", d.Bus)
		}
		for j, n := range g.Net {
			at := fmt.Sprintf("%s.net[%d]", at, j)
			v.require(ifaceName.MatchString(n.Bridge), at+".bridge", "such as vmbr0", "%q is no name of a bridge", n.Bridge)
			v.require(n.MAC == "" || macAddr.MatchString(n.MAC), at+".mac", "such as BC:24:11:00:00:01", "%q is no MAC address for one machine", n.MAC)
		}
		if g.HA != nil && g.HA.Group != "" {
			_, ok := v.c.Group(g.HA.Group)
			v.require(ok, at+".ha.group", "add it to spec.ha.groups", "no group is called %q", g.HA.Group)
		}
		v.require(g.Template.Import == "" || len(g.Disks) > 0, at+".template.import", "add disks:", "there is no disk to import to")
	}
}

func (v *validator) backup() {
	jobs := v.c.Spec.Backup.Jobs
	unique(v, "spec.backup.jobs", jobs, "id", func(j BackupJob) string { return j.ID })
	for i, j := range jobs {
		at := fmt.Sprintf("spec.backup.jobs[%d]", i)
		v.name(jobID, at+".id", j.ID)
		v.holdsBackups(at+".storage", j.Storage)
		v.require(j.All != (len(j.VMIDs) > 0), at, "write all: true or vmids: [100, 101]", "backs up either all guests or those it names")
		v.require(j.All || len(j.Exclude) == 0, at+".exclude", "remove it, or write all: true", "only all has exceptions")
	}
}

// holdsBackups leaves RBD to preflight, which says what to do instead.
func (v *validator) holdsBackups(path, id string) {
	for _, s := range v.c.Spec.Storage {
		if s.ID == id && s.Type == StorageRBD {
			return
		}
	}
	v.holds(path, id, "backup")
}

func (v *validator) monitoring() {
	m := v.c.Spec.Monitoring
	if !m.Declared() {
		v.require(m == Monitoring{}, "spec.monitoring", "add user: monitoring@pve", "names no user")
		return
	}
	const at = "spec.monitoring"
	v.require(userID.MatchString(m.User), at+".user", "such as monitoring@pve", "%q is no user with a realm", m.User)
	v.name(configID, at+".token.id", m.Token.ID)
	v.require(m.Token.SecretOut != "", at+".token", "add secretOut: with a file on this machine", "the token's secret is shown once and must be kept somewhere")
	v.require(m.Cephx.Name == "" || strings.HasPrefix(m.Cephx.Name, "client."), at+".cephx.name", "such as client.quorate", "%q is no Ceph client", m.Cephx.Name)
	v.require(m.Exporter.Package == "" || m.Exporter.Install, at+".exporter.package", "add install: true", "nothing is installed")
}
