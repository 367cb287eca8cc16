package collector

import (
	"sort"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorate/quorate/internal/source/ceph"
)

var (
	cephOSDUp     = newUntyped("ceph_osd_up", "1 if the OSD is up.", "ceph_daemon")
	cephOSDIn     = newUntyped("ceph_osd_in", "1 if the OSD is in.", "ceph_daemon")
	cephOSDWeight = newUntyped("ceph_osd_weight", "Reweight of the OSD, 0 to 1.", "ceph_daemon")
	cephOSDMeta   = newUntyped("ceph_osd_metadata",
		"1 for each OSD that has ever started.",
		"back_iface", "ceph_daemon", "cluster_addr", "device_class", "front_iface", "hostname", "objectstore", "public_addr", "ceph_version")
	cephDisk = newUntyped("ceph_disk_occupation",
		"1 for each OSD whose block device is known, to join with node_exporter's device and instance.", diskLabels...)
	cephDiskHuman = newUntyped("ceph_disk_occupation_human",
		"1 for each block device, with all OSDs on it joined in one label.", "ceph_daemon", "device", "instance")
	cephOSDApply = newGauge("ceph_osd_apply_latency_ms",
		"Milliseconds the OSD last took to apply a write.", "ceph_daemon")
	cephOSDCommit = newGauge("ceph_osd_commit_latency_ms",
		"Milliseconds the OSD last took to commit a write.", "ceph_daemon")
	cephOSDBytes = newGauge("ceph_osd_stat_bytes",
		"Size of the OSD in bytes. Absent while it is down.", "ceph_daemon")
	cephOSDBytesUsed = newGauge("ceph_osd_stat_bytes_used",
		"Used bytes of the OSD. Absent while it is down.", "ceph_daemon")
	cephOSDNumPG = newGauge("ceph_osd_numpg",
		"PGs that have a shard on the OSD. Absent while it is down.", "ceph_daemon")
	cephFullRatio = newGauge("ceph_osd_full_ratio",
		"Use of an OSD, 0 to 1, from which the cluster refuses writes.")
	cephNearfullRatio = newGauge("ceph_osd_nearfull_ratio",
		"Use of an OSD, 0 to 1, from which the cluster warns.")
	cephBlocklist = newGauge("ceph_cluster_osd_blocklist_count",
		"Entries of the OSD blocklist.")

	diskLabels = []string{"ceph_daemon", "device", "db_device", "wal_device", "instance", "devices", "device_ids"}
)

// cephFlags are the flags of the OSD map that the mgr module exports.
var cephFlags = func() map[string]*Family {
	flags := map[string]*Family{}
	for _, f := range []string{"noup", "nodown", "noout", "noin", "nobackfill", "norebalance", "norecover", "noscrub", "nodeep-scrub"} {
		flags[f] = newUntyped("ceph_osd_flag_"+strings.ReplaceAll(f, "-", "_"), "1 if the OSD map's flag "+f+" is set.")
	}
	return flags
}()

func cephOSDFamilies() []*Family {
	all := []*Family{
		cephOSDUp, cephOSDIn, cephOSDWeight, cephOSDMeta, cephDisk, cephDiskHuman, cephOSDApply, cephOSDCommit,
		cephOSDBytes, cephOSDBytesUsed, cephOSDNumPG, cephFullRatio, cephNearfullRatio, cephBlocklist,
	}
	return append(all, sortedFamilies(cephFlags)...)
}

func sortedFamilies(m map[string]*Family) []*Family {
	out := make([]*Family, 0, len(m))
	for _, f := range m {
		out = append(out, f)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// emitCephOSDs sends what the OSD map says, which monitors know by themselves.
func emitCephOSDs(s ceph.Snapshot, ch chan<- prometheus.Metric) {
	m := s.Mon.OSDMap
	if m == nil {
		return
	}
	for flag, f := range cephFlags {
		ch <- f.metric(boolean(m.Flags[flag]))
	}
	ch <- cephFullRatio.metric(m.FullRatio)
	ch <- cephNearfullRatio.metric(m.NearfullRatio)
	ch <- cephBlocklist.metric(float64(m.Blocklist))
	onDisk := map[[2]string][]string{}
	for _, o := range m.OSDs {
		ch <- cephOSDUp.metric(boolean(o.Up), o.Name())
		ch <- cephOSDIn.metric(boolean(o.In), o.Name())
		ch <- cephOSDWeight.metric(o.Weight, o.Name())
		if o.Metadata != nil && started(o.PublicAddr) && started(o.ClusterAddr) {
			emitCephOSDMetadata(o, onDisk, ch)
		}
	}
	for at, osds := range onDisk {
		ch <- cephDiskHuman.metric(1, strings.Join(osds, ", "), at[0], at[1])
	}
}

// started says of an address that the OSD has had one.
func started(addr string) bool { return addr != "" && addr != "-" }

func emitCephOSDMetadata(o ceph.OSD, onDisk map[[2]string][]string, ch chan<- prometheus.Metric) {
	d := o.Metadata
	ch <- cephOSDMeta.metric(1, d.BackIface, o.Name(), o.ClusterAddr, o.DeviceClass, d.FrontIface, d.Hostname, d.Store, o.PublicAddr, d.Version)
	data, db, wal := d.Nodes()
	if data == "" || d.Hostname == "" {
		return
	}
	ch <- cephDisk.metric(1, o.Name(), data, db, wal, d.Hostname, orNA(d.Devices), orNA(d.DeviceIDs))
	at := [2]string{data, d.Hostname}
	onDisk[at] = append(onDisk[at], o.Name())
}

func orNA(s string) string {
	if s == "" {
		return "N/A"
	}
	return s
}

// emitCephOSDUse sends what the manager counts of OSDs.
func emitCephOSDUse(s ceph.Snapshot, ch chan<- prometheus.Metric) {
	for _, l := range s.Mgr.Latencies {
		name := ceph.OSD{ID: l.ID}.Name()
		ch <- cephOSDApply.metric(l.ApplyMS, name)
		ch <- cephOSDCommit.metric(l.CommitMS, name)
	}
	for _, u := range s.Mgr.OSDUse {
		if !u.Up {
			continue
		}
		name := ceph.OSD{ID: u.ID}.Name()
		ch <- cephOSDBytes.metric(float64(u.Bytes), name)
		ch <- cephOSDBytesUsed.metric(float64(u.UsedBytes), name)
		ch <- cephOSDNumPG.metric(float64(u.PGs), name)
	}
}
