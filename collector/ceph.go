package collector

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorate/quorate/internal/source/ceph"
)

// CephReader is what the ceph collector needs of Ceph.
type CephReader interface {
	// Ceph returns what the cluster says now. The snapshot is good as far as its flags say, also
	// when there is an error. It fails with ceph.ErrNotConfigured where there is no Ceph.
	Ceph(ctx context.Context) (ceph.Snapshot, error)
}

// CephSpec is the collector of the Ceph cluster. Names, types and labels of ceph_* are those of
// Ceph's own mgr module, so that stock rules and dashboards work.
func CephSpec() Spec {
	return Spec{
		Name: "ceph", Scope: Cluster, On: true,
		Help:     "Ceph health, quorum, OSDs, PGs and pools, as Ceph's own exporter names them.",
		Families: cephFamilies(),
		New: func(s Sources) (Collector, error) {
			if s.Ceph == nil {
				return nil, errors.New("no Ceph reader: switch the collector off, or use a build with cgo")
			}
			return cephCollector{s.Ceph}, nil
		},
	}
}

type cephCollector struct{ reader CephReader }

// Collect sends what could be read. While monitors do not answer with quorum that is nothing.
func (c cephCollector) Collect(ctx context.Context, ch chan<- prometheus.Metric) error {
	s, err := c.reader.Ceph(ctx)
	if errors.Is(err, ceph.ErrNotConfigured) {
		return nil
	}
	emitCeph(s, ch)
	return err
}

func cephFamilies() []*Family {
	return slices.Concat(cephHealthFamilies(), cephDaemonFamilies(), cephOSDFamilies(), cephPGFamilies(), cephPoolFamilies())
}

// emitCeph is pure: a snapshot in, metrics out.
func emitCeph(s ceph.Snapshot, ch chan<- prometheus.Metric) {
	if !s.HasMon {
		return
	}
	emitCephHealth(s, ch)
	emitCephDaemons(s, ch)
	emitCephOSDs(s, ch)
	emitCephPoolMetadata(s, ch)
	if s.HasMgr {
		emitCephOSDUse(s, ch)
		emitCephPGs(s, ch)
		emitCephPools(s, ch)
	}
}

func id(n int64) string { return strconv.FormatInt(n, 10) }
