package dropin

import (
	"bytes"
	"fmt"
	"sort"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

type family struct {
	kind   string
	series map[string]sample // by labels
}

type sample struct {
	labels map[string]string
	value  float64
}

// key is the labels in braces, sorted.
func (s sample) key() string {
	if len(s.labels) == 0 {
		return ""
	}
	var parts []string
	for n, v := range s.labels {
		parts = append(parts, fmt.Sprintf("%s=%q", n, v))
	}
	sort.Strings(parts)
	return "{" + strings.Join(parts, ",") + "}"
}

// identity is the label that says what the series is about, "" if it has none. The id of a pool is
// the same thing by both its names.
func (s sample) identity() string {
	for _, n := range identity {
		if v, ok := s.labels[n]; ok {
			return strings.ReplaceAll(n, "_", "") + "=" + v
		}
	}
	return ""
}

// parse reads an exposition in text format.
func parse(text []byte) (map[string]*family, error) {
	p := expfmt.NewTextParser(model.LegacyValidation)
	raw, err := p.TextToMetricFamilies(bytes.NewReader(onceDescribed(text)))
	if err != nil {
		return nil, err
	}
	out := make(map[string]*family, len(raw))
	for name, mf := range raw {
		f := &family{kind: strings.ToLower(mf.GetType().String()), series: map[string]sample{}}
		for _, m := range mf.GetMetric() {
			s := sample{labels: map[string]string{}, value: value(mf.GetType(), m)}
			for _, l := range m.GetLabel() {
				s.labels[l.GetName()] = l.GetValue()
			}
			f.series[s.key()] = s
		}
		out[name] = f
	}
	return out, nil
}

func value(t dto.MetricType, m *dto.Metric) float64 {
	switch t {
	case dto.MetricType_COUNTER:
		return m.GetCounter().GetValue()
	case dto.MetricType_GAUGE:
		return m.GetGauge().GetValue()
	case dto.MetricType_HISTOGRAM:
		return m.GetHistogram().GetSampleSum()
	case dto.MetricType_SUMMARY:
		return m.GetSummary().GetSampleSum()
	}
	return m.GetUntyped().GetValue()
}

// onceDescribed drops repeated HELP and TYPE lines: the module of Ceph 16 prints them for each
// pool's ceph_pool_objects_repaired, which a strict parser refuses.
func onceDescribed(text []byte) []byte {
	seen := map[string]bool{}
	var out bytes.Buffer
	for line := range bytes.Lines(text) {
		f := bytes.Fields(line)
		if len(f) >= 3 && string(f[0]) == "#" && (string(f[1]) == "HELP" || string(f[1]) == "TYPE") {
			id := string(f[1]) + " " + string(f[2])
			if seen[id] {
				continue
			}
			seen[id] = true
		}
		out.Write(line)
	}
	if !bytes.HasSuffix(out.Bytes(), []byte("\n")) {
		out.WriteByte('\n')
	}
	return out.Bytes()
}
