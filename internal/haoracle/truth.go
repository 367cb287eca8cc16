package haoracle

import (
	"cmp"
	"slices"
	"strings"

	"github.com/quorate/quorate/internal/hareplay"
	"github.com/quorate/quorate/internal/source/pve"
)

// A Kind is what went wrong.
type Kind string

// The kinds of Failure.
const (
	InError  Kind = "error"    // the manager has given up
	Stuck    Kind = "recovery" // the lost node is fenced and no other may run the guest
	Unfenced Kind = "fence"    // the lost node's end is not confirmed
	Deserted Kind = "deserted" // the guest is neither fenced nor recovered although its node is lost
)

// limits are how long a state must be seen at least to be a failure, in seconds. Error is one at
// once. For the others a healthy failover takes up to 10 s in recovery, 70 s in fence and 60 s before
// fence; the limits are those at which the program counts a failed failover (pve.HACounts.Failed).
var limits = map[Kind]int64{InError: 0, Stuck: 60, Unfenced: 180, Deserted: 180}

// A Failure is something for which somebody must be woken.
type Failure struct {
	Kind Kind
	SID  string // vm:100
	Node string // on which it last ran, "" if it never did
	// From is the first step that shows the state, To the last one.
	From, To int64
}

// Truth are the failures that the index of the recordings tells of, with the last step held for hold
// seconds, in order of time.
//
// It looks at nothing but the intervals of service and node states, where services truly ran, quorum,
// and the commands that the scenario gave. A failure is
//
//	error      in state "error", for however long;
//	recovery   in state "recovery" for 60 s or more: also if a node turned up in the end, or the
//	           service was disabled: it was down, and nobody could tell for how long;
//	fence      in state "fence" for 180 s or more;
//	deserted   in "started" or "freeze" for 180 s or more, without running, while the node on which it
//	           last ran is "unknown" or "gone", unless the node had been told to reboot or shut down: freezing
//	           is the policy then, and whoever told it knows.
//
// Time without quorum is no part of any of them: the state is frozen then, and the loss of quorum is
// another page. Everything else is none: failovers that succeed, however slow; maintenance, migration,
// relocation, disabled and ignored services, freezing by disarm-ha, a lost quorum.
func Truth(e hareplay.Entry, last, hold int64) []Failure {
	h := holder{last, hold}
	quorate := spans(h.flags(e.Quorate))
	var all []Failure
	for sid, states := range e.ServiceStates {
		states, runs := h.intervals(states), h.intervals(e.RunningIntervals[sid])
		add := func(k Kind, found []hareplay.Span) {
			for _, s := range both(found, quorate) {
				if s.To-s.From >= limits[k] {
					all = append(all, Failure{k, sid, lastHome(runs, s.From), s.From, s.To})
				}
			}
		}
		add(InError, in(states, pve.HAServiceError))
		add(Stuck, in(states, pve.HAServiceRecovery))
		add(Unfenced, in(states, pve.HAServiceFence))
		for _, down := range in(runs, "") {
			home := lastHome(runs, down.From)
			lost := both(in(h.intervals(e.NodeStates[home]), pve.HANodeUnknown, pve.HANodeGone), []hareplay.Span{down})
			for _, s := range both(lost, in(states, pve.HAServiceStarted, pve.HAServiceFreeze)) {
				if !told(e.Commands, home, s.From) {
					add(Deserted, []hareplay.Span{s})
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(a.From, b.From), strings.Compare(a.SID, b.SID), strings.Compare(string(a.Kind), string(b.Kind)))
	})
	return all
}

// lastHome is the node on which a service ran at t or last before.
func lastHome(runs []hareplay.Interval, t int64) (home string) {
	for _, r := range runs {
		if r.From <= t && r.Value != "" {
			home = r.Value
		}
	}
	return home
}

// told reports whether node got an order to go up to t.
func told(commands []hareplay.Command, node string, t int64) bool {
	return slices.ContainsFunc(commands, func(c hareplay.Command) bool {
		return c.T <= t && (strings.HasPrefix(c.Text, "reboot "+node) || strings.HasPrefix(c.Text, "shutdown "+node))
	})
}

// A holder lengthens what lasts to the end.
type holder struct{ last, hold int64 }

func (h holder) until(t int64) int64 {
	if t >= h.last {
		return h.last + h.hold
	}
	return t
}

// intervals are list in order of time.
func (h holder) intervals(list []hareplay.Interval) []hareplay.Interval {
	held := slices.Clone(list)
	for i := range held {
		held[i].To = h.until(held[i].To)
	}
	slices.SortFunc(held, func(a, b hareplay.Interval) int { return cmp.Compare(a.From, b.From) })
	return held
}

func (h holder) flags(list []hareplay.Flag) []hareplay.Flag {
	held := slices.Clone(list)
	for i := range held {
		held[i].To = h.until(held[i].To)
	}
	return held
}

// spans are those of the flags that are set.
func spans(flags []hareplay.Flag) (set []hareplay.Span) {
	for _, f := range flags {
		if f.Yes {
			set = append(set, hareplay.Span{From: f.From, To: f.To})
		}
	}
	return set
}

// in are the spans of the intervals with one of values.
func in(list []hareplay.Interval, values ...string) (found []hareplay.Span) {
	for _, i := range list {
		if slices.Contains(values, i.Value) {
			found = append(found, hareplay.Span{From: i.From, To: i.To})
		}
	}
	return found
}

// both are the spans in which a and b overlap.
func both(a, b []hareplay.Span) (all []hareplay.Span) {
	for _, x := range a {
		for _, y := range b {
			if from, to := max(x.From, y.From), min(x.To, y.To); from <= to {
				all = append(all, hareplay.Span{From: from, To: to})
			}
		}
	}
	return all
}

// names are the values of labels id and node with which an alert may mean f.
func (f Failure) names() map[string]string {
	return map[string]string{"id": pve.HAService{SID: f.SID}.ID(), "node": f.Node}
}
