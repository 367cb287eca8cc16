package hareplay

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
)

// step is the simulator's resolution in seconds.
const step = 20

// An expectation is what the entry of a scenario promises for the counters.
type expectation struct {
	entry    Entry
	fences   map[string][]int64 // by node: when each was confirmed
	recovers []recovers         // in order of time
	failed   []failure
	before   pve.HACounts
	differ   []string
}

// recovers is one expected failover.
type recovers struct {
	Recovery
	runs int64 // first step in which it runs elsewhere
}

// A failure is one expected failed failover.
type failure struct {
	t   int64 // first step that shows it
	sid string
}

func newExpectation(s Scenario) *expectation {
	x := &expectation{entry: s.Entry, fences: map[string][]int64{}}
	for _, a := range s.Entry.FenceAcks {
		x.fences[a.Node] = append(x.fences[a.Node], a.T)
	}
	for _, r := range s.Entry.Recoveries {
		x.recovers = append(x.recovers, recovers{r, x.runs(r)})
	}
	x.failed = failures(s.Entry)
	return x
}

// runs is when the service of r runs on a node other than the one it was on: the index's running_t,
// and where it has none, because the first node could not start it, the next start anywhere else.
// 0 is never.
func (x *expectation) runs(r Recovery) int64 {
	if r.RunningT != nil {
		return *r.RunningT
	}
	for _, i := range x.entry.RunningIntervals[r.SID] {
		if i.From >= r.RecoverT && i.Value != "" && i.Value != r.From {
			return i.From
		}
	}
	return 0
}

// failures follow from the index's intervals by the program's definition of a failed failover:
//
//	error       when a service comes to error; one that was in error before it was frozen or ignored
//	            is still the same
//	recovery    a span of more than 60 s, at its first step beyond
//	fence       a span of more than 180 s
//	frozen, or  a service in freeze or started while its node is unknown for more than 180 s, unless the
//	not fenced  node was told to reboot or shut down
func failures(e Entry) []failure {
	var all []failure
	over := func(spans map[string][]Span, limit int64) {
		for sid, list := range spans {
			for _, s := range list {
				if s.To-s.From > limit {
					all = append(all, failure{s.From + (limit/step+1)*step, sid})
				}
			}
		}
	}
	over(e.RecoverySpans, 60)
	over(e.FenceSpans, 180)
	for sid, list := range e.ServiceStates {
		inError := false
		for _, i := range list {
			switch i.Value {
			case pve.HAServiceError:
				if !inError {
					all = append(all, failure{i.From, sid})
				}
				inError = true
			case pve.HAServiceFreeze:
			default:
				inError = false
			}
		}
		over(map[string][]Span{sid: deserted(e, sid)}, 180)
	}
	slices.SortFunc(all, func(a, b failure) int { return cmp.Or(cmp.Compare(a.t, b.t), cmp.Compare(a.sid, b.sid)) })
	return all
}

// deserted are the spans in which sid is to run, or frozen, on a node that nobody sees.
func deserted(e Entry, sid string) (spans []Span) {
	home := ""
	runs := slices.Clone(e.RunningIntervals[sid])
	slices.SortFunc(runs, func(a, b Interval) int { return cmp.Compare(a.From, b.From) })
	for _, r := range runs {
		if r.Value != "" {
			home = r.Value
			continue
		}
		for _, n := range e.NodeStates[home] {
			for _, s := range e.ServiceStates[sid] {
				idle := s.Value == pve.HAServiceFreeze || s.Value == pve.HAServiceStarted
				from, to := max(r.From, n.From, s.From), min(r.To, n.To, s.To)
				if n.Value == pve.HANodeUnknown && idle && from < to && !told(e, home, from) {
					spans = append(spans, Span{from, to})
				}
			}
		}
	}
	return spans
}

// told reports whether node got an order to go before t.
func told(e Entry, node string, t int64) bool {
	return slices.ContainsFunc(e.Commands, func(c Command) bool {
		return c.T <= t && (strings.HasPrefix(c.Text, "reboot "+node) || strings.HasPrefix(c.Text, "shutdown "+node))
	})
}

