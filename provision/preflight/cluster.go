package preflight

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/quorate/quorate/provision/spec"
)

// maxClusterName is the limit of corosync's cluster_name in Proxmox VE's API.
const maxClusterName = 15

func clusterName(r *run) {
	if name := r.Spec.Metadata.Name; len(name) > maxClusterName {
		r.say(Error, "metadata.name", fmt.Sprintf("shorten it, to %s for example", strings.TrimRight(name[:maxClusterName], "-")),
			"%s has %d characters, corosync takes %d", name, len(name), maxClusterName)
	}
}

// qdevice is true if a tie-breaker has a vote.
func (r *run) qdevice() bool {
	return r.spec.Corosync.QDevice != "" && r.spec.Corosync.QDevice != "none"
}

func nodes3Plus(r *run) {
	n := len(r.spec.Nodes)
	switch {
	case n == 1:
		r.say(Warning, "spec.nodes", "add two nodes", "there is one node; when it fails everything is down")
	case n == 2 && !r.qdevice():
		r.say(Error, "spec.nodes", "add a third node, or corosync: {qdevice: ADDRESS} on a machine outside of the cluster",
			"2 nodes without a qdevice: when one is lost the other has 1 of 2 votes, which is no majority, and stops")
	}
	if r.spec.Ceph.Declared() && n < 3 {
		r.say(Warning, "spec.ceph", "add nodes until there are three", "Ceph keeps three copies on three hosts, and there are %d", n)
	}
}

func votesOdd(r *run) {
	n := len(r.spec.Nodes)
	switch {
	case n%2 == 0 && n > 2 && !r.qdevice():
		r.say(Warning, "spec.nodes", "add a node, or corosync: {qdevice: ADDRESS}",
			"%d votes survive the loss of %d, no more than %d votes do, and split in halves both stop", n, (n-1)/2, n-1)
	case n%2 == 1 && r.qdevice():
		r.say(Warning, "spec.corosync.qdevice", "remove the qdevice", "with %d nodes the qdevice gets %d votes: if it fails, no node may fail any more", n, n-1)
	}
}

func nodeCountMax(r *run) {
	if n := len(r.spec.Nodes); n > 20 {
		r.say(Warning, "spec.nodes", "split it into two clusters", "%d nodes are more than the 20 this program is tested with; corosync's load grows with their square", n)
	}
}

func corosyncLinks(r *run) {
	for _, l := range r.Spec.Links() {
		var first netip.Addr
		for i, n := range r.spec.Nodes {
			a := n.LinkAddress(l)
			at := fmt.Sprintf("spec.nodes[%d]", i)
			switch {
			case !a.IsValid():
				r.say(Error, at, fmt.Sprintf("add nics: {%s: {address: …}}", l.Network), "%s has no address on link %d (network %s), and all nodes need one", n.Name, l.Number, l.Network)
			case first.IsValid() && a.Is4() != first.Is4():
				r.say(Error, at, "use IPv4 on all nodes or IPv6 on all", "%s has %s on link %d, others have %s: a link has one IP family", n.Name, a, l.Number, first)
			case !first.IsValid():
				first = a
			}
		}
	}
}

func corosyncRedundant(r *run) {
	if links := r.Spec.Links(); len(links) == 1 && len(r.spec.Nodes) > 1 {
		r.say(Warning, "spec.networks", "give a second network corosyncLink: 1", "corosync has one link: when that network fails every node with HA services resets itself")
	}
}

// preferred is the link corosync uses while it works.
func (r *run) preferred() spec.Link {
	best := spec.Link{Priority: -1}
	for _, l := range r.Spec.Links() {
		if l.Priority > best.Priority {
			best = l
		}
	}
	return best
}

func corosyncSeparateNIC(r *run) {
	link := r.preferred()
	for i, n := range r.spec.Nodes {
		port := n.NICs[link.Network].Port
		for _, name := range r.Spec.NetworkNames() {
			net := r.spec.Networks[name]
			if port == "" || name == link.Network || net.Ceph == "none" && !net.Migration || n.NICs[name].Port != port {
				continue
			}
			r.say(Warning, fmt.Sprintf("spec.nodes[%d].nics.%s", i, name), "give corosync a port of its own", "%s: corosync's preferred link and network %s share port %s, where recovery and migrations delay its packets", n.Name, name, port)
		}
	}
}

func cephNetDistinct(r *run) {
	link := r.preferred()
	if net, ok := r.spec.Networks[link.Network]; ok && net.Ceph != "none" {
		r.say(Warning, "spec.networks."+link.Network, "put corosyncLink: 0 on another network, or give one there a higher priority",
			"network %s is Ceph's and carries corosync's preferred link: recovery after a failure may break quorum", link.Network)
	}
}

func cephAddresses(r *run) {
	if !r.spec.Ceph.Declared() {
		return
	}
	for _, name := range r.Spec.NetworkNames() {
		if r.spec.Networks[name].Ceph == "none" {
			continue
		}
		for i, n := range r.spec.Nodes {
			if !n.NICs[name].Address.IsValid() && r.hasCeph(n) {
				r.say(Error, fmt.Sprintf("spec.nodes[%d]", i), fmt.Sprintf("add nics: {%s: {address: …}}", name), "%s has no address in network %s, which is Ceph's", n.Name, name)
			}
		}
	}
}
