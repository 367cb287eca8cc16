package collector

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

func gathered(t *testing.T, metrics []prometheus.Metric) (string, error) {
	t.Helper()
	families, err := gather(metrics)
	var b strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String(), err
}

func TestSamplesAreGatheredAsTheRegistryDoes(t *testing.T) {
	gauge, counter := newGauge("b_bytes", "B.", "id", "node"), newCounter("a_total", "A.", "id")
	other := newGauge("c_ratio", "C.", "id")
	var list []prometheus.Metric
	for _, id := range []string{"qemu/2", "qemu/10", "lxc/1", "ü\\\"\n"} {
		list = append(list,
			&sample{family: gauge, labels: []*dto.LabelPair{label("id", id), label("node", "pve1")}, value: 3, gauge: dto.Gauge{Value: new(float64)}},
			&sample{family: counter, labels: []*dto.LabelPair{label("id", id)}, value: 4},
			other.metric(5, id),
		)
	}
	got, err := gathered(t, list)
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(buffered(list))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&want, f); err != nil {
			t.Fatal(err)
		}
	}
	if got != want.String() {
		t.Errorf("got\n%s\nthe registry gives\n%s", got, want.String())
	}
}

func TestABadSampleCostsItselfOnly(t *testing.T) {
	f := newCounter("x_total", "X.", "id")
	of := func(id string, v float64) prometheus.Metric {
		return &sample{family: f, labels: []*dto.LabelPair{label("id", id)}, value: v}
	}
	for name, c := range map[string]struct {
		metrics   []prometheus.Metric
		want, err string
	}{
		"a second one of the same labels": {[]prometheus.Metric{of("b", 1), of("a", 2), of("b", 3)}, "x_total{id=\"a\"} 2\nx_total{id=\"b\"} 1\n", "same labels"},
		"a label that is not UTF-8":       {[]prometheus.Metric{of("\xff", 1), of("a", 2)}, "x_total{id=\"a\"} 2\n", "not UTF-8"},
		"one name made in two ways":       {[]prometheus.Metric{of("b", 1), f.metric(2, "a")}, "x_total{id=\"a\"} 2\nx_total{id=\"b\"} 1\n", ""},
		"two ways and twice the same":     {[]prometheus.Metric{of("a", 1), f.metric(1, "a")}, "x_total{id=\"a\"} 1\n", "same name and label values"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := gathered(t, c.metrics)
			if _, series, _ := strings.Cut(got, "counter\n"); series != c.want {
				t.Errorf("got\n%s\nwant\n%s", series, c.want)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}
