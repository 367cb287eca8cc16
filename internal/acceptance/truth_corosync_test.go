package acceptance

import (
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
)

// healthyCorosync holds on three nodes when nothing is wrong.
var healthyCorosync = []string{
	`pve1,pve2,pve3: pve_cluster_quorum == 1`,
	`pve1,pve2,pve3: corosync_quorate == 1`,
	`pve1,pve2,pve3: corosync_expected_votes == 3`,
	`pve1,pve2,pve3: corosync_highest_expected_votes == 3`,
	`pve1,pve2,pve3: corosync_total_votes == 3`,
	`pve1,pve2,pve3: corosync_quorum_votes == 2`,
	`pve1,pve2,pve3: corosync_configured_votes == 3`,
	`pve1,pve2,pve3: corosync_wait_for_all == 0`,
	`pve1,pve2,pve3: corosync_member_up == 1`,
	`pve1,pve2,pve3: corosync_link_connected == 1`,
	`pve1,pve2,pve3: corosync_ring_leader_node_id same`,
	`pve1,pve2,pve3: corosync_ring_sequence same`,
	`pve1,pve2,pve3: quorate_source_up{source="corosync"} == 1`,
	`pve1,pve2,pve3: quorate_source_stuck_seconds == 0`,
	`pve1,pve2,pve3: quorate_scrape_collector_success == 1`,
	`pve1,pve2,pve3: corosync_link_probe_sent_total > 0`,
}

// A dead node is noticed after token + consensus, 8 s at three nodes, plus rounding and load.
const noticed = 20 * time.Second

var corosyncTruths = []truth{
	{
		name: "node down", faults: []string{"node-down 3"}, within: noticed,
		claims: []string{
			`pve1,pve2: corosync_member_up{node="pve3"} == 0`,
			`pve1,pve2: corosync_member_up{node="pve2"} == 1`,
			`pve1,pve2: corosync_total_votes == 2`,
			`pve1,pve2: corosync_expected_votes == 3`,
			`pve1,pve2: pve_cluster_quorum == 1`,
			`pve1,pve2: corosync_link_connected{peer="pve3"} == 0`,
			`pve1: corosync_link_connected{peer="pve2"} == 1`,
			`pve1,pve2: corosync_link_latency_average_seconds{peer="pve3"} absent`,
			`pve1,pve2: corosync_link_down_total{peer="pve3"} grows`,
			`pve1,pve2: corosync_membership_changes_total grows`,
			`pve1,pve2: corosync_link_probe_lost_total{peer="pve3"} grows`,
		},
	},
	{
		name: "two nodes down", faults: []string{"node-down 2 3"}, within: noticed,
		claims: []string{
			`pve1: pve_cluster_quorum == 0`,
			`pve1: corosync_quorate == 0`,
			`pve1: corosync_total_votes == 1`,
			`pve1: quorate_source_up{source="corosync"} == 1`,
			`pve1: corosync_member_up{node="pve2"} == 0`,
			`pve1: corosync_member_up{node="pve1"} == 1`,
		},
	},
	{
		name: "partition", faults: []string{"partition 1 2,3"}, within: noticed,
		claims: []string{
			`pve1: corosync_quorate == 0`,
			`pve2,pve3: corosync_quorate == 1`,
			`pve1,pve2: corosync_ring_leader_node_id differ`,
			`pve2,pve3: corosync_ring_leader_node_id same`,
			`pve1: corosync_token_lost_total grows`,
		},
	},
	{
		name: "one link down", faults: []string{"link-down 3 0"}, within: noticed,
		claims: []string{
			`pve1,pve2: corosync_link_connected{peer="pve3",link="0"} == 0`,
			`pve1,pve2: corosync_link_connected{peer="pve3",link="1"} == 1`,
			`pve1: corosync_link_connected{peer="pve2"} == 1`,
			`pve1,pve2: corosync_link_down_total{peer="pve3",link="0"} grows`,
			`pve1,pve2: corosync_link_probe_lost_total{peer="pve3",link="0"} grows`,
			`pve1,pve2,pve3: corosync_quorate == 1`,
			`pve1,pve2,pve3: corosync_total_votes == 3`,
		},
	},
	{
		// 20 ms each way is what the box adds to a link: 40 ms there and back.
		name: "link delayed", faults: []string{"link-delay 3 0 20"}, within: noticed,
		claims: []string{
			`pve1,pve2: mean corosync_link_probe_rtt_seconds{peer="pve3",link="0"} > 0.035`,
			`pve1,pve2: mean corosync_link_probe_rtt_seconds{peer="pve3",link="1"} < 0.02`,
			`pve1: mean corosync_link_probe_rtt_seconds{peer="pve2"} < 0.02`,
			`pve1,pve2,pve3: corosync_quorate == 1`,
		},
	},
	{
		// 40 % each way loses 64 % of the round trips: 5 of them in a row get through once in 160.
		name: "link loses packets", faults: []string{"link-loss 3 0 40"}, within: noticed,
		claims: []string{
			`pve1,pve2: corosync_link_probe_lost_total{peer="pve3",link="0"} grows`,
			`pve1,pve2: corosync_link_probe_lost_total{peer="pve3",link="1"} steady`,
			`pve1: corosync_link_probe_lost_total{peer="pve2"} steady`,
			`pve1,pve2,pve3: corosync_quorate == 1`,
		},
	},
	{
		name: "corosync stopped", faults: []string{"corosync-stop 2"}, within: noticed,
		claims: []string{
			`pve2: quorate_source_up{source="corosync"} == 0`,
			`pve2: pve_cluster_quorum == 0`,
			`pve2: corosync_quorate absent`,
			`pve2: corosync_member_up absent`,
			`pve2: quorate_source_request_errors_total{source="corosync",reason="stopped"} > 0`,
			`pve2: quorate_scrape_collector_success{collector="links"} == 1`,
			`pve1,pve3: corosync_member_up{node="pve2"} == 0`,
			`pve1,pve3: corosync_quorate == 1`,
		},
	},
	{
		name: "corosync hung", faults: []string{"corosync-hang 2"}, within: noticed,
		claims: []string{
			`pve2: quorate_source_up{source="corosync"} == 0`,
			`pve2: quorate_source_stuck_seconds{source="corosync"} > 0`,
			`pve2: pve_cluster_quorum == 0`,
			`pve2: corosync_quorate absent`,
			`pve2: quorate_scrape_collector_success{collector="corosync"} == 0`,
			`pve2: quorate_scrape_collector_success{collector="links"} == 1`,
			`pve2: corosync_link_probe_sent_total grows`,
			`pve2: process_resident_memory_bytes present`,
			`pve1,pve3: corosync_member_up{node="pve2"} == 0`,
		},
	},
	{
		// corosync refuses to expect fewer votes than it sees.
		name: "expected votes forced", within: noticed,
		faults: []string{"node-down 2 3", "until pve1: corosync_total_votes == 1", "expected-votes 1"},
		claims: []string{
			`pve1: corosync_quorate == 1`,
			`pve1: pve_cluster_quorum == 1`,
			`pve1: corosync_expected_votes == 1`,
			`pve1: corosync_configured_votes == 3`,
			`pve1: corosync_total_votes == 1`,
		},
	},
	{
		name: "wait for all", faults: []string{"wait-for-all"}, within: noticed,
		claims: []string{
			`pve1,pve2: corosync_wait_for_all == 1`,
			`pve1,pve2: corosync_total_votes == 2`,
			`pve1,pve2: corosync_quorum_votes == 2`,
			`pve1,pve2: corosync_quorate == 0`,
			`pve1,pve2: pve_cluster_quorum == 0`,
		},
	},
}

