package acceptance

import (
	"time"

	"github.com/quorate/quorate/internal/lab"
)

// commonPages are the faults that every run makes.
var commonPages = []pageFault{
	{
		// Three faults that have nothing to do with each other are three pages.
		name: "link down, PGs inactive, a crash", faults: []string{"pgs-inactive 5", "crash", "link-down 3 1"},
		pages: []string{
			`CorosyncLinkDown{node="pve3",link="1"}`,
			`CephPGsInactive`,
			`CephDaemonCrash`,
		},
	},
	{name: "quorum lost", faults: []string{"partition-links 1 2 3"}, pages: []string{`ClusterQuorumLost`}},
	{name: "MON quorum lost", faults: []string{"mon-quorum-lost"}, pages: []string{`CephMonitorsUnreachable`}},
	{name: "node down", faults: []string{"node-down 3"}, pages: []string{`NodeDown{node="pve3"}`}, later: []string{`ClusterQuorumAtRisk`}, may: regrouping, most: 4},
}

// With three nodes the loss of one leaves no vote to spare, which is told after five minutes.
var corosyncPages = []pageFault{
	{name: "two nodes down", faults: []string{"node-down 2 3"}, pages: []string{`ClusterQuorumLost`}},
	{name: "partition", faults: []string{"partition 1 2,3"}, pages: []string{`NodeDown{node="pve1"}`}, later: []string{`ClusterQuorumAtRisk`}, most: 3},
	{name: "partition of the links", faults: []string{"partition-links 3 1,2"}, pages: []string{`NodeDown{node="pve3"}`}, later: []string{`ClusterQuorumAtRisk`}, most: 3},
	// Apart from the other lossy one: Alertmanager must have told that the first is over.
	{name: "a link loses many packets", faults: []string{"link-loss 2 1 20"}, pages: []string{lossy}, most: 2, within: 3 * time.Minute},
	{name: "a link delayed", faults: []string{"link-delay 3 0 20"}, pages: []string{`CorosyncLinkSlow{node="pve3",link="0"}`}, within: 3 * time.Minute},
	// Whether knet takes a lossy link for dead three times in the 10 minutes, a minute here, is chance.
	{name: "a link loses packets", faults: []string{"link-loss 2 1 5"}, pages: []string{lossy}, most: 2, within: 3 * time.Minute},
	{name: "corosync stopped", faults: []string{"corosync-stop 2"}, pages: []string{`ClusterQuorumAtRisk`}, later: []string{`NodeNotBack{node="pve2"}`}, most: 3},
	{name: "corosync killed", faults: []string{"corosync-kill 2"}, pages: []string{`NodeDown{node="pve2"}`}, later: []string{`ClusterQuorumAtRisk`}, most: 3},
	{
		name: "expected votes forced", faults: []string{"node-down 2 3", "paged ClusterQuorumLost", "expected-votes 1"},
		pages: []string{`ClusterQuorumLost`, `NodeDown{node="pve2"}`, `NodeDown{node="pve3"}`, `CorosyncExpectedVotesForced`},
	},
	{name: "wait for all", faults: []string{"wait-for-all"}, pages: []string{`ClusterQuorumLost`}},
	// Corosync tells for 10 minutes that it had no CPU, and so it was.
	{
		name: "corosync hung", faults: []string{"corosync-hang 2"}, pages: []string{`NodeDown{node="pve2"}`}, later: []string{`ClusterQuorumAtRisk`},
		after: []string{`CorosyncStarved{node="pve2"}`}, most: 3,
	},
}

const lossy = `CorosyncLinkLossy|CorosyncLinkFlapping{node="pve2",link="1"}`

