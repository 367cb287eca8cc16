package haoracle

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// As promtool 2.42 prints it.
const failed = `  FAILED:
    expr: "ALERTS{alertstate=\"firing\"}", time: 1m20s,
        exp: nil
        got: {__name__="ALERTS", alertname="A", id="qemu/100"} 1E+00, {__name__="ALERTS", alertname="B"} 1E+00
    expr: "ALERTS{alertstate=\"firing\"}", time: 1m40s,
        exp: nil
        got: {__name__="ALERTS", alertname="A", id="qemu/100"} 1E+00
    expr: "ALERTS{alertstate=\"firing\"}", time: 2h,
        exp: nil
        got: {__name__="ALERTS", alertname="A", id="qemu/100"} 1E+00

Unit Testing:  test.yaml
`

func TestFiringAlertsAreReadFromWhatPromtoolFindsUnexpected(t *testing.T) {
	a := map[string]string{"__name__": "ALERTS", "alertname": "A", "id": "qemu/100"}
	b := map[string]string{"__name__": "ALERTS", "alertname": "B"}
	got, complete := parseFiring(failed)
	if d := cmp.Diff([]Alert{{a, 80, 100}, {b, 80, 80}, {a, 7200, 7200}}, got); d != "" || !complete {
		t.Errorf("complete %t: %s", complete, d)
	}
	for name, out := range map[string]string{
		"a rule that cannot be evaluated": failed + "    error while testing rules\n",
		"a result of another form":        strings.Replace(failed, "exp: nil", "exp: {} 1E+00", 1),
		"a time of another form":          strings.Replace(failed, "2h", "2x", 1),
	} {
		if _, complete := parseFiring(out); complete {
			t.Errorf("%s went unnoticed", name)
		}
	}
	if got, complete := parseFiring("Unit Testing:  test.yaml\n  SUCCESS\n"); len(got) != 0 || !complete {
		t.Errorf("success: %v, complete %t", got, complete)
	}
}

func FuzzParseFiring(f *testing.F) {
	f.Add(failed)
	f.Add("expr: x, time: 1m,\n exp: nil\n got: {a=\"\\\"}\"} 1, {} 2")
	f.Fuzz(func(t *testing.T, out string) {
		alerts, _ := parseFiring(out)
		for _, a := range alerts {
			if a.From > a.To {
				t.Errorf("%v ends before it begins", a)
			}
		}
	})
}

func TestASeriesGoesStaleAtTheFirstScrapeWithoutIt(t *testing.T) {
	all := []scrape{{"a": 1}, {"a": 1.5, `b{x="y"}`: 2}, {`b{x="y"}`: 3}, {}, {"a": 4}}
	f := newTestFile([]string{"rules.yaml"}, 20, all)
	want := []testSeries{
		{`a{instance="node1:9221",job="proxmox"}`, "_x1 1 1.5 stale _ 4"},
		{`b{instance="node1:9221",job="proxmox",x="y"}`, "_x1 _ 2 3 stale _"},
	}
	if d := cmp.Diff(want, f.Tests[0].Series); d != "" {
		t.Error(d)
	}
	if q := f.Tests[0].Queries; len(q) != 5 || q[0].Time != "20s" || q[4].Time != "100s" {
		t.Errorf("queries %v", q)
	}
}
