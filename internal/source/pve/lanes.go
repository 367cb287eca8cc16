package pve

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/quorate/quorate/internal/source"
)

// lanes holds one source.Flight a kind of call, so that calls of different kinds run side by side and
// those of one kind never do.
type lanes struct {
	name    string
	now     func() time.Time
	reasons []string

	mu  sync.Mutex
	all map[string]*lane
}

type lane struct {
	stats  *source.Stats
	flight *source.Flight[any]

	// Guarded by lanes.mu: how the last call ended.
	failed bool // the daemon did not answer, or not to us
	at     time.Time
}

func newLanes(name string, now func() time.Time, reasons []string) *lanes {
	if now == nil {
		now = time.Now
	}
	return &lanes{name: name, now: now, reasons: reasons, all: map[string]*lane{}}
}

// get returns the lane of key. Keys are kinds of calls and nodes: few.
func (l *lanes) get(key string) *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.all[key]
	if n == nil {
		stats := source.NewStats(l.name, l.now, l.reasons...)
		n = &lane{stats: stats, flight: source.NewFlight[any](stats)}
		l.all[key] = n
	}
	return n
}

// note remembers whether the daemon answered a call.
func (l *lanes) note(n *lane, answered bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n.failed, n.at = !answered, l.now()
}

// inLane runs fn in the lane of key, or shares a run that is under way. Values are shared by those
// who asked together and must not be changed. A value may come beside an error: then it is what
// could be read.
func inLane[T any](ctx context.Context, l *lanes, key string, answered func(error) bool, fn func() (T, error)) (T, error) {
	// Calls that want different types of the same thing cannot share.
	n := l.get(key + " " + reflect.TypeFor[T]().String())
	v, err := n.flight.Do(ctx, func() (any, error) {
		v, err := fn()
		l.note(n, answered(err))
		return v, err
	})
	t, _ := v.(T)
	return t, err
}

// forgetAfter is when a failed call of a kind that nobody asks for any more no longer counts.
const forgetAfter = 5 * time.Minute

// status adds the lanes up. Up: every kind of call was answered when it was last made.
func (l *lanes) status() source.Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := source.NewStats(l.name, l.now, l.reasons...).Status()
	asked := false
	failing := false
	for _, n := range l.all {
		s := n.stats.Status()
		sum.Requests += s.Requests
		sum.Stuck = max(sum.Stuck, s.Stuck)
		for reason, count := range s.Errors {
			sum.Errors[reason] += count
		}
		asked = asked || !n.at.IsZero()
		failing = failing || n.failed && l.now().Sub(n.at) < forgetAfter
	}
	sum.Up = asked && !failing && sum.Stuck == 0
	return sum
}

// refuse counts a call that is not made because another kind hangs.
func (l *lanes) refuse(key string, age time.Duration) error {
	err := &source.StuckError{Source: l.name, For: age}
	l.get(key).stats.Fail(err)
	return err
}

// stuck returns the age of the oldest call that does not return, else 0.
func (l *lanes) stuck() time.Duration { return l.status().Stuck }
