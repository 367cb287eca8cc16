package dashboards

// ceph is Ceph as guests feel it: whether data is served and safe, and what mending it costs them.
func ceph() Dashboard {
	return Dashboard{
		UID: uidCeph, Title: "Ceph",
		Question: "Is data served and safe, does Ceph mend itself, and does it leave clients enough?",
		First:    "PGs by trouble",
		Variables: []Variable{
			{Name: "node", Label: "Node", Query: `label_values(corosync_member_up{CLUSTER}, node)`},
			{Name: "pool", Label: "Pool", Query: `label_values(ceph_pool_metadata{CLUSTER}, name)`},
		},
		Rows: []Row{
			{Title: "Now", Panels: append(cephTiles(), cephSpaceTiles()...)},
			{Title: "Data", Panels: []Panel{
				graph("PGs by trouble", "Placement groups by what is wrong. Inactive ones serve nobody; undersized ones have too few copies; the rest waits for recovery.", "none",
					Query{`cluster:ceph_pg_inactive:sum{CLUSTER}`, "inactive {{cluster}}"},
					Query{`cluster:ceph_pg_undersized:sum{CLUSTER}`, "undersized {{cluster}}"},
					Query{`cluster:ceph_pg_degraded:sum{CLUSTER}`, "degraded {{cluster}}"},
					Query{`cluster:ceph_pg_remapped:sum{CLUSTER}`, "remapped {{cluster}}"},
					Query{`cluster:ceph_pg_inconsistent:sum{CLUSTER}`, "inconsistent {{cluster}}"},
				).runbooks("CephPGsInactive", "CephPGsUndersized", "CephPGsDamaged", "CephPGsStuck", "CephPGRepairFailed"),
				timeline("Health checks", "What Ceph complains of, muted or not.",
					`max by (cluster, name) (ceph_health_detail{CLUSTER, severity="HEALTH_ERR"} * 2 or ceph_health_detail{CLUSTER, severity!="HEALTH_ERR"})`,
					"{{name}}", checkWords()...).size(12, 8).
					runbooks("CephHealthMuted", "CephMonClockSkew", "CephMonDiskLow", "CephMonDiskCritical", "CephMgrModuleFailed").shows(WhileWarned),
				graph("Copies missing or misplaced", "Copies of objects. Misplaced ones are safe, degraded ones are missing, unfound ones are lost unless an OSD returns.", "short",
					Query{`max by (cluster) (ceph_num_objects_degraded{CLUSTER})`, "degraded {{cluster}}"},
					Query{`max by (cluster) (ceph_num_objects_misplaced{CLUSTER})`, "misplaced {{cluster}}"},
					Query{`max by (cluster) (ceph_num_objects_unfound{CLUSTER})`, "unfound {{cluster}}"},
				).size(8, 8).runbooks("CephPGsDegraded", "CephObjectsUnfound"),
				graph("Recovery and clients", "What recovery moves against what guests read and write.", "Bps",
					Query{recoveryBytes, "recovery"}, Query{clientRead, "clients read"}, Query{clientWrite, "clients write"},
				).size(8, 8).runbooks("CephRecoveryStarvesClients"),
				graph("Time to heal", "Until no copy is missing or misplaced, at the pace of now.", "s",
					Query{healTime, "{{cluster}}"}).size(8, 8).shows(WhileRecovering),
			}},
			{Title: "OSDs", Panels: []Panel{
				timeline("OSDs down by host", "How many OSDs of a host are down.",
					`sum by (cluster, node) (ceph_daemon:ceph_osd_up:max{CLUSTER, node=~"$node"} == bool 0)`, "{{node}}").
					steps(first(orange, "CephOSDHostDown")).runbooks("CephOSDDown", "CephOSDFlapping"),
				graph("Write latency of the slowest OSDs", "The ten slowest OSDs, mean of 10 minutes. One far above its like slows every write that has a copy there.", "ms",
					Query{`topk(10, max by (cluster, ceph_daemon, node) (ceph_daemon:ceph_osd_commit_latency_ms:avg10m{CLUSTER, node=~"$node"}))`, "{{ceph_daemon}} {{node}}"}).
					size(12, 7).steps(from(20, orange, "CephOSDSlow")),
				osdTable(),
			}},
			{Title: "Pools", Panels: []Panel{
				poolTable(),
				graph("Reads and writes by pool", "Operations a second of clients.", "ops",
					Query{byPool(`max by (cluster, pool_id) (rate(ceph_pool_rd{CLUSTER}[$__rate_interval]))`), "{{pool}} read"},
					Query{byPool(`max by (cluster, pool_id) (rate(ceph_pool_wr{CLUSTER}[$__rate_interval]))`), "{{pool}} write"}),
				graph("Use of pools", "Share of what the pool can take. At the line a pool is nearly full.", "percentunit",
					Query{`max by (cluster, pool) (pool:ceph_pool_percent_used:max{CLUSTER, pool=~"$pool"})`, "{{pool}}"}).
					steps(from(0.85, orange, "CephPoolNearFull")).runbooks("CephPoolGrowth", "CephPoolFull"),
			}},
			{Title: "Monitors and managers", Collapsed: true, Panels: []Panel{
				timeline("Monitors", "Whether each monitor is in quorum. A gap: the monitors have no quorum.",
					`max by (cluster, ceph_daemon) (ceph_daemon:ceph_mon_quorum_status:max{CLUSTER})`, "{{ceph_daemon}}", upWords("in quorum", "out", orange, "CephMonDown")...),
				timeline("Managers", "The active manager counts PGs and use; without one all that is frozen.",
					`max by (cluster, ceph_daemon) (ceph_mgr_status{CLUSTER})`, "{{ceph_daemon}}", Word{0, "standby", blue, ""}, Word{1, "active", green, ""}).
					runbooks("CephNoActiveMgr", "CephMgrStandbyLost"),
				timeline("Flags", "Flags of the OSD map that keep Ceph from mending itself.",
					`cluster:ceph_osd_flag:max{CLUSTER}`, "{{flag}}", Word{0, "not set", green, ""}, Word{1, "set", orange, "CephFlagsLeftSet"}).size(24, 7).runbooks("CephIOPaused"),
			}},
		},
	}
}

