package collector

import "github.com/prometheus/client_golang/prometheus"

// A Family is one exported metric name: what docs/metrics.md lists and what a collector sends
// metrics of. Families are made once and never change.
type Family struct {
	Name   string
	Help   string
	Kind   Kind
	Labels []string

	desc *prometheus.Desc
}

// Kind is the type of a Family as the exposition format names it.
type Kind string

// The kinds.
const (
	Gauge     Kind = "gauge"
	Counter   Kind = "counter"
	Histogram Kind = "histogram"
	Untyped   Kind = "untyped" // what Ceph's mgr module uses for health, OSD states and metadata
)

func newFamily(kind Kind, name, help string, labels []string) *Family {
	return &Family{Name: name, Help: help, Kind: kind, Labels: labels, desc: prometheus.NewDesc(name, help, labels, nil)}
}

func newGauge(name, help string, labels ...string) *Family {
	return newFamily(Gauge, name, help, labels)
}

func newCounter(name, help string, labels ...string) *Family {
	return newFamily(Counter, name, help, labels)
}

func newHistogram(name, help string, labels ...string) *Family {
	return newFamily(Histogram, name, help, labels)
}

func newUntyped(name, help string, labels ...string) *Family {
	return newFamily(Untyped, name, help, labels)
}

// metric returns one sample of the family. One that cannot be exported, such as a label value that
// is not UTF-8, becomes a metric that the gatherer drops and reports: it costs itself only.
func (f *Family) metric(v float64, labelValues ...string) prometheus.Metric {
	t := prometheus.UntypedValue
	switch f.Kind {
	case Gauge:
		t = prometheus.GaugeValue
	case Counter:
		t = prometheus.CounterValue
	}
	m, err := prometheus.NewConstMetric(f.desc, t, v, labelValues...)
	if err != nil {
		return prometheus.NewInvalidMetric(f.desc, err)
	}
	return m
}

// boolean is 1 for true.
func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
