package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/quorate/quorate/internal/source/pve"
)

// haSays is an HAReader that always gives the same answer.
type haSays struct {
	view pve.HAView
	err  error
}

func (r *haSays) HA(context.Context) (pve.HAView, error) { return r.view, r.err }

// haAsMetrics is a Collector as client_golang's test tools want it.
type haAsMetrics struct {
	t       *testing.T
	c       Collector
	wantErr error
}

func (haAsMetrics) Describe(chan<- *prometheus.Desc) {}

func (m haAsMetrics) Collect(ch chan<- prometheus.Metric) {
	if err := m.c.Collect(m.t.Context(), ch); !errors.Is(err, m.wantErr) {
		m.t.Errorf("Collect returned %v, want %v", err, m.wantErr)
	}
}

func newHACollector(t *testing.T, r HAReader) Collector {
	t.Helper()
	c, err := HASpec().New(Sources{HA: r})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func haExample() pve.HAView {
	known := pve.Int{V: 1, Known: true}
	return pve.HAView{
		HA: pve.HA{
			Quorate: true, Master: "pve2", Updated: time.Unix(1795219962, 0), Arming: pve.HAArmed,
			Nodes: []pve.HANode{{Name: "pve1", State: "online"}, {Name: "pve2", State: "new-state"}},
			LRMs: []pve.HALRM{
				{Node: "pve1", State: "active", Mode: "active", Updated: time.Unix(1795219964, 0)},
				{Node: "pve2"},
			},
			Services: []pve.HAService{
				{SID: "ct:101", Requested: "ignored", MaxRestart: known, MaxRelocate: known},
				{SID: "vm:100", Known: true, State: "fence", Node: "pve1", FailedNodes: 2, Requested: "started", MaxRestart: pve.Int{V: 3, Known: true}},
			},
		},
		Counts: pve.HACounts{
			Fences: map[string]uint64{"pve1": 0, "pve2": 2}, Failovers: map[string]uint64{"pve1": 0, "pve2": 1},
			Failed: map[string]uint64{"pve1": 3, "pve2": 0}, Durations: []time.Duration{140 * time.Second, 700 * time.Second},
			InProgress: map[string]time.Duration{"qemu/100": 90500 * time.Millisecond},
		},
	}
}

const haExampleStates = `
# HELP pve_ha_state State of a node or guest in the HA manager, 1 for the one it is in. Without quorum it is frozen: see pve_ha_quorate.
# TYPE pve_ha_state gauge
pve_ha_state{id="lxc/101",state="error"} 0
pve_ha_state{id="lxc/101",state="fence"} 0
pve_ha_state{id="lxc/101",state="freeze"} 0
pve_ha_state{id="lxc/101",state="migrate"} 0
pve_ha_state{id="lxc/101",state="recovery"} 0
pve_ha_state{id="lxc/101",state="relocate"} 0
pve_ha_state{id="lxc/101",state="request_start"} 0
pve_ha_state{id="lxc/101",state="request_start_balance"} 0
pve_ha_state{id="lxc/101",state="request_stop"} 0
pve_ha_state{id="lxc/101",state="started"} 0
pve_ha_state{id="lxc/101",state="stopped"} 0
pve_ha_state{id="node/pve1",state="fence"} 0
pve_ha_state{id="node/pve1",state="gone"} 0
pve_ha_state{id="node/pve1",state="maintenance"} 0
pve_ha_state{id="node/pve1",state="online"} 1
pve_ha_state{id="node/pve1",state="unknown"} 0
pve_ha_state{id="node/pve2",state="fence"} 0
pve_ha_state{id="node/pve2",state="gone"} 0
pve_ha_state{id="node/pve2",state="maintenance"} 0
pve_ha_state{id="node/pve2",state="new-state"} 1
pve_ha_state{id="node/pve2",state="online"} 0
pve_ha_state{id="node/pve2",state="unknown"} 0
pve_ha_state{id="qemu/100",state="error"} 0
pve_ha_state{id="qemu/100",state="fence"} 1
pve_ha_state{id="qemu/100",state="freeze"} 0
pve_ha_state{id="qemu/100",state="migrate"} 0
pve_ha_state{id="qemu/100",state="recovery"} 0
pve_ha_state{id="qemu/100",state="relocate"} 0
pve_ha_state{id="qemu/100",state="request_start"} 0
pve_ha_state{id="qemu/100",state="request_start_balance"} 0
pve_ha_state{id="qemu/100",state="request_stop"} 0
pve_ha_state{id="qemu/100",state="started"} 0
pve_ha_state{id="qemu/100",state="stopped"} 0
`

const haExampleRest = `
pve_ha_armed 1
pve_ha_failover_duration_seconds_count 2
pve_ha_failover_duration_seconds_sum 840
pve_ha_failover_failed_total{node="pve1"} 3
pve_ha_failover_failed_total{node="pve2"} 0
pve_ha_failover_in_progress_seconds{id="qemu/100"} 90.5
pve_ha_failover_total{node="pve1"} 0
pve_ha_failover_total{node="pve2"} 1
pve_ha_fence_total{node="pve1"} 0
pve_ha_fence_total{node="pve2"} 2
pve_ha_lrm_last_update_timestamp_seconds{node="pve1"} 1.795219964e+09
pve_ha_lrm_state{node="pve1",state="active"} 1
pve_ha_manager_info{node="pve2"} 1
pve_ha_manager_last_update_timestamp_seconds 1.795219962e+09
pve_ha_quorate 1
pve_ha_requested_state{id="lxc/101",state="disabled"} 0
pve_ha_requested_state{id="lxc/101",state="ignored"} 1
pve_ha_requested_state{id="lxc/101",state="started"} 0
pve_ha_requested_state{id="lxc/101",state="stopped"} 0
pve_ha_requested_state{id="qemu/100",state="disabled"} 0
pve_ha_requested_state{id="qemu/100",state="ignored"} 0
pve_ha_requested_state{id="qemu/100",state="started"} 1
pve_ha_requested_state{id="qemu/100",state="stopped"} 0
pve_ha_service_failed_starts{id="qemu/100"} 2
pve_ha_service_max_relocate{id="lxc/101"} 1
pve_ha_service_max_restart{id="lxc/101"} 1
pve_ha_service_max_restart{id="qemu/100"} 3
pve_ha_service_node_info{id="qemu/100",node="pve1"} 1
`

func TestHAExposition(t *testing.T) {
	m := haAsMetrics{t: t, c: newHACollector(t, &haSays{view: haExample()})}
	if err := testutil.CollectAndCompare(m, strings.NewReader(haExampleStates), "pve_ha_state"); err != nil {
		t.Error(err)
	}
	got := haLines(t, m)
	got = slices.DeleteFunc(got, func(l string) bool {
		return strings.HasPrefix(l, "pve_ha_state{") || strings.Contains(l, "_bucket{")
	})
	if d := cmp.Diff(strings.Split(strings.TrimSpace(haExampleRest), "\n"), got); d != "" {
		t.Error(d)
	}
	problems, err := testutil.CollectAndLint(m)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}

// haLines is the exposition text without comments, gathered by a registry that refuses what is
// inconsistent.
func haLines(t *testing.T, c prometheus.Collector) []string {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			name, suffix := f.GetName(), ""
			if len(labels) > 0 {
				suffix = "{" + strings.Join(labels, ",") + "}"
			}
			if h := m.GetHistogram(); h != nil {
				lines = append(lines, fmt.Sprintf("%s_count%s %d", name, suffix, h.GetSampleCount()), fmt.Sprintf("%s_sum%s %g", name, suffix, h.GetSampleSum()))
				continue
			}
			lines = append(lines, fmt.Sprintf("%s%s %g", name, suffix, m.GetGauge().GetValue()+m.GetCounter().GetValue()))
		}
	}
	slices.Sort(lines)
	return lines
}

