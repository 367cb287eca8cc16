package spec

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// Node returns the node of that name.
func (c *Cluster) Node(name string) (Node, bool) {
	i := slices.IndexFunc(c.Spec.Nodes, func(n Node) bool { return n.Name == name })
	if i < 0 {
		return Node{}, false
	}
	return c.Spec.Nodes[i], true
}

// Pool returns the Ceph pool of that name.
func (c *Cluster) Pool(name string) (Pool, bool) {
	i := slices.IndexFunc(c.Spec.Ceph.Pools, func(p Pool) bool { return p.Name == name })
	if i < 0 {
		return Pool{}, false
	}
	return c.Spec.Ceph.Pools[i], true
}

// Group returns the HA group of that name.
func (c *Cluster) Group(name string) (HAGroup, bool) {
	i := slices.IndexFunc(c.Spec.HA.Groups, func(g HAGroup) bool { return g.Name == name })
	if i < 0 {
		return HAGroup{}, false
	}
	return c.Spec.HA.Groups[i], true
}

// Link is one corosync link as all nodes have it.
type Link struct {
	Number int
	// Network is its name in spec.networks; empty if the link runs over the management addresses.
	Network  string
	Priority int
}

// Links are the corosync links in the order of their numbers. If no network declares one, link 0 runs
// over the management addresses.
func (c *Cluster) Links() []Link {
	var links []Link
	for name, n := range c.Spec.Networks {
		if n.CorosyncLink != nil {
			links = append(links, Link{Number: *n.CorosyncLink, Network: name, Priority: n.Priority})
		}
	}
	if len(links) == 0 {
		return []Link{{}}
	}
	slices.SortFunc(links, func(a, b Link) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), strings.Compare(a.Network, b.Network))
	})
	return links
}

// LinkAddress is the node's address on a link; invalid if it has none.
func (n Node) LinkAddress(l Link) netip.Addr {
	if l.Network == "" {
		return n.Management
	}
	return n.NICs[l.Network].Address
}

// NetworkNames are the names of all networks, sorted.
func (c *Cluster) NetworkNames() []string { return sortedKeys(c.Spec.Networks) }

// CephNetworks are Ceph's public and cluster network. The latter is the public one if no network is
// declared for it. Both are invalid if there is none.
func (c *Cluster) CephNetworks() (public, cluster netip.Prefix) {
	for _, name := range c.NetworkNames() {
		n := c.Spec.Networks[name]
		if strings.Contains(n.Ceph, "public") && !public.IsValid() {
			public = n.CIDR
		}
		if strings.Contains(n.Ceph, "cluster") && !cluster.IsValid() {
			cluster = n.CIDR
		}
	}
	if !cluster.IsValid() {
		cluster = public
	}
	return public, cluster
}

// MigrationNetwork is where live migrations go; invalid if the file does not say.
func (c *Cluster) MigrationNetwork() netip.Prefix {
	for _, name := range c.NetworkNames() {
		if n := c.Spec.Networks[name]; n.Migration {
			return n.CIDR
		}
	}
	return netip.Prefix{}
}

func sortedKeys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
