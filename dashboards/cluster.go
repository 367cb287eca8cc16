package dashboards

// cluster is the page for the wall: one screen, and every tile leads to the page that tells more.
func cluster() Dashboard {
	return Dashboard{
		UID: uidCluster, Title: "Cluster",
		Question: "Is all well: quorum, a node to spare, Ceph whole, HA guests where they should be, nothing firing?",
		First:    "Quorum",
		Rows: []Row{
			{Title: "Now", Panels: append(clusterTiles(), clusterMotionTiles()...)},
			{Title: "What happened", Panels: []Panel{
				timeline("Nodes", "Each node as the quorate partition sees it. A gap: no partition has quorum.",
					nodeStates, "{{node}}", nodeWords()...).size(12, 5).detail(uidQuorum),
				timeline("HA guests", "State of each guest in the HA manager. A gap: no quorum, and HA's states are frozen.",
					haGuests, "{{id}}", haWords()...).size(12, 5).detail(uidHA),
				graph("PGs not as they should be", "Placement groups by what is wrong with them; inactive ones serve nobody.", "none",
					Query{`cluster:ceph_pg_inactive:sum{CLUSTER}`, "inactive {{cluster}}"},
					Query{`cluster:ceph_pg_undersized:sum{CLUSTER}`, "undersized {{cluster}}"},
					Query{`cluster:ceph_pg_degraded:sum{CLUSTER}`, "degraded {{cluster}}"},
					Query{`cluster:ceph_pg_remapped:sum{CLUSTER}`, "remapped {{cluster}}"},
				).size(12, 5).runbooks("CephPGsInactive").detail(uidCeph),
				graph("Recovery and clients", "What recovery moves against what guests read and write: when recovery leaves clients nothing, guests are slow.", "Bps",
					Query{recoveryBytes, "recovery"}, Query{clientRead, "clients read"}, Query{clientWrite, "clients write"},
				).size(12, 5).detail(uidCeph),
			}},
			{Title: "Now in detail", Panels: []Panel{
				firingTable().size(12, 7),
				nodeTable(".+").size(12, 7),
			}},
		},
	}
}

// clusterTiles say what is wrong.
func clusterTiles() []Panel {
	return []Panel{
		tile("Quorum", "Whether in every cluster some node is in a partition with quorum.", quorumNow).
			words(quorumWords()...).detail(uidQuorum),
		tile("Lose a node", "Whether every cluster keeps quorum if the node with the most votes is lost now.", spareNode).
			words(spareWords()...).detail(uidQuorum),
		tile("Nodes down", "Nodes that the quorate partition lost without a goodbye.", nodesDown).
			steps(first(red, "NodeDown")).detail(uidQuorum),
		tile("HA guests", "The worst state of any guest under HA.", haNow).
			words(haWords()...).none("no HA, or no quorum").detail(uidHA),
		tile("Ceph", "Ceph's health as the monitors say now, or that they have no quorum.", cephNow).
			words(cephWords()...).none("no Ceph").detail(uidCeph),
		tile("PGs inactive", "Placement groups that serve nobody: guests with data there hang.", `sum(cluster:ceph_pg_inactive:sum{CLUSTER})`).
			steps(first(red, "CephPGsInactive")).detail(uidCeph),
		tile("OSDs down", "OSDs that are down, also those marked out, which Ceph's health forgets.", osdsDown).
			steps(first(orange, "CephOSDDown")).detail(uidCeph),
		tile("Pages", "Alerts of severity critical that fire.", firing("critical")).
			steps(Step{From: 1, Colour: red}).none("no rules loaded").detail(uidSelf),
	}
}

// clusterMotionTiles say what moves, and what has happened.
func clusterMotionTiles() []Panel {
	tiles := []Panel{
		tile("PGs degraded", "Placement groups with objects that lack copies.", `sum(cluster:ceph_pg_degraded:sum{CLUSTER})`).
			steps(first(orange, "CephPGsDegraded")).detail(uidCeph),
		tile("Recovery", "Bytes a second that Ceph moves to mend or to balance itself.", recoveryBytes).unit("Bps").detail(uidCeph),
		tile("Fullest OSD", "Use of the OSD that is fullest. When it is full, Ceph refuses the writes of all.", `max(cluster:ceph_osd_use:max{CLUSTER})`).
			unit("percentunit").runbooks("CephOSDNearFull").detail(uidCeph),
		tile("Migrations", "Live migrations that run now.", running).detail(uidMigration),
		tile("Fences", "Nodes fenced in the time shown.", inRange("pve_ha_fence_total")).detail(uidHA),
		tile("Failovers", "Guests that HA moved from lost nodes in the time shown.", inRange("pve_ha_failover_total")).detail(uidHA),
		tile("Not recovered", "Guests that HA gave up on, or did not move from a lost node in time, in the time shown.", inRange("pve_ha_failover_failed_total")).
			steps(first(orange, "HAFailoverFailed")).detail(uidHA),
		tile("Blind spots", "Exporters that do not answer. What only they see is not known.", `sum(up{CLUSTER, job="proxmox"} == bool 0)`).
			steps(first(orange, "QuorateDown")).detail(uidSelf),
	}
	for i := range tiles {
		tiles[i].Height = 3
	}
	return tiles
}

func firingTable() Panel {
	return table("Alerts that fire", "Alerts of the bundle that fire, whether or not they were sent to anybody.",
		[]Key{{Label: "severity", Title: "Severity"}, {Label: "alertname", Title: "Alert", Runbook: true}, {Label: "node", Title: "Node"},
			{Label: "id", Title: "Guest"}, {Label: "subject", Title: "Subject"}},
		Column{Title: "Firing", Expr: `max by (cluster, severity, alertname, subject, node, id) (ALERTS{CLUSTER, alertstate="firing", subject!=""})`},
	).shows(WhileAlerting)
}

// nodeTable is of the nodes that match.
func nodeTable(nodes string) Panel {
	return table("Nodes", "Each node with its load. CPU and memory are those that Proxmox VE tells.",
		[]Key{{Label: "node", Title: "Node", Link: uidGuests}},
		Column{Title: "State", Expr: `max by (cluster, node) (` + nodeStates + `) and on (cluster, node) quorate:node_up{node=~"` + nodes + `"}`, Words: nodeWords()},
		Column{Title: "CPU", Expr: nodeFact("pve_cpu_usage_ratio", nodes), Unit: "percentunit", Bar: true},
		Column{Title: "Memory", Expr: nodeShare("pve_memory_usage_bytes", "pve_memory_size_bytes", nodes), Unit: "percentunit", Bar: true},
		Column{Title: "Root disk", Expr: nodeShare("pve_disk_usage_bytes", "pve_disk_size_bytes", nodes), Unit: "percentunit", Bar: true},
		Column{Title: "Up for", Expr: nodeFact("pve_uptime_seconds", nodes), Unit: "dtdurations"},
		Column{Title: "Guests running", Expr: guestsOn(nodes)},
		Column{Title: "OSDs up", Expr: `sum by (cluster, node) (ceph_daemon:ceph_osd_up:max{CLUSTER, node=~"` + nodes + `"})`},
	)
}
