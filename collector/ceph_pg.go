package collector

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorate/quorate/internal/source/ceph"
)

var (
	cephPGTotal = newGauge("ceph_pg_total", "PGs of the pool.", "pool_id")

	cephDegraded  = newGauge("ceph_num_objects_degraded", "Copies of objects that are missing.")
	cephMisplaced = newGauge("ceph_num_objects_misplaced", "Copies of objects that are not where CRUSH wants them.")
	cephUnfound   = newGauge("ceph_num_objects_unfound", "Objects of which no copy can be found.")

	quorateSurvivable = newGauge("quorate_ceph_osd_down_survivable",
		"How many more of the failure domain may fail before a pool falls below min_size; negative if shards are missing for that already.", "failure_domain")
	quorateRecovery = newGauge("quorate_ceph_recovery_bytes_per_second",
		"Bytes a second that recovery and backfill move in the whole cluster.")
	quorateOldestInactive = newGauge("quorate_ceph_oldest_inactive_pg_seconds",
		"How long the longest inactive PG has not been active, 0 if all are. Absent while more than 50 are inactive.")
)

// cephPGStates are the state bits of a PG (Ceph's PG_STATES), one gauge each.
var cephPGStates = func() map[string]*Family {
	states := map[string]*Family{}
	for _, s := range strings.Fields(`active clean down recovery_unfound backfill_unfound scrubbing degraded
		inconsistent peering repair recovering forced_recovery backfill_wait incomplete stale remapped deep
		backfilling forced_backfill backfill_toofull recovery_wait recovery_toofull undersized activating peered
		snaptrim snaptrim_wait snaptrim_error creating unknown premerge failed_repair laggy wait`) {
		states[s] = newGauge("ceph_pg_"+s, "PGs of the pool whose state holds "+s+".", "pool_id")
	}
	return states
}()

func cephPGFamilies() []*Family {
	all := []*Family{
		cephPGTotal, cephDegraded, cephMisplaced, cephUnfound,
		quorateSurvivable, quorateRecovery, quorateOldestInactive,
	}
	return append(all, sortedFamilies(cephPGStates)...)
}

func emitCephPGs(s ceph.Snapshot, ch chan<- prometheus.Metric) {
	for _, p := range s.Mgr.PoolPGs {
		pool := id(p.Pool)
		ch <- cephPGTotal.metric(float64(p.Total), pool)
		count := make(map[string]int, 8)
		for state, n := range p.States {
			for _, bit := range strings.Split(state, "+") {
				count[bit] += n
			}
		}
		for bit, f := range cephPGStates {
			ch <- f.metric(float64(count[bit]), pool)
		}
	}
	t := s.Mgr.PGs
	ch <- cephDegraded.metric(float64(t.Degraded))
	ch <- cephMisplaced.metric(float64(t.Misplaced))
	ch <- cephUnfound.metric(float64(t.Unfound))
	ch <- quorateRecovery.metric(t.RecoveryBytesPerSecond)
	for domain, n := range s.Mgr.Survivable {
		ch <- quorateSurvivable.metric(float64(n), domain)
	}
	if s.Mgr.OldestKnown {
		ch <- quorateOldestInactive.metric(s.Mgr.OldestInactive.Seconds())
	}
}
