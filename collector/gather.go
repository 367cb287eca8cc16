package collector

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// gather sorts metrics into families. What cannot be exported is left out and told by the error.
//
// A prometheus.Registry checks each metric as if it came from a stranger, which for the thousands
// of samples of a large cluster costs more than making them. Samples are checked here, by what can
// be wrong with them; only the others go through a registry.
func gather(metrics []prometheus.Metric) ([]*dto.MetricFamily, error) {
	samples := map[*Family][]*sample{}
	var others buffered
	for _, m := range metrics {
		if s, is := m.(*sample); is {
			samples[s.family] = append(samples[s.family], s)
		} else {
			others = append(others, m)
		}
	}
	families, err := others.gather()
	errs := []error{err}
	taken := map[string]bool{}
	for _, f := range families {
		taken[f.GetName()] = true
	}
	for family, list := range samples {
		if taken[family.Name] { // made in both ways: rare, so the slow way is good enough
			return buffered(metrics).gather()
		}
		f, err := family.gather(list)
		families, errs = append(families, f), append(errs, err)
	}
	slices.SortFunc(families, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return families, errors.Join(errs...)
}

// buffered are metrics as a prometheus.Collector that describes nothing, so that the registry
// checks each metric and not the set.
type buffered []prometheus.Metric

func (buffered) Describe(chan<- *prometheus.Desc) {}

func (b buffered) Collect(ch chan<- prometheus.Metric) {
	for _, m := range b {
		ch <- m
	}
}

func (b buffered) gather() ([]*dto.MetricFamily, error) {
	reg := prometheus.NewRegistry()
	if err := reg.Register(b); err != nil {
		return nil, err
	}
	return reg.Gather()
}

// gather returns the family of the samples that can be exported, sorted by their labels.
func (f *Family) gather(samples []*sample) (*dto.MetricFamily, error) {
	if !slices.IsSortedFunc(samples, compareSamples) {
		slices.SortStableFunc(samples, compareSamples)
	}
	kind := f.Kind.dto()
	out := &dto.MetricFamily{Name: &f.Name, Help: &f.Help, Type: &kind, Metric: make([]*dto.Metric, 0, len(samples))}
	metrics := make([]dto.Metric, len(samples))
	var errs []error
	for i, s := range samples {
		err := s.invalid()
		if err == nil && i > 0 && compareSamples(samples[i-1], s) == 0 {
			err = errors.New("collected before with the same labels")
		}
		if err == nil {
			err = s.Write(&metrics[i])
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s %v: %w", f.Name, s.labels, err))
			continue
		}
		out.Metric = append(out.Metric, &metrics[i])
	}
	return out, errors.Join(errs...)
}

// compareSamples orders samples of one family, whose labels have the same names, by the values.
func compareSamples(a, b *sample) int {
	return slices.CompareFunc(a.labels, b.labels, func(a, b *dto.LabelPair) int {
		if a == b {
			return 0
		}
		return strings.Compare(*a.Value, *b.Value)
	})
}

// invalid says what is wrong with the labels. Their names are the program's own.
func (s *sample) invalid() error {
	for _, l := range s.labels {
		if !utf8.ValidString(*l.Value) {
			return fmt.Errorf("label %s is not UTF-8", *l.Name)
		}
	}
	return nil
}

func (k Kind) dto() dto.MetricType {
	switch k {
	case Gauge:
		return dto.MetricType_GAUGE
	case Counter:
		return dto.MetricType_COUNTER
	case Histogram:
		return dto.MetricType_HISTOGRAM
	}
	return dto.MetricType_UNTYPED
}