// counters checks the counts after a step: never less than before, and as many as are due where the
// data can be trusted.
func (x *expectation) counters(c *comparison, s Step, h pve.HA, now pve.HACounts) {
	x.exported(c, now)
	x.monotone(c, now)
	if !s.answered() || !h.Trusted() {
		return
	}
	for _, n := range slices.Sorted(maps.Keys(now.Fences)) {
		due := count(x.fences[n], func(t int64) bool { return t < s.T })
		if now.Fences[n] != due {
			c.differ("%d fences of %s, want %d", now.Fences[n], n, due)
		}
	}
	atLeast, atMost := x.failovers(s.T)
	for _, n := range slices.Sorted(maps.Keys(now.Failovers)) {
		if got := now.Failovers[n]; got < atLeast[n] || got > atMost[n] {
			c.differ("%d failovers from %s, want %d to %d", got, n, atLeast[n], atMost[n])
		}
	}
	due := count(x.failed, func(f failure) bool { return f.t <= s.T })
	if got := sum(now.Failed); got != due {
		c.differ("%d failed failovers, want %d", got, due)
	}
	for _, sid := range slices.Sorted(maps.Keys(x.entry.ServiceStates)) {
		state := at(x.entry.ServiceStates[sid], s.T)
		d, there := now.InProgress[pve.HAService{SID: sid}.ID()]
		switch {
		case (state == pve.HAServiceFence || state == pve.HAServiceRecovery) && d <= 0:
			c.differ("%s is in %s and no failover is in progress", sid, state)
		case (state == pve.HAServiceStopped || state == pve.HAServiceError) && there:
			c.differ("%s is in %s and a failover is in progress", sid, state)
		}
	}
}

// failovers are how many there must and may be after the step at t.
func (x *expectation) failovers(t int64) (atLeast, atMost map[string]uint64) {
	atLeast, atMost = map[string]uint64{}, map[string]uint64{}
	for _, r := range x.recovers {
		if r.runs != 0 && r.runs+2*step <= t {
			atLeast[r.From]++
		}
		if r.runs != 0 && r.RecoverT < t {
			atMost[r.From]++
		}
	}
	return atLeast, atMost
}

// exported: the collector shows the tracker's counts.
func (x *expectation) exported(c *comparison, now pve.HACounts) {
	for name, counts := range map[string]map[string]uint64{
		"pve_ha_fence_total": now.Fences, "pve_ha_failover_total": now.Failovers, "pve_ha_failover_failed_total": now.Failed,
	} {
		want := map[string]float64{}
		for n, v := range counts {
			want[key(name, "node", n)] = float64(v)
		}
		c.only(name, want)
	}
	var total time.Duration
	for _, d := range now.Durations {
		total += d
	}
	c.one("pve_ha_failover_duration_seconds_count", float64(len(now.Durations)))
	c.one("pve_ha_failover_duration_seconds_sum", total.Seconds())
}

func (x *expectation) monotone(c *comparison, now pve.HACounts) {
	for what, pair := range map[string][2]map[string]uint64{
		"fences": {x.before.Fences, now.Fences}, "failovers": {x.before.Failovers, now.Failovers}, "failed failovers": {x.before.Failed, now.Failed},
	} {
		for n, v := range pair[0] {
			if pair[1][n] < v {
				c.differ("%s of %s fell from %d to %d", what, n, v, pair[1][n])
			}
		}
	}
	x.before = now
}

// end compares durations: there is one for each failover, in order of their ends. Those that the
// index does not time only count.
func (x *expectation) end(now pve.HACounts) {
	var want []recovers
	for _, r := range x.recovers {
		if r.runs != 0 {
			want = append(want, r)
		}
	}
	slices.SortStableFunc(want, func(a, b recovers) int { return cmp.Compare(a.runs, b.runs) })
	if len(now.Durations) != len(want) {
		x.differ = append(x.differ, fmt.Sprintf("end: %d durations, want %d", len(now.Durations), len(want)))
		return
	}
	for i, r := range want {
		got := int64(now.Durations[i].Seconds())
		if r.Seconds != nil && (got < *r.Seconds-2*step || got > *r.Seconds+step) {
			x.differ = append(x.differ, fmt.Sprintf("end: failover of %s from %s took %d s, the index says %d", r.SID, r.From, got, *r.Seconds))
		}
	}
}

func count[T any](list []T, match func(T) bool) (n uint64) {
	for _, v := range list {
		if match(v) {
			n++
		}
	}
	return n
}

func sum(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}
