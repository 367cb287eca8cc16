package collector

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/quorate/quorate/internal/source/linkprobe"
)

var (
	_ linkprobe.Observer = (*LinkMeter)(nil)
	_ LinkMeasurer       = (*LinkMeter)(nil)
)

// gatherLinks returns a registry that holds the links collector over m.
func gatherLinks(t *testing.T, m *LinkMeter) *prometheus.Registry {
	t.Helper()
	c, err := LinksSpec().New(Sources{Links: m})
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(linksFixture{c, t})
	return reg
}

// linksFixture shows a Collector to a registry, which checks the metrics against the families.
type linksFixture struct {
	Collector
	t *testing.T
}

func (f linksFixture) Describe(ch chan<- *prometheus.Desc) {
	for _, family := range LinksSpec().Families {
		ch <- family.desc
	}
}

func (f linksFixture) Collect(ch chan<- prometheus.Metric) {
	if err := f.Collector.Collect(f.t.Context(), ch); err != nil {
		f.t.Error(err)
	}
}

func TestLinksCountProbesOfEachPeerAndLink(t *testing.T) {
	m := NewLinkMeter()
	m.Known("pve2", 0)
	for _, rtt := range []time.Duration{40 * time.Microsecond, 1999 * time.Microsecond, 2001 * time.Microsecond, 300 * time.Millisecond} {
		m.Sent("pve2", 0)
		m.RTT("pve2", 0, rtt)
	}
	m.Sent("pve2", 0)
	m.Lost("pve2", 0)
	m.Known("pve3", 1)
	const want = `
# HELP corosync_link_probe_lost_total Probes that were not answered in time. A way that never answered since the exporter's start, as behind a firewall, does not count.
# TYPE corosync_link_probe_lost_total counter
corosync_link_probe_lost_total{link="0",peer="pve2"} 1
corosync_link_probe_lost_total{link="1",peer="pve3"} 0
# HELP corosync_link_probe_rtt_seconds Round-trip time of the probes that were answered, without the time that processes waited for a CPU.
# TYPE corosync_link_probe_rtt_seconds histogram
corosync_link_probe_rtt_seconds_bucket{link="0",peer="pve2",le="5e-05"} 1
corosync_link_probe_rtt_seconds_bucket{link="0",peer="pve2",le="0.0001"} 1
corosync_link_probe_rtt_seconds_bucket{link="0",peer="pve2",le="0.0002"} 1
corosync_link_probe_rtt_seconds_bucket{link="0",peer="pve2",le="0.0005"} 1
corosync_link_probe_rtt_seconds_bucket{link="0",peer="pve2",le="0.001"} 1
corosync_link_probe_rtt_seconds_bucket{link="0",peer="pve2",le="0.002"} 2
corosync_link_probe_rtt_seconds_bucket{link="0",peer="pve2",le="0.005"} 3
corosync_link_probe_rtt_seconds_bucket{link="0",peer="pve2",le="0.01"} 3
corosync_link_probe_rtt_seconds_bucket{link="0",peer="pve2",le="0.02"} 3
corosync_link_probe_rtt_seconds_bucket{link="0",peer="pve2",le="0.05"} 3
corosync_link_probe_rtt_seconds_bucket{link="0",peer="pve2",le="0.1"} 3
corosync_link_probe_rtt_seconds_bucket{link="0",peer="pve2",le="0.3"} 4
corosync_link_probe_rtt_seconds_bucket{link="0",peer="pve2",le="1"} 4
corosync_link_probe_rtt_seconds_bucket{link="0",peer="pve2",le="+Inf"} 4
corosync_link_probe_rtt_seconds_sum{link="0",peer="pve2"} 0.30404
corosync_link_probe_rtt_seconds_count{link="0",peer="pve2"} 4
corosync_link_probe_rtt_seconds_bucket{link="1",peer="pve3",le="5e-05"} 0
corosync_link_probe_rtt_seconds_bucket{link="1",peer="pve3",le="0.0001"} 0
corosync_link_probe_rtt_seconds_bucket{link="1",peer="pve3",le="0.0002"} 0
corosync_link_probe_rtt_seconds_bucket{link="1",peer="pve3",le="0.0005"} 0
corosync_link_probe_rtt_seconds_bucket{link="1",peer="pve3",le="0.001"} 0
corosync_link_probe_rtt_seconds_bucket{link="1",peer="pve3",le="0.002"} 0
corosync_link_probe_rtt_seconds_bucket{link="1",peer="pve3",le="0.005"} 0
corosync_link_probe_rtt_seconds_bucket{link="1",peer="pve3",le="0.01"} 0
corosync_link_probe_rtt_seconds_bucket{link="1",peer="pve3",le="0.02"} 0
corosync_link_probe_rtt_seconds_bucket{link="1",peer="pve3",le="0.05"} 0
corosync_link_probe_rtt_seconds_bucket{link="1",peer="pve3",le="0.1"} 0
corosync_link_probe_rtt_seconds_bucket{link="1",peer="pve3",le="0.3"} 0
corosync_link_probe_rtt_seconds_bucket{link="1",peer="pve3",le="1"} 0
corosync_link_probe_rtt_seconds_bucket{link="1",peer="pve3",le="+Inf"} 0
corosync_link_probe_rtt_seconds_sum{link="1",peer="pve3"} 0
corosync_link_probe_rtt_seconds_count{link="1",peer="pve3"} 0
# HELP corosync_link_probe_sent_total Probes that were answered or lost. Standing still means that the peer link is not measured.
# TYPE corosync_link_probe_sent_total counter
corosync_link_probe_sent_total{link="0",peer="pve2"} 5
corosync_link_probe_sent_total{link="1",peer="pve3"} 0
`
	if err := testutil.GatherAndCompare(gatherLinks(t, m), strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestLinksOfAPeerThatLeftAreAbsent(t *testing.T) {
	m := NewLinkMeter()
	m.Sent("pve2", 0)
	m.Sent("pve2", 1)
	m.Sent("pve3", 0)
	m.Forget("pve2", 0)
	m.Forget("pve9", 0) // never known
	for _, f := range LinksSpec().Families {
		if n, err := testutil.GatherAndCount(gatherLinks(t, m), f.Name); err != nil || n != 2 {
			t.Errorf("%s: %d series, err %v; want 2", f.Name, n, err)
		}
	}
}

func TestLinkRoundTripIsANativeHistogramToo(t *testing.T) {
	m := NewLinkMeter()
	m.RTT("pve2", 0, 3*time.Millisecond)
	families, err := gatherLinks(t, m).Gather()
	if err != nil {
		t.Fatal(err)
	}
	h := families[0].GetMetric()[0].GetHistogram()
	if h.Schema == nil || h.GetSchema() != 3 || len(h.GetPositiveSpan()) != 1 { // factor 1.1 is schema 3
		t.Errorf("schema %v, spans %v: no native histogram of factor 1.1", h.Schema, h.GetPositiveSpan())
	}
	for _, limit := range []float64{0.002, 0.005, 0.01} {
		if !slices.Contains(linkBuckets(), limit) {
			t.Errorf("alerts compare with %v, which is no bucket's edge", limit)
		}
	}
}

func TestLinkMeterIsSafeForConcurrentUse(t *testing.T) {
	m := NewLinkMeter()
	var wg sync.WaitGroup
	const rounds = 200
	for link := range 4 {
		wg.Go(func() {
			for range rounds {
				m.Sent("pve2", link)
				m.RTT("pve2", link, time.Millisecond)
				m.Lost("pve2", link)
				m.Sent("gone", link)
				m.Forget("gone", link)
			}
		})
	}
	reg := gatherLinks(t, m)
	wg.Go(func() {
		for range 20 {
			if _, err := reg.Gather(); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if n := testutil.ToFloat64(m.sent.WithLabelValues("pve2", "3")); n != rounds {
		t.Errorf("%v probes counted, want %d", n, rounds)
	}
}

func TestLinksSpecNeedsAProbe(t *testing.T) {
	if _, err := LinksSpec().New(Sources{}); err == nil {
		t.Error("built without a probe")
	}
}
