package collector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/quorate/quorate/internal/source/pve"
)

// HAReader is what the ha collector needs of Proxmox VE.
type HAReader interface {
	// HA returns the HA manager's state now and what was counted since the exporter's start. With an
	// error it returns the counts alone.
	HA(ctx context.Context) (pve.HAView, error)
}

// HASpec is the collector of Proxmox's HA manager.
func HASpec() Spec {
	return Spec{
		Name: "ha", Scope: Cluster, On: true,
		Help:     "Proxmox HA: states of nodes and services, liveness of the managers, fencings and failovers.",
		Families: haFamilies(),
		New: func(s Sources) (Collector, error) {
			if s.HA == nil {
				return nil, errors.New("no Proxmox VE: run on a node, name an API, or switch the collector off")
			}
			return &haCollector{reader: s.HA, durations: newDurations(haFailoverDuration, haFailoverBuckets())}, nil
		},
	}
}

type haCollector struct {
	reader    HAReader
	durations *durations
}

func (c *haCollector) Collect(ctx context.Context, ch chan<- prometheus.Metric) error {
	v, err := c.reader.HA(ctx)
	emitHACounts(v.Counts, ch)
	ch <- c.durations.upTo(v.Counts.Durations)
	if err != nil {
		return fmt.Errorf("HA: %w", err)
	}
	emitHAStates(v.HA, ch)
	emitHAManagers(v.HA, ch)
	return nil
}

var (
	haState = newGauge("pve_ha_state",
		"State of a node or guest in the HA manager, 1 for the one it is in. Without quorum it is frozen: see pve_ha_quorate.", "id", "state")
	haRequestedState = newGauge("pve_ha_requested_state",
		"What the configuration asks for a guest under HA, 1 for the one that it is.", "id", "state")
	haServiceNode = newGauge("pve_ha_service_node_info",
		"Node on which the HA manager has the guest.", "id", "node")
	haMaxRestart = newGauge("pve_ha_service_max_restart",
		"Tries to start the guest again on a node after its start failed there.", "id")
	haMaxRelocate = newGauge("pve_ha_service_max_relocate",
		"Nodes to which the guest is moved after its start failed, before it is in error.", "id")
	haFailedStarts = newGauge("pve_ha_service_failed_starts",
		"Nodes on which the guest did not start, all retries included, since it last ran.", "id")
	haManagerInfo = newGauge("pve_ha_manager_info",
		"Node whose cluster resource manager (CRM) is the master, or was the last one.", "node")
	haManagerUpdate = newGauge("pve_ha_manager_last_update_timestamp_seconds",
		"When the master last wrote its status. It does so every 10 s as long as HA is in use and the cluster quorate.")
	haLRMState = newGauge("pve_ha_lrm_state",
		"State of the node's local resource manager (LRM), as it last said. The value is always 1.", "node", "state")
	haLRMUpdate = newGauge("pve_ha_lrm_last_update_timestamp_seconds",
		"When the node's LRM last wrote its status. It does so every 5 s.", "node")
	haArmed = newGauge("pve_ha_armed",
		"1 if a lost node would be fenced and its guests recovered: a master is at work and HA is not disarmed.")
	haQuorate = newGauge("pve_ha_quorate",
		"1 if the node that was asked is in the quorate partition. While 0 all other HA states are frozen.")
	haFences = newCounter("pve_ha_fence_total",
		"Confirmed fencings of the node since the exporter's start.", "node")
	haFailovers = newCounter("pve_ha_failover_total",
		"Guests that run elsewhere after this node was lost, since the exporter's start.", "node")
	haFailoversFailed = newCounter("pve_ha_failover_failed_total",
		"Guests that came to error, or stayed in recovery over 60 s, or on a lost node unfenced or frozen over 180 s, since the exporter's start. "+
			"A late success counts in pve_ha_failover_total as well.", "node")
	haFailoverDuration = newHistogram("pve_ha_failover_duration_seconds",
		"From the last sign of life of the lost node's LRM to the first one of another node's LRM with the guest running.")
	haInProgress = newGauge("pve_ha_failover_in_progress_seconds",
		"Time since the last sign of life of its node, for a guest that has to be failed over.", "id")
)

