package acceptance

import (
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
)

// The HA manager fences a node 60 s after it was last online, takes its lock 120 s after, and
// starts the services elsewhere: 140 s measured on a real cluster.
const recovered = 220 * time.Second

var healthyProxmoxLab = []string{
	`pve1,pve2,pve3: quorate_source_up == 1`,
	`pve1,pve2,pve3: quorate_scrape_collector_success == 1`,
	`pve1,pve2,pve3: pve_cluster_quorum == 1`,
	`pve1,pve2,pve3: sum pve_node_info == 3`,
	`pve1,pve2,pve3: pve_up{id="node/pve3"} == 1`,
	`pve1,pve2,pve3: pve_ha_quorate == 1`,
	`pve1,pve2,pve3: pve_ha_armed == 1`,
	`pve1,pve2,pve3: pve_ha_state{id="node/pve3",state="online"} == 1`,
	`pve1,pve2,pve3: pve_ha_fence_total >= 0`,
	`pve1,pve2,pve3: pve_ha_failover_failed_total == 0`,
	`pve1: pve_vm_migrate_total{node="pve1"} >= 0`,
	`pve1: pve_vm_migrate_failed_total{node="pve1"} == 0`,
	`pve2: pve_vm_migrate_failed_total{node="pve2"} == 0`,
}

func TestLabProxmoxTruth(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{Nodes: 3, PVE: true})
	exporters := startExporters(t, l, l.ExporterArgs()...)
	proveAll(t, l, exporters, healthyProxmoxLab, []truth{
		{
			name: "quorum lost", faults: []string{"partition 1 2,3"}, within: noticed,
			claims: []string{
				`pve1: pve_cluster_quorum == 0`,
				`pve1: pve_ha_quorate == 0`,
				`pve2,pve3: pve_ha_quorate == 1`,
			},
		},
		{
			name: "node down, failover", faults: []string{"node-down 3"}, within: recovered,
			claims: []string{
				`pve1,pve2: pve_up{id="node/pve3"} == 0`,
				`pve1,pve2: pve_ha_fence_total{node="pve3"} grows`,
				`pve1,pve2: pve_ha_failover_total{node="pve3"} grows`,
				`pve1,pve2: pve_ha_failover_duration_seconds_count grows`,
				`pve1,pve2: pve_ha_failover_failed_total == 0`,
				`pve1,pve2: mean pve_ha_failover_duration_seconds > 60`,
				`pve1,pve2: mean pve_ha_failover_duration_seconds < 220`,
			},
		},
	})
}
