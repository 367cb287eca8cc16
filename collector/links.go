package collector

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// LinkMeasurer is what the links collector needs of the link probe.
type LinkMeasurer interface {
	// Collect sends what has been measured since the start.
	Collect(ch chan<- prometheus.Metric)
}

// LinksSpec is the collector of the exporter's own measurement of corosync's links.
func LinksSpec() Spec {
	return Spec{
		Name: "links", Scope: Node, On: true,
		Help:     "Round-trip time and loss to each peer on each corosync link, measured by echo between exporters, or ICMP.",
		Families: []*Family{linkProbeRTT, linkProbeLost, linkProbeSent},
		New: func(s Sources) (Collector, error) {
			if s.Links == nil {
				return nil, errors.New("no link probe: switch the collector off")
			}
			return linksCollector{s.Links}, nil
		},
	}
}

type linksCollector struct{ links LinkMeasurer }

// Collect cannot fail: the probe measures in the background.
func (c linksCollector) Collect(_ context.Context, ch chan<- prometheus.Metric) error {
	c.links.Collect(ch)
	return nil
}

var (
	linkProbeRTT = newHistogram("corosync_link_probe_rtt_seconds",
		"Round-trip time of the probes that were answered, without the time that processes waited for a CPU.", "peer", "link")
	linkProbeLost = newCounter("corosync_link_probe_lost_total",
		"Probes that were not answered in time. A way that never answered since the exporter's start, as behind a firewall, does not count.", "peer", "link")
	linkProbeSent = newCounter("corosync_link_probe_sent_total",
		"Probes that were answered or lost. Standing still means that the peer link is not measured.", "peer", "link")
)

// linkBuckets has edges at the limits that alerts use: 2 ms (Red Hat's optimum), 5 and 10 ms
// (Proxmox VE's limits), 300 ms (Red Hat: unstable). A probe takes at most 1 s.
func linkBuckets() []float64 {
	return []float64{50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 100e-3, 300e-3, 1}
}

// A LinkMeter counts what the link probe measures: it is a linkprobe.Observer. It is safe for
// concurrent use.
type LinkMeter struct {
	rtt        *prometheus.HistogramVec
	lost, sent *prometheus.CounterVec
}

// NewLinkMeter returns a LinkMeter without series.
func NewLinkMeter() *LinkMeter {
	counter := func(f *Family) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: f.Name, Help: f.Help}, f.Labels)
	}
	return &LinkMeter{
		rtt: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: linkProbeRTT.Name, Help: linkProbeRTT.Help,
			Buckets:                         linkBuckets(),
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  100,
			NativeHistogramMinResetDuration: time.Hour,
			// Half a microsecond: below is nothing that a network does.
			NativeHistogramZeroThreshold: 0.5e-6,
		}, linkProbeRTT.Labels),
		lost: counter(linkProbeLost),
		sent: counter(linkProbeSent),
	}
}

// Known begins the series of a peer link at 0, so that its first loss is an increase.
func (m *LinkMeter) Known(peer string, link int) {
	l := strconv.Itoa(link)
	m.rtt.WithLabelValues(peer, l)
	m.lost.WithLabelValues(peer, l)
	m.sent.WithLabelValues(peer, l)
}

// Sent counts one finished probe and begins all series of the peer link.
func (m *LinkMeter) Sent(peer string, link int) {
	m.Known(peer, link)
	m.sent.WithLabelValues(peer, strconv.Itoa(link)).Inc()
}

// RTT takes the round-trip time of an answered probe.
func (m *LinkMeter) RTT(peer string, link int, rtt time.Duration) {
	m.rtt.WithLabelValues(peer, strconv.Itoa(link)).Observe(rtt.Seconds())
}

// Lost counts a probe that was not answered.
func (m *LinkMeter) Lost(peer string, link int) {
	m.lost.WithLabelValues(peer, strconv.Itoa(link)).Inc()
}

// Forget ends the series of a peer link.
func (m *LinkMeter) Forget(peer string, link int) {
	l := strconv.Itoa(link)
	m.rtt.DeleteLabelValues(peer, l)
	m.lost.DeleteLabelValues(peer, l)
	m.sent.DeleteLabelValues(peer, l)
}

// Collect implements LinkMeasurer.
func (m *LinkMeter) Collect(ch chan<- prometheus.Metric) {
	m.rtt.Collect(ch)
	m.lost.Collect(ch)
	m.sent.Collect(ch)
}
