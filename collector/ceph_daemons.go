package collector

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorate/quorate/internal/source/ceph"
)

var (
	cephMonQuorum = newGauge("ceph_mon_quorum_status",
		"1 if the monitor is in quorum.", "ceph_daemon")
	cephMonMetadata = newUntyped("ceph_mon_metadata",
		"1 for each monitor of the map.", "ceph_daemon", "hostname", "public_addr", "rank", "ceph_version")
	cephMgrStatus = newGauge("ceph_mgr_status",
		"1 for the active manager, 0 for a standby.", "ceph_daemon")
	cephMgrMetadata = newGauge("ceph_mgr_metadata",
		"1 for each manager.", "ceph_daemon", "hostname", "ceph_version")
	cephMgrModuleStatus = newGauge("ceph_mgr_module_status",
		"0 if the manager module is disabled, 1 if enabled, 2 if it is always on in this release.", "name")
	cephMgrModuleCanRun = newGauge("ceph_mgr_module_can_run",
		"1 if the active manager can run the module.", "name")
	cephFSMetadata = newUntyped("ceph_fs_metadata",
		"1 for each file system.", "data_pools", "fs_id", "metadata_pool", "name")
	cephMDSMetadata = newUntyped("ceph_mds_metadata",
		"1 for each metadata server; fs_id and rank are -1 for a standby.", "ceph_daemon", "fs_id", "hostname", "public_addr", "rank", "ceph_version")
	cephRGWMetadata = newUntyped("ceph_rgw_metadata",
		"1 for each object gateway.", "ceph_daemon", "hostname", "ceph_version", "instance_id")
	cephRBDMirrorMetadata = newUntyped("ceph_rbd_mirror_metadata",
		"1 for each RBD mirror daemon.", "ceph_daemon", "id", "instance_id", "hostname", "ceph_version")
)

func cephDaemonFamilies() []*Family {
	return []*Family{
		cephMonQuorum, cephMonMetadata, cephMgrStatus, cephMgrMetadata, cephMgrModuleStatus, cephMgrModuleCanRun,
		cephFSMetadata, cephMDSMetadata, cephRGWMetadata, cephRBDMirrorMetadata,
	}
}

func emitCephDaemons(s ceph.Snapshot, ch chan<- prometheus.Metric) {
	if s.Mon.MonMap != nil {
		in := inQuorum(s)
		for _, m := range s.Mon.MonMap.Mons {
			ch <- cephMonQuorum.metric(boolean(in[m.Rank]), "mon."+m.Name)
			ch <- cephMonMetadata.metric(1, "mon."+m.Name, m.Hostname, m.Addr, id(int64(m.Rank)), m.Version)
		}
	}
	if s.Mon.MgrMap != nil {
		emitCephMgrs(*s.Mon.MgrMap, ch)
	}
	if s.Mon.FSMap != nil {
		emitCephFS(*s.Mon.FSMap, ch)
	}
	for _, d := range s.Mon.Status.Services {
		emitCephService(d, ch)
	}
}

func emitCephMgrs(m ceph.MgrMap, ch chan<- prometheus.Metric) {
	for _, d := range m.Mgrs {
		ch <- cephMgrStatus.metric(boolean(d.Active), "mgr."+d.Name)
		ch <- cephMgrMetadata.metric(1, "mgr."+d.Name, d.Hostname, d.Version)
	}
	for _, mod := range m.Modules {
		ch <- cephMgrModuleStatus.metric(boolean(mod.Enabled)+boolean(mod.AlwaysOn), mod.Name)
		ch <- cephMgrModuleCanRun.metric(boolean(mod.CanRun), mod.Name)
	}
}

func emitCephFS(m ceph.FSMap, ch chan<- prometheus.Metric) {
	for _, f := range m.Filesystems {
		pools := make([]string, len(f.DataPools))
		for i, p := range f.DataPools {
			pools[i] = id(p)
		}
		ch <- cephFSMetadata.metric(1, strings.Join(pools, ","), id(f.ID), id(f.MetadataPool), f.Name)
	}
	for _, d := range m.MDSs {
		ch <- cephMDSMetadata.metric(1, "mds."+d.Name, id(d.FS), d.Hostname, d.Addr, id(d.Rank), d.Version)
	}
}

func emitCephService(d ceph.ServiceDaemon, ch chan<- prometheus.Metric) {
	m := d.Metadata
	switch d.Service {
	case "rgw":
		name := m["id"]
		if name == "" {
			name = d.ID
		}
		ch <- cephRGWMetadata.metric(1, "rgw."+name, m["hostname"], m["ceph_version"], d.ID)
	case "rbd-mirror":
		ch <- cephRBDMirrorMetadata.metric(1, "rbd-mirror."+d.ID, m["id"], m["instance_id"], m["hostname"], m["ceph_version"])
	}
}
