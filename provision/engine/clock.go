package engine

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Clock tells the time and waits. Tests have one that moves a simulated cluster instead of waiting.
type Clock interface {
	Now() time.Time
	// Sleep returns after d or with ctx's error.
	Sleep(ctx context.Context, d time.Duration) error
}

// WallClock is the real time.
type WallClock struct{}

// Now is time.Now.
func (WallClock) Now() time.Time { return time.Now() }

// Sleep waits for d.
func (WallClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// A Poll asks until something is true.
type Poll struct {
	Clock Clock
	What  string        // is waited for, as in "waited 1m for WHAT"
	Every time.Duration // default 2 s
	Limit time.Duration
	// Again says which errors of the question mean that it is to be asked again.
	Again func(error) bool
}

// ErrTimeout says that a Poll's limit has passed.
var ErrTimeout = errors.New("timed out")

// Until asks until ask returns true. state is what is the case now, for people; it stands in the error
// when the limit passes.
func (p Poll) Until(ctx context.Context, ask func(context.Context) (done bool, state string, err error)) error {
	every := p.Every
	if every <= 0 {
		every = 2 * time.Second
	}
	end := p.Clock.Now().Add(p.Limit)
	for {
		done, state, err := ask(ctx)
		switch {
		case err != nil && (ctx.Err() != nil || p.Again == nil || !p.Again(err)):
			return fmt.Errorf("while waiting for %s: %w", p.What, err)
		case err != nil:
			state = err.Error()
		case done:
			return nil
		}
		if !p.Clock.Now().Before(end) {
			return fmt.Errorf("%w: waited %s for %s; now: %s", ErrTimeout, p.Limit, p.What, state)
		}
		if err := p.Clock.Sleep(ctx, every); err != nil {
			return fmt.Errorf("while waiting for %s: %w", p.What, err)
		}
	}
}
