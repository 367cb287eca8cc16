package qmp

import "time"

// A departure is what is known of migrations away from here by one QEMU process.
type departure struct {
	now     *result   // the one under way
	done    mark      // the result that has been taken, or is history
	running time.Time // the guest was last seen running
	halted  time.Time // and next not running any more; zero while it runs

	// QEMU prepares for a migration, or takes a snapshot with memory, since after this moment; zero
	// if it does neither.
	prepares time.Time
}

// departing takes a sample for what it says of a migration away from here.
func (t *Tracker) departing(g *guest, s Sample) {
	switch {
	case s.VMState == stateRunning:
		g.out.running, g.out.halted = s.At, time.Time{}
	case g.out.halted.IsZero():
		g.out.halted = s.At
	}
	switch sourcePhase(s.Migration) {
	case phaseUnder:
		t.underway(g, s)
	case phaseEnded:
		t.ended(g, s)
	case phaseIdle:
		if g.out.now != nil { // cannot be, in one process
			t.cutDeparture(g, s.At)
		}
	}
}

// underway takes a sample of a migration that goes on.
func (t *Tracker) underway(g *guest, s Sample) {
	r := g.out.now
	if r != nil && r.another(s) { // its end was not seen
		t.cutDeparture(g, s.At)
		r = nil
	}
	if r == nil && preparing(s.Migration) {
		if g.out.prepares.IsZero() {
			g.out.prepares = g.before()
		}
		return
	}
	if r == nil {
		r = t.depart(g, s)
	}
	r.take(s)
}

// preparing says whether m may be of a migration or of a snapshot with memory, for which Proxmox's
// QEMU uses the same state: setup, then completed in no time, or failed without a word.
func preparing(m Migration) bool {
	return m.TotalTime == nil && (m.Status == statusSetup || m.Status == statusWaitUnplug)
}

// before is a moment at which what was not seen before had not begun yet.
func (g *guest) before() time.Time {
	switch {
	case !g.out.prepares.IsZero():
		return g.out.prepares
	case g.seen:
		return g.last.At
	}
	return g.since
}

// depart begins a result. When the migration began QEMU says by its age, to the time that the reply
// took.
func (t *Tracker) depart(g *guest, s Sample) *result {
	r := &result{vmid: g.id, open: true, begun: span{g.before(), s.At}, wasRunning: !g.seen || g.last.VMState == stateRunning || s.VMState == stateRunning}
	if ms := num(s.Migration.TotalTime); ms >= 0 {
		r.begun.to = s.At.Add(-milliseconds(ms))
		if early := r.begun.to.Add(-replyTime); r.begun.from.Before(early) {
			r.begun.from = early
		}
	}
	g.out.now, g.out.prepares = r, time.Time{}
	t.ledger(g.id).open(r)
	return r
}

// replyTime is how long a reply may have been on its way.
const replyTime = 500 * time.Millisecond

func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// ended takes a sample that has a result.
func (t *Tracker) ended(g *guest, s Sample) {
	m, k := s.Migration, markOf(s.Migration)
	r := g.out.now
	if r != nil && num(m.TotalTime) == 0 && s.VMState == stateFinishMigrate {
		return // QEMU 7.2 says completed a moment before it has summed up
	}
	if r != nil && r.another(s) { // that one's end was not seen
		t.cutDeparture(g, s.At)
		r = nil
	}
	history := !g.seen && !g.fresh
	if r == nil && (g.out.done.same(k) || history || !migrated(m)) {
		if history {
			g.out.done = k
		}
		g.out.prepares = time.Time{}
		return
	}
	if r == nil {
		r = t.unseen(g, s)
	}
	g.out.done, g.out.now, g.out.prepares = k, nil, time.Time{}
	if r.wasRunning && s.VMState != stateRunning {
		g.stop(s.At)
	}
	t.settle(g, r, s)
}

// migrated tells the result of a migration that was not seen to go on from that of a snapshot.
func migrated(m Migration) bool {
	switch m.Status {
	case statusCompleted:
		return num(m.TotalTime) != 0
	case statusFailed:
		return m.ErrorDesc != ""
	}
	return true
}

