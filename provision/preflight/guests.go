package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/provision/spec"
)

func (r *run) storage(id string) (spec.Storage, bool) {
	i := slices.IndexFunc(r.spec.Storage, func(s spec.Storage) bool { return s.ID == id })
	if i < 0 {
		return spec.Storage{}, false
	}
	return r.spec.Storage[i], true
}

func rbdNoBackup(r *run) {
	const fix = "use a storage of type pbs, cephfs or nfs for backups"
	for i, s := range r.spec.Storage {
		if j := slices.Index(s.Content, "backup"); s.Type == spec.StorageRBD && j >= 0 {
			r.say(Error, fmt.Sprintf("spec.storage[%d].content[%d]", i, j), fix, "storage %s is RBD, which holds images and rootdir and no backups", s.ID)
		}
	}
	for i, j := range r.spec.Backup.Jobs {
		if s, ok := r.storage(j.Storage); ok && s.Type == spec.StorageRBD {
			r.say(Error, fmt.Sprintf("spec.backup.jobs[%d].storage", i), fix, "job %s writes to %s, which is RBD and holds no backups", j.ID, s.ID)
		}
	}
}

func backupSchedule(r *run) {
	for i, j := range r.spec.Backup.Jobs {
		at := fmt.Sprintf("spec.backup.jobs[%d].schedule", i)
		if isCron(j.Schedule) {
			fix := "such as \"02:00\" or \"sun 03:00\""
			if event := fromCron(j.Schedule); event != "" {
				fix = fmt.Sprintf("write %q", event)
			}
			r.say(Error, at, fix, "%q is a cron line, and Proxmox VE wants a calendar event", j.Schedule)
			continue
		}
		if err := checkCalendar(j.Schedule); err != nil {
			r.say(Error, at, "such as \"02:00\", \"sun 03:00\" or \"mon..fri 22:30\"", "%q is no calendar event: %v", j.Schedule, err)
		}
	}
}

// managed are the guests under HA with their place in the file.
func (r *run) managed(f func(g spec.Guest, at string)) {
	for i, g := range r.spec.Guests {
		if g.HA != nil && g.HA.State != "ignored" {
			f(g, fmt.Sprintf("spec.guests[%d]", i))
		}
	}
}

func (r *run) hasHA() bool {
	found := false
	r.managed(func(spec.Guest, string) { found = true })
	return found
}

func haSharedStorage(r *run) {
	r.managed(func(g spec.Guest, at string) {
		for i, d := range g.Disks {
			s, ok := r.storage(d.Storage)
			local := !ok || s.Type == spec.StorageDir && !s.Shared
			if local {
				r.say(Error, fmt.Sprintf("%s.disks[%d].storage", at, i), "use an rbd storage", "%s is under HA, but its disk is on %s, which dies with its node", g.Name, d.Storage)
			} else if len(s.Nodes) > 0 {
				r.say(Warning, fmt.Sprintf("%s.disks[%d].storage", at, i), "remove nodes: from the storage", "%s can only run where storage %s is: %s", g.Name, s.ID, strings.Join(s.Nodes, ", "))
			}
		}
	})
}

func haGroupOn9(r *run) {
	if r.spec.PVE.Major < 9 {
		return
	}
	for i, g := range r.spec.HA.Groups {
		r.say(Info, fmt.Sprintf("spec.ha.groups[%d]", i), "nothing to do", "Proxmox VE 9 has no HA groups: %s becomes the node-affinity rule of that name, and nofailback a property of its guests", g.Name)
	}
	if r.Facts == nil {
		return
	}
	if groups := r.Facts.HAGroups.Or(nil); len(groups) > 0 {
		r.say(Warning, "", "upgrade all nodes to 9 and wait until the HA manager has migrated them", "there are %d HA groups of Proxmox VE 8 that have not become rules yet", len(groups))
	}
}

func shutdownPolicy(r *run) {
	if p := r.spec.HA.ShutdownPolicy; r.hasHA() && p != "migrate" {
		if p == "" {
			p = "conditional, unless it was changed"
		}
		r.say(Info, "spec.ha", "write shutdownPolicy: migrate", "the shutdown policy is %s: when a node shuts down its guests are stopped and started elsewhere, not moved live", p)
	}
}

func watchdogPresent(r *run) {
	if !r.hasHA() {
		return
	}
	const fix = "write watchdog: ipmi_watchdog or iTCO_wdt if the machines have one"
	if w := r.spec.HA.Watchdog; w == "softdog" {
		r.say(Warning, "spec.ha.watchdog", fix, "softdog is a timer of the kernel: a node whose kernel hangs is not reset by it")
	}
	if r.Facts == nil || r.spec.HA.Watchdog != "" {
		return
	}
	for _, n := range r.nodes() {
		if w, ok := n.facts.Host.Watchdog.Get(); ok && w == "softdog" {
			r.sayOn(n.Name, Warning, fix, "fences with softdog, a timer of the kernel that does not reset a hanging one")
		}
	}
}

func diskNames(r *run) {
	var nodes []string
	for _, n := range r.spec.Nodes {
		if slices.ContainsFunc(n.OSDs, func(o spec.OSD) bool { return kernelName(o.Dev) }) {
			nodes = append(nodes, n.Name)
		}
	}
	if len(nodes) > 0 {
		r.say(Info, "spec.nodes", "use byId: or match:", "names such as /dev/sdb may stand for another disk after a reboot (%s)", strings.Join(nodes, ", "))
	}
}

// kernelName is true for /dev/sdb, not for /dev/disk/by-id/….
func kernelName(dev string) bool { return dev != "" && strings.Count(dev, "/") == 2 }
