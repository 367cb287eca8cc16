package preflight

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/quorate/quorate/provision/facts"
	"github.com/quorate/quorate/provision/spec"
)

// The latency corosync is at home with, and that with which it does not work (pvecm(1)).
const (
	goodLatency = 5 * time.Millisecond
	badLatency  = 10 * time.Millisecond
)

// Probes are the measurements that CorosyncLatency, MTUEqual and PortsOpen look at: from each node to the
// two that follow it, which is all pairs for up to five nodes.
func Probes(c *spec.Cluster) []facts.Probe {
	var out []facts.Probe
	nodes := c.Spec.Nodes
	links := map[string]bool{}
	for _, l := range c.Links() {
		links[l.Network] = true
	}
	seen := map[[2]int]bool{}
	for i, from := range nodes {
		for step := 1; step <= 2; step++ {
			j := (i + step) % len(nodes)
			if i == j || seen[[2]int{i, j}] || seen[[2]int{j, i}] {
				continue
			}
			seen[[2]int{i, j}] = true
			to := nodes[j]
			out = append(out, facts.Probe{From: from.Name, To: to.Name, Addr: to.Management, Latency: links[""], Ports: []int{22, 8006}})
			for _, name := range c.NetworkNames() {
				n, nic := c.Spec.Networks[name], to.NICs[name]
				if !nic.Address.IsValid() || !links[name] && n.Ceph == "none" {
					continue
				}
				p := facts.Probe{From: from.Name, To: to.Name, Network: name, Addr: nic.Address, Latency: links[name]}
				if n.Ceph != "none" {
					p.MTU = n.MTU
				}
				out = append(out, p)
			}
		}
	}
	return out
}

// probes calls f for the measurements between two nodes that have their addresses already. The others
// cannot succeed before the networks are set up, and prove nothing.
func (r *run) probes(f func(from node, p facts.ProbeResult)) {
	byName := map[string]node{}
	for _, n := range r.nodes() {
		byName[n.Name] = n
	}
	for _, n := range r.nodes() {
		for _, p := range n.facts.Host.Probes {
			to, ok := byName[p.To]
			here := p.Network == "" || configured(n.facts.Interfaces.Or(nil), n.NICs[p.Network].Address)
			if ok && here && configured(to.facts.Interfaces.Or(nil), p.Addr) {
				f(n, p)
			}
		}
	}
}

func (r *run) shells() bool {
	for _, n := range r.nodes() {
		if len(n.facts.Host.Probes) > 0 {
			return true
		}
	}
	if len(r.spec.Nodes) > 1 {
		r.unknown("", "the ways between the nodes", facts.ErrNotRead)
	}
	return false
}

func corosyncLatency(r *run) {
	if !r.shells() {
		return
	}
	const fix = "corosync needs a local network; put it on one without other traffic"
	r.probes(func(from node, p facts.ProbeResult) {
		if !p.Latency {
			return
		}
		pings, ok := known(r, from.Name, "the latency to "+p.To, p.RTT)
		if !ok {
			return
		}
		way := fmt.Sprintf("to %s at %s", p.To, p.Addr)
		switch p99 := pings.P99(); {
		case len(pings.RTT) == 0:
			r.sayOn(from.Name, Error, "check cables, VLANs and firewall", "none of %d packets %s came back", pings.Sent, way)
		case p99 > badLatency:
			r.sayOn(from.Name, Error, fix, "packets %s take up to %s, and corosync does not work above %s", way, p99.Round(100*time.Microsecond), badLatency)
		case p99 > goodLatency:
			r.sayOn(from.Name, Warning, fix, "packets %s take up to %s, and corosync wants less than %s", way, p99.Round(100*time.Microsecond), goodLatency)
		case pings.Lost() > 0:
			r.sayOn(from.Name, Warning, "check cables and switch", "%d of %d packets %s were lost", pings.Lost(), pings.Sent, way)
		}
	})
}

func mtuEqual(r *run) {
	if !r.shells() {
		return
	}
	r.probes(func(from node, p facts.ProbeResult) {
		if p.MTU == 0 {
			return
		}
		to, _ := r.Facts.Node(p.To)
		here := owner(from.facts.Interfaces.Or(nil), from.NICs[p.Network].Address)
		there := owner(to.Interfaces.Or(nil), p.Addr)
		if max(here.MTU, 1500) < p.MTU || max(there.MTU, 1500) < p.MTU {
			return // apply sets it
		}
		if passes, ok := known(r, from.Name, "the MTU to "+p.To, p.MTUPasses); ok && !passes {
			r.sayOn(from.Name, Error, "set the MTU on the switch's ports too, or write mtu: 1500", "packets of %d bytes to %s at %s (network %s) do not pass: Ceph would hang while peering", p.MTU, p.To, p.Addr, p.Network)
		}
	})
}

func portsOpen(r *run) {
	if !r.shells() {
		return
	}
	r.probes(func(from node, p facts.ProbeResult) {
		if len(p.Ports) == 0 {
			return
		}
		if closed, ok := known(r, from.Name, "the ports of "+p.To, p.Closed); ok && len(closed) > 0 {
			r.sayOn(from.Name, Warning, "open them in the firewall between the nodes", "cannot reach port %s of %s (%s)", some(closed), p.To, p.Addr)
		}
	})
}

func cephNet10G(r *run) {
	if !r.spec.Ceph.Declared() {
		return
	}
	for _, n := range r.nodes() {
		for _, name := range r.Spec.NetworkNames() {
			port := n.NICs[name].Port
			if r.spec.Networks[name].Ceph == "none" || port == "" {
				continue
			}
			speeds, ok := known(r, n.Name, "the speed of "+port, n.facts.Host.Speeds)
			if !ok {
				continue
			}
			if mbit := speeds[port]; mbit == 0 {
				r.sayOn(n.Name, Warning, "check the cable and the name of the port", "port %s of network %s has no link", port, name)
			} else if mbit < 10000 {
				r.sayOn(n.Name, Warning, "use 10 Gbit/s or more for Ceph", "port %s of network %s has %d Mbit/s: recovery takes hours, and guests wait for it", port, name, mbit)
			}
		}
	}
}

func cephNetworksFixed(r *run) {
	if !r.spec.Ceph.Declared() {
		return
	}
	global, ok := known(r, "", "ceph.conf", r.Facts.Ceph.Global)
	if !ok {
		return
	}
	public, cluster := r.Spec.CephNetworks()
	for key, want := range map[string]string{"public_network": public.String(), "cluster_network": cluster.String()} {
		if have := global[key]; have != "" && !sameNetwork(have, want) {
			r.say(Error, "spec.networks", "write the network that is in use; moving monitors is a job of its own", "Ceph's %s is %s, and the file says %s", key, have, want)
		}
	}
}

// sameNetwork compares networks, as 10.0.0.11/24 in ceph.conf means 10.0.0.0/24.
func sameNetwork(a, b string) bool {
	x, err1 := netip.ParsePrefix(a)
	y, err2 := netip.ParsePrefix(b)
	if err1 != nil || err2 != nil {
		return a == b
	}
	return x.Masked() == y.Masked()
}
