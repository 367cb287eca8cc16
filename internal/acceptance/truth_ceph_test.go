package acceptance

import (
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
)

// healthyCeph holds on a lab of three nodes when nothing is wrong. Each node's exporter tells the
// same, so the tables mostly ask pve1's.
var healthyCeph = []string{
	`pve1,pve2,pve3: quorate_source_up == 1`,
	`pve1,pve2,pve3: quorate_source_stuck_seconds == 0`,
	`pve1,pve2,pve3: quorate_scrape_collector_success == 1`,
	`pve1,pve2,pve3: ceph_health_status == 0`,
	`pve1: ceph_mon_quorum_status == 1`,
	`pve1: sum ceph_mon_quorum_status == 3`,
	`pve1: sum ceph_mgr_status == 1`,
	`pve1: sum ceph_mgr_metadata == 2`,
	`pve1: ceph_osd_up == 1`,
	`pve1: sum ceph_osd_up == 6`,
	`pve1: ceph_osd_in == 1`,
	`pve1: sum ceph_pg_total == 40`,
	`pve1: sum ceph_pg_active == 40`,
	`pve1: sum ceph_pg_clean == 40`,
	`pve1: sum ceph_pg_degraded == 0`,
	`pve1: ceph_osd_flag_noout == 0`,
	`pve1: quorate_ceph_osd_down_survivable{failure_domain="host"} == 1`,
	`pve1: corosync_quorate == 1`,
}

// Most faults are in the maps within 5 s and in the manager's statistics 2 s later.
const mapped = 40 * time.Second

