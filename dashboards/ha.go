package dashboards

// ha is Proxmox's HA manager: what it would do if a node died now, and what it did.
func ha() Dashboard {
	return Dashboard{
		UID: uidHA, Title: "HA and failover",
		Question: "Would a lost node be fenced and its guests started elsewhere, and how long did that take?",
		First:    "Guests",
		Variables: []Variable{
			{Name: "guest", Label: "Guest", Query: `label_values(pve_ha_service_node_info{CLUSTER}, id)`},
		},
		Rows: []Row{
			{Title: "Now", Panels: append(haTiles(), haRangeTiles()...)},
			{Title: "What happened", Panels: []Panel{
				timeline("Guests", "State of each guest in the HA manager. A gap: no quorum, and HA's states are frozen.",
					`(`+haGuests+`) and on (cluster, id) pve_ha_service_node_info{id=~"$guest"}`, "{{id}}", haWords()...).
					size(24, 8).runbooks("HARecoveryStuck", "HAServiceFrozenOnDeadNode"),
				timeline("Nodes", "State of each node in the HA manager, which marks a lost node for fencing after 60 s.",
					coded("cluster_node_state:pve_ha_state:max", "node", "", `state="online"`, `state="maintenance"`, `state="unknown"`, `state="fence"`, `state="gone"`),
					"{{node}}", haNodeWords()...).runbooks("HAMaintenanceLeftOn"),
				timeline("Local resource managers", "State of each node's LRM, as it last said. Idle ones have no HA guest.",
					coded("pve_ha_lrm_state", "node", frozen, `state="wait_for_agent_lock"`, `state="active"`, `state="maintenance"`, `state="lost_agent_lock"`),
					"{{node}}", lrmWords()...),
				graph("Guests under HA by node", "Where the HA manager has its guests: a failover shows as a step.", "none",
					Query{`count by (cluster, node) (cluster_id_node:pve_ha_service_node_info:topk{CLUSTER, id=~"$guest"})`, "{{node}}"}).stacked(),
				timeline("Master", "Node whose manager is the master. A new one takes over 120 s after the old one's last sign of life.",
					`max by (cluster, node) (pve_ha_manager_info{CLUSTER} and on (cluster, job, instance) (pve_ha_quorate == 1))`,
					"{{node}}", Word{1, "master", green, ""}).size(12, 8).runbooks("HANoMaster"),
			}},
			{Title: "Failover against budget", Panels: []Panel{
				graph("Failovers that run", "For how long a guest of a lost node has been down. 140 s are usual, 200 s if the master was on that node.", "s",
					Query{`max by (cluster, id) (pve_ha_failover_in_progress_seconds{CLUSTER, id=~"$guest"} and on (cluster, job, instance) (pve_ha_quorate == 1))`, "{{id}}"}).
					steps(from(240, orange, "HAFailoverSlow")).shows(WhileFailingOver),
				graph("Failovers that ended", "Mean time from the node's last sign of life to its guests running elsewhere.", "s",
					Query{`max by (cluster) (increase(pve_ha_failover_duration_seconds_sum{CLUSTER}[$__rate_interval]) / (increase(pve_ha_failover_duration_seconds_count{CLUSTER}[$__rate_interval]) > 0))`, "mean {{cluster}}"}).
					steps(from(240, orange, "HAFailoverSlow")).points().shows(AfterFailover),
				graph("Fences and failovers", "Fences confirmed, guests that run elsewhere, and failovers that failed, of each lost node.", "none",
					Query{counted("pve_ha_fence_total"), "fences {{node}}"},
					Query{counted("pve_ha_failover_total"), "failovers {{node}}"},
					Query{counted("pve_ha_failover_failed_total"), "failed {{node}}"}).
					bars().runbooks("HAFenceNotConfirmed", "HAFailoverFailed"),
				graph("Signs of life", "Age of what the master and each LRM last wrote. The master writes each 10 s, an LRM each 5 s.", "s",
					Query{masterAge, "master {{cluster}}"},
					Query{lrmAge, "{{node}}"}).
					steps(from(30, orange, "HALRMDead"), from(120, red, "HAManagerDead")),
			}},
			{Title: "Guests under HA", Panels: []Panel{haTable()}},
		},
	}
}

const (
	masterAge = `time() - cluster:pve_ha_manager_last_update_timestamp_seconds:max{CLUSTER}`
	lrmAge    = `time() - max by (cluster, node) (pve_ha_lrm_last_update_timestamp_seconds{CLUSTER} and on (cluster, job, instance) (pve_ha_quorate == 1))`
)

