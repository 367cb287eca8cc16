package collector

import (
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"

	"github.com/quorate/quorate/internal/source/pve"
)

// A pveMaker makes metrics of what Proxmox VE says: each of its methods of one reply. What a reply
// does not say makes no metric.
type pveMaker struct {
	sampler

	// withoutUp, … leave parts out: prometheus-pve-exporter has a flag for each.
	withoutUp, withoutInfo, withoutCluster, withoutNumbers bool

	fullStateSets bool // all series of pve_lock_state for each guest
	haStates      bool // pve_ha_state of hastate, which the collector ha knows better
}

func (m *pveMaker) one(f *Family, id string, v float64) {
	m.send(f, []*dto.LabelPair{label("id", id)}, v)
}

// clusterID is the id of the cluster, "" outside of one.
func clusterID(s pve.ClusterStatus) string {
	if s.Cluster == nil {
		return ""
	}
	return "cluster/" + string(s.Cluster.Name)
}

func (m *pveMaker) status(s pve.ClusterStatus) {
	if c := s.Cluster; c != nil {
		if !m.withoutUp {
			m.one(pveUp, clusterID(s), boolean(c.Quorate.V))
		}
		if !m.withoutCluster {
			m.ch <- pveClusterInfo.metric(1, clusterID(s), digits(c.Nodes), digit(c.Quorate), digits(c.Version))
		}
	}
	for _, n := range s.Nodes {
		if !m.withoutUp {
			m.one(pveUp, n.ID, boolean(n.Online.V))
		}
		if !m.withoutInfo {
			m.ch <- pveNodeInfo.metric(1, n.ID, n.Level, string(n.Name), digits(n.NodeID))
		}
	}
}

func (m *pveMaker) resources(rows []pve.Resource) {
	for i := range rows {
		r := &rows[i]
		m.resourceUp(r)
		if !m.withoutNumbers {
			m.resource(r)
		}
	}
}

// resourceUp tells of guests and storages. Nodes are up or not by cluster status, which knows at once.
func (m *pveMaker) resourceUp(r *pve.Resource) {
	if m.withoutUp {
		return
	}
	switch r.Type {
	case "qemu", "lxc":
		m.one(pveUp, r.ID, boolean(r.Status == "running"))
	case "storage":
		m.one(pveUp, r.ID, boolean(r.Status == "available"))
	}
}

func (m *pveMaker) resource(r *pve.Resource) {
	id := []*dto.LabelPair{label("id", r.ID)}
	m.float(pveCPUUsage, id, r.CPU)
	m.float(pveCPULimit, id, r.MaxCPU)
	m.int(pveMemoryUsage, id, r.Mem)
	m.int(pveMemorySize, id, r.MaxMem)
	m.int(pveDiskUsage, id, r.Disk)
	m.int(pveDiskSize, id, r.MaxDisk)
	m.int(pveUptime, id, r.Uptime)
	m.twice(pveNetworkTransmit, pveNetworkTransmitOld, id, r.NetOut)
	m.twice(pveNetworkReceive, pveNetworkReceiveOld, id, r.NetIn)
	m.twice(pveDiskWritten, pveDiskWriteOld, id, r.DiskWrite)
	m.twice(pveDiskRead, pveDiskReadOld, id, r.DiskRead)
	if r.Shared.Known {
		m.send(pveStorageShared, id, boolean(r.Shared.V))
	}
	switch r.Type {
	case "qemu", "lxc":
		m.ch <- pveGuestInfo.metric(1, r.ID, r.Node, string(r.Name), r.Type, digit(r.Template), string(r.Tags))
		m.lock(r)
		m.ha(r, pve.HAServiceStates)
	case "storage":
		m.ch <- pveStorageInfo.metric(1, r.ID, r.Node, string(r.Storage), r.PluginType, sortedList(string(r.Content)))
	case "node":
		m.ha(r, pve.HANodeStates)
	}
}

func (m *pveMaker) float(f *Family, id []*dto.LabelPair, v pve.Float) {
	if v.Known {
		m.send(f, id, v.V)
	}
}

func (m *pveMaker) int(f *Family, id []*dto.LabelPair, v pve.Int) {
	if v.Known {
		m.send(f, id, float64(v.V))
	}
}

// twice sends a counter and the gauge that it was once.
func (m *pveMaker) twice(counter, gauge *Family, id []*dto.LabelPair, v pve.Int) {
	m.int(counter, id, v)
	m.int(gauge, id, v)
}

func (m *pveMaker) lock(r *pve.Resource) {
	switch {
	case m.fullStateSets:
		// Locks that only containers have (mounted, fstrim, …) are none that prometheus-pve-exporter knows.
		m.stateSet(pveLockState, r.ID, r.Lock, pveLocks())
	case r.Lock != "":
		m.ch <- pveLockState.metric(1, r.ID, r.Lock)
	}
}

func (m *pveMaker) ha(r *pve.Resource, states func() []string) {
	if m.haStates {
		m.stateSet(haState, r.ID, r.HAState, states())
	}
}

// stateSet sends one series for each of states, and none for a state that is not among them.
func (m *pveMaker) stateSet(f *Family, id, now string, states []string) {
	name := label(f.Labels[0], id)
	for _, s := range states {
		m.send(f, []*dto.LabelPair{name, label(f.Labels[1], s)}, boolean(s == now))
	}
}

// facts tells what is not asked for at each scrape. status is that of now.
func (m *pveMaker) facts(f pveFacts, status pve.ClusterStatus) {
	if v := f.version; v != nil {
		m.ch <- pveVersionInfo.metric(1, string(v.Release), string(v.RepoID), string(v.Version))
	}
	if f.uncoveredKnown {
		m.uncovered(f.uncovered, status)
	}
	if id := clusterID(status); id != "" && len(f.qdevice) > 0 {
		q := f.qdevice
		m.one(pveQDeviceUp, id, boolean(q["State"] == "Connected"))
		m.ch <- pveQDeviceInfo.metric(1, id, string(q["Model"]), string(q["Algorithm"]),
			string(q["QNetd host"]), string(q["Tie-breaker"]), string(q["State"]))
	}
}

func (m *pveMaker) uncovered(guests []pve.UncoveredGuest, status pve.ClusterStatus) {
	for _, g := range guests {
		m.one(pveNotBackedUpInfo, g.Type+"/"+digits(g.VMID), 1)
	}
	id := clusterID(status)
	if id == "" && len(status.Nodes) == 1 {
		// prometheus-pve-exporter takes a single node for a cluster of its name.
		id = "cluster/" + string(status.Nodes[0].Name)
	}
	if id != "" {
		m.one(pveNotBackedUp, id, float64(len(guests)))
	}
}

// digits is the number as a label has it, "" if it is not known.
func digits(n pve.Int) string {
	if !n.Known {
		return ""
	}
	return strconv.FormatInt(n.V, 10)
}

// digit is 0 or 1 as a label has it, "" if it is not known.
func digit(b pve.Bool) string {
	switch {
	case !b.Known:
		return ""
	case b.V:
		return "1"
	}
	return "0"
}

// sortedList sorts a list with commas, which Proxmox VE gives in any order.
func sortedList(s string) string {
	if !strings.Contains(s, ",") {
		return s
	}
	parts := strings.Split(s, ",")
	slices.Sort(parts)
	return strings.Join(parts, ",")
}
