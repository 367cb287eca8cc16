package dropin

import (
	"regexp"
	"slices"
	"strings"
)

// Unexplained is the reason of a difference that no rule explains.
const Unexplained = "unexplained"

// daemonCounters are the families that the module copies from the daemons' performance counters.
// Daemons tell them to the manager alone, no command gives them, and since Ceph 18 the module
// leaves them out by default.
var daemonCounters = regexp.MustCompile(`^ceph_(bluefs|bluestore|rocksdb|paxos|prioritycache|objecter|purge_queue|mds|rgw|` +
	`mon_(session|num|election)|osd_(op|recovery|sub|numpg_removing|stat_bytes|numpg|snap|tier|agent))(:|_|$)`)

// notDaemonCounters look like counters of a daemon and are not.
var notDaemonCounters = regexp.MustCompile(`_metadata$`)

func isDaemonCounter(family string) bool {
	return daemonCounters.MatchString(family) && !notDaemonCounters.MatchString(family)
}

// A rule explains differences. All of its conditions that are set must hold.
type rule struct {
	reason string
	kinds  []Kind
	family *regexp.Regexp
	lacks  []string          // one of these commands was not answered
	when   func(Result) bool // nil: always
	needs  func(reasons, Result) bool
}

// rules are tried in order.
var rules = []rule{
	{
		reason: "the module's measure of itself",
		kinds:  []Kind{Missing, Differ}, family: regexp.MustCompile(`^ceph_prometheus_collect_duration_seconds_`),
	},
	{
		reason: "check cleared before this process began: the module keeps its history in the cluster",
		kinds:  []Kind{Missing}, family: regexp.MustCompile(`^ceph_health_detail$`),
		when: func(r Result) bool { return r.Module == "0" },
	},
	{
		reason: "moved between the module's two samples",
		kinds:  []Kind{Differ}, family: regexp.MustCompile(`.`),
		when: func(r Result) bool { return strings.Contains(r.Module, " then ") },
	},
	{
		reason: "not recorded: mgr dump",
		kinds:  []Kind{Missing, Differ}, family: regexp.MustCompile(`^ceph_mgr_(status|metadata|module_status|module_can_run)$`),
		lacks: []string{"mgr dump"},
	},
	{
		reason: "not recorded: mgr metadata",
		kinds:  []Kind{Differ}, family: regexp.MustCompile(`^ceph_mgr_metadata$`), lacks: []string{"mgr metadata"},
	},
	{
		reason: "not recorded: mon metadata",
		kinds:  []Kind{Differ}, family: regexp.MustCompile(`^ceph_mon_metadata$`), lacks: []string{"mon metadata"},
	},
	{
		reason: "counter or measure, taken at another moment",
		kinds:  []Kind{Differ},
		family: regexp.MustCompile(`^ceph_(osd_(apply|commit)_latency_ms|osd_stat_bytes_used|cluster_total_used(_raw)?_bytes|cluster_total_bytes|` +
			`pool_(max_avail|avail_raw|stored|stored_raw|objects|dirty|rd|rd_bytes|wr|wr_bytes|bytes_used|percent_used|` +
			`compress_bytes_used|compress_under_bytes|recovering_\w+|num_\w+_recovered)|num_objects_(degraded|misplaced))$`),
	},
	{
		reason: "the OSD is down: the module goes on serving its last counters",
		kinds:  []Kind{Missing}, family: regexp.MustCompile(`^ceph_osd_(stat_bytes|stat_bytes_used|numpg)$`),
		needs: func(w reasons, r Result) bool { return w.down[r.daemon()] },
	},
	{
		reason: "the module's sample is of another moment: other recorded answers contradict it and not us",
		kinds:  []Kind{Differ, Missing, Extra},
		family: regexp.MustCompile(`^ceph_(health_status|health_detail|mon_quorum_status|osd_(up|in|weight|metadata|flag_\w+|numpg|stat_bytes|stat_bytes_used|apply_latency_ms|commit_latency_ms)|pg_\w+|pool_metadata)$`),
		needs:  func(w reasons, _ Result) bool { return len(w.o.Contradictions) > 0 },
	},
	{
		reason: "counted by the OSD itself, with PGs it has yet to remove",
		kinds:  []Kind{Differ}, family: regexp.MustCompile(`^ceph_osd_numpg$`),
	},
	{
		reason: "monitors in quorum and OSDs that are up, while the module lists who ever reported",
		kinds:  []Kind{Extra, Missing}, family: regexp.MustCompile(`^ceph_daemon_health_metrics$`),
	},
	{
		reason: "ours",
		kinds:  []Kind{Extra}, family: regexp.MustCompile(`^quorate_`),
	},
	{
		reason: "in the module of a later release",
		kinds:  []Kind{Extra}, family: regexp.MustCompile(`^ceph_(osd_(near)?full_ratio|cluster_osd_blocklist_count|cluster_by_class_\w+)$`),
	},
}

type reasons struct {
	o    Options
	down map[string]bool // daemons that are down, by our exposition
}

// down lists the OSDs that an exposition says are down.
func down(m map[string]*family) map[string]bool {
	out := map[string]bool{}
	if f := m["ceph_osd_up"]; f != nil {
		for _, s := range f.series {
			if s.value == 0 {
				out[s.labels["ceph_daemon"]] = true
			}
		}
	}
	return out
}

func (w reasons) of(r Result) string {
	for _, rule := range rules {
		if w.applies(rule, r) {
			return rule.reason
		}
	}
	return Unexplained
}

func (w reasons) applies(rule rule, r Result) bool {
	if !slices.Contains(rule.kinds, r.Kind) || !rule.family.MatchString(r.Family) {
		return false
	}
	if len(rule.lacks) > 0 && !slices.ContainsFunc(rule.lacks, func(c string) bool { return slices.Contains(w.o.Missing, c) }) {
		return false
	}
	return (rule.when == nil || rule.when(r)) && (rule.needs == nil || rule.needs(w, r))
}