// surely is a time in which no second migration can follow a first.
const surely = 3 * time.Second

// another says whether the sample is of a later migration than r: a number that only grows has fallen,
// or it began, or ended, at another time than r can have.
func (r *result) another(s Sample) bool {
	m := s.Migration
	if restarted(r.last, m) || m.Status == statusSetup && !r.postcopy {
		return true
	}
	if r.start.IsZero() || m.TotalTime == nil {
		return false
	}
	end := r.start.Add(milliseconds(*m.TotalTime))
	if m.Status == statusCompleted {
		return end.Before(r.seen.Add(-surely)) || end.After(s.At.Add(surely))
	}
	return end.Before(s.At.Add(-surely))
}

// unseen is a migration of which nothing was seen but the result. It began after the last look.
func (t *Tracker) unseen(g *guest, s Sample) *result {
	r := &result{vmid: g.id, open: true, begun: span{g.before(), s.At}, wasRunning: true, guess: s.Migration.Status}
	if g.seen {
		r.wasRunning = g.last.VMState == stateRunning
	}
	if ms := num(s.Migration.TotalTime); ms > 0 {
		r.begun.to = s.At.Add(-milliseconds(ms))
	}
	t.ledger(g.id).open(r)
	return r
}

// settle counts a result that QEMU itself told.
func (t *Tracker) settle(g *guest, r *result, s Sample) {
	m := s.Migration
	r.open, r.endFrom = false, r.seen
	if r.seen.IsZero() {
		r.endFrom = g.before()
	}
	if m.Status == statusCompleted {
		r.last = m
		l := t.ledger(g.id)
		l.left(g.out.haltedAt(r, m), s.At.Add(t.cfg.Keep))
		r.final = true
	}
	if s.At.Sub(r.endFrom) > surely {
		// It may be the result of another migration, that nobody saw begin: let the task log decide.
		r.guess = m.Status
		t.suspend(r, s.At)
		return
	}
	t.count(r, m.Status)
}

// haltedAt is when the guest ceased to run on the source; zero if it was not seen to. QEMU tells it to
// the millisecond: by when the migration began, how long it took and how much of that the guest stood.
// With postcopy the downtime is not the end of the whole; the guest stopped between two looks.
func (d *departure) haltedAt(r *result, m Migration) time.Time {
	var ran time.Duration // of the migration's time the guest ran so long
	if !r.postcopy && m.Status == statusCompleted && m.TotalTime != nil && m.Downtime != nil {
		ran = milliseconds(*m.TotalTime - *m.Downtime)
		if !r.start.IsZero() {
			return r.start.Add(ran)
		}
	}
	switch from := d.running.Add(ran); {
	case d.running.IsZero(), d.halted.IsZero():
		return d.running
	case r.start.IsZero() && from.Before(d.halted): // it began after the last look, too
		return between(from, d.halted)
	}
	return between(d.running, d.halted)
}

// left notes when a guest ceased to run here.
func (l *ledger) left(at, until time.Time) {
	if !at.IsZero() {
		l.stopped, l.stoppedUntil = at, until
	}
}

// cutDeparture ends a migration of which no more will be heard: its QEMU is gone, or does the next
// one. The task log will tell the result.
func (t *Tracker) cutDeparture(g *guest, at time.Time) {
	r := g.out.now
	if r == nil {
		return
	}
	g.out.now = nil
	l := t.ledger(g.id)
	r.endFrom = r.seen
	if g.last.VMState != stateRunning {
		l.left(g.out.haltedAt(r, g.last.Migration), at.Add(t.cfg.Keep))
	}
	t.suspend(r, at)
}

// suspend leaves the result open until the task log tells it.
func (t *Tracker) suspend(r *result, at time.Time) {
	r.open, r.pending, r.since = false, true, at
	if r.task != nil {
		t.settleByTask(r, *r.task)
	}
}
