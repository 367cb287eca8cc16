package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/provision/facts"
	"github.com/quorate/quorate/provision/spec"
)

// wanted is a disk the file names, as found on the node; Dev is empty if there is none.
type wanted struct {
	osd  spec.OSD
	name string // as in the file
	path string
	disk facts.Disk
}

// named are the disks that a node's OSDs name. Those given by match are chosen among the empty ones.
func named(n node, disks []facts.Disk) []wanted {
	var out []wanted
	for i, o := range n.OSDs {
		if o.Match != nil {
			continue
		}
		w := wanted{osd: o, name: o.Dev, path: fmt.Sprintf("%s.osds[%d]", n.path, i)}
		if o.ByID != "" {
			w.name = o.ByID
		}
		for _, d := range disks {
			if d.Parent == "" && (d.Dev == o.Dev || d.ByID == o.Dev && o.Dev != "" || isByID(d, o.ByID)) {
				w.disk = d
			}
		}
		out = append(out, w)
	}
	return out
}

// isByID compares with a name below /dev/disk/by-id, by the parts of it the API tells.
func isByID(d facts.Disk, id string) bool {
	if id == "" {
		return false
	}
	id = strings.TrimPrefix(id, "/dev/disk/by-id/")
	switch {
	case d.ByID != "":
		return strings.TrimPrefix(d.ByID, "/dev/disk/by-id/") == id
	case d.Serial != "" && d.Serial != "unknown":
		return strings.HasSuffix(id, d.Serial)
	}
	return false
}

// fits is true for an empty disk that a match takes.
func fits(m spec.Match, d facts.Disk) bool {
	return d.Parent == "" && d.Used == "" && !d.Mounted && len(d.OSDs) == 0 &&
		(m.Type == "" || m.Type == d.Type) &&
		strings.Contains(strings.ToLower(d.Model), strings.ToLower(m.Model)) &&
		d.Size >= int64(m.MinSize) && (m.MaxSize == 0 || d.Size <= int64(m.MaxSize))
}

// disksOf are the disks of a node with OSDs in the file.
func (r *run) disksOf(f func(n node, disks []facts.Disk)) {
	for _, n := range r.nodes() {
		if len(n.OSDs) == 0 {
			continue
		}
		if disks, ok := known(r, n.Name, "its disks", n.facts.Disks); ok {
			f(n, disks)
		}
	}
}

func disksExist(r *run) {
	r.disksOf(func(n node, disks []facts.Disk) {
		for _, w := range named(n, disks) {
			if w.disk.Dev == "" {
				r.say(Error, w.path, "it has "+whole(disks), "%s has no disk %s", n.Name, w.name)
			}
		}
		for i, o := range n.OSDs {
			if o.Match == nil {
				continue
			}
			have := 0
			for _, d := range disks {
				if fits(*o.Match, d) || len(d.OSDs) > 0 && d.Parent == "" {
					have++
				}
			}
			if have < o.Match.Count {
				r.say(Error, fmt.Sprintf("%s.osds[%d].match", n.path, i), "it has "+whole(disks), "%d empty disks of %s fit, and %d are wanted", have, n.Name, o.Match.Count)
			}
		}
	})
}

// whole lists disks, without partitions, and what uses them.
func whole(disks []facts.Disk) string {
	var words []string
	for _, d := range disks {
		if d.Parent != "" {
			continue
		}
		use := "empty"
		if len(d.OSDs) > 0 {
			use = fmt.Sprintf("osd.%d", d.OSDs[0])
		} else if d.Used != "" {
			use = d.Used
		}
		words = append(words, fmt.Sprintf("%s (%s, %s)", d.Dev, gigabytes(d.Size), use))
	}
	if len(words) == 0 {
		return "no disks"
	}
	return strings.Join(words, ", ")
}

func gigabytes(size int64) string { return fmt.Sprintf("%d GB", size/1e9) }

// system is true for a disk the machine runs from.
func system(d facts.Disk, disks []facts.Disk) bool {
	if len(d.OSDs) > 0 {
		return false
	}
	boots := func(x facts.Disk) bool {
		return x.Mounted || x.Used == "BIOS boot" || x.Used == "EFI" || x.Used == "mounted"
	}
	return boots(d) || slices.ContainsFunc(disks, func(p facts.Disk) bool { return p.Parent == d.Dev && boots(p) })
}

