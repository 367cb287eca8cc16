package pve

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/quorate/quorate/internal/source"
)

// An HAReadFunc reads the HA state once, from the files of this node or from the API.
type HAReadFunc func(context.Context) (HA, error)

// HAFromAPI returns a reader that makes two requests. get is Client.Get.
func HAFromAPI(get func(ctx context.Context, path string, out any) error, now func() time.Time) HAReadFunc {
	return func(ctx context.Context) (HA, error) {
		var current, manager json.RawMessage
		if err := get(ctx, "/cluster/ha/status/current", &current); err != nil {
			return HA{}, err
		}
		if err := get(ctx, "/cluster/ha/status/manager_status", &manager); err != nil {
			return HA{}, err
		}
		return ParseHAReplies(current, manager, now())
	}
}

// HAConfig is what an HAWatch needs.
type HAConfig struct {
	Read  HAReadFunc
	Stats *source.Stats // counts the reads
	Log   *slog.Logger

	// Every is the time between two looks in the background; 0 means 5 s: states that the manager
	// passes in one of its rounds of 10 s are seen all the same.
	Every time.Duration
	// Timeout bounds a look in the background; 0 means 4 s.
	Timeout time.Duration
	// Guests returns the ids (qemu/100) of all guests, for HA.Unmanaged. It may be nil.
	Guests func(context.Context) ([]string, error)
}

// An HAWatch reads the HA state on demand and every few seconds, and counts fencings and failovers
// whether or not anybody asks. It is safe for concurrent use.
type HAWatch struct {
	cfg    HAConfig
	flight *source.Flight[HAView]

	mu      sync.Mutex
	tracker *HATracker
	failing bool
}

// An HAView is the state now and what was counted up to now.
type HAView struct {
	HA     HA
	Counts HACounts
}

// NewHAWatch returns a watch that has not looked yet.
func NewHAWatch(c HAConfig) *HAWatch {
	if c.Every <= 0 {
		c.Every = 5 * time.Second
	}
	if c.Timeout <= 0 {
		c.Timeout = 4 * time.Second
	}
	return &HAWatch{cfg: c, flight: source.NewFlight[HAView](c.Stats), tracker: NewHATracker()}
}

// Run looks until ctx ends.
func (w *HAWatch) Run(ctx context.Context) {
	tick := time.NewTicker(w.cfg.Every)
	defer tick.Stop()
	for {
		look, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
		_, err := w.HA(look)
		cancel()
		if ctx.Err() != nil {
			return
		}
		w.report(err)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// report logs when the reads begin or cease to fail.
func (w *HAWatch) report(err error) {
	w.mu.Lock()
	changed := w.failing != (err != nil)
	w.failing = err != nil
	w.mu.Unlock()
	switch {
	case !changed:
	case err != nil:
		w.cfg.Log.Warn("the HA state cannot be read: fencings and failovers are not counted meanwhile", "err", err)
	default:
		w.cfg.Log.Info("the HA state can be read again")
	}
}

// HA reads the state now. When it cannot be read, the error comes with the counts up to the last
// time it could. It fails with ctx's error when the answer does not come in time; the read then goes
// on by itself, and nobody starts a second one.
func (w *HAWatch) HA(ctx context.Context) (HAView, error) {
	v, err := w.flight.Do(ctx, func() (HAView, error) {
		// The read may outlive its caller, but not for ever.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		return w.look(ctx)
	})
	if err != nil {
		return HAView{Counts: w.counts()}, fmt.Errorf("read the HA state: %w", err)
	}
	return v, nil
}

func (w *HAWatch) look(ctx context.Context) (HAView, error) {
	h, err := w.cfg.Read(ctx)
	if err != nil {
		return HAView{}, err
	}
	if w.cfg.Guests != nil {
		guests, err := w.cfg.Guests(ctx)
		if err != nil {
			return HAView{}, fmt.Errorf("list the guests: %w", err)
		}
		h.Unmanaged = unmanaged(guests, h.Services)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tracker.Observe(h)
	return HAView{HA: h, Counts: w.tracker.Counts()}, nil
}

func (w *HAWatch) counts() HACounts {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.tracker.Counts()
	c.InProgress = nil // it would stand still
	return c
}

// unmanaged returns the guests that are no services.
func unmanaged(guests []string, services []HAService) []string {
	managed := map[string]bool{}
	for _, s := range services {
		managed[s.ID()] = true
	}
	var rest []string
	for _, id := range guests {
		if !managed[id] {
			managed[id] = true // at most once
			rest = append(rest, id)
		}
	}
	return rest
}