func haFamilies() []*Family {
	return []*Family{
		haState, haRequestedState, haServiceNode, haMaxRestart, haMaxRelocate, haFailedStarts,
		haManagerInfo, haManagerUpdate, haLRMState, haLRMUpdate, haArmed, haQuorate,
		haFences, haFailovers, haFailoversFailed, haFailoverDuration, haInProgress,
	}
}

// haFailoverBuckets lie around what a healthy failover takes: about 140 s, 200 s if the master was
// on the lost node.
func haFailoverBuckets() []float64 {
	return []float64{60, 90, 120, 150, 180, 210, 240, 300, 420, 600, 900, 1800, 3600}
}

// emitHAStates sends whole sets of states, as prometheus-pve-exporter does, so that a state that is
// left goes to 0 rather than stale. Guests without HA have a set of zeros if they are asked for.
func emitHAStates(h pve.HA, ch chan<- prometheus.Metric) {
	send := &sampler{ch: ch}
	nodes, services, requests := newStateSet(pve.HANodeStates()), newStateSet(pve.HAServiceStates()), newStateSet(pve.HARequestedStates())
	for _, n := range h.Nodes {
		nodes.send(send, haState, label("id", "node/"+n.Name), n.State)
	}
	for _, s := range h.Services {
		id := label("id", s.ID())
		services.send(send, haState, id, s.State)
		if s.Requested != "" {
			requests.send(send, haRequestedState, id, s.Requested)
		}
		emitHAService(s, id, send)
	}
	for _, id := range h.Unmanaged {
		services.send(send, haState, label("id", id), "")
	}
}

// A stateSet has the label of each state that a thing can be in.
type stateSet struct {
	states []string
	labels []*dto.LabelPair
}

func newStateSet(states []string) stateSet {
	set := stateSet{states: states}
	for _, s := range states {
		set.labels = append(set.labels, label("state", s))
	}
	return set
}

// send sends one series for each state, and one for a state that is new to us.
func (set stateSet) send(to *sampler, f *Family, id *dto.LabelPair, now string) {
	for i, s := range set.states {
		to.send(f, []*dto.LabelPair{id, set.labels[i]}, boolean(s == now))
	}
	if now != "" && !slices.Contains(set.states, now) {
		to.send(f, []*dto.LabelPair{id, label("state", now)}, 1)
	}
}

func emitHAService(s pve.HAService, id *dto.LabelPair, to *sampler) {
	only := []*dto.LabelPair{id}
	if s.MaxRestart.Known {
		to.send(haMaxRestart, only, float64(s.MaxRestart.V))
	}
	if s.MaxRelocate.Known {
		to.send(haMaxRelocate, only, float64(s.MaxRelocate.V))
	}
	if !s.Known {
		return
	}
	to.send(haFailedStarts, only, float64(s.FailedNodes))
	if s.Node != "" {
		to.send(haServiceNode, []*dto.LabelPair{id, label("node", s.Node)}, 1)
	}
}

func emitHAManagers(h pve.HA, ch chan<- prometheus.Metric) {
	ch <- haArmed.metric(boolean(h.Arming == pve.HAArmed))
	ch <- haQuorate.metric(boolean(h.Quorate))
	if h.Master != "" {
		ch <- haManagerInfo.metric(1, h.Master)
	}
	if !h.Updated.IsZero() {
		ch <- haManagerUpdate.metric(float64(h.Updated.Unix()))
	}
	for _, l := range h.LRMs {
		if l.State != "" {
			ch <- haLRMState.metric(1, l.Node, l.State)
		}
		if !l.Updated.IsZero() {
			ch <- haLRMUpdate.metric(float64(l.Updated.Unix()), l.Node)
		}
	}
}

func emitHACounts(c pve.HACounts, ch chan<- prometheus.Metric) {
	emitCounts(haFences, c.Fences, ch)
	emitCounts(haFailovers, c.Failovers, ch)
	emitCounts(haFailoversFailed, c.Failed, ch)
	for _, id := range slices.Sorted(maps.Keys(c.InProgress)) {
		ch <- haInProgress.metric(c.InProgress[id].Seconds(), id)
	}
}

// emitCounts sends one series for each key.
func emitCounts(f *Family, counts map[string]uint64, ch chan<- prometheus.Metric) {
	for _, key := range slices.Sorted(maps.Keys(counts)) {
		ch <- f.metric(float64(counts[key]), key)
	}
}