func TestHAWithoutAnAnswerShowsCountersOnly(t *testing.T) {
	gone := errors.New("pmxcfs does not answer")
	counts := haExample().Counts
	counts.InProgress = nil
	got := haLines(t, haAsMetrics{t: t, c: newHACollector(t, &haSays{pve.HAView{Counts: counts}, gone}), wantErr: gone})
	for _, l := range got {
		if !strings.Contains(l, "_total{") && !strings.HasPrefix(l, "pve_ha_failover_duration_seconds") {
			t.Errorf("%s is there although nobody answers", l)
		}
	}
	if len(got) != 8 {
		t.Errorf("got %q", got)
	}
}

func TestHAEachDurationIsObservedOnce(t *testing.T) {
	says := &haSays{view: haExample()}
	c := newHACollector(t, says)
	for _, n := range []int{1, 1, 2, 2} {
		says.view.Counts.Durations = haExample().Counts.Durations[:n]
		got := haLines(t, haAsMetrics{t: t, c: c})
		if !slices.Contains(got, fmt.Sprintf("pve_ha_failover_duration_seconds_count %d", n)) {
			t.Errorf("want %d observations: %q", n, got)
		}
	}
}

func TestHAFullStateSetsNameUnmanagedGuests(t *testing.T) {
	says := &haSays{view: haExample()}
	says.view.HA.Unmanaged = []string{"qemu/999"}
	got := haLines(t, haAsMetrics{t: t, c: newHACollector(t, says)})
	n := 0
	for _, l := range got {
		if strings.HasPrefix(l, `pve_ha_state{id="qemu/999"`) && strings.HasSuffix(l, " 0") {
			n++
		}
	}
	if n != 11 {
		t.Errorf("%d zeros for a guest without HA, want 11", n)
	}
}

func TestHAAndTasksNeedTheirSource(t *testing.T) {
	for _, s := range []Spec{HASpec(), TasksSpec()} {
		if _, err := s.New(Sources{}); err == nil {
			t.Errorf("%s was built from nothing", s.Name)
		}
	}
}

func BenchmarkHAEmit(b *testing.B) {
	for _, guests := range []int{500, 2000} {
		b.Run(fmt.Sprintf("guests=%d", guests), func(b *testing.B) {
			v := haExample()
			for i := range guests {
				v.HA.Services = append(v.HA.Services, pve.HAService{SID: fmt.Sprintf("vm:%d", 1000+i), Known: true, State: "started", Node: "pve1", Requested: "started"})
			}
			c, err := HASpec().New(Sources{HA: &haSays{view: v}})
			if err != nil {
				b.Fatal(err)
			}
			ch := make(chan prometheus.Metric, 64)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for range ch {
				}
			}()
			for b.Loop() {
				if err := c.Collect(context.Background(), ch); err != nil {
					b.Fatal(err)
				}
			}
			close(ch)
			<-done
		})
	}
}
