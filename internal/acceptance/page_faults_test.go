package acceptance

import "time"

// commonPages are the faults that every run makes.
var commonPages = []pageFault{
	{
		// Three faults that have nothing to do with each other are three pages.
		name: "link, OSD and HA service", faults: []string{"ha-error 102", "link-down 3 1", "osd-down 0"},
		pages: []string{
			`CorosyncLinkDown{node="pve3",link="1"}`,
			`CephOSDDown{ceph_daemon="osd.0",node="pve1"}`,
			`HAServiceError{id="qemu/102"}`,
		},
	},
	{name: "quorum lost", faults: []string{"partition-links 1 2 3"}, pages: []string{`ClusterQuorumLost`}},
	{name: "MON quorum lost", faults: []string{"mon-quorum-lost"}, pages: []string{`CephMonitorsUnreachable`}},
	{name: "node down", faults: []string{"node-down 3"}, pages: []string{`NodeDown{node="pve3"}`}, most: 3},
}

var corosyncPages = []pageFault{
	{name: "two nodes down", faults: []string{"node-down 2 3"}, pages: []string{`ClusterQuorumLost`}},
	{name: "partition", faults: []string{"partition 1 2,3"}, pages: []string{`NodeDown{node="pve1"}`}, most: 3},
	{name: "partition of the links", faults: []string{"partition-links 3 1,2"}, pages: []string{`NodeDown{node="pve3"}`}, most: 3},
	{name: "link delayed", faults: []string{"link-delay 3 0 20"}, pages: []string{`CorosyncLinkSlow{node="pve3",link="0"}`}, within: 2 * time.Minute},
	{name: "link loses packets", faults: []string{"link-loss 3 1 20"}, pages: []string{`CorosyncLinkLossy{node="pve3",link="1"}`}, within: 2 * time.Minute},
	{name: "corosync stopped", faults: []string{"corosync-stop 2"}, pages: []string{`NodeNotBack{node="pve2"}`}, within: 2 * time.Minute, most: 3},
	{name: "corosync killed", faults: []string{"corosync-kill 2"}, pages: []string{`NodeDown{node="pve2"}`}, most: 3},
	{
		name: "expected votes forced", faults: []string{"node-down 2 3", "until pve1: corosync_total_votes == 1", "expected-votes 1"},
		pages: []string{`NodeDown{node="pve2"}`, `NodeDown{node="pve3"}`, `CorosyncExpectedVotesForced`}, most: 3,
	},
	{name: "wait for all", faults: []string{"wait-for-all"}, pages: []string{`ClusterQuorumLost`}},
	// Last, because corosync tells for 10 minutes of its own that it had no CPU.
	{name: "corosync hung", faults: []string{"corosync-hang 2"}, pages: []string{`NodeDown{node="pve2"}`}, most: 3, resolve: 12 * time.Minute},
}

// In the lab an OSD that is down is not taken out for an hour, so that its data stay where they were.
var cephPages = []pageFault{
	{name: "OSD down", faults: []string{"osd-down 0"}, pages: []string{`CephOSDDown{ceph_daemon="osd.0",node="pve1"}`, `CephNextHostLossInactive`}, within: 2 * time.Minute},
	{name: "host down", faults: []string{"host-down 3"}, pages: []string{`CephOSDHostDown{node="pve3"}`, `CephNextHostLossInactive`}, within: 2 * time.Minute},
	{name: "two hosts down", faults: []string{"hosts-down 2 3"}, pages: []string{`CephPGsInactive`, `CephOSDHostDown{node="pve2"}`, `CephOSDHostDown{node="pve3"}`}, within: 2 * time.Minute},
	{name: "MON down", faults: []string{"mon-down 3"}, pages: []string{`CephMonDown{ceph_daemon="mon.pve3",node="pve3"}`, `CephMonQuorumAtRisk`}, within: 2 * time.Minute},
	{name: "MON hung", faults: []string{"mon-hang 1"}, pages: []string{`CephMonDown{ceph_daemon="mon.pve1",node="pve1"}`, `CephMonQuorumAtRisk`}, within: 2 * time.Minute},
	{name: "all MONs down", faults: []string{"mons-down"}, pages: []string{`CephMonitorsUnreachable`}},
	{name: "no active mgr", faults: []string{"mgr-down"}, pages: []string{`CephNoActiveMgr`}},
	{name: "mgr hung", faults: []string{"mgr-hang"}, pages: []string{`CephNoActiveMgr`}},
	{name: "mgr failover", faults: []string{"mgr-failover"}, pages: []string{`CephMgrStandbyLost`}, within: 2 * time.Minute},
	{name: "OSD out, backfill", faults: []string{"osd-out-backfill 0"}},
	{name: "PGs inactive", faults: []string{"pgs-inactive 5"}, pages: []string{`CephPGsInactive`}},
	{name: "PGs undersized", faults: []string{"pgs-undersized 5"}, pages: []string{`CephPGsUndersized`}, within: 5 * time.Minute},
	{name: "PGs misplaced", faults: []string{"pgs-misplaced 3"}},
	{name: "PGs inconsistent", faults: []string{"pgs-inconsistent 2"}, pages: []string{`CephPGsDamaged`}},
	{name: "nearfull", faults: []string{"nearfull"}, pages: []string{`CephOSDNearFull`}, within: 5 * time.Minute},
	{name: "backfillfull", faults: []string{"backfillfull"}, pages: []string{`CephOSDBackfillFull`}},
	{name: "full", faults: []string{"full"}, pages: []string{`CephOSDFull`}},
	{name: "flags", faults: []string{"flags noout norebalance"}},
	{name: "slow ops", faults: []string{"slow-ops"}, pages: []string{`CephSlowOps`, `CephClientsBlocked`}, within: 2 * time.Minute},
	{name: "crash", faults: []string{"crash"}, pages: []string{`CephDaemonCrash`}},
	{name: "pool over its quota", faults: []string{"pool-quota"}, pages: []string{`CephPoolFull`}},
	{name: "storage link down", faults: []string{"link-down 3 2"}, pages: []string{`CephOSDHostDown{node="pve3"}`, `CephMonDown{node="pve3"}`}, within: 2 * time.Minute},
}

var proxmoxPages = []pageFault{
	{name: "HA service in error", faults: []string{"ha-error 103"}, pages: []string{`HAServiceError{id="qemu/103"}`}},
	{name: "HA maintenance", faults: []string{"ha-maintenance 3"}},
	{name: "migration failed", faults: []string{"migration-fail"}, pages: []string{`HAMigrationFailed`}},
	{name: "backup failed", faults: []string{"backup-fail 2"}, pages: []string{`BackupFailed{node="pve2"}`}},
}

var qdevicePages = []pageFault{
	{name: "qnetd lost", faults: []string{"qnetd-down"}, pages: []string{`CorosyncQdeviceLost`}},
	{name: "qdevice daemon stopped", faults: []string{"qdevice-down 1"}, pages: []string{`CorosyncQdeviceLost`}},
}
