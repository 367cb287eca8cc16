package preflight

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/provision/spec"
)

// hasCeph is true for a node with a daemon of Ceph.
func (r *run) hasCeph(n spec.Node) bool {
	c := r.spec.Ceph
	return len(n.OSDs) > 0 || slices.Contains(c.Monitors, n.Name) || slices.Contains(c.Managers, n.Name) || slices.Contains(c.MDS, n.Name)
}

// release of Ceph: the day its support ends, and the major releases of Proxmox VE that have packages.
// Those that no supported Proxmox VE has need no day.
type release struct {
	name string
	end  time.Time
	pve  []int
}

// releases by age, the days as Proxmox announces them.
func releases() []release {
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	return []release{
		{name: "octopus"},
		{name: "pacific"},
		{"quincy", day(2024, 6, 1), []int{8}},
		{"reef", day(2025, 8, 1), []int{8}},
		{"squid", day(2026, 9, 19), []int{8, 9}},
		{"tentacle", day(2027, 11, 18), []int{9}},
	}
}

func cephVersion(r *run) {
	c, major := r.spec.Ceph, r.spec.PVE.Major
	if !c.Declared() {
		return
	}
	const at = "spec.ceph.release"
	newest, known := release{}, release{}
	for _, rel := range releases() {
		if slices.Contains(rel.pve, major) {
			newest = rel
		}
		if rel.name == c.Release {
			known = rel
		}
	}
	use := "write release: " + newest.name
	ended := !known.end.IsZero() && r.Now.After(known.end)
	switch {
	case known.name == "":
		r.say(Error, at, use, "no Ceph release is called %q", c.Release)
	case !slices.Contains(known.pve, major) && ended:
		r.say(Error, at, use, "Ceph %s is out of support since %s, and Proxmox VE %d has no packages of it", known.name, known.end.Format(time.DateOnly), major)
	case !slices.Contains(known.pve, major):
		r.say(Error, at, use, "Proxmox VE %d has no packages of Ceph %s", major, known.name)
	case ended && known.name == newest.name:
		r.say(Warning, at, "plan the upgrade to the next major release of Proxmox VE", "Ceph %s is out of support since %s, and Proxmox VE %d has no newer", known.name, known.end.Format(time.DateOnly), major)
	case ended:
		r.say(Error, at, use, "Ceph %s is out of support since %s", known.name, known.end.Format(time.DateOnly))
	}
}

func monsOdd(r *run) {
	if !r.spec.Ceph.Declared() {
		return
	}
	const at, fix = "spec.ceph.monitors", "name 3 nodes, or 5 in a large cluster"
	switch n := len(r.spec.Ceph.Monitors); {
	case n < 3:
		r.say(Error, at, fix, "%d monitors: when one is lost there is no majority and Ceph stops", n)
	case n%2 == 0:
		r.say(Error, at, fix, "%d monitors survive no more losses than %d, and one more can fail", n, n-1)
	case n > 5:
		r.say(Warning, at, fix, "%d monitors make each decision slower and nothing safer", n)
	}
}

func mgrStandby(r *run) {
	if r.spec.Ceph.Declared() && len(r.spec.Ceph.Managers) < 2 {
		r.say(Warning, "spec.ceph.managers", "name at least two nodes", "there is no second manager to take over metrics, balancer and autoscaler")
	}
}

// hosts is the number of nodes with OSDs: those a copy can be put on. It is 0 if the file has none.
func (r *run) hosts() int {
	n := 0
	for _, node := range r.spec.Nodes {
		if len(node.OSDs) > 0 {
			n++
		}
	}
	return n
}

// osds is the number of OSDs the file asks for.
func osds(n spec.Node) int {
	count := 0
	for _, o := range n.OSDs {
		if o.Match != nil {
			count += o.Match.Count
			continue
		}
		count++
	}
	return count
}

// replicated calls f for every pool that keeps copies, with its place in the file.
func (r *run) replicated(f func(p spec.Pool, at string)) {
	for i, p := range r.spec.Ceph.Pools {
		if p.Erasure == nil {
			f(p, fmt.Sprintf("spec.ceph.pools[%d]", i))
		}
	}
}

func poolSize(r *run) {
	hosts := r.hosts()
	r.replicated(func(p spec.Pool, at string) {
		if p.FailureDomain == "host" && hosts > 0 && p.Size > hosts {
			r.say(Error, at+".size", fmt.Sprintf("write size: %d, or give more nodes OSDs", hosts), "pool %s keeps %d copies on different hosts, and %d have OSDs: it would never become active+clean", p.Name, p.Size, hosts)
		}
		if p.Size < 3 {
			r.say(Warning, at+".size", "write size: 3", "pool %s keeps %d copies: a second fault during recovery loses data or stops it", p.Name, p.Size)
		}
	})
}

func poolMinSize(r *run) {
	r.replicated(func(p spec.Pool, at string) {
		switch {
		case p.MinSize < 2:
			r.say(Error, at+".minSize", "write minSize: 2", "pool %s with min_size %d takes writes that a single disk holds: when that one fails, they are lost", p.Name, p.MinSize)
		case p.MinSize > p.Size:
			r.say(Error, at+".minSize", fmt.Sprintf("write minSize: %d", max(2, p.Size-1)), "pool %s needs %d copies to work and keeps %d", p.Name, p.MinSize, p.Size)
		case p.MinSize == p.Size:
			r.say(Warning, at+".minSize", fmt.Sprintf("write minSize: %d", max(2, p.Size-1)), "pool %s stops as soon as one of its %d copies is away, at every reboot", p.Name, p.Size)
		}
	})
}

