package source

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Flight runs calls of one kind, at most one at a time.
//
// Callers that arrive while a call is young share its result. Once a caller has given up on a call
// it counts as stuck, and everybody who comes then gets a StuckError at once, until it returns.
// The zero value is not usable; make one with NewFlight.
type Flight[T any] struct {
	stats *Stats

	mu  sync.Mutex
	cur *call[T]
}

type call[T any] struct {
	done    chan struct{}
	started time.Time
	stuck   bool // somebody waited for it in vain
	val     T
	err     error
}

// NewFlight returns a Flight that counts its calls in stats.
func NewFlight[T any](stats *Stats) *Flight[T] {
	return &Flight[T]{stats: stats}
}

// Do runs fn in its own goroutine and returns what it returns.
//
// When ctx ends first Do fails with ctx's error and leaves fn running; fn must end by itself some
// day and must not be given ctx to decide what it does to shared state after that. A panic in fn
// is returned as an error.
func (f *Flight[T]) Do(ctx context.Context, fn func() (T, error)) (T, error) {
	c, err := f.join(fn)
	if err != nil {
		var zero T
		return zero, err
	}
	select {
	case <-c.done:
		return c.val, c.err
	case <-ctx.Done():
	}
	// Both may be ready: a result that is there is not thrown away.
	select {
	case <-c.done:
		return c.val, c.err
	default:
	}
	f.abandon(c)
	var zero T
	return zero, fmt.Errorf("%s does not answer: %w", f.stats.name, ctx.Err())
}

// join returns the running call, or starts one.
func (f *Flight[T]) join(fn func() (T, error)) (*call[T], error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.stats.now()
	if c := f.cur; c != nil {
		if c.stuck {
			return nil, f.stats.refused(&StuckError{Source: f.stats.name, For: now.Sub(c.started)})
		}
		return c, nil
	}
	c := &call[T]{done: make(chan struct{}), started: now}
	f.cur = c
	f.stats.begin(now)
	go func() {
		v, err := protect(fn)
		f.mu.Lock()
		c.val, c.err = v, err
		f.cur = nil
		f.stats.end(err)
		f.mu.Unlock()
		close(c.done)
	}()
	return c, nil
}

// abandon marks c as stuck if it still runs.
func (f *Flight[T]) abandon(c *call[T]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cur == c && !c.stuck {
		c.stuck = true
		f.stats.stick()
	}
}

func protect[T any](fn func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return fn()
}

// StuckError says that an earlier call has not returned, so no further one was started.
type StuckError struct {
	Source string
	For    time.Duration // since the stuck call began
}

func (e *StuckError) Error() string {
	return fmt.Sprintf("%s: an earlier call has not returned for %s", e.Source, e.For.Round(time.Millisecond))
}

// Reason is the value of label reason for this error.
func (*StuckError) Reason() string { return "stuck" }

// Reason names the kind of err in one word, fit for a label: what the error itself says by a
// method Reason() string, "timeout" for an ended context, else "other".
func Reason(err error) string {
	var r interface{ Reason() string }
	switch {
	case errors.As(err, &r):
		return r.Reason()
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "timeout"
	}
	return "other"
}
