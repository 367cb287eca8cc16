package preflight

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/provision/facts"
)

func reachable(r *run) {
	for _, n := range r.spec.Nodes {
		f, ok := r.Facts.Node(n.Name)
		err := f.Version.Err()
		switch {
		case ok && err == nil:
		case r.member(n.Name):
			// Its API restarts when it has just joined; apply waits for it.
			r.sayOn(n.Name, Warning, "wait, or see why if it lasts", "is in the cluster and does not answer: %v", cmp.Or(err, facts.ErrNotRead))
		default:
			r.sayOn(n.Name, Error, fmt.Sprintf("is %s up, and are user, password and certificate right?", n.Management), "does not answer: %v", cmp.Or(err, facts.ErrNotRead))
		}
	}
}

func sameVersion(r *run) {
	var first node
	for i, n := range r.nodes() {
		v := n.facts.Version.Or(facts.Version{})
		if v.Major != r.spec.PVE.Major {
			r.sayOn(n.Name, Error, fmt.Sprintf("write pve: {major: %d}, or install %d", v.Major, r.spec.PVE.Major), "runs Proxmox VE %s, and the file says %d", v.Full, r.spec.PVE.Major)
		}
		if i == 0 {
			first = n
			continue
		}
		other := first.facts.Version.Or(facts.Version{})
		switch {
		case v.Major != other.Major:
			r.sayOn(n.Name, Error, "bring all nodes to one release", "runs Proxmox VE %s, %s runs %s: such nodes do not form a cluster", v.Full, first.Name, other.Full)
		case v.Minor != other.Minor:
			r.sayOn(n.Name, Warning, "write pve: {upgrade: true}, or upgrade it", "runs Proxmox VE %s, %s runs %s", v.Full, first.Name, other.Full)
		}
	}
}

func uniqueHostname(r *run) {
	for _, n := range r.nodes() {
		m, ok := known(r, n.Name, "its name", n.facts.Membership)
		if !ok {
			continue
		}
		for _, s := range m.Nodes {
			if s.Local && s.Name != n.Name {
				r.sayOn(n.Name, Error, "correct the name or the address in the file", "the machine at %s is called %s", n.Management, s.Name)
			}
		}
	}
}

func hostnameResolves(r *run) {
	for _, n := range r.nodes() {
		if hosts, ok := known(r, n.Name, "/etc/hosts", n.facts.Hosts); ok {
			for _, a := range lookup(hosts.Data, n.Name) {
				if a.IsLoopback() {
					r.sayOn(n.Name, Error, fmt.Sprintf("write %s %s to its /etc/hosts", n.Management, n.Name), "its name stands for %s in /etc/hosts, where no other node can join it", a)
				} else if a != n.Management {
					r.sayOn(n.Name, Error, fmt.Sprintf("write %s %s to its /etc/hosts, or correct management: in the file", n.Management, n.Name), "its name stands for %s in /etc/hosts, not for %s", a, n.Management)
				}
			}
		}
		if list, ok := known(r, n.Name, "its interfaces", n.facts.Interfaces); ok && !configured(list, n.Management) {
			r.sayOn(n.Name, Error, "correct management: in the file, or configure the address", "no interface has the address %s", n.Management)
		}
	}
}

