package dashboards

import (
	"fmt"
	"strings"
)

// Expressions that several pages share. CLUSTER stands for the matcher of the chosen clusters. Each
// cluster is folded by itself first, and only then clusters with each other.

const (
	// quorumNow is 0 if there is a cluster in which nobody has quorum.
	quorumNow = `min(max by (cluster) (pve_cluster_quorum{CLUSTER}))`

	// votesLeft are those left after the node with the most votes, less those needed, as each node of a
	// quorate partition sees it.
	votesLeft = `(corosync_total_votes{CLUSTER} - max without (node, node_id) (corosync_member_votes * corosync_member_up) - corosync_quorum_votes and (corosync_quorate == 1))`

	// spareNode is 2 if every cluster can lose that node, 0 if one cannot, 1 if that one never could.
	spareNode = `min(
  max by (cluster) (
    (` + votesLeft + ` >= 0) * 0 + 2
    or (corosync_total_votes{CLUSTER} and (corosync_quorate == 1) and (corosync_total_votes >= corosync_configured_votes)) * 0 + 1
    or corosync_total_votes{CLUSTER} * 0
  )
)`

	// nodesDown leaves out nodes that are away on purpose, as the alert NodeDown does.
	nodesDown = `sum(
  (quorate:node_up{CLUSTER} == bool 0)
  unless on (cluster, node) quorate:node_left
  unless on (cluster, node) quorate:node_maintenance
)`

	// nodeStates has a value of nodeWords for each node.
	nodeStates = `(quorate:node_left{CLUSTER} or on (cluster, node) quorate:node_maintenance{CLUSTER}) * 0 + 2
or on (cluster, node)
quorate:node_up{CLUSTER}`

	// cephNow is the worst health of any cluster, 3 if one's monitors do not answer.
	cephNow = `max(
  (avg by (cluster) (quorate_source_up{CLUSTER, source="ceph"}) < 0.5) * 0 + 3
  or on (cluster)
  max by (cluster) (ceph_health_status{CLUSTER})
)`

	osdsDown = `sum(ceph_daemon:ceph_osd_up:max{CLUSTER} == bool 0)`

	recoveryBytes = `sum(cluster:quorate_ceph_recovery_bytes_per_second:max{CLUSTER})`

	clientRead  = `sum(max by (cluster, pool_id) (rate(ceph_pool_rd_bytes{CLUSTER}[$__rate_interval])))`
	clientWrite = `sum(max by (cluster, pool_id) (rate(ceph_pool_wr_bytes{CLUSTER}[$__rate_interval])))`

	// haGuests has a value of haWords for each guest under HA.
	haGuests = `max by (cluster, id) (
     cluster_id_state:pve_ha_state:max{CLUSTER, id!~"node/.+", state="started"} * 0
  or (cluster_id_state:pve_ha_state:max{CLUSTER, id!~"node/.+", state="stopped"}
       and on (cluster, id) (max by (cluster, id) (pve_ha_requested_state{state="started"}) == 1)) * 0 + 2
  or cluster_id_state:pve_ha_state:max{CLUSTER, id!~"node/.+", state="stopped"} * 0 + 1
  or cluster_id_state:pve_ha_state:max{CLUSTER, id!~"node/.+", state=~"migrate|relocate|request_.+"} * 0 + 2
  or cluster_id_state:pve_ha_state:max{CLUSTER, id!~"node/.+", state="freeze"} * 0 + 3
  or cluster_id_state:pve_ha_state:max{CLUSTER, id!~"node/.+", state="recovery"} * 0 + 4
  or cluster_id_state:pve_ha_state:max{CLUSTER, id!~"node/.+", state="fence"} * 0 + 5
  or cluster_id_state:pve_ha_state:max{CLUSTER, id!~"node/.+", state="error"} * 0 + 6
)`

	// haNow is the worst of haGuests, not counting guests that were stopped by order.
	haNow = `max(` + haGuests + ` != 1 or on (cluster, id) ` + haStopped + `)`

	haStopped = `max by (cluster, id) (cluster_id_state:pve_ha_state:max{CLUSTER, id!~"node/.+", state="stopped"}) * 0`

	// running are the live migrations that run.
	running = `sum(max by (cluster, vmid) (qemu_migration_active{CLUSTER})) or 0 * sum(qemu_migrations_total{CLUSTER})`
)

// nodeFact is a fact of the nodes that match, with label node as the rest of the bundle names them.
func nodeFact(metric, nodes string) string {
	return fmt.Sprintf(`max by (cluster, node) (label_replace(%s{CLUSTER, id=~"node/%s"}, "node", "$1", "id", "node/(.+)"))`, metric, nodes)
}

// nodeShare is what nodes use of what they have.
func nodeShare(used, size, nodes string) string {
	return nodeFact(used, nodes) + " / " + nodeFact(size, nodes)
}

// guests are those on the nodes that match, each on one node also while three exporters see it move
// one by one.
func guests(nodes string) string {
	return fmt.Sprintf(`topk by (cluster, id) (1, max by (cluster, id, node, name) (pve_guest_info{CLUSTER, template="0", node=~"%s"}))`, nodes)
}

// guestsOn counts the guests that run on the nodes that match.
func guestsOn(nodes string) string {
	return fmt.Sprintf(`sum by (cluster, node) (%s * on (cluster, id) group_left () max by (cluster, id) (pve_up{CLUSTER, id=~"(qemu|lxc)/.+"}))`, guests(nodes))
}

// onNode adds the label node to series of an exporter that have none.
func onNode(expr string) string {
	return fmt.Sprintf("(%s) * on (cluster, instance) group_left (node) quorate:instance_node", expr)
}

// inRange counts events of a counter in the time shown, of each node once however many exporters count.
func inRange(counter string) string {
	return fmt.Sprintf(`round(sum(max by (cluster, node) (increase(%s{CLUSTER}[$__range]))))`, counter)
}

// firing counts the alerts of a severity that fire. The rules always have instance_node, so without
// rules it says nothing rather than none.
func firing(severity string) string {
	return fmt.Sprintf(`count(ALERTS{CLUSTER, alertstate="firing", severity="%s"}) or 0 * count(quorate:instance_node{CLUSTER})`, severity)
}

// frozen leaves out what nodes without quorum say of HA.
const frozen = ` and on (cluster, job, instance) (pve_ha_quorate == 1)`

// coded gives the first of the states 0, the next one 1 and so on, of series with label state that are
// 1 in the one that holds.
func coded(metric, label, and string, states ...string) string {
	var all []string
	for i, state := range states {
		all = append(all, fmt.Sprintf("  ((%s{CLUSTER, %s} == 1)%s) * 0 + %d", metric, state, and, i))
	}
	return "max by (cluster, " + label + ") (\n" + strings.Join(all, "\n  or\n") + "\n)"
}
