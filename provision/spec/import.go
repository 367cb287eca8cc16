package spec

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/quorate/quorate/provision/facts"
)

// FromFacts describes a living cluster, read with facts.Want.Configs. What cannot be read is left out:
// passwords become {env: …}, and what the file has no words for is named at the end of what Marshal writes.
func FromFacts(f facts.Cluster) *Cluster {
	m := f.Membership.Or(facts.Membership{})
	i := importer{f: f, c: &Cluster{APIVersion: APIVersion, Kind: Kind, Metadata: Metadata{Name: cmp.Or(m.Name, "imported")}}}
	s := &i.c.Spec
	s.PVE = PVE{Major: i.major(), Repository: i.repository()}
	s.Access = Access{
		API: APIAccess{User: "root@pam", Password: SecretEnv("PVE_ROOT_PASSWORD"), TLS: TLS{Pin: "trust-on-first-use"}},
		SSH: SSHAccess{User: "root", Port: 22, Agent: true, KnownHosts: "~/.ssh/known_hosts"},
	}
	s.Networks = map[string]Network{}
	i.nodes(m)
	i.networks()
	s.Corosync = Corosync{TokenCoefficient: f.Totem.Or(facts.Totem{}).TokenCoefficient, QDevice: i.qdevice()}
	i.ceph()
	i.storages()
	i.ha()
	i.guests()
	i.jobs()
	for _, u := range f.Users.Or(nil) {
		for _, t := range u.Tokens {
			i.leave("token %s of %s: its secret cannot be read", t.ID, u.ID)
		}
	}
	return i.c
}

// importer turns facts into a Cluster.
type importer struct {
	f facts.Cluster
	c *Cluster
}

func (i *importer) leave(format string, args ...any) {
	i.c.notes = append(i.c.notes, fmt.Sprintf(format, args...))
}

func (i *importer) major() int {
	for _, n := range i.f.Nodes {
		if v, ok := n.Version.Get(); ok {
			return v.Major
		}
	}
	return 9
}

// repository is that of the first node that tells; what is neither is left alone.
func (i *importer) repository() string {
	for _, n := range i.f.Nodes {
		for _, r := range n.Repositories.Or(nil) {
			switch {
			case !r.Enabled:
			case slices.Contains(r.Components, "pve-enterprise"):
				return "enterprise"
			case slices.Contains(r.Components, "pve-no-subscription"):
				return "no-subscription"
			case slices.Contains(r.Components, "pve-test"), slices.Contains(r.Components, "pvetest"):
				return "test"
			}
		}
	}
	return "leave"
}

// nodes lists the members by their ids: the one with the lowest created the cluster.
func (i *importer) nodes(m facts.Membership) {
	members := slices.Clone(m.Nodes)
	slices.SortFunc(members, func(a, b facts.MemberState) int { return cmp.Compare(a.ID, b.ID) })
	for _, s := range members {
		a, err := netip.ParseAddr(s.IP)
		if err != nil {
			i.leave("node %s: it has no address", s.Name)
			continue
		}
		n := Node{Name: s.Name, Management: a, NICs: map[string]NIC{}}
		f, _ := i.f.Node(s.Name)
		for _, d := range f.Disks.Or(nil) {
			if len(d.OSDs) == 0 || d.Parent != "" {
				continue
			}
			o := OSD{Dev: d.Dev}
			if d.ByID != "" {
				o = OSD{ByID: strings.TrimPrefix(d.ByID, "/dev/disk/by-id/")}
			}
			n.OSDs = append(n.OSDs, o)
		}
		i.c.Spec.Nodes = append(i.c.Spec.Nodes, n)
	}
}

// networks finds those that corosync, Ceph and migrations use, and the management network.
func (i *importer) networks() {
	if len(i.c.Spec.Nodes) == 0 {
		return
	}
	i.network(i.c.Spec.Nodes[0].Management, "mgmt", func(*Network) {})
	global := i.f.Ceph.Global.Or(nil)
	public, cluster := global["public_network"], global["cluster_network"]
	if cluster == "" || cluster == public {
		i.prefix(public, "storage", func(n *Network) { n.Ceph = "public+cluster" })
	} else {
		i.prefix(public, "ceph-public", func(n *Network) { n.Ceph = "public" })
		i.prefix(cluster, "ceph-cluster", func(n *Network) { n.Ceph = "cluster" })
	}
	totem := i.f.Totem.Or(facts.Totem{})
	for _, m := range i.f.Members.Or(nil) {
		if m.Name != i.c.Spec.Nodes[0].Name {
			continue
		}
		for _, number := range sortedLinks(m.Links) {
			if a, err := netip.ParseAddr(m.Links[number]); err == nil {
				i.network(a, fmt.Sprintf("link%d", number), func(n *Network) { n.CorosyncLink, n.Priority = &number, totem.Priorities[number] })
			}
		}
	}
	i.prefix(i.f.Options.Or(facts.Options{}).MigrationNetwork, "migration", func(n *Network) { n.Migration = true })
}

func sortedLinks(links map[int]string) []int {
	var numbers []int
	for n := range links {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	return numbers
}

// network changes the network of an address, which is made under name if it is new.
func (i *importer) network(a netip.Addr, name string, change func(*Network)) {
	for _, n := range i.f.Nodes {
		for _, iface := range n.Interfaces.Or(nil) {
			if p, err := netip.ParsePrefix(iface.CIDR); err == nil && p.Addr() == a {
				i.prefix(p.String(), name, change)
				return
			}
		}
	}
	i.leave("address %s: no node says which network it is in", a)
}

// prefix does the same with the network itself.
func (i *importer) prefix(text, name string, change func(*Network)) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return
	}
	p = p.Masked()
	for existing, n := range i.c.Spec.Networks {
		if n.CIDR == p {
			change(&n)
			i.c.Spec.Networks[existing] = n
			return
		}
	}
	n := Network{CIDR: p, MTU: 1500, Ceph: "none"}
	i.attach(p, name, &n)
	change(&n)
	i.c.Spec.Networks[name] = n
}

// attach notes which interface of each node is in the network.
func (i *importer) attach(p netip.Prefix, name string, n *Network) {
	for j, node := range i.c.Spec.Nodes {
		f, _ := i.f.Node(node.Name)
		for _, iface := range f.Interfaces.Or(nil) {
			a, err := netip.ParsePrefix(iface.CIDR)
			if err != nil || a.Masked() != p {
				continue
			}
			nic := NIC{Address: a.Addr(), Port: iface.Name}
			if iface.Type == "bridge" {
				n.Bridge, nic.Port = iface.Name, ""
				if len(iface.Ports) > 0 {
					nic.Port = iface.Ports[0]
				}
			}
			n.MTU = max(n.MTU, iface.MTU)
			if g, err := netip.ParseAddr(iface.Gateway); err == nil {
				n.Gateway = g
			}
			i.c.Spec.Nodes[j].NICs[name] = nic
			break
		}
	}
}

func (i *importer) qdevice() string {
	q := i.f.QDevice.Or(nil)
	host, _, _ := strings.Cut(q["QNetd host"], ":")
	if _, err := netip.ParseAddr(host); err != nil {
		if len(q) > 0 {
			i.leave("the qdevice: its address is not told")
		}
		return "none"
	}
	return host
}
