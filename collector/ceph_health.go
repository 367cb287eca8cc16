package collector

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorate/quorate/internal/source/ceph"
)

var (
	cephHealthStatus = newUntyped("ceph_health_status",
		"Cluster health: 0 HEALTH_OK, 1 HEALTH_WARN, 2 HEALTH_ERR. Absent while the monitors have no quorum. No proxy for an outage: degraded or inactive PGs alone are only a warning.")
	cephHealthDetail = newGauge("ceph_health_detail",
		"1 while the health check is raised, 0 once this process has seen it raised and cleared. Severity is that of now.", "name", "severity")
	cephSlowOps = newGauge("ceph_healthcheck_slow_ops",
		"Number of slow operations that the health check SLOW_OPS tells of.")
	cephDaemonHealth = newGauge("ceph_daemon_health_metrics",
		"1 if the health check of that type names the daemon, else 0. The count of each daemon is known only inside the manager.", "type", "ceph_daemon")
)

func cephHealthFamilies() []*Family {
	return []*Family{cephHealthStatus, cephHealthDetail, cephSlowOps, cephDaemonHealth}
}

func emitCephHealth(s ceph.Snapshot, ch chan<- prometheus.Metric) {
	h := s.Mon.Health
	if n, ok := h.Number(); ok {
		ch <- cephHealthStatus.metric(float64(n))
	}
	for _, c := range h.Checks {
		ch <- cephHealthDetail.metric(boolean(c.Active), c.Name, c.Severity)
	}
	slow, ok := h.SlowOps()
	if !ok {
		return
	}
	ch <- cephSlowOps.metric(float64(slow.Ops))
	for _, d := range reportingDaemons(s) {
		if slow.Daemons[d] || slow.Complete {
			ch <- cephDaemonHealth.metric(boolean(slow.Daemons[d]), "SLOW_OPS", d)
		}
	}
	emitPendingPGs(s, ch)
}

// emitPendingPGs says that no OSD is late in creating PGs. When some are, the check does not tell
// which, so there is nothing to say.
func emitPendingPGs(s ceph.Snapshot, ch chan<- prometheus.Metric) {
	const check = "PENDING_CREATING_PGS"
	if _, raised := s.Mon.Health.Active(check); raised || s.Mon.OSDMap == nil {
		return
	}
	for _, o := range s.Mon.OSDMap.OSDs {
		if o.Up {
			ch <- cephDaemonHealth.metric(0, check, o.Name())
		}
	}
}

// reportingDaemons are those that report slow operations: monitors in quorum and OSDs that are up.
func reportingDaemons(s ceph.Snapshot) []string {
	var names []string
	if s.Mon.MonMap != nil {
		in := inQuorum(s)
		for _, m := range s.Mon.MonMap.Mons {
			if in[m.Rank] {
				names = append(names, "mon."+m.Name)
			}
		}
	}
	if s.Mon.OSDMap != nil {
		for _, o := range s.Mon.OSDMap.OSDs {
			if o.Up {
				names = append(names, o.Name())
			}
		}
	}
	return names
}

func inQuorum(s ceph.Snapshot) map[int]bool {
	in := make(map[int]bool, len(s.Mon.Status.Quorum))
	for _, rank := range s.Mon.Status.Quorum {
		in[rank] = true
	}
	return in
}