// In the lab an OSD that is down is not taken out for an hour, so that its data stay where they were.
var cephPages = []pageFault{
	{name: "OSD down", faults: []string{"osd-down 0"}, pages: []string{`CephOSDDown{ceph_daemon="osd.0",node="pve1"}`}, later: []string{`CephNextHostLossInactive`}},
	{name: "host down", faults: []string{"host-down 3"}, pages: []string{`CephOSDHostDown{node="pve3"}`}, later: []string{`CephNextHostLossInactive`}},
	{name: "two hosts down", faults: []string{"hosts-down 2 3"}, pages: []string{`CephPGsInactive`, `CephOSDHostDown{node="pve2"}`, `CephOSDHostDown{node="pve3"}`}},
	{name: "MON down", faults: []string{"mon-down 3"}, pages: []string{`CephMonDown{ceph_daemon="mon.pve3",node="pve3"}`}, later: []string{`CephMonQuorumAtRisk`}},
	{name: "MON hung", faults: []string{"mon-hang 1"}, pages: []string{`CephMonDown{ceph_daemon="mon.pve1",node="pve1"}`}, later: []string{`CephMonQuorumAtRisk`}},
	{name: "all MONs down", faults: []string{"mons-down"}, pages: []string{`CephMonitorsUnreachable`}},
	{name: "no mgr", faults: []string{"mgr-down"}, pages: []string{`CephNoActiveMgr`}},
	{name: "mgr hung", faults: []string{"mgr-hang"}, pages: []string{`CephNoActiveMgr`}},
	{name: "mgr failover", faults: []string{"mgr-failover"}, pages: []string{`CephMgrStandbyLost`}, within: 3 * time.Minute},
	{name: "slow ops", faults: []string{"slow-ops"}, pages: []string{`CephSlowOps`, `CephClientsBlocked`}, within: 3 * time.Minute},
	{
		name: "storage link down", faults: []string{"link-down 3 2"}, pages: []string{`CephOSDHostDown{node="pve3"}`, `CephMonDown{node="pve3"}`},
		later: []string{`CephMonQuorumAtRisk`, `CephNextHostLossInactive`},
		// Ceph takes 20 s of its own to miss the OSDs, at the tests' pace longer than the exporter's rule waits, and
		// elects again when the link is back.
		may: regrouping + "|QuorateSourceDown", most: 7,
	},
	{name: "PGs inactive", faults: []string{"pgs-inactive 5"}, pages: []string{`CephPGsInactive`}},
	{
		name:   "PGs inconsistent, a pool over its quota, a crash",
		faults: []string{"pgs-inconsistent 2", "pool-quota", "crash"}, pages: []string{`CephPGsDamaged`, `CephPoolFull{pool="fault-quota"}`, `CephDaemonCrash`},
	},
	{name: "full", faults: []string{"full"}, pages: []string{`CephOSDFull`}},
	{name: "backfillfull", faults: []string{"backfillfull"}, pages: []string{`CephOSDBackfillFull`}},
	{
		name: "PGs undersized, nearfull", faults: []string{"pgs-undersized 5", "nearfull"},
		pages: []string{`CephPGsUndersized`, `CephOSDNearFull`}, within: 6 * time.Minute,
	},
	{name: "OSD out, backfill", faults: []string{"osd-out-backfill 0"}},
	{name: "PGs misplaced", faults: []string{"pgs-misplaced 3"}},
	{name: "flags", faults: []string{"flags noout norebalance"}},
}

// The HA manager is played, and its guests too, so that their migrations take no time. It resets no
// node that lost quorum, as the watchdog does: faults that cost quorum are made without it.
var proxmoxPages = []pageFault{
	{name: "node down under HA", faults: []string{"node-down 3"}, pages: []string{`NodeDown{node="pve3"}`}, later: []string{`ClusterQuorumAtRisk`}, may: regrouping, most: 4},
	{name: "HA service in error", faults: []string{"ha-error 103"}, pages: []string{`HAServiceError{id="qemu/103"}`}},
	{name: "migration failed", faults: []string{"migration-fail"}, pages: []string{`HAMigrationFailed`}},
	// Last: afterwards the guests move back, which is to fail nowhere.
	{name: "HA maintenance", faults: []string{"ha-maintenance 3"}},
}

// A backup that failed is told for a day.
var backupPages = []pageFault{
	{name: "backup failed", faults: []string{"backup-fail 2"}, pages: []string{`BackupFailed{node="pve2"}`}, stays: "BackupFailed"},
}

var qdevicePages = []pageFault{
	{name: "qnetd lost", faults: []string{"qnetd-down"}, pages: []string{`CorosyncQdeviceLost`, `ClusterQuorumAtRisk`}},
	{name: "qdevice daemon stopped", faults: []string{"qdevice-down 1"}, pages: []string{`CorosyncQdeviceLost`, `ClusterQuorumAtRisk`}},
}

// The virtual machines of vmPages and pausedPages.
var (
	pagedVM  = lab.VMOptions{ID: 120, Name: "paged", WorkingSetPages: 4096}
	brokenVM = lab.VMOptions{ID: 121, Name: "broken", WorkingSetPages: 4096}
)

var vmPages = []pageFault{
	{name: "monitor of QEMU held", faults: []string{"qmp-held 121"}},
	{name: "QEMU killed", faults: []string{"qemu-killed 121"}},
}

// The migration's task has failed, for Proxmox VE could not resume the VM. That it stood long is told
// once it runs again, and for 10 minutes.
var pausedPages = []pageFault{
	{
		name: "a VM paused after its migration, another one's QEMU hung", faults: []string{"vm-paused 120", "qemu-hung 121"},
		pages: []string{`VMPausedAfterMigration{vmid="120"}`, `HAMigrationFailed`}, may: "MigrationLongPause", stays: "MigrationLongPause",
		most: 3, within: 3 * time.Minute,
	},
}
