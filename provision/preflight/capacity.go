package preflight

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/provision/facts"
	"github.com/quorate/quorate/provision/spec"
)

const gib = 1 << 30

// daemons is the number of Ceph's daemons on a node, as the file wants them.
func (r *run) daemons(n spec.Node) (osd, other int) {
	for _, list := range [][]string{r.spec.Ceph.Monitors, r.spec.Ceph.Managers, r.spec.Ceph.MDS} {
		if slices.Contains(list, n.Name) {
			other++
		}
	}
	return osds(n), other
}

// memory is what the guests of the file on a node have.
func (r *run) memory(name string) int64 {
	var sum int64
	for _, g := range r.spec.Guests {
		if g.Node == name {
			sum += int64(g.Memory) << 20
		}
	}
	return sum
}

func ramForOSD(r *run) {
	if !r.spec.Ceph.Declared() {
		return
	}
	for _, n := range r.nodes() {
		osd, other := r.daemons(n.Node)
		h, ok := known(r, n.Name, "its memory", n.facts.Hardware)
		if !ok || osd+other == 0 {
			continue
		}
		// An OSD takes 4 GiB by default and 8 are recommended, a monitor or manager 2, the system 1.
		base := int64(2*other+1)*gib + r.memory(n.Name)
		least, good := base+int64(4*osd)*gib, base+int64(8*osd)*gib
		what := fmt.Sprintf("%d OSDs, %d other daemons and %d MiB of guests", osd, other, r.memory(n.Name)>>20)
		switch {
		case h.MemoryTotal < least:
			r.sayOn(n.Name, Error, "add memory, or move guests and OSDs elsewhere", "has %d GiB, and %s need %d at least", h.MemoryTotal/gib, what, least/gib)
		case h.MemoryTotal < good:
			r.sayOn(n.Name, Warning, "add memory, or lower osd_memory_target knowingly", "has %d GiB; %s are well served with %d", h.MemoryTotal/gib, what, good/gib)
		}
	}
}

func cpuForCeph(r *run) {
	if !r.spec.Ceph.Declared() {
		return
	}
	for _, n := range r.nodes() {
		osd, other := r.daemons(n.Node)
		if h, ok := known(r, n.Name, "its processor", n.facts.Hardware); ok && h.CPUs < osd+other {
			r.sayOn(n.Name, Warning, "take fewer OSDs, or more cores", "has %d threads for %d daemons of Ceph", h.CPUs, osd+other)
		}
	}
}

// haCapacity sums up memory: when the largest node is lost, the others must hold what runs under HA.
func haCapacity(r *run) {
	var wanted, left, largest int64
	r.managed(func(g spec.Guest, _ string) { wanted += int64(g.Memory) << 20 })
	nodes := r.nodes()
	if wanted == 0 || len(nodes) < 2 {
		return
	}
	for _, n := range nodes {
		h, ok := known(r, n.Name, "its memory", n.facts.Hardware)
		if !ok {
			return
		}
		osd, other := r.daemons(n.Node)
		free := max(h.MemoryTotal-int64(4*osd+2*other+1)*gib, 0)
		left, largest = left+free, max(largest, free)
	}
	if left -= largest; wanted > left {
		r.say(Warning, "spec.guests", "add memory, or take guests out of HA", "guests under HA have %d MiB, and when the largest node is lost the others have %d MiB for them", wanted>>20, left>>20)
	}
}

func cpuCompat(r *run) {
	models := map[string][]string{}
	vendors := map[string][]string{}
	for _, n := range r.nodes() {
		h, ok := known(r, n.Name, "its processor", n.facts.Hardware)
		if !ok {
			return
		}
		models[h.CPUModel] = append(models[h.CPUModel], n.Name)
		vendors[h.Vendor] = append(vendors[h.Vendor], n.Name)
	}
	if len(vendors) > 1 {
		r.say(Warning, "spec.nodes", "use nodes with processors of one maker", "there are processors of %s: live migration between them may crash guests", strings.Join(sorted(vendors), " and "))
	}
	if len(models) < 2 {
		return
	}
	for i, g := range r.spec.Guests {
		if g.CPU.Type == "host" {
			r.say(Warning, fmt.Sprintf("spec.guests[%d].cpu.type", i), "write type: x86-64-v2-AES", "%s sees the processor of its node, and the nodes have different ones: it cannot migrate live", g.Name)
		}
	}
}

func sorted(m map[string][]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func enterpriseRepo(r *run) {
	if r.spec.PVE.Repository == "enterprise" {
		return
	}
	var replaced []string
	for _, n := range r.nodes() {
		repos, ok := known(r, n.Name, "its repositories", n.facts.Repositories)
		if !ok {
			continue
		}
		on := slices.ContainsFunc(repos, func(p facts.Repository) bool {
			return p.Enabled && slices.ContainsFunc(p.URIs, func(u string) bool { return strings.Contains(u, "enterprise.proxmox.com") })
		})
		switch {
		case on && r.spec.PVE.Repository == "leave":
			r.sayOn(n.Name, Warning, "write repository: no-subscription", "uses the enterprise repository, which answers 401 without a subscription")
		case on:
			replaced = append(replaced, n.Name)
		}
	}
	if len(replaced) > 0 {
		r.say(Info, "spec.pve.repository", "nothing to do", "%s use the enterprise repository, which apply replaces by %s", strings.Join(replaced, ", "), r.spec.PVE.Repository)
	}
}