var cephTruths = []truth{
	{
		name: "OSD down", faults: []string{"osd-down 0"}, within: mapped,
		claims: []string{
			`pve1,pve2,pve3: ceph_osd_up{ceph_daemon="osd.0"} == 0`,
			`pve1: sum ceph_osd_up == 5`,
			`pve1: ceph_health_status == 1`,
			`pve1: ceph_health_detail{name="OSD_DOWN",severity="HEALTH_WARN"} == 1`,
			`pve1: sum ceph_pg_undersized > 0`,
			`pve1: sum ceph_pg_active == 40`,
		},
	},
	{
		name: "host down", faults: []string{"host-down 3"}, within: mapped,
		claims: []string{
			`pve1: sum ceph_osd_up == 4`,
			`pve1: sum ceph_pg_undersized == 40`,
			`pve1: sum ceph_pg_active == 40`,
			`pve1: quorate_ceph_osd_down_survivable{failure_domain="host"} == 0`,
		},
	},
	{
		// Ceph's own PG_AVAILABILITY follows after 60 s; the states tell at once.
		name: "two hosts down", faults: []string{"hosts-down 2 3"}, within: mapped, atOnce: true,
		claims: []string{
			`pve1: sum ceph_osd_up == 2`,
			`pve1: sum ceph_pg_active == 0`,
			`pve1: sum ceph_pg_total == 40`,
			`pve1: quorate_ceph_osd_down_survivable{failure_domain="host"} < 0`,
		},
	},
	{
		name: "OSD out, backfill", faults: []string{"osd-out-backfill 0"}, within: mapped,
		claims: []string{
			`pve1: ceph_osd_in{ceph_daemon="osd.0"} == 0`,
			`pve1: ceph_osd_up{ceph_daemon="osd.0"} == 1`,
			`pve1: sum ceph_pg_remapped > 0`,
			`pve1: ceph_num_objects_misplaced > 0`,
		},
	},
	{
		name: "5 PGs undersized", faults: []string{"pgs-undersized 5"}, within: mapped,
		claims: []string{
			`pve1: sum ceph_pg_total == 45`,
			`pve1: sum ceph_pg_undersized == 5`,
			`pve1: sum ceph_pg_active == 45`,
			`pve1: sum ceph_pg_clean == 40`,
		},
	},
	{
		name: "5 PGs inactive", faults: []string{"pgs-inactive 5"}, within: mapped,
		claims: []string{
			`pve1: sum ceph_pg_total == 45`,
			`pve1: sum ceph_pg_active == 40`,
			`pve1: sum ceph_pg_peered == 5`,
			`pve1: quorate_ceph_oldest_inactive_pg_seconds > 0`,
		},
	},
	{
		name: "3 PGs misplaced", faults: []string{"pgs-misplaced 3"}, within: mapped,
		claims: []string{
			`pve1: sum ceph_pg_remapped == 3`,
			`pve1: ceph_num_objects_misplaced > 0`,
			`pve1: sum ceph_pg_degraded == 0`,
		},
	},
	{
		name: "2 PGs inconsistent", faults: []string{"pgs-inconsistent 2"}, within: mapped,
		claims: []string{
			`pve1: sum ceph_pg_inconsistent == 2`,
			`pve1: ceph_health_status == 2`,
			`pve1: ceph_health_detail{name="PG_DAMAGED",severity="HEALTH_ERR"} == 1`,
		},
	},
	{
		name: "MON down", faults: []string{"mon-down 3"}, within: mapped,
		claims: []string{
			`pve1,pve2,pve3: ceph_mon_quorum_status{ceph_daemon="mon.pve3"} == 0`,
			`pve1: sum ceph_mon_quorum_status == 2`,
			`pve1: ceph_health_detail{name="MON_DOWN",severity="HEALTH_WARN"} == 1`,
			`pve1: quorate_source_up{source="ceph"} == 1`,
		},
	},
	{
		name: "MON quorum lost", faults: []string{"mon-quorum-lost"}, within: mapped, atOnce: true,
		claims: []string{
			`pve1,pve2,pve3: quorate_source_up{source="ceph"} == 0`,
			`pve1,pve2,pve3: ceph_* absent`,
			`pve1,pve2,pve3: quorate_ceph_* absent`,
			`pve1,pve2,pve3: quorate_scrape_collector_success{collector="ceph"} == 0`,
			`pve1,pve2,pve3: corosync_quorate == 1`,
		},
	},
	{
		name: "all MONs down", faults: []string{"mons-down"}, within: mapped,
		claims: []string{
			`pve1,pve2,pve3: quorate_source_up{source="ceph"} == 0`,
			`pve1,pve2,pve3: ceph_* absent`,
		},
	},
	{
		// Whoever was served by it must find another; the hung one leaves the quorum.
		name: "a MON hung", faults: []string{"mon-hang 1"}, within: mapped,
		claims: []string{
			`pve1,pve2,pve3: ceph_mon_quorum_status{ceph_daemon="mon.pve1"} == 0`,
			`pve1,pve2,pve3: quorate_source_up{source="ceph"} == 1`,
			`pve1,pve2,pve3: sum ceph_osd_up == 6`,
		},
	},
	{
		name: "no active mgr", faults: []string{"mgr-down"}, within: mapped,
		claims: []string{
			`pve1: quorate_source_up{source="ceph"} == 1`,
			`pve1: quorate_source_up{source="ceph_mgr"} == 0`,
			`pve1: ceph_health_detail{name="MGR_DOWN"} == 1`,
			`pve1: ceph_pg_* absent`,
			`pve1: ceph_pool_stored absent`,
			`pve1: ceph_osd_apply_latency_ms absent`,
			`pve1: sum ceph_osd_up == 6`,
		},
	},
	{
		name: "the mgr hung", faults: []string{"mgr-hang"}, within: mapped,
		claims: []string{
			`pve1: quorate_source_up{source="ceph"} == 1`,
			`pve1: quorate_source_up{source="ceph_mgr"} == 0`,
			`pve1: ceph_pg_* absent`,
			`pve1: sum ceph_osd_up == 6`,
		},
	},
	{
		name: "mgr failover", faults: []string{"mgr-failover"}, within: mapped,
		claims: []string{
			`pve1: sum ceph_mgr_metadata == 1`,
			`pve1: sum ceph_mgr_status == 1`,
			`pve1: sum ceph_pg_active == 40`,
		},
	},
	{
		name: "backfillfull", faults: []string{"backfillfull"}, within: mapped,
		claims: []string{`pve1: ceph_health_detail{name="OSD_BACKFILLFULL",severity="HEALTH_WARN"} == 1`},
	},
	{
		name: "pool over its quota", faults: []string{"pool-quota"}, within: mapped,
		claims: []string{`pve1: ceph_health_detail{name="POOL_FULL",severity="HEALTH_WARN"} == 1`},
	},
	{
		name: "nearfull", faults: []string{"nearfull"}, within: mapped,
		claims: []string{
			`pve1: ceph_health_detail{name="OSD_NEARFULL",severity="HEALTH_WARN"} == 1`,
			`pve1: ceph_osd_nearfull_ratio < 0.1`,
		},
	},
	{
		name: "full", faults: []string{"full"}, within: mapped,
		claims: []string{
			`pve1: ceph_health_detail{name="OSD_FULL",severity="HEALTH_ERR"} == 1`,
			`pve1: ceph_health_status == 2`,
			`pve1: ceph_osd_full_ratio < 0.1`,
		},
	},
	{
		name: "flags", faults: []string{"flags noout norebalance"}, within: mapped,
		claims: []string{
			`pve1: ceph_osd_flag_noout == 1`,
			`pve1: ceph_osd_flag_norebalance == 1`,
			`pve1: ceph_osd_flag_nodown == 0`,
			`pve1: ceph_health_detail{name="OSDMAP_FLAGS",severity="HEALTH_WARN"} == 1`,
		},
	},
	{
		name: "slow ops", faults: []string{"slow-ops"}, within: mapped,
		claims: []string{
			`pve1: ceph_healthcheck_slow_ops > 0`,
			`pve1: sum ceph_daemon_health_metrics{type="SLOW_OPS"} > 0`,
			`pve1: ceph_health_detail{name="SLOW_OPS",severity="HEALTH_WARN"} == 1`,
		},
	},
	{
		name: "recent crash", faults: []string{"crash"}, within: mapped,
		claims: []string{
			`pve1: ceph_health_detail{name="RECENT_CRASH",severity="HEALTH_WARN"} == 1`,
		},
	},
	{
		name: "node down", faults: []string{"node-down 3"}, within: mapped,
		claims: []string{
			`pve1,pve2: ceph_mon_quorum_status{ceph_daemon="mon.pve3"} == 0`,
			`pve1,pve2: sum ceph_osd_up == 4`,
			`pve1,pve2: corosync_member_up{node="pve3"} == 0`,
			`pve1,pve2: quorate_source_up == 1`,
		},
	},
}

func TestLabCephTruth(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{Nodes: 3, Ceph: true})
	exporters := startExporters(t, l, l.ExporterArgs()...)
	proveAll(t, l, exporters, healthyCeph, cephTruths)
}
