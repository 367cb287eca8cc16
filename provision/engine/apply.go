package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// A Result is what a run did.
type Result struct {
	Plan    *Plan
	Changed int // changes that were made
	Done    []ID
	Failed  []*StepError
	Skipped []ID
	// Warnings is how many tasks did their work, but ended with warnings. The events tell which.
	Warnings int

	Took time.Duration
}

// Apply makes the cluster what the steps say. It first plans everything, and changes nothing while
// something is forbidden or cannot be read; want, when not nil, must be that very plan. A step that
// fails keeps those that need it from running, others go on. The Result is never nil.
func Apply(ctx context.Context, steps []Step, want *Plan, opt Options) (*Result, error) {
	opt.fill()
	res := &Result{}
	begun := opt.Clock.Now()
	defer func() { res.Took = opt.Clock.Now().Sub(begun) }()
	plan, err := MakePlan(ctx, steps, opt)
	if err != nil {
		return res, err
	}
	res.Plan = plan
	if err := plan.Blocked(); err != nil {
		return res, err
	}
	if want != nil {
		if err := want.Same(plan); err != nil {
			return res, err
		}
	}
	ordered, err := Order(steps)
	if err != nil {
		return res, err
	}
	r := &run{opt: opt, plan: plan}
	err = r.all(ctx, ordered, res)
	res.Changed, res.Warnings = int(r.changed.Load()), int(r.warnings.Load())
	opt.Tell(Event{Time: opt.Clock.Now(), Event: EventEnd, Text: res.Summary(), Pct: 100, Seconds: opt.Clock.Now().Sub(begun).Seconds()})
	return res, err
}

// Summary is the result in one line.
func (r *Result) Summary() string {
	parts := []string{fmt.Sprintf("%d changes made, %d steps done", r.Changed, len(r.Done))}
	if len(r.Failed) > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", len(r.Failed)))
	}
	if len(r.Skipped) > 0 {
		parts = append(parts, fmt.Sprintf("%d skipped", len(r.Skipped)))
	}
	if r.Warnings > 0 {
		parts = append(parts, fmt.Sprintf("%d with warnings", r.Warnings))
	}
	return strings.Join(parts, ", ")
}

type run struct {
	opt      Options
	plan     *Plan
	changed  atomic.Int64
	warnings atomic.Int64
	pct      int
}

// busy are the steps of the plan that are going to change something, and those they need: a step that
// is as wanted is still waited for when something is to be built on it.
func (r *run) busy(ordered []Step) map[ID]bool {
	rely := needs(ordered)
	out := map[ID]bool{}
	for _, sp := range r.plan.Steps {
		if len(writing(sp.Changes)) == 0 {
			continue
		}
		out[sp.ID] = true
		for id := range rely[sp.ID] {
			out[id] = true
		}
	}
	return out
}

func (r *run) all(ctx context.Context, ordered []Step, res *Result) error {
	busy, rely := r.busy(ordered), needs(ordered)
	failed := map[ID]bool{}
	var errs []error
	for i, s := range ordered {
		if !selected(s, r.opt.Target) || !busy[s.ID()] {
			continue
		}
		r.pct = 100 * i / len(ordered)
		if bad := firstOf(rely[s.ID()], failed, ordered); bad != "" {
			failed[s.ID()] = true
			res.Skipped = append(res.Skipped, s.ID())
			r.tell(s, Event{Event: EventSkip, Text: fmt.Sprintf("left out, because %s failed", bad)})
			continue
		}
		err := r.step(ctx, s)
		switch {
		case err == nil:
			res.Done = append(res.Done, s.ID())
			continue
		case errors.Is(err, ErrInterrupted), ctx.Err() != nil:
			return errors.Join(append(errs, err)...)
		}
		failed[s.ID()] = true
		for _, e := range split(s, err) {
			res.Failed = append(res.Failed, e)
			errs = append(errs, e)
			r.tell(s, Event{Event: EventError, Node: e.Node, Path: e.Path, UPID: e.UPID, Log: e.Log, Text: e.Error()})
		}
	}
	return errors.Join(errs...)
}

// firstOf returns the first step, in order, that is in both sets.
func firstOf(rely, failed map[ID]bool, ordered []Step) ID {
	for _, s := range ordered {
		if rely[s.ID()] && failed[s.ID()] {
			return s.ID()
		}
	}
	return ""
}

// split takes apart what several changes of a step failed with.
func split(s Step, err error) []*StepError {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var out []*StepError
		for _, e := range many.Unwrap() {
			out = append(out, split(s, e)...)
		}
		return out
	}
	return []*StepError{stepError(s, nil, err)}
}

func (r *run) tell(s Step, e Event) {
	e.Time, e.Step, e.Pct = r.opt.Clock.Now(), s.ID(), r.pct
	r.opt.Tell(e)
}

// stopped says whether the run was asked to end.
func (r *run) stopped() bool {
	select {
	case <-r.opt.Stop:
		return true
	default:
		return false
	}
}
