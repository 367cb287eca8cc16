package acceptance

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/quorate/quorate/internal/lab"
	"github.com/quorate/quorate/internal/lab/labtest"
)

// A stockFault is a fault of a real Ceph that no recording holds, with the alerts of Ceph's own that
// it raises. A step is a fault of the lab ("fault NAME ARGS"), its repair ("heal NAME"), or a command
// of ceph.
type stockFault struct {
	name   string
	alerts []string
	steps  []string
	undo   []string
}

// stockFaults are made in this order. What a disk or a clock would have to do for a check, its limit
// does here.
var stockFaults = []stockFault{
	{
		name: "limits of monitors' disks", alerts: []string{"CephMonDiskspaceLow", "CephMonDiskspaceCritical"},
		steps: []string{"tell mon.pve2 config set mon_data_avail_warn 100", "tell mon.pve3 config set mon_data_avail_crit 100"},
		undo:  []string{"tell mon.pve2 config set mon_data_avail_warn 3", "tell mon.pve3 config set mon_data_avail_crit 1"},
	},
	{
		name: "no drift of clocks allowed", alerts: []string{"CephMonClockSkew"},
		// Clocks are compared after an election, and on one machine they agree: less than no drift is needed.
		steps: []string{"config set mon mon_clock_drift_allowed -1", "fault mon-down 3"},
		undo:  []string{"config rm mon mon_clock_drift_allowed", "heal mon-down"},
	},
	{
		name: "CephFS without MDS", alerts: []string{"CephFilesystemOffline", "CephFilesystemDegraded", "CephFilesystemMDSRanksLow", "CephFilesystemInsufficientStandby", "CephFilesystemFailureNoStandby"},
		steps: []string{
			"osd pool create stock-meta 2 2 replicated", "osd pool create stock-data 2 2 replicated",
			"fs new stock stock-meta stock-data --force --recover", "fs set stock joinable true", "fs set stock max_mds 2", "fs set stock standby_count_wanted 1",
		},
		undo: []string{"fs fail stock", "fs rm stock --yes-i-really-mean-it"},
	},
	{
		name: "no scrubs", alerts: []string{"CephPGNotScrubbed", "CephPGNotDeepScrubbed"},
		steps: []string{
			"osd set noscrub", "osd set nodeep-scrub", "osd pool create stock-scrub 2 2 replicated",
			"osd pool set stock-scrub scrub_max_interval 1", "osd pool set stock-scrub deep_scrub_interval 1",
		},
		undo: []string{
			"osd pool set stock-scrub scrub_max_interval 0", "osd pool set stock-scrub deep_scrub_interval 0",
			"osd unset noscrub", "osd unset nodeep-scrub",
		},
	},
	{
		name: "a pool at its quota", alerts: []string{"CephPoolFull"},
		steps: []string{"fault pool-quota"}, undo: []string{"heal pool-quota"},
	},
	{
		name: "PGs inactive with every OSD up", alerts: []string{"CephPGUnavailableBlockingIO"},
		steps: []string{"fault osd-down 0", "heal osd-down", "fault pgs-inactive 5"},
		undo:  []string{"heal pgs-inactive"},
	},
	{
		name: "repaired copies", alerts: []string{"CephOSDTooManyRepairs"},
		steps: []string{"fault pgs-inconsistent 12", "heal pgs-inconsistent", "config set global mon_osd_warn_num_repaired 1"},
		undo:  []string{"config rm global mon_osd_warn_num_repaired"},
	},
	{
		name: "slow storage network", alerts: []string{"CephOSDTimeoutsPublicNetwork", "CephOSDTimeoutsClusterNetwork"},
		steps: []string{"tell mgr.* config set mon_warn_on_slow_ping_time 5", "fault link-delay 3 2 20"},
		undo:  []string{"tell mgr.* config set mon_warn_on_slow_ping_time 3600000", "heal link-delay"},
	},
	{name: "full", alerts: []string{"CephOSDFull"}, steps: []string{"fault full"}, undo: []string{"heal full"}},
	{
		name: "no room to backfill", alerts: []string{"CephPGBackfillAtRisk"},
		steps: []string{"fault backfillfull", "osd out 0"},
		undo:  []string{"osd in 0", "heal backfillfull"},
	},
	{
		name: "PGs per OSD", alerts: []string{"CephPGsHighPerOSD"},
		steps: []string{"config set global mon_max_pg_per_osd 1"}, undo: []string{"config rm global mon_max_pg_per_osd"},
	},
}

// TestLabStockCephRulesFire makes faults and lets a real Prometheus evaluate Ceph's own alerts on one
// of our exporters.
func TestLabStockCephRulesFire(t *testing.T) {
	labtest.Soak(t)
	t.Parallel()
	rules := fstest.MapFS{"stock.yaml": {Data: stockRules(t, stockAlerts(t)...)}}
	l := newLab(t, lab.Options{Nodes: 3, Ceph: true})
	p := startPagingOf(t, l, rulePace, rules, []int{1})
	for _, f := range stockFaults {
		t.Run(f.name, func(t *testing.T) { f.prove(t, p) })
	}
	p.rulesEvaluated(t)
}

func (f stockFault) prove(t *testing.T, p *paging) {
	t.Cleanup(func() { f.run(t, p.l, f.undo) })
	begun := time.Now()
	f.run(t, p.l, f.steps)
	missing := slices.Clone(f.alerts)
	eventually(t, 3*time.Minute, func() error {
		var health []string
		for _, r := range p.rules(t) {
			missing = slices.DeleteFunc(missing, func(name string) bool { return r.State == "firing" && r.Labels["alertname"] == name })
			health = append(health, r.String())
		}
		if len(missing) > 0 {
			return fmt.Errorf("do not fire: %v; true are %v", missing, health)
		}
		return nil
	})
	t.Logf("%v after %s", f.alerts, time.Since(begun).Round(time.Second))
}

func (f stockFault) run(t *testing.T, l *lab.Lab, steps []string) {
	t.Helper()
	ctx := context.Background() // also when the test is over: the next fault needs a sound Ceph
	for _, step := range steps {
		words := strings.Fields(step)
		var err error
		switch words[0] {
		case "fault":
			err = l.Inject(ctx, words[1], words[2:]...)
		case "heal":
			err = l.Heal(ctx, words[1])
		default:
			_, err = l.CephCLI(ctx, words...)
		}
		if err != nil {
			t.Errorf("%s: %v", step, err)
		}
	}
}