func TestLabCorosyncTruth(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{Nodes: 3})
	proveAll(t, l, startExporters(t, l), healthyCorosync, corosyncTruths)
}

func TestLabQDeviceTruth(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{Nodes: 2, QDevice: true})
	healthy := []string{
		`pve1,pve2: corosync_quorate == 1`,
		`pve1,pve2: corosync_configured_votes == 3`,
		`pve1,pve2: corosync_total_votes == 3`,
		`pve1,pve2: corosync_qdevice_configured == 1`,
		`pve1,pve2: corosync_qdevice_registered == 1`,
		`pve1,pve2: corosync_qdevice_alive == 1`,
		`pve1,pve2: corosync_qdevice_cast_vote == 1`,
	}
	proveAll(t, l, startExporters(t, l), healthy, []truth{
		{
			name: "qnetd lost", faults: []string{"qnetd-down"}, within: 30 * time.Second,
			claims: []string{
				`pve1,pve2: corosync_qdevice_configured == 1`,
				`pve1,pve2: corosync_qdevice_alive == 1`,
				`pve1,pve2: corosync_qdevice_cast_vote == 0`,
				`pve1,pve2: corosync_total_votes == 2`,
				`pve1,pve2: corosync_quorate == 1`,
			},
		},
		{
			name: "qdevice daemon stopped", faults: []string{"qdevice-down 1"}, within: 30 * time.Second,
			claims: []string{
				`pve1: corosync_qdevice_configured == 1`,
				`pve1: corosync_qdevice_registered == 0`,
				`pve1: corosync_expected_votes == 3`,
				`pve1: corosync_total_votes == 2`,
				`pve1,pve2: corosync_quorate == 1`,
			},
		},
	})
}