func cephTiles() []Panel {
	return []Panel{
		tile("Health", "Ceph's health as the monitors say now, or that they have no quorum.", cephNow).words(cephWords()...).none("no Ceph"),
		tile("Mons missing", "Monitors of the map that are not in quorum.", `sum(ceph_daemon:ceph_mon_quorum_status:max{CLUSTER} == bool 0)`).
			steps(first(orange, "CephMonDown")).runbooks("CephMonQuorumAtRisk"),
		tile("Manager", "Whether a manager answers. Without one, PGs and use are frozen numbers.", `min(max by (cluster) (quorate_source_up{CLUSTER, source="ceph_mgr"}))`).
			words(upWords("answers", "NONE", red, "CephNoActiveMgr")...).none("no Ceph"),
		tile("PGs inactive", "Placement groups that serve nobody: guests with data there hang.", `sum(cluster:ceph_pg_inactive:sum{CLUSTER})`).
			steps(first(red, "CephPGsInactive")),
		tile("Hosts to lose", "How many more hosts, or whatever the failure domain is, may be lost before guests stop.",
			`min(min by (cluster, failure_domain) (quorate_ceph_osd_down_survivable{CLUSTER}))`).runbooks("CephNextHostLossInactive"),
		tile("Unfound", "Objects of which no copy can be found.", `sum(max by (cluster) (ceph_num_objects_unfound{CLUSTER}))`).
			steps(first(red, "CephObjectsUnfound")),
		tile("Slow requests", "Requests that wait for over 30 s.", `sum(max by (cluster) (ceph_healthcheck_slow_ops{CLUSTER}))`).
			steps(first(orange, "CephSlowOps")).runbooks("CephClientsBlocked"),
		tile("OSDs down", "OSDs that are down, also those marked out, which Ceph's health forgets.", osdsDown).
			steps(first(orange, "CephOSDDown")),
	}
}

func cephSpaceTiles() []Panel {
	tiles := []Panel{
		tile("PGs clean", "Share of the placement groups that are as they should be.",
			`sum(max by (cluster, pool_id) (ceph_pg_clean{CLUSTER})) / sum(max by (cluster, pool_id) (ceph_pg_total{CLUSTER}))`).unit("percentunit"),
		tile("Recovery", "Bytes a second that Ceph moves to mend or to balance itself.", recoveryBytes).unit("Bps"),
		tile("Used", "Raw bytes in use, of all there are.",
			`sum(max by (cluster) (ceph_cluster_total_used_raw_bytes{CLUSTER})) / sum(max by (cluster) (ceph_cluster_total_bytes{CLUSTER}))`).unit("percentunit"),
		tile("Fullest OSD", "Use of the OSD that is fullest. When it is full, Ceph refuses the writes of all.", `max(cluster:ceph_osd_use:max{CLUSTER})`).
			unit("percentunit").runbooks("CephOSDNearFull", "CephOSDBackfillFull", "CephOSDFull"),
		tile("Fullest pool", "Use of the pool that is fullest.", `max(pool:ceph_pool_percent_used:max{CLUSTER})`).
			unit("percentunit").steps(from(0.85, orange, "CephPoolNearFull")),
		tile("Out", "OSDs that are out: no data is placed on them.", `sum(max by (cluster, ceph_daemon) (ceph_osd_in{CLUSTER}) == bool 0)`),
		tile("Flags set", "Flags of the OSD map that keep Ceph from mending itself.", `sum(cluster:ceph_osd_flag:max{CLUSTER})`).
			runbooks("CephFlagsLeftSet"),
		tile("Crashes", "Whether a daemon crashed lately and nobody has archived the report.",
			`max(max by (cluster) (ceph_health_detail{CLUSTER, name="RECENT_CRASH"})) or 0 * max(ceph_health_status{CLUSTER})`).
			words(Word{0, "none", green, ""}, Word{1, "yes", orange, "CephDaemonCrash"}),
	}
	for i := range tiles {
		tiles[i].Height = 3
	}
	return tiles
}