func haTiles() []Panel {
	return []Panel{
		tile("HA guests", "The worst state of any guest under HA.", haNow).words(haWords()...).none("no HA, or no quorum"),
		tile("Armed", "Whether a lost node would be fenced and its guests recovered.",
			`min(max by (cluster) (pve_ha_armed{CLUSTER} and on (cluster, job, instance) (pve_ha_quorate == 1)))`).
			words(upWords("yes", "NO", orange, "HADisarmed")...).none("no HA, or no quorum"),
		{
			Kind: Tile, Title: "Master", About: "Node whose manager is the master, or was the last one.",
			Queries: []Query{{`topk by (cluster) (1, max by (cluster, node) (pve_ha_manager_info{CLUSTER} and on (cluster, job, instance) (pve_ha_quorate == 1)))`, "{{node}}"}},
			Unit:    "none", None: "none", Width: 3, Height: 4, Name: true, Runbooks: []string{"HANoMaster"},
		},
		tile("Master wrote", "How long ago the master last wrote its status.", `max(`+masterAge+`)`).
			unit("s").steps(from(120, red, "HAManagerDead")).none("no HA, or no quorum"),
		tile("LRMs silent", "Nodes online whose local resource manager has written nothing for over 30 s.",
			`sum(((`+lrmAge+`) > bool 30) * on (cluster, node) cluster_node_state:pve_ha_state:max{CLUSTER, state="online"})`).
			steps(first(orange, "HALRMDead")).none("no HA, or no quorum"),
		tile("In error", "Guests that the manager has given up on.", haCount(`state="error"`)).
			steps(first(red, "HAServiceError")).none("no HA, or no quorum"),
		tile("In failover", "Guests of lost nodes that do not run elsewhere yet.", haCount(`state=~"fence|recovery"`)).none("no HA, or no quorum"),
		tile("Maintenance", "Nodes that HA has in maintenance.",
			`count(cluster_node_state:pve_ha_state:max{CLUSTER, state="maintenance"}) or 0 * count(cluster_node_state:pve_ha_state:max{CLUSTER})`).
			runbooks("HAMaintenanceLeftOn").none("no HA, or no quorum"),
	}
}

func haRangeTiles() []Panel {
	tiles := []Panel{
		tile("Fences", "Nodes fenced in the time shown.", inRange("pve_ha_fence_total")),
		tile("Failovers", "Guests that HA moved from lost nodes in the time shown.", inRange("pve_ha_failover_total")),
		tile("Not recovered", "Guests that HA gave up on, or did not move from a lost node in time, in the time shown.", inRange("pve_ha_failover_failed_total")).
			steps(first(orange, "HAFailoverFailed")),
		tile("Took", "Mean time of the failovers in the time shown.",
			`max(max by (cluster) (increase(pve_ha_failover_duration_seconds_sum{CLUSTER}[$__range]) / (increase(pve_ha_failover_duration_seconds_count{CLUSTER}[$__range]) > 0)))`).
			unit("s").steps(from(240, orange, "HAFailoverSlow")).none("none").shows(AfterFailover),
	}
	for i := range tiles {
		tiles[i].Width, tiles[i].Height = 6, 3
	}
	return tiles
}

// haCount counts guests in a state.
func haCount(state string) string {
	const guests = `cluster_id_state:pve_ha_state:max{CLUSTER, id!~"node/.+"`
	return `count(` + guests + `, ` + state + `}) or 0 * count(` + guests + `})`
}

// counted is what a counter with label node gained since the point before.
func counted(counter string) string {
	return `round(max by (cluster, node) (increase(` + counter + `{CLUSTER}[$__rate_interval])))`
}

func haTable() Panel {
	guest := func(metric string) string {
		return `max by (cluster, id) (` + metric + `{CLUSTER, id=~"$guest"} and on (cluster, job, instance) (pve_ha_quorate == 1))`
	}
	return table("Guests under HA", "What the manager does with each guest, and how often it may try.",
		[]Key{{Label: "id", Title: "Guest"}, {Label: "node", Title: "Node", Link: uidGuests}, {Label: "state", Title: "Asked for"}},
		Column{Title: "State", Expr: `(` + haGuests + `) and on (cluster, id) pve_ha_service_node_info{id=~"$guest"}`, Words: haWords()},
		Column{Expr: `max by (cluster, id, node) (cluster_id_node:pve_ha_service_node_info:topk{CLUSTER, id=~"$guest"})`},
		Column{Expr: `max by (cluster, id, state) ((pve_ha_requested_state{CLUSTER, id=~"$guest"} == 1) and on (cluster, job, instance) (pve_ha_quorate == 1))`},
		Column{Title: "Failed starts", Expr: guest("pve_ha_service_failed_starts")},
		Column{Title: "Tries on a node", Expr: guest("pve_ha_service_max_restart")},
		Column{Title: "Other nodes to try", Expr: guest("pve_ha_service_max_relocate")},
	)
}