// lookup finds the addresses of a name in /etc/hosts.
func lookup(hosts, name string) []netip.Addr {
	var out []netip.Addr
	for _, line := range strings.Split(hosts, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) > 1 && slices.Contains(words[1:], name) {
			if a, err := netip.ParseAddr(words[0]); err == nil && !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out
}

// configured is true if an interface has the address.
func configured(list []facts.Interface, a netip.Addr) bool { return owner(list, a).Name != "" }

// owner is the interface with the address.
func owner(list []facts.Interface, a netip.Addr) facts.Interface {
	for _, i := range list {
		if p, err := netip.ParsePrefix(i.CIDR); err == nil && p.Addr() == a {
			return i
		}
	}
	return facts.Interface{}
}

// distinct demands that a fact differs on all nodes. Without a shell it says so once.
func (r *run) distinct(what, fix string, fact func(facts.Node) facts.Known[string]) {
	first := map[string]string{}
	var unread []string
	var why error
	for _, n := range r.nodes() {
		v, ok := fact(n.facts).Get()
		if !ok {
			unread, why = append(unread, n.Name), fact(n.facts).Err()
			continue
		}
		if other, dup := first[v]; dup {
			r.sayOn(n.Name, Error, fix, "has the %s of %s: one is a copy of the other", what, other)
			continue
		}
		first[v] = n.Name
	}
	if len(unread) > 0 {
		r.unknown("", fmt.Sprintf("the %s of %s", what, strings.Join(unread, ", ")), why)
	}
}

func uniqueMachineID(r *run) {
	r.distinct("machine id", "rm /etc/machine-id && systemd-machine-id-setup there, and restart it", func(n facts.Node) facts.Known[string] { return n.Host.MachineID })
}

func uniqueSystemUUID(r *run) {
	r.distinct("system UUID", "give the (virtual) machine another UUID", func(n facts.Node) facts.Known[string] { return n.Host.ProductUUID })
}

func uniqueSSHHostKey(r *run) {
	r.distinct("SSH host key", "rm /etc/ssh/ssh_host_* && dpkg-reconfigure openssh-server there", func(n facts.Node) facts.Known[string] { return n.Host.HostKey })
}

// member is true if the cluster lists the node.
func (r *run) member(name string) bool {
	return slices.ContainsFunc(r.Facts.Members.Or(nil), func(m facts.Member) bool { return m.Name == name })
}

func notClustered(r *run) {
	for _, n := range r.nodes() {
		m, ok := known(r, n.Name, "whether it is in a cluster", n.facts.Membership)
		if !ok {
			continue
		}
		leftover, _ := n.facts.Host.Authkey.Get()
		switch {
		case m.Name != "" && m.Name != r.Spec.Metadata.Name:
			r.sayOn(n.Name, Error, "take another machine, or install this one anew", "is in cluster %s already, and not in %s", m.Name, r.Spec.Metadata.Name)
		case m.Name != "" && len(r.Facts.Members.Or(nil)) > 0 && !r.member(n.Name):
			r.sayOn(n.Name, Error, "take another machine, or install this one anew", "is in another cluster that is also called %s", m.Name)
		case m.Name == "" && leftover && !r.member(n.Name) && !n.running("clustercreate", "clusterjoin"):
			r.sayOn(n.Name, Error, "rm /etc/corosync/authkey there if it is in no cluster", "has a corosync authkey from an earlier cluster, which makes a join fail")
		}
	}
}

// joiners are the nodes that are not in the cluster yet and will not create it.
func (r *run) joiners() []node {
	var out []node
	exists := false
	for _, n := range r.nodes() {
		exists = exists || n.facts.Membership.Or(facts.Membership{}).Name != ""
	}
	for _, n := range r.nodes() {
		m, ok := n.facts.Membership.Get()
		creates := !exists && n.Name == r.spec.Nodes[0].Name
		if ok && m.Name == "" && !creates {
			out = append(out, n)
		}
	}
	return out
}

func noGuestsOnJoiner(r *run) {
	for _, n := range r.joiners() {
		if guests, ok := known(r, n.Name, "its guests", n.facts.Guests); ok && len(guests) > 0 {
			r.sayOn(n.Name, Error, "back them up and remove them, or list this node first if it is the only one with guests", "has %d guests (%s), and a node that joins may have none", len(guests), some(guests))
		}
	}
}

// some lists the first few.
func some[T any](list []T) string {
	var words []string
	for _, v := range list[:min(len(list), 5)] {
		words = append(words, fmt.Sprint(v))
	}
	if len(list) > 5 {
		words = append(words, "…")
	}
	return strings.Join(words, ", ")
}

func vmidFree(r *run) {
	guests, ok := known(r, "", "the guests", r.Facts.Guests)
	if !ok {
		return
	}
	for i, want := range r.spec.Guests {
		for _, g := range guests {
			// A guest that is being made has no name of its own yet.
			nameless := g.Name == "" || g.Name == fmt.Sprintf("VM %d", g.VMID)
			if g.VMID == want.VMID && (g.Name != want.Name && !nameless || g.Type != "qemu") {
				r.say(Error, fmt.Sprintf("spec.guests[%d].vmid", i), "choose another VMID", "VMID %d belongs to %s %s on %s, not to %s", g.VMID, g.Type, g.Name, g.Node, want.Name)
			}
		}
	}
}

func timeSync(r *run) {
	var unread []string
	var why error
	for _, n := range r.nodes() {
		if on, ok := n.facts.Host.NTP.Get(); ok && !on {
			r.sayOn(n.Name, Warning, "systemctl enable --now chrony there", "its clock is not synchronised; Ceph's monitors complain from 0.05 s on")
		}
		if n.facts.Host.Skew.Err() != nil {
			unread, why = append(unread, n.Name), n.facts.Host.Skew.Err()
		}
	}
	if len(unread) > 0 {
		r.unknown("", "the clocks of "+strings.Join(unread, ", "), why)
	}
	for i, a := range r.nodes() {
		for _, b := range r.nodes()[:i] {
			r.compareClocks(a, b)
		}
	}
}

func (r *run) compareClocks(a, b node) {
	x, ok1 := a.facts.Host.Skew.Get()
	y, ok2 := b.facts.Host.Skew.Get()
	if !ok1 || !ok2 {
		return
	}
	// What the measurement itself cannot tell is taken off.
	apart := max((x-y).Abs()-a.facts.Host.SkewError-b.facts.Host.SkewError, 0)
	level := Info
	switch {
	case apart > 5*time.Second:
		level = Error
	case apart > time.Second:
		level = Warning
	default:
		return
	}
	r.sayOn(a.Name, level, "systemctl enable --now chrony on both, and wait", "its clock is %s away from that of %s", apart.Round(100*time.Millisecond), b.Name)
}
