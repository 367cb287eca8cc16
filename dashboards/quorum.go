package dashboards

// quorum is corosync: who sees whom, over which link, and how many may still be lost.
func quorum() Dashboard {
	return Dashboard{
		UID: uidQuorum, Title: "Quorum and links",
		Question: "Who sees whom over which link, and which node or link is about to cost quorum?",
		First:    "Quorum as each node sees it",
		Variables: []Variable{
			{Name: "node", Label: "Node", Query: `label_values(corosync_member_up{CLUSTER}, node)`},
		},
		Rows: []Row{
			{Title: "Votes", Panels: voteTiles()},
			{Title: "Membership", Panels: []Panel{
				timeline("Quorum as each node sees it", "One bar a node, told by its own exporter. A gap: the exporter does not answer, as on a dead node.",
					`max by (cluster, node) (`+onNodes(`pve_cluster_quorum{CLUSTER}`)+`)`, "{{node}}", quorumWords()...),
				timeline("Nodes as the cluster sees them", "Members of the quorate partition. Away on purpose: in maintenance, or left in good order.",
					`(`+nodeStates+`) and on (cluster, node) quorate:node_up{node=~"$node"}`, "{{node}}", nodeWords()...).runbooks("NodeNotBack"),
				seesTable(),
				graph("Ring changes", "How often a new ring formed. Each stops the cluster for a moment.", "none",
					Query{`sum by (cluster, node) (` + onNodes(`increase(corosync_membership_changes_total{CLUSTER}[$__rate_interval])`) + `)`, "{{node}}"}),
			}},
			{Title: "Links", Panels: []Panel{
				timeline("Links to each node", "A link is down if any member of the quorate partition does not reach the node on it.",
					`1 - max by (cluster, node, link) (quorate:link_down{CLUSTER, node=~"$node"})`, "{{node}} link {{link}}",
					upWords("up", "down", orange, "CorosyncLinkDown")...).size(14, 7).runbooks("CorosyncLinkFlapping"),
				downTable(),
				graph("Round trip", "What 95 % of the probes keep, to each node as its worst observer measures. corosync needs less than the line.", "s",
					Query{`max by (cluster, node, link) (quorate:link_rtt:p95{CLUSTER, node=~"$node"})`, "{{node}} link {{link}}"}).
					steps(from(0.005, orange, "CorosyncLinkSlow")),
				graph("Probes lost", "Share of the probes to each node that were lost, as its worst observer measures.", "percentunit",
					Query{`max by (cluster, node, link) (quorate:link_loss:ratio{CLUSTER, node=~"$node"})`, "{{node}} link {{link}}"}).
					steps(from(0.01, orange, "CorosyncLinkLossy")).runbooks("QuorateLinksNotMeasured"),
				graph("Messages sent again", "The first sign of packet loss, as long as there is traffic.", "cps",
					Query{`sum by (cluster, node) (` + onNodes(`rate(corosync_retransmits_total{CLUSTER}[$__rate_interval])`) + `)`, "{{node}}"}),
				graph("Send errors", "Packets that a node could not send, by link.", "cps",
					Query{`sum by (cluster, node, link) (` + onNodes(`sum by (cluster, instance, link) (rate(corosync_link_send_errors_total{CLUSTER}[$__rate_interval]))`) + `)`, "{{node}} link {{link}}"}),
			}},
			{Title: "The ring's token", Panels: []Panel{
				graph("Tokens lost", "In 15 minutes, as the node that lost most of them tells.", "none",
					Query{`quorate:token_lost:increase15m{CLUSTER}`, "{{cluster}}"}).runbooks("CorosyncTokenLosses"),
				graph("Time since the token", "How long ago each node last had the token. At the timeout it gives the ring up.", "s",
					Query{`max by (cluster, node) (` + onNodes(`corosync_token_last_received_seconds{CLUSTER}`) + `)`, "{{node}}"},
					Query{`max by (cluster) (corosync_token_timeout_seconds{CLUSTER})`, "timeout {{cluster}}"}),
				graph("Waited for a CPU", "For how long corosync last was not given the CPU. After a token timeout its peers take the node for dead.", "s",
					Query{`max by (cluster, node) (` + onNodes(`corosync_schedule_miss_last_delay_seconds{CLUSTER}`) + `)`, "{{node}}"}).
					runbooks("CorosyncStarved").shows(AfterStarvation),
				graph("Packet size", "Largest packet that passes on each link. A drop is a switch or a cable that lost its MTU.", "bytes",
					Query{`min by (cluster, node, link) (` + onNodes(`min by (cluster, instance, link) (corosync_link_mtu_bytes{CLUSTER})`) + `)`, "{{node}} link {{link}}"}),
			}},
		},
	}
}

