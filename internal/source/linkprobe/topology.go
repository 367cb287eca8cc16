package linkprobe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
)

// A Peer is another node of the cluster with its address on each corosync link.
type Peer struct {
	ID    uint32
	Name  string
	Links map[int]netip.Addr
}

// A Topology is what a Prober needs to know of the cluster. The zero value is a standalone node.
type Topology struct {
	Self      uint32
	SelfLinks map[int]netip.Addr
	Peers     []Peer // without this node

	// Key authenticates the UDP echo; nil measures with ICMP only. It is read with the nodelist
	// because both appear when a node joins a cluster.
	Key Key

	// Unresolved lists ring addresses that are left out because they are names without an address.
	Unresolved []string
}

// A Node is one entry of corosync.conf's nodelist; Rings holds ringX_addr by X.
type Node struct {
	ID    uint32
	Name  string
	Rings map[int]string
}

// A Lookup returns the addresses of a host name, as net.DefaultResolver.LookupNetIP does for "ip".
type Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

// ErrNotInNodelist says that no ring address of any node is an address of this machine.
var ErrNotInNodelist = errors.New("no ring address of the nodelist is an address of this machine (compare `ip address` with corosync.conf)")

// BuildTopology turns corosync.conf's nodelist into a Topology for the machine that has the
// addresses local. Ring addresses may be names; they are resolved with lookup. An empty nodelist
// gives the zero Topology. It fails when it cannot say which node this machine is.
func BuildTopology(ctx context.Context, nodes []Node, local []netip.Addr, lookup Lookup) (Topology, error) {
	if len(nodes) == 0 {
		return Topology{}, nil
	}
	var unresolved []string
	peers := make([]Peer, 0, len(nodes))
	for _, n := range nodes {
		p := Peer{ID: n.ID, Name: n.Name, Links: make(map[int]netip.Addr, len(n.Rings))}
		if p.Name == "" { // corosync allows it, Proxmox VE does not
			p.Name = strconv.FormatUint(uint64(n.ID), 10)
		}
		for _, link := range slices.Sorted(maps.Keys(n.Rings)) {
			addr, err := resolve(ctx, n.Rings[link], lookup)
			if err != nil {
				unresolved = append(unresolved, fmt.Sprintf("%s ring%d_addr: %v", p.Name, link, err))
				continue
			}
			p.Links[link] = addr
		}
		peers = append(peers, p)
	}
	t, err := FindSelf(peers, local)
	t.Unresolved = unresolved
	return t, err
}

// FindSelf says which of the nodes is the machine that has the addresses local: exactly one must
// have a ring address among them.
func FindSelf(nodes []Peer, local []netip.Addr) (Topology, error) {
	mine := make(map[netip.Addr]bool, len(local))
	for _, a := range local {
		mine[a.Unmap().WithZone("")] = true
	}
	self := -1
	for i, n := range nodes {
		for _, a := range n.Links {
			if !mine[a.Unmap().WithZone("")] || self == i {
				continue
			}
			if self >= 0 {
				return Topology{}, fmt.Errorf("this machine has ring addresses of both %s and %s (correct corosync.conf)", nodes[self].Name, n.Name)
			}
			self = i
		}
	}
	if self < 0 {
		return Topology{}, ErrNotInNodelist
	}
	t := Topology{Self: nodes[self].ID, SelfLinks: maps.Clone(nodes[self].Links)}
	t.Peers = slices.Concat(nodes[:self], nodes[self+1:])
	return t, nil
}

// LocalAddrs returns the addresses of this machine's interfaces.
func LocalAddrs() ([]netip.Addr, error) {
	nets, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the addresses of this machine: %w", err)
	}
	var out []netip.Addr
	for _, n := range nets {
		if p, err := netip.ParsePrefix(n.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out, nil
}

func resolve(ctx context.Context, ring string, lookup Lookup) (netip.Addr, error) {
	if a, err := netip.ParseAddr(ring); err == nil {
		return a.Unmap(), nil
	}
	addrs, err := lookup(ctx, ring)
	if err != nil {
		return netip.Addr{}, err
	}
	// Proxmox VE writes ip_version: ipv4-6 into corosync.conf.
	for _, a := range addrs {
		if a.Unmap().Is4() {
			return a.Unmap(), nil
		}
	}
	if len(addrs) == 0 {
		return netip.Addr{}, fmt.Errorf("%s has no address", ring)
	}
	return addrs[0], nil
}

// A pair is one peer on one link: what a peerLink measures.
type pair struct {
	id            uint32
	name          string
	link          int
	self          uint32
	local, remote netip.Addr
}

// maxLinks is corosync's INTERFACE_MAX for knet: links 0 to 7.
const maxLinks = 8

// pairs returns what can be measured: links on which both sides have an address of one family.
func (t Topology) pairs() map[pair]bool {
	out := map[pair]bool{}
	for link, local := range t.SelfLinks {
		local = local.Unmap()
		for _, p := range t.Peers {
			remote := p.Links[link].Unmap()
			if link < 0 || link >= maxLinks || !local.IsValid() || !remote.IsValid() || local.Is4() != remote.Is4() {
				continue
			}
			out[pair{id: p.ID, name: p.Name, link: link, self: t.Self, local: local, remote: remote}] = true
		}
	}
	return out
}
