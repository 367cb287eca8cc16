package collector

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorate/quorate/internal/source/ceph"
)

var (
	cephTotalBytes = newGauge("ceph_cluster_total_bytes", "Raw size of the cluster.")
	cephUsedBytes  = newGauge("ceph_cluster_total_used_bytes", "Raw bytes in use, without what stores keep for themselves.")
	cephUsedRaw    = newGauge("ceph_cluster_total_used_raw_bytes", "Raw bytes in use.")

	cephClassTotal   = newGauge("ceph_cluster_by_class_total_bytes", "Raw size of the OSDs of a device class.", "device_class")
	cephClassUsed    = newGauge("ceph_cluster_by_class_total_used_bytes", "Raw bytes in use on OSDs of a device class, without what stores keep for themselves.", "device_class")
	cephClassUsedRaw = newGauge("ceph_cluster_by_class_total_used_raw_bytes", "Raw bytes in use on OSDs of a device class.", "device_class")

	cephPoolMetadata = newUntyped("ceph_pool_metadata",
		"1 for each pool. Label application is there from Ceph 20 on.",
		"pool_id", "name", "type", "description", "compression_mode", "application")
	cephPoolMetadataOld = newUntyped("ceph_pool_metadata", cephPoolMetadata.Help, cephPoolMetadata.Labels[:5]...)

	cephPoolRepaired = newCounter("ceph_pool_objects_repaired",
		"Objects that scrubs have repaired in the pool. The label is poolid before Ceph 17.2.7.", "pool_id")
	cephPoolRepairedOld = newCounter("ceph_pool_objects_repaired", cephPoolRepaired.Help, "poolid")
)

// Ceph's mgr module changed labels with these releases.
var (
	cephPoolApplication = ceph.Release{Major: 20}                     // pool_metadata has label application
	cephPoolIDLabel     = ceph.Release{Major: 17, Minor: 2, Patch: 7} // pool_objects_repaired says pool_id
)

// cephPoolUse are the fields of `df detail` by pool.
var cephPoolUse = map[string]*Family{
	"max_avail":            newGauge("ceph_pool_max_avail", "Bytes that can still be stored in the pool.", "pool_id"),
	"avail_raw":            newGauge("ceph_pool_avail_raw", "Raw bytes that the pool can still take.", "pool_id"),
	"stored":               newGauge("ceph_pool_stored", "Bytes stored in the pool by its users.", "pool_id"),
	"stored_raw":           newGauge("ceph_pool_stored_raw", "Bytes stored in the pool, all copies counted.", "pool_id"),
	"objects":              newGauge("ceph_pool_objects", "Objects in the pool.", "pool_id"),
	"dirty":                newGauge("ceph_pool_dirty", "Objects of a cache pool that are not flushed.", "pool_id"),
	"quota_bytes":          newGauge("ceph_pool_quota_bytes", "Byte quota of the pool, 0 for none.", "pool_id"),
	"quota_objects":        newGauge("ceph_pool_quota_objects", "Object quota of the pool, 0 for none.", "pool_id"),
	"rd":                   newCounter("ceph_pool_rd", "Reads of the pool.", "pool_id"),
	"rd_bytes":             newCounter("ceph_pool_rd_bytes", "Bytes read from the pool.", "pool_id"),
	"wr":                   newCounter("ceph_pool_wr", "Writes of the pool.", "pool_id"),
	"wr_bytes":             newCounter("ceph_pool_wr_bytes", "Bytes written to the pool.", "pool_id"),
	"compress_bytes_used":  newGauge("ceph_pool_compress_bytes_used", "Raw bytes that compressed data takes.", "pool_id"),
	"compress_under_bytes": newGauge("ceph_pool_compress_under_bytes", "Bytes that compressed data had before.", "pool_id"),
	"bytes_used":           newGauge("ceph_pool_bytes_used", "Raw bytes that the pool takes.", "pool_id"),
	"percent_used":         newGauge("ceph_pool_percent_used", "Use of the pool, a ratio from 0 to 1 in spite of its name.", "pool_id"),
}

// cephPoolRates are the fields of `osd pool stats`.
var cephPoolRates = []struct {
	family *Family
	value  func(ceph.PoolRates) float64
}{
	{newGauge("ceph_pool_recovering_objects_per_sec", "Objects a second that recovery moves in the pool.", "pool_id"), func(r ceph.PoolRates) float64 { return r.RecoveringObjects }},
	{newGauge("ceph_pool_recovering_bytes_per_sec", "Bytes a second that recovery moves in the pool.", "pool_id"), func(r ceph.PoolRates) float64 { return r.RecoveringBytes }},
	{newGauge("ceph_pool_recovering_keys_per_sec", "Keys a second that recovery moves in the pool.", "pool_id"), func(r ceph.PoolRates) float64 { return r.RecoveringKeys }},
	{newGauge("ceph_pool_num_objects_recovered", "Objects that recovery has moved in the pool lately.", "pool_id"), func(r ceph.PoolRates) float64 { return r.ObjectsRecovered }},
	{newGauge("ceph_pool_num_bytes_recovered", "Bytes that recovery has moved in the pool lately.", "pool_id"), func(r ceph.PoolRates) float64 { return r.BytesRecovered }},
}

func cephPoolFamilies() []*Family {
	all := []*Family{
		cephTotalBytes, cephUsedBytes, cephUsedRaw, cephClassTotal, cephClassUsed, cephClassUsedRaw,
		cephPoolMetadata, cephPoolRepaired,
	}
	for _, r := range cephPoolRates {
		all = append(all, r.family)
	}
	return append(all, sortedFamilies(cephPoolUse)...)
}

func emitCephPoolMetadata(s ceph.Snapshot, ch chan<- prometheus.Metric) {
	if s.Mon.OSDMap == nil {
		return
	}
	old := s.Release.Known() && s.Release.Before(cephPoolApplication)
	for _, p := range s.Mon.OSDMap.Pools {
		labels := []string{id(p.ID), p.Name, p.Type, p.Description, p.CompressionMode, p.Application}
		if old {
			ch <- cephPoolMetadataOld.metric(1, labels[:5]...)
		} else {
			ch <- cephPoolMetadata.metric(1, labels...)
		}
	}
}

// emitCephPools sends what the manager counts of pools.
func emitCephPools(s ceph.Snapshot, ch chan<- prometheus.Metric) {
	repaired := cephPoolRepaired
	if s.Release.Known() && s.Release.Before(cephPoolIDLabel) {
		repaired = cephPoolRepairedOld
	}
	for _, p := range s.Mgr.PoolRepairs {
		ch <- repaired.metric(float64(p.Repaired), id(p.ID))
	}
	for _, r := range s.Mgr.PoolRates {
		for _, f := range cephPoolRates {
			ch <- f.family.metric(f.value(r), id(r.ID))
		}
	}
	u := s.Mgr.Usage
	if u == nil {
		return
	}
	ch <- cephTotalBytes.metric(u.Total.TotalBytes)
	ch <- cephUsedBytes.metric(u.Total.UsedBytes)
	ch <- cephUsedRaw.metric(u.Total.UsedRawBytes)
	for class, space := range u.ByClass {
		ch <- cephClassTotal.metric(space.TotalBytes, class)
		ch <- cephClassUsed.metric(space.UsedBytes, class)
		ch <- cephClassUsedRaw.metric(space.UsedRawBytes, class)
	}
	for _, p := range u.Pools {
		for field, f := range cephPoolUse {
			if v, ok := p.Stats[field]; ok {
				ch <- f.metric(v, id(p.ID))
			}
		}
	}
}