func voteTiles() []Panel {
	return []Panel{
		tile("Quorum", "Whether in every cluster some node is in a partition with quorum.", quorumNow).words(quorumWords()...),
		tile("Lose a node", "Whether every cluster keeps quorum if the node with the most votes is lost now.", spareNode).words(spareWords()...),
		tile("Votes", "Votes present in the quorate partition; of several clusters the fewest.",
			`min(max by (cluster) (corosync_total_votes{CLUSTER} and (corosync_quorate == 1)))`).runbooks("ClusterQuorumAtRisk"),
		tile("Votes needed", "Votes needed for quorum; of several clusters the most.", `max(max by (cluster) (corosync_quorum_votes{CLUSTER}))`),
		tile("Votes forced", "Votes by which pvecm expected lowered what quorum is calculated from: two halves can have quorum then.",
			`max(max by (cluster) (corosync_configured_votes{CLUSTER} - corosync_expected_votes))`).
			steps(first(orange, "CorosyncExpectedVotesForced")),
		tile("Partitions", "Partitions that have quorum at once. Two are a split brain.",
			`max(count by (cluster) (count_values by (cluster) ("leader", corosync_ring_leader_node_id{CLUSTER} and (corosync_quorate == 1))))`).
			steps(from(2, red, "ClusterSplitView")).none("none has quorum"),
		tile("Links down", "Links on which a node is not reached, as CorosyncLinkDown counts them.",
			`count((quorate:link_down:share{CLUSTER} > 0) == on (cluster, link) group_left () max by (cluster, link) (quorate:link_down:share)) or 0 * count(quorate:link_down:share{CLUSTER})`).
			steps(first(orange, "CorosyncLinkDown")),
		tile("Qdevice", "Whether the quorum device votes, for those nodes that have one.",
			`min((corosync_qdevice_configured{CLUSTER} == 1) * corosync_qdevice_cast_vote and (corosync_quorate == 1))`).
			words(upWords("votes", "NO VOTE", orange, "CorosyncQdeviceLost")...).none("no device").shows(WithQDevice),
	}
}

// seesTable is the matrix in which a split brain shows.
func seesTable() Panel {
	p := table("Who has whom as a member", "A row is what one node's corosync says of all. Rows that differ are partitions.",
		[]Key{{Label: "observer", Title: "Observer"}, {Label: "node", Title: "Node"}},
		Column{Title: "member", Expr: `max by (cluster, observer, node) (
  corosync_member_up{CLUSTER} * on (cluster, instance) group_left (observer)
  label_replace(quorate:instance_node{node=~"$node"}, "observer", "$1", "node", "(.+)")
)`, Words: upWords("member", "not", red, "NodeDown")},
	).size(12, 8).runbooks("CorosyncConfigDiffers")
	p.Matrix = true
	return p
}

func downTable() Panel {
	const down = `(max by (cluster, node, link) (quorate:link_down:share{CLUSTER, node=~"$node"}) > 0)`
	return table("Links that are down", "Nodes that are not reached on a link, by what share of the others, and how often it went down in 10 minutes.",
		[]Key{{Label: "node", Title: "Node", Link: uidGuests}, {Label: "link", Title: "Link"}},
		Column{Title: "Not reached by", Expr: down, Unit: "percentunit"},
		Column{Title: "Went down", Expr: `max by (cluster, node, link) (quorate:link_down:increase10m{CLUSTER}) and on (cluster, node, link) ` + down},
	).size(10, 7).runbooks("CorosyncLinkDown").shows(WhileLinkDown)
}

// onNodes is onNode of the chosen nodes.
func onNodes(expr string) string {
	return "(" + expr + `) * on (cluster, instance) group_left (node) quorate:instance_node{node=~"$node"}`
}
