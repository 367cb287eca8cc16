package ceph

import (
	"context"
	"sync"
	"time"
)

// A gate is closed by a timeout and opened by an answer. While it is closed, callers are turned
// away at once with the reason, and one goroutine goes on asking; so an outage costs one scrape the
// operation timeout and no later one anything.
type gate struct {
	every time.Duration
	probe func() error // nil: it lives again

	mu      sync.Mutex
	reason  error
	probing bool
}

// pass returns nil when the gate is open.
func (g *gate) pass() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reason
}

// close shuts the gate and has the prober spawned, unless one is at work.
func (g *gate) close(spawn func(func(context.Context)) bool, reason error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reason = reason
	if !g.probing {
		g.probing = spawn(g.run)
	}
}

func (g *gate) run(ctx context.Context) {
	tick := time.NewTicker(g.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if g.probe() != nil {
			continue
		}
		g.mu.Lock()
		g.reason, g.probing = nil, false
		g.mu.Unlock()
		return
	}
}
