package linkprobe

import (
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/quorate/quorate/internal/source"
)

// faults holds what this machine cannot do at the moment. Each is logged when it comes, changes
// and goes: not once a round, nor once for each of the peer links that it hits.
type faults struct {
	log   *slog.Logger
	stats *source.Stats

	mu  sync.Mutex
	now map[string]map[string]string // error text by what cannot be done and whom it hits
}

func newFaults(log *slog.Logger, stats *source.Stats) *faults {
	return &faults{log: log, stats: stats, now: map[string]map[string]string{}}
}

// set says how doing what went for who; a nil error ends the fault for who.
func (f *faults) set(what, who string, err error) {
	if err == nil {
		if f.drop(what, who) {
			f.log.Info("link probe works again", "what", what)
		}
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	hit := f.now[what]
	told := slices.Contains(slices.Collect(maps.Values(hit)), err.Error())
	if hit == nil {
		hit = map[string]string{}
		f.now[what] = hit
	}
	hit[who] = err.Error()
	if !told {
		f.stats.Fail(err)
		f.log.Warn("link probe fails and will be tried again", "what", what, "err", err)
	}
}

// drop takes who out of a fault, and reports whether that was the last it hit.
func (f *faults) drop(what, who string) (ended bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	hit, ok := f.now[what]
	delete(hit, who)
	if ok && len(hit) == 0 {
		delete(f.now, what)
		return true
	}
	return false
}

// forget takes who out of all faults.
func (f *faults) forget(who string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.now, func(_ string, hit map[string]string) bool {
		delete(hit, who)
		return len(hit) == 0
	})
}

// any reports whether there is a fault.
func (f *faults) any() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.now) > 0
}
