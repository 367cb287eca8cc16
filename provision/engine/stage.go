package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// backoff is how long a step waits before it looks again.
var backoff = [...]time.Duration{2 * time.Second, 5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second}

// step makes one step true, trying again what may work when tried again.
func (r *run) step(ctx context.Context, s Step) error {
	began := r.opt.Clock.Now()
	rep := &reporter{r: r, s: s, began: began}
	r.tell(s, Event{Event: EventStart, Text: s.Title()})
	for attempt := 1; ; attempt++ {
		n, err := r.attempt(ctx, s, rep)
		if err == nil {
			text := ""
			if n > 0 {
				text = fmt.Sprintf("(%d changes)", n)
			}
			r.tell(s, Event{Event: EventDone, Text: text, Seconds: r.opt.Clock.Now().Sub(began).Seconds()})
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, ErrInterrupted) || attempt >= r.opt.Attempts || !r.again(err) {
			return err
		}
		r.tell(s, Event{Event: EventRetry, Text: err.Error(), Node: stepError(s, nil, err).Node})
		if err := r.opt.Clock.Sleep(ctx, backoff[min(attempt, len(backoff))-1]); err != nil {
			return err
		}
	}
}

// again says whether looking again may help: all that failed must be of that kind.
func (r *run) again(err error) bool {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(many.Unwrap(), func(e error) bool { return !r.again(e) })
	}
	return r.opt.Again(err)
}

// attempt is Observe, Diff, Apply, Wait, and Observe again, because only that shows that all is as wanted.
func (r *run) attempt(ctx context.Context, s Step, rep *reporter) (changed int, err error) {
	if st, ok := s.(Settler); ok {
		if err := st.Settle(ctx, rep); err != nil {
			return 0, stepError(s, nil, err)
		}
	}
	todo, err := r.look(ctx, s)
	if err != nil {
		return 0, err
	}
	if err := r.changes(ctx, s, todo, rep); err != nil {
		return 0, err
	}
	if err := s.Wait(ctx, rep); err != nil {
		return 0, stepError(s, nil, err)
	}
	if len(todo) == 0 {
		return 0, nil
	}
	left, err := r.look(ctx, s)
	// What one node has written, another shows a moment later.
	for try := 1; err == nil && len(left) > 0 && try < lookTries; try++ {
		if err = r.opt.Clock.Sleep(ctx, lookPause); err == nil {
			left, err = r.look(ctx, s)
		}
	}
	if err != nil {
		return 0, err
	}
	if len(left) > 0 {
		var names []string
		for _, c := range left {
			names = append(names, c.describe())
		}
		return 0, &StepError{Step: s.ID(), Node: left[0].Node, Path: left[0].Path,
			Err: fmt.Errorf("was applied, but the cluster still differs: %s", strings.Join(names, "; "))}
	}
	return len(todo), nil
}

// look returns the changes to be made.
func (r *run) look(ctx context.Context, s Step) ([]Change, error) {
	have, err := s.Observe(ctx)
	if err != nil {
		return nil, stepError(s, nil, err)
	}
	found := diff(s, have, r.opt)
	if bad := Of(found, Forbidden); len(bad) > 0 {
		c := bad[0]
		return nil, &StepError{Step: s.ID(), Node: c.Node, Path: c.Path, Hint: c.Note,
			Err: fmt.Errorf("is %q and must not be changed to %q by a program", c.From, c.To)}
	}
	return writing(found), nil
}

// changes makes them, side by side as far as the step allows.
func (r *run) changes(ctx context.Context, s Step, todo []Change, rep *reporter) error {
	t := traits(s)
	groups := byNode(todo)
	width := t.Spread
	if width < 0 || width > r.opt.Parallel {
		width = r.opt.Parallel
	}
	if width <= 1 {
		var errs []error
		for _, g := range groups {
			err := r.group(ctx, s, g, t, rep)
			errs = append(errs, err)
			if err != nil && !t.CarryOn {
				break
			}
		}
		return errors.Join(errs...)
	}
	errs := make([]error, len(groups))
	free := make(chan struct{}, width)
	var wg sync.WaitGroup
	for i, g := range groups {
		free <- struct{}{}
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() { <-free }()
			errs[i] = r.group(ctx, s, g, t, rep)
		}()
	}
	wg.Wait()
	return errors.Join(errs...)
}

// group makes the changes of one node, one after the other.
func (r *run) group(ctx context.Context, s Step, g []Change, t Traits, rep *reporter) error {
	var errs []error
	for _, c := range g {
		if r.stopped() {
			return errors.Join(append(errs, ErrInterrupted)...)
		}
		r.tell(s, Event{Event: EventChange, Node: c.Node, Path: c.Path, Text: c.describe()})
		if err := s.Apply(ctx, c, rep.of(c)); err != nil {
			errs = append(errs, stepError(s, &c, err))
			if !t.CarryOn || ctx.Err() != nil {
				break
			}
			continue
		}
		r.changed.Add(1)
	}
	return errors.Join(errs...)
}

// reporter makes events of what a step reports.
type reporter struct {
	r     *run
	s     Step
	began time.Time
	path  string
}

func (p *reporter) of(c Change) *reporter {
	q := *p
	q.path = c.Path
	return &q
}

func (p *reporter) tell(e Event) {
	e.Path, e.Seconds = p.path, p.r.opt.Clock.Now().Sub(p.began).Seconds()
	p.r.tell(p.s, e)
}

// Task implements Reporter.
func (p *reporter) Task(node, upid string) { p.tell(Event{Event: EventTask, Node: node, UPID: upid}) }

// Progress implements Reporter.
func (p *reporter) Progress(node, text string) {
	p.tell(Event{Event: EventProgress, Node: node, Text: text})
}

// Warning implements Reporter.
func (p *reporter) Warning(node, upid, text string, log []string) {
	p.r.warnings.Add(1)
	p.tell(Event{Event: EventWarning, Node: node, UPID: upid, Text: text, Log: log})
}

// Keep implements Reporter.
func (p *reporter) Keep(name string, data []byte) { p.r.opt.Keep(name, data) }