// healTime divides what is left by what is mended in a second, as Ceph tells; it tells of no less than
// one, so else by how fast the rest became less.
const (
	healTime = unhealed + `
/
(sum by (cluster) (max by (cluster, pool_id) (ceph_pool_recovering_objects_per_sec{CLUSTER})) > 0)
or on (cluster)
` + unhealed + `
/
(-1 * min by (cluster) (deriv(ceph_num_objects_degraded{CLUSTER}[5m]) + deriv(ceph_num_objects_misplaced[5m])) > 0)`

	unhealed = `max by (cluster) (ceph_num_objects_degraded{CLUSTER} + ceph_num_objects_misplaced)`
)

func osdTable() Panel {
	osd := func(metric string) string { return `max by (cluster, ceph_daemon) (` + metric + `{CLUSTER})` }
	onHosts := ` * on (cluster, ceph_daemon) group_left (node, device_class) ceph_daemon:ceph_osd_metadata:info{node=~"$node"}`
	return table("OSDs", "Each OSD that ever started. One that is down has no use and no PGs.",
		[]Key{{Label: "node", Title: "Host"}, {Label: "ceph_daemon", Title: "OSD"}, {Label: "device_class", Title: "Class"}},
		Column{Title: "Up", Expr: osd("ceph_osd_up") + onHosts, Words: upWords("up", "down", orange, "CephOSDDown")},
		Column{Title: "In", Expr: osd("ceph_osd_in") + onHosts, Words: []Word{{0, "out", blue, ""}, {1, "in", green, ""}}},
		Column{Title: "Used", Expr: osd("ceph_osd_stat_bytes_used") + ` / (` + osd("ceph_osd_stat_bytes") + ` > 0)` + onHosts, Unit: "percentunit", Bar: true},
		Column{Title: "Size", Expr: osd("ceph_osd_stat_bytes") + onHosts, Unit: "bytes"},
		Column{Title: "PGs", Expr: osd("ceph_osd_numpg") + onHosts},
		Column{Title: "Commit", Expr: osd("ceph_osd_commit_latency_ms") + onHosts, Unit: "ms"},
		Column{Title: "Weight", Expr: osd("ceph_osd_weight") + onHosts},
	)
}

func poolTable() Panel {
	pool := func(metric string) string { return byPool(`max by (cluster, pool_id) (` + metric + `{CLUSTER})`) }
	return table("Pools", "Each pool with its use. What it can still take shrinks with the fullest OSD.",
		[]Key{{Label: "pool", Title: "Pool"}},
		Column{Title: "Used", Expr: pool("ceph_pool_percent_used"), Unit: "percentunit", Bar: true, Steps: []Step{from(0.85, orange, "CephPoolNearFull")}},
		Column{Title: "Stored", Expr: pool("ceph_pool_stored"), Unit: "bytes"},
		Column{Title: "Still free", Expr: pool("ceph_pool_max_avail"), Unit: "bytes"},
		Column{Title: "Quota", Expr: pool("ceph_pool_quota_bytes"), Unit: "bytes"},
		Column{Title: "Objects", Expr: pool("ceph_pool_objects"), Unit: "short"},
		Column{Title: "PGs", Expr: pool("ceph_pg_total")},
		Column{Title: "Inactive", Expr: byPool(`max by (cluster, pool_id) (pool:ceph_pg_inactive:max{CLUSTER})`), Steps: []Step{first(red, "CephPGsInactive")}},
		Column{Title: "Undersized", Expr: pool("ceph_pg_undersized"), Steps: []Step{first(orange, "CephPGsUndersized")}},
		Column{Title: "Recovery", Expr: pool("ceph_pool_recovering_bytes_per_sec"), Unit: "Bps"},
	)
}

// byPool puts the names of the chosen pools in place of their ids.
func byPool(expr string) string {
	return `max by (cluster, pool) (` + expr + ` * on (cluster, pool_id) group_left (pool) pool:ceph_pool_metadata:info{pool=~"$pool"})`
}
