package operate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/internal/source/pve"
)

// MayLose says why the cluster cannot bear that a node goes away now; no reason means that it can. Health
// checks of Ceph in accept are no reason. Ceph is asked over SSH whether the node's OSDs may stop.
func (c *Cluster) MayLose(ctx context.Context, s State, node string, accept ...string) (reasons []string, err error) {
	for _, gate := range gates {
		reasons = append(reasons, gate(s, node, accept)...)
	}
	osds := s.upOSDs(node)
	if s.Ceph == nil || len(osds) == 0 {
		return reasons, nil
	}
	why, err := c.okToStop(ctx, s.CephNode, osds)
	if err != nil {
		return reasons, err
	}
	if why != "" {
		reasons = append(reasons, fmt.Sprintf("Ceph must keep the OSDs of %s (%s): %s; bring back what is missing, or give its pools more copies", node, numbers(osds), why))
	}
	return reasons, nil
}

// gates are what State alone can tell, the worst first.
var gates = []func(s State, node string, accept []string) []string{
	nodesAway, votesLeft, monitorsLeft, cephHealth, placementGroups, haManager, memoryLeft,
}

// nodesAway: the node must be there, and no other may be away already.
func nodesAway(s State, node string, _ []string) (reasons []string) {
	n, ok := s.Node(node)
	switch {
	case !ok:
		var names []string
		for _, n := range s.Nodes {
			names = append(names, n.Name)
		}
		return []string{fmt.Sprintf("%s is no node of the cluster; it has %s", node, strings.Join(names, ", "))}
	case !n.Online:
		reasons = append(reasons, node+" is offline already; bring it back first")
	}
	for _, o := range s.Nodes {
		switch {
		case o.Name == node:
		case !o.Online:
			reasons = append(reasons, o.Name+" is offline; bring it back first")
		case o.HA == pve.HANodeMaintenance:
			reasons = append(reasons, fmt.Sprintf("%s is in maintenance; end that first (`quorate maintenance disable %s`)", o.Name, o.Name))
		case !o.takes():
			reasons = append(reasons, fmt.Sprintf("the HA manager says %q of %s; wait until it says online", o.HA, o.Name))
		}
	}
	return reasons
}

func votesLeft(s State, node string, _ []string) []string {
	left := s.Votes.Present
	if _, online := s.Members.Has(node); online {
		left -= s.Votes.Of[node]
	}
	if left >= s.Votes.Majority() {
		return nil
	}
	return []string{fmt.Sprintf("quorum would be lost: %d of %d votes would be left, and %d are needed; bring back the nodes that are away, or add one or a quorum device", left, s.Votes.Expected, s.Votes.Majority())}
}

func monitorsLeft(s State, node string, _ []string) []string {
	if s.Ceph == nil {
		return nil
	}
	left, all := len(s.Ceph.Quorum), s.Ceph.Monitors()
	for _, m := range s.Mons {
		if m.Node == node && slices.Contains(s.Ceph.Quorum, m.Name) {
			left--
		}
	}
	if left > all/2 {
		return nil
	}
	return []string{fmt.Sprintf("Ceph's monitors would lose quorum: %d of %d would be left, and %d are needed; bring back the others, or make monitors on more nodes", left, all, all/2+1)}
}

// flagsCheck is the health check that says that flags are set.
const flagsCheck = "OSDMAP_FLAGS"

// harmful are flags with which Ceph would not notice that a node goes, or not recover when it is back.
var harmful = []string{"nodown", "noup", "norecover", "nobackfill", "pause"}

func cephHealth(s State, _ string, accept []string) (reasons []string) {
	if s.Ceph == nil || s.Ceph.Health.Status == "HEALTH_OK" {
		return nil
	}
	var bad []string
	for _, code := range s.Ceph.Codes() {
		if !slices.Contains(accept, code) {
			bad = append(bad, fmt.Sprintf("%s (%s)", code, s.Ceph.Health.Checks[code].Summary.Message))
		}
	}
	if len(bad) > 0 {
		reasons = append(reasons, fmt.Sprintf("Ceph is %s: %s; wait until it is healthy (`ceph health detail` tells more)", s.Ceph.Health.Status, strings.Join(bad, ", ")))
	}
	for _, f := range s.Flags {
		if slices.Contains(accept, flagsCheck) && slices.Contains(harmful, f) {
			reasons = append(reasons, fmt.Sprintf("the OSD flag %s is set; take it away first (`ceph osd unset %s`)", f, f))
		}
	}
	return reasons
}

func placementGroups(s State, _ string, _ []string) []string {
	if s.Ceph == nil {
		return nil
	}
	n, states := s.Ceph.Dirty()
	if n == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d of %d placement groups are not active and clean (%s); wait for Ceph to recover", n, s.Ceph.PGMap.Num, strings.Join(states, ", "))}
}

// haGuests are the guests of a node that the HA manager keeps running.
func (s State) haGuests(node string) []Guest {
	var out []Guest
	for _, g := range s.running(node) {
		if v, ok := s.Service(g.SID()); ok && v.Requested == pve.HAServiceStarted {
			out = append(out, g)
		}
	}
	return out
}

func haManager(s State, node string, _ []string) []string {
	if (s.HA.Arming == pve.HADisarmed || s.HA.Arming == pve.HADisarming) && len(s.haGuests(node)) > 0 {
		return []string{"HA is " + s.HA.Arming + " and would leave the guests of " + node + " alone; arm it first (`ha-manager crm-command arm-ha`)"}
	}
	return nil
}

func memoryLeft(s State, node string, _ []string) []string {
	_, left := s.place(s.haGuests(node), node)
	if len(left) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("no other node has the memory for %s; free is %s; stop a guest, or give a node more", withMemory(left), s.freeMemory(node))}
}

// freeMemory tells what the nodes but one have.
func (s State) freeMemory(except string) string {
	var words []string
	for _, n := range s.Nodes {
		if n.Name != except && n.takes() {
			words = append(words, fmt.Sprintf("%s on %s", gib(n.Memory-n.MemoryUsed), n.Name))
		}
	}
	if words == nil {
		return "nothing"
	}
	return strings.Join(words, ", ")
}
