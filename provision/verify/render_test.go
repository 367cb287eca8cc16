package verify

import (
	"bytes"
	"testing"
	"time"
)

func sample() Report {
	return Report{Cluster: "home", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Checks: []Check{
		{Name: "quorate", Result: OK, Found: "pve1 says: yes", Want: "quorum", Took: 0.25},
		{Name: "ceph-health", Result: Failed, Found: "HEALTH_WARN <OSD_DOWN>", Want: "HEALTH_OK", Took: 0.5},
		{Name: "storages", Result: Unknown, Found: "no answer", Want: "active", Took: 1},
	}}
}

func TestReportsInWordsAndForCI(t *testing.T) {
	for _, tt := range []struct {
		name  string
		write func(Report, *bytes.Buffer) error
		want  string
	}{
		{"text", func(r Report, b *bytes.Buffer) error { return r.WriteText(b) }, `ok   quorate      pve1 says: yes
FAIL ceph-health  HEALTH_WARN <OSD_DOWN>  (wanted: HEALTH_OK)
?    storages     no answer  (wanted: active)
home: 1 of 3 checks ok
`},
		{"junit", func(r Report, b *bytes.Buffer) error { return r.WriteJUnit(b) }, `<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="quorate provision verify home" tests="3" failures="1" errors="1" time="1.750" timestamp="2026-01-02T03:04:05Z">
  <testcase classname="home" name="quorate" time="0.250"></testcase>
  <testcase classname="home" name="ceph-health" time="0.500">
    <failure message="HEALTH_WARN &lt;OSD_DOWN&gt;">wanted: HEALTH_OK</failure>
  </testcase>
  <testcase classname="home" name="storages" time="1.000">
    <error message="no answer">wanted: active</error>
  </testcase>
</testsuite>
`},
		{"json", func(r Report, b *bytes.Buffer) error { r.Checks = r.Checks[:1]; return r.WriteJSON(b) }, `{
  "cluster": "home",
  "at": "2026-01-02T03:04:05Z",
  "checks": [
    {
      "name": "quorate",
      "result": "ok",
      "found": "pve1 says: yes",
      "want": "quorum",
      "seconds": 0.25
    }
  ]
}
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			if err := tt.write(sample(), &b); err != nil || b.String() != tt.want {
				t.Errorf("%v\ngot:\n%s\nwant:\n%s", err, b.String(), tt.want)
			}
		})
	}
}

func TestAReportWithAnythingUnknownIsNotOK(t *testing.T) {
	r := sample()
	if r.OK() {
		t.Error("a failed check is ok")
	}
	r.Checks = []Check{r.Checks[0], r.Checks[2]}
	if r.OK() {
		t.Error("an unknown check is ok")
	}
	r.Checks = r.Checks[:1]
	if !r.OK() {
		t.Error("a good report is not ok")
	}
}
