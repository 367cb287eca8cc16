package haoracle

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func page(from, to int64, labels ...string) Alert {
	all := map[string]string{"alertname": "HAX", "alertstate": "firing", "subject": "ha", "severity": "critical"}
	for i := 0; i < len(labels); i += 2 {
		all[labels[i]] = labels[i+1]
	}
	return Alert{all, from, to}
}

func TestOnlyAPageThatNamesTheFailureWhileItLastsIsRight(t *testing.T) {
	stuck := Failure{Stuck, "vm:103", "node3", 200, 400}
	for name, c := range map[string]struct {
		failures      []Failure
		alerts        []Alert
		missed, wrong int
		detections    []int64
	}{
		"guest":               {[]Failure{stuck}, []Alert{page(260, 400, "id", "qemu/103")}, 0, 0, []int64{60}},
		"node":                {[]Failure{stuck}, []Alert{page(260, 400, "node", "node3")}, 0, 0, []int64{60}},
		"the first of two":    {[]Failure{stuck}, []Alert{page(300, 400, "id", "qemu/103"), page(280, 400, "node", "node3")}, 0, 0, []int64{80}},
		"from before":         {[]Failure{stuck}, []Alert{page(100, 400, "id", "qemu/103")}, 0, 0, []int64{0}},
		"guest on a new node": {[]Failure{stuck}, []Alert{page(260, 400, "id", "qemu/103", "node", "node1")}, 0, 0, []int64{60}},
		"nothing":             {[]Failure{stuck}, nil, 1, 0, nil},
		"too late":            {[]Failure{stuck}, []Alert{page(420, 600, "id", "qemu/103")}, 1, 1, nil},
		"another guest":       {[]Failure{stuck}, []Alert{page(260, 400, "id", "qemu/104")}, 1, 1, nil},
		"another node":        {[]Failure{stuck}, []Alert{page(260, 400, "node", "node1")}, 1, 1, nil},
		"names nothing":       {[]Failure{stuck}, []Alert{page(260, 400)}, 1, 1, nil},
		"a warning":           {[]Failure{stuck}, []Alert{page(260, 400, "id", "qemu/103", "severity", "warning")}, 1, 0, nil},
		"another subject":     {[]Failure{stuck}, []Alert{page(260, 400, "id", "qemu/103", "subject", "ceph")}, 1, 0, nil},
		"no failure":          {nil, []Alert{page(260, 400, "id", "qemu/103")}, 0, 1, nil},
		"one of two failures": {[]Failure{stuck, {InError, "vm:104", "node3", 200, 400}}, []Alert{page(260, 400, "id", "qemu/103")}, 1, 0, []int64{60}},
		"one page for two":    {[]Failure{stuck, {Unfenced, "vm:104", "node3", 200, 400}}, []Alert{page(260, 400, "node", "node3")}, 0, 0, []int64{60, 60}},
	} {
		v := judge(name, c.failures, c.alerts)
		if len(v.Missed) != c.missed || len(v.False) != c.wrong || v.Right() != (c.missed+c.wrong == 0) {
			t.Errorf("%s: missed %v, false %v", name, v.Missed, v.False)
		}
		if d := cmp.Diff(c.detections, v.Detections); d != "" {
			t.Errorf("%s: detections %s", name, d)
		}
	}
}

func TestPrintTellsMissesAndFalsePagesAndEndsWithTheSum(t *testing.T) {
	stuck := Failure{Stuck, "vm:103", "node3", 200, 400}
	warning := page(240, 400, "id", "qemu/103", "severity", "warning")
	all := []Verdict{
		judge("good", []Failure{stuck}, []Alert{page(240, 400, "id", "qemu/103"), warning}),
		judge("missed", []Failure{stuck}, nil),
		judge("false", nil, []Alert{page(20, 40, "node", "node1"), page(60, 60, "id", "qemu/1")}),
		judge("slow", []Failure{stuck, stuck}, []Alert{page(300, 400, "id", "qemu/103")}),
	}
	const sum = `missed: missed: vm:103 of node3 in recovery from t=200 to 400
false: false page: HAX{node="node1"} from t=20 to 40
false: false page: HAX{id="qemu/1"} from t=60 to 60
scenarios=4 right=2 missed=1 false=1 median_detection_s=100
`
	var b bytes.Buffer
	if err := Print(&b, all, false); err != nil || b.String() != sum {
		t.Errorf("%v, %s", err, cmp.Diff(sum, b.String()))
	}
	b.Reset()
	if err := Print(&b, all[:1], true); err != nil {
		t.Fatal(err)
	}
	const verbose = `good: failure: vm:103 of node3 in recovery from t=200 to 400
good: critical: HAX{id="qemu/103"} from t=240 to 400
good: warning: HAX{id="qemu/103"} from t=240 to 400
scenarios=1 right=1 missed=0 false=0 median_detection_s=40
`
	if b.String() != verbose {
		t.Error(cmp.Diff(verbose, b.String()))
	}
}
