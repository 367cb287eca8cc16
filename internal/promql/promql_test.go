package promql

import (
	"reflect"
	"testing"
)

func TestRead(t *testing.T) {
	for _, tt := range []struct {
		name, expr string
		want       Reading
	}{
		{"a name", "up", Reading{Selectors: []Selector{{Name: "up"}}}},
		{"matchers", `up{job="a b", node=~'x|y', z!~` + "`q`" + `}`, Reading{Selectors: []Selector{{"up", []Matcher{{"job", "=", "a b"}, {"node", "=~", "x|y"}, {"z", "!~", "q"}}}}}},
		{"a comment and a string with braces", "up{a=\"{}()\"} # up == 1", Reading{Selectors: []Selector{{"up", []Matcher{{"a", "=", "{}()"}}}}}},
		{"a range", `rate(x_total{a="b"}[5m:1m])`, Reading{
			Selectors: []Selector{{"x_total", []Matcher{{"a", "=", "b"}}}}, Calls: []string{"rate"}, Ranges: []Ranged{{"rate", "x_total", "5m:1m"}}}},
		{"by before and after, and without any", `sum by (a, b) (x) / max(y) without (c) > count(z)`, Reading{
			Selectors: []Selector{{Name: "x"}, {Name: "y"}, {Name: "z"}}, Bare: []string{"count"},
			Groupings: []Grouping{{"by", []string{"a", "b"}}, {"without", []string{"c"}}}}},
		{"joins", `a * on (c) group_left () b unless ON (c) d`, Reading{
			Selectors: []Selector{{Name: "a"}, {Name: "b"}, {Name: "d"}},
			Groupings: []Grouping{{"on", []string{"c"}}, {Word: "group_left"}, {"on", []string{"c"}}}}},
		{"Grafana's variables", `increase(x_total{CLUSTER, node="$node"}[$__range]) > bool $limit`, Reading{
			Selectors: []Selector{{"x_total", []Matcher{{"node", "=", "$node"}}}}, Calls: []string{"increase"}, Ranges: []Ranged{{"increase", "x_total", "$__range"}}}},
		{"numbers and words", `a offset 5m == bool 1e3 or 0 * inf`, Reading{Selectors: []Selector{{Name: "a"}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := Read(tt.expr); err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, tt.want)
			}
		})
	}
}

func TestWhatHasNoNameIsRefused(t *testing.T) {
	if r, err := Read(`sum({job="a"})`); err == nil {
		t.Errorf("got %+v", r)
	}
	for _, text := range []string{"", "1", "a + b", `{a="b"}`} {
		if s, err := ReadSeries(text); err == nil {
			t.Errorf("%q: got %+v", text, s)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, s := range []string{"up", `sum by (a) (rate(x{a="b"}[5m]))`, "a{", "by(", "[", `"`, "$", "sum("} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		_, _ = Read(expr) // which must end, and not panic
	})
}
