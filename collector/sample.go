package collector

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// A sample is one metric whose labels it shares with others of the same thing. A cluster of 500 guests
// has 8,000 series with one label each: made by NewConstMetric they would cost more than all else.
type sample struct {
	family *Family
	labels []*dto.LabelPair // sorted by name, never changed
	value  float64
	gauge  dto.Gauge // of value; its memory comes with that of many samples
}

// Desc implements prometheus.Metric.
func (s *sample) Desc() *prometheus.Desc { return s.family.desc }

// Write implements prometheus.Metric. Scrapes that share a run of a collector call it at the same time.
func (s *sample) Write(out *dto.Metric) error {
	out.Label = s.labels
	if s.family.Kind == Counter {
		out.Counter = &dto.Counter{Value: &s.value}
	} else {
		out.Gauge = &s.gauge
	}
	return nil
}

// A sampler sends samples, which it makes many at a time.
type sampler struct {
	ch   chan<- prometheus.Metric
	free []sample
}

const samplesAtATime = 512

func (s *sampler) send(f *Family, labels []*dto.LabelPair, v float64) {
	if len(s.free) == 0 {
		s.free = make([]sample, samplesAtATime)
	}
	m := &s.free[0]
	s.free = s.free[1:]
	m.family, m.labels, m.value = f, labels, v
	m.gauge.Value = &m.value
	s.ch <- m
}

// label is a label as samples share it.
func label(name, value string) *dto.LabelPair {
	return &dto.LabelPair{Name: &name, Value: &value}
}