func osDisk(r *run) {
	r.disksOf(func(n node, disks []facts.Disk) {
		for _, w := range named(n, disks) {
			if w.disk.Dev != "" && system(w.disk, disks) {
				r.say(Error, w.path, "name another disk; it has "+whole(disks), "%s of %s holds the operating system (%s): it must not become an OSD", w.name, n.Name, use(w.disk))
			}
		}
	})
}

func use(d facts.Disk) string {
	if d.Used == "" {
		return "partitions in use"
	}
	return d.Used
}

func disksEmpty(r *run) {
	r.disksOf(func(n node, disks []facts.Disk) {
		for _, w := range named(n, disks) {
			d := w.disk
			if d.Dev == "" || d.Used == "" || len(d.OSDs) > 0 || system(d, disks) || n.running("cephcreateosd") {
				continue
			}
			if w.osd.Wipe {
				r.say(Warning, w.path, "--allow-wipe is needed as well", "%s of %s is used by %s, and all of it will be destroyed", w.name, n.Name, d.Used)
				continue
			}
			r.say(Error, w.path, "name another disk, or write wipe: true if nothing on it is needed", "%s of %s is not empty (%s)", w.name, n.Name, d.Used)
		}
	})
}

// chosen are the disks that are or would become OSDs of the file.
func chosen(n node, disks []facts.Disk) []facts.Disk {
	var out []facts.Disk
	for _, w := range named(n, disks) {
		if w.disk.Dev != "" {
			out = append(out, w.disk)
		}
	}
	for _, o := range n.OSDs {
		if o.Match == nil {
			continue
		}
		left := o.Match.Count
		for _, d := range disks {
			taken := slices.ContainsFunc(out, func(x facts.Disk) bool { return x.Dev == d.Dev })
			if left > 0 && !taken && fits(*o.Match, d) {
				out, left = append(out, d), left-1
			}
		}
	}
	return out
}

func disksEqual(r *run) {
	var first, shape string
	r.disksOf(func(n node, disks []facts.Disk) {
		var sizes []string
		for _, d := range chosen(n, disks) {
			// Disks of one size differ by some sectors from maker to maker.
			sizes = append(sizes, fmt.Sprintf("%d GB %s", (d.Size+5e9)/1e10*10, d.Type))
		}
		slices.Sort(sizes)
		mine := strings.Join(sizes, ", ")
		switch {
		case first == "":
			first, shape = n.Name, mine
		case mine != shape:
			r.sayOn(n.Name, Warning, "give all nodes the same disks", "has %s for OSDs, %s has %s: the larger ones fill sooner and are slower", orNone(mine), first, orNone(shape))
		}
	})
}

func orNone(s string) string {
	if s == "" {
		return "no disks"
	}
	return s
}

// raid are words in the model of a disk that a RAID controller or hypervisor makes up.
var raid = []string{"perc", "megaraid", "logical volume", "lsi mr", "raid"}

func diskHealth(r *run) {
	r.disksOf(func(n node, disks []facts.Disk) {
		for _, d := range chosen(n, disks) {
			model := strings.ToLower(d.Model)
			switch {
			case d.Health != "" && !slices.Contains([]string{"PASSED", "OK", "UNKNOWN"}, d.Health):
				r.sayOn(n.Name, Warning, "replace it", "disk %s (%s) says of its health: %s", d.Dev, d.Model, d.Health)
			case d.Wearout >= 0 && d.Wearout < 20:
				r.sayOn(n.Name, Warning, "replace it", "disk %s (%s) has %d %% of its life left", d.Dev, d.Model, d.Wearout)
			}
			if slices.ContainsFunc(raid, func(word string) bool { return strings.Contains(model, word) }) {
				r.sayOn(n.Name, Warning, "switch the controller to HBA or IT mode", "disk %s (%s) is behind a RAID controller, which hides faults from Ceph and lies about flushes", d.Dev, d.Model)
			}
		}
	})
}
