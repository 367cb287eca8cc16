package haoracle

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Verdict is what the pages of one scenario are worth.
type Verdict struct {
	Name       string
	Failures   []Failure
	Alerts     []Alert // all of subject ha, also those that do not page
	Missed     []Failure
	False      []Alert
	Detections []int64 // seconds from a failure's first step to its page, for those that were paged
}

// Right reports whether somebody was woken for each failure, and for nothing else.
func (v Verdict) Right() bool { return len(v.Missed)+len(v.False) == 0 }

// judge holds pages against failures.
func judge(name string, failures []Failure, alerts []Alert) Verdict {
	v := Verdict{Name: name, Failures: failures}
	var pages []Alert
	for _, a := range alerts {
		if a.Labels["subject"] != "ha" {
			continue
		}
		v.Alerts = append(v.Alerts, a)
		if a.Labels["severity"] == "critical" {
			pages = append(pages, a)
		}
	}
	for _, f := range failures {
		at, ok := f.paged(pages)
		if !ok {
			v.Missed = append(v.Missed, f)
			continue
		}
		v.Detections = append(v.Detections, at-f.From)
	}
	for _, p := range pages {
		if !slices.ContainsFunc(failures, func(f Failure) bool { return p.means(f) }) {
			v.False = append(v.False, p)
		}
	}
	return v
}

// paged returns when f was first paged.
func (f Failure) paged(pages []Alert) (at int64, ok bool) {
	for _, p := range pages {
		if t := max(p.From, f.From); p.means(f) && (!ok || t < at) {
			at, ok = t, true
		}
	}
	return at, ok
}

// means reports whether a names f's guest or node, and no other, and fires while f lasts.
func (a Alert) means(f Failure) bool {
	named := false
	for label, want := range f.names() {
		if got, there := a.Labels[label]; there {
			if got != want && !(label == "node" && a.Labels["id"] != "") { // of two, the guest tells
				return false
			}
			named = true
		}
	}
	return named && a.From <= f.To && a.To >= f.From
}

func (f Failure) String() string {
	where := ""
	if f.Node != "" {
		where = " of " + f.Node
	}
	return fmt.Sprintf("%s%s in %s from t=%d to %d", f.SID, where, f.Kind, f.From, f.To)
}

func (a Alert) String() string {
	var labels []string
	for _, k := range slices.Sorted(maps.Keys(a.Labels)) {
		if !slices.Contains([]string{"__name__", "alertname", "alertstate", "subject", "severity"}, k) {
			labels = append(labels, fmt.Sprintf("%s=%q", k, a.Labels[k]))
		}
	}
	return fmt.Sprintf("%s{%s} from t=%d to %d", a.Labels["alertname"], strings.Join(labels, ","), a.From, a.To)
}
