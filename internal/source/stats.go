package source

import (
	"maps"
	"sync"
	"time"
)

// A Status is what a source says about itself. Reading it does no I/O.
type Status struct {
	Name       string            // corosync, ceph, ceph_mgr, …
	Configured bool              // this machine is meant to have the daemon; false hides the source
	Up         bool              // the last request was answered and none is stuck
	Stuck      time.Duration     // age of a call that does not return, else 0
	Requests   uint64            // requests begun since start, stuck refusals not counted
	Errors     map[string]uint64 // failed requests since start by Reason, refusals as "stuck"
}

// Stats counts the requests to one source. It is safe for concurrent use.
type Stats struct {
	name string
	now  func() time.Time

	mu         sync.Mutex
	configured bool
	up         bool
	stuckSince time.Time // zero when no call is stuck
	began      time.Time
	requests   uint64
	errors     map[string]uint64
}

// NewStats returns the counters of the source called name, which is configured and not yet up.
// now is the clock; nil means time.Now. Errors are counted from 0 for the reasons named here and
// for those every source has: a counter born at 1 is one that increase() never sees rise.
func NewStats(name string, now func() time.Time, reasons ...string) *Stats {
	if now == nil {
		now = time.Now
	}
	errors := map[string]uint64{"timeout": 0, "stuck": 0, "other": 0}
	for _, r := range reasons {
		errors[r] = 0
	}
	return &Stats{name: name, now: now, configured: true, errors: errors}
}

// SetConfigured says whether this machine is meant to have the daemon.
func (s *Stats) SetConfigured(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.configured = yes
}

// Record counts one finished request that did not go through a Flight.
func (s *Stats) Record(err error) {
	s.begin(s.now())
	s.end(err)
}

// Fail marks the source as not up without counting a request, for a failure found earlier that
// still stands.
func (s *Stats) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up = false
	s.errors[Reason(err)]++
}

// Status returns the counters as they are now.
func (s *Stats) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{
		Name: s.name, Configured: s.configured, Up: s.up,
		Requests: s.requests, Errors: maps.Clone(s.errors),
	}
	if !s.stuckSince.IsZero() {
		st.Stuck = s.now().Sub(s.stuckSince)
		st.Up = false
	}
	return st
}

func (s *Stats) begin(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.began = now
}

func (s *Stats) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// A call that was given up on has been counted by stick: its late answer proves that the
	// source lives again, but the next request must say so.
	late := !s.stuckSince.IsZero()
	s.stuckSince = time.Time{}
	s.up = err == nil && !late
	if err != nil && !late {
		s.errors[Reason(err)]++
	}
}

func (s *Stats) stick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stuckSince = s.began
	s.up = false
	s.errors["timeout"]++
}

func (s *Stats) refused(err *StuckError) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errors[err.Reason()]++
	return err
}