func ecFits(r *run) {
	hosts := r.hosts()
	for i, p := range r.spec.Ceph.Pools {
		if p.Erasure == nil || p.FailureDomain != "host" || hosts == 0 {
			continue
		}
		at, k, m := fmt.Sprintf("spec.ceph.pools[%d].erasure", i), p.Erasure.K, p.Erasure.M
		switch {
		case k+m > hosts:
			r.say(Error, at, fmt.Sprintf("choose k+m of at most %d, or failureDomain: osd", hosts), "pool %s needs %d+%d = %d hosts, and %d have OSDs", p.Name, k, m, k+m, hosts)
		case m == 1:
			r.say(Warning, at, "use m: 2 with more hosts, or copies", "pool %s survives one fault only, and takes writes while nothing may fail any more", p.Name)
		case k+m == hosts:
			r.say(Warning, at, "add a host", "pool %s uses all %d hosts: what one of them held cannot be rebuilt until it is back", p.Name, hosts)
		}
	}
}

// Bounds of placement groups an OSD. Ceph refuses pools above mon_max_pg_per_osd.
const (
	minPGs    = 50
	maxPGs    = 250
	targetPGs = 100
)

// shards is the number of copies of all PGs the file asks for, with the pool .mgr.
func (r *run) shards() int {
	total := 3
	for _, p := range r.spec.Ceph.Pools {
		if p.Erasure == nil {
			total += p.PGNum * p.Size
			continue
		}
		// Proxmox VE adds a replicated pool for metadata, of 32 PGs.
		total += p.PGNum*(p.Erasure.K+p.Erasure.M) + 32*p.Size
	}
	for _, f := range r.spec.Ceph.Filesystems {
		total += 3 * (f.PGNum + f.PGNum/4)
	}
	return total
}

func pgTarget(r *run) {
	count := 0
	for _, n := range r.spec.Nodes {
		count += osds(n)
	}
	pools := r.spec.Ceph.Pools
	if count == 0 || len(pools) == 0 {
		return
	}
	// (OSDs * 100) / copies, shared by the pools, as a power of two.
	share := max(1, count*targetPGs/3/(len(pools)+len(r.spec.Ceph.Filesystems)))
	fix := fmt.Sprintf("about pgNum: %d for each of the %d pools", powerOfTwo(share), len(pools))
	const at = "spec.ceph.pools"
	switch each := r.shards() / count; {
	case each > maxPGs:
		r.say(Error, at, fix, "%d placement groups an OSD, and Ceph creates no pool above %d", each, maxPGs)
	case each > 2*targetPGs:
		r.say(Warning, at, fix, "%d placement groups an OSD; %d are right, and a lost host puts its own on the others", each, targetPGs)
	case each < minPGs:
		r.say(Warning, at, fix, "%d placement groups an OSD; with less than %d the disks fill unevenly", each, minPGs)
	}
}

// powerOfTwo is the largest power of two that is not above n.
func powerOfTwo(n int) int { return 1 << (bits.Len(uint(n)) - 1) }

func pgPowerOfTwo(r *run) {
	for i, p := range r.spec.Ceph.Pools {
		if p.PGNum > 0 && p.PGNum != powerOfTwo(p.PGNum) {
			low := powerOfTwo(p.PGNum)
			r.say(Warning, fmt.Sprintf("spec.ceph.pools[%d].pgNum", i), fmt.Sprintf("write pgNum: %d or %d", low, 2*low), "pool %s has %d placement groups, which is no power of two: some would hold twice as much as others", p.Name, p.PGNum)
		}
	}
}

func autoscaler(r *run) {
	pools := map[string][]string{} // by mode
	for _, p := range r.spec.Ceph.Pools {
		pools[p.Autoscale] = append(pools[p.Autoscale], p.Name)
	}
	if on := pools["on"]; len(on) > 0 {
		r.say(Info, "spec.ceph.pools", "write autoscale: off to keep your pgNum", "Ceph may change the pgNum of %s, and then every plan shows a difference", strings.Join(on, ", "))
	}
	if warn := pools["warn"]; len(warn) > 0 {
		r.say(Info, "spec.ceph.pools", "write autoscale: off to keep your pgNum in silence", "Ceph warns (POOL_TOO_MANY_PGS) while %s holds less than its pgNum is meant for", strings.Join(warn, ", "))
	}
}

func rbdCache(r *run) {
	client := r.spec.Ceph.Config["client"]
	if _, ok := client["rbd_cache"]; !ok {
		return
	}
	for _, g := range r.spec.Guests {
		for _, d := range g.Disks {
			if d.Cache == "writeback" {
				return
			}
		}
	}
	r.say(Info, "spec.ceph.config.client.rbd_cache", "write cache: writeback on the guests' disks", "QEMU decides about the cache by the disk's cache mode, so that rbd_cache has no effect on guests")
}
