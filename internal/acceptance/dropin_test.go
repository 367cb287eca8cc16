package acceptance

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/dropin"
	"github.com/quorate/quorate/internal/lab"
)

// TestLabCephDropIn scrapes /ceph and the mgr module of the same cluster in five states and
// compares them series by series.
func TestLabCephDropIn(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{Nodes: 3, Ceph: true})
	x := startExporters(t, l, l.ExporterArgs()...)[0]
	compared, equal, differ, missing := 0, 0, 0, 0
	states := []struct {
		name   string
		fault  string
		settle []string
	}{
		{"healthy", "", []string{`pve1: ceph_health_status == 0`}},
		{"OSD down", "osd-down 0", []string{`pve1: ceph_osd_up{ceph_daemon="osd.0"} == 0`, `pve1: ceph_health_detail{name="PG_DEGRADED"} == 1`}},
		{"5 PGs undersized", "pgs-undersized 5", []string{`pve1: sum ceph_pg_undersized == 5`}},
		{"MON down", "mon-down 3", []string{`pve1: sum ceph_mon_quorum_status == 2`, `pve1: ceph_health_detail{name="MON_DOWN"} == 1`}},
		{"flags", "flags noout nobackfill", []string{`pve1: ceph_osd_flag_noout == 1`, `pve1: ceph_health_detail{name="OSDMAP_FLAGS"} == 1`}},
	}
	for _, s := range states {
		t.Run(s.name, func(t *testing.T) {
			if s.fault != "" {
				words := strings.Fields(s.fault)
				if err := l.Inject(t.Context(), words[0], words[1:]...); err != nil {
					t.Fatal(err)
				}
				defer func() {
					if err := l.Heal(t.Context()); err != nil {
						t.Error(err)
					}
				}()
			}
			settle(t, []*exporter{x}, claims(t, s.settle), nil, healLimit)
			report := compareSettled(t, l, x)
			for reason, n := range reasons(report) {
				t.Logf("%5d %s", n, reason)
			}
			for _, r := range report.Results {
				if unsettled(r) {
					t.Errorf("%s: %s %s: the module has %s, we %s", r.Reason, r.Kind, r.Series, r.Module, r.Ours)
				}
			}
			compared += report.Compared()
			equal += report.Count(dropin.Equal)
			differ += report.Count(dropin.Differ)
			missing += report.Count(dropin.Missing)
		})
	}
	t.Logf("states=%d compared=%d equal=%d differ=%d missing=%d", len(states), compared, equal, differ, missing)
	if equal*100 < compared*80 {
		t.Errorf("only %d of %d series are equal", equal, compared)
	}
}

// unsettled tells differences that a later look must not find again. That a value was taken at
// another moment explains it in a recording only: here we look until both have seen the same.
func unsettled(r dropin.Result) bool {
	return r.Reason == dropin.Unexplained || strings.HasPrefix(r.Reason, "counter or measure")
}

// compareSettled compares until nothing is unsettled, because the module's values are up to one of
// its intervals old; what remains after a while is returned as it is.
func compareSettled(t *testing.T, l *lab.Lab, x *exporter) dropin.Report {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		report := compareOnce(t, l, x)
		if !slices.ContainsFunc(report.Results, unsettled) || time.Now().After(deadline) {
			return report
		}
		time.Sleep(time.Second) // the next interval of the module
	}
}

func compareOnce(t *testing.T, l *lab.Lab, x *exporter) dropin.Report {
	t.Helper()
	module, err := l.MgrMetrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(x.url + "/ceph")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	ours, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	again, err := l.MgrMetrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	report, err := dropin.Compare(module, ours, dropin.Options{Again: again})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func reasons(r dropin.Report) map[string]int {
	out := map[string]int{}
	for _, s := range r.Results {
		name := string(s.Kind)
		if s.Reason != "" {
			name = fmt.Sprintf("%s: %s", s.Kind, s.Reason)
		}
		out[name]++
	}
	out["left out: performance counters of daemons"] = r.LeftOut
	return out
}
