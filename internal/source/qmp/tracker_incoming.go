package qmp

import "time"

// An arrival is a migration that comes in: inmigrate, paused, running. With postcopy the guest runs
// before all of its memory is there.
type arrival struct {
	step arrivalStep

	inmigrate  time.Time // last seen so
	pausedFrom time.Time // between the last sight of inmigrate, or of no QEMU, and the first of paused; zero if not known
	paused     time.Time // last seen not running
	ran        bool
	pause      *time.Duration // measured
}

type arrivalStep int

const (
	arrivalNone    arrivalStep = iota
	arrivalWaiting             // inmigrate
	arrivalLanded              // memory is there, the guest stands
	arrivalRuns                // the guest runs, memory is still to come
	arrivalCounted
)

// underway says that the result is not known yet.
func (a *arrival) underway() bool { return a.step != arrivalNone && a.step != arrivalCounted }

// arriving takes a sample for what it says of a migration to here.
func (t *Tracker) arriving(g *guest, s Sample) {
	a, st := &g.in, s.Migration.Status
	if s.VMState == stateInmigrate {
		if a.step == arrivalNone {
			a.step = arrivalWaiting
		}
		a.inmigrate = s.At
	}
	if !g.seen && a.step == arrivalNone && g.fresh && st == statusCompleted && sourcePhase(s.Migration) == phaseIdle {
		a.step = arrivalLanded // between two looks
	}
	if !a.underway() {
		t.resumedLate(g, s)
		return
	}
	if st == statusFailed {
		t.settleArrival(g, Failed)
		g.out.done = markOf(s.Migration) // or it would be that of a migration away from here
		return
	}
	switch s.VMState {
	case stateInmigrate:
	case stateRunning:
		t.resumed(g, s)
		a.step = arrivalRuns
		if st == statusCompleted {
			t.settleArrival(g, Completed)
		}
	default:
		a.step = arrivalLanded
		a.stands(g, s)
	}
}

// stands notes a guest that has arrived and does not run.
func (a *arrival) stands(g *guest, s Sample) {
	switch {
	case !a.paused.IsZero():
	case !a.inmigrate.IsZero():
		a.pausedFrom = between(a.inmigrate, s.At)
	case !g.seen && g.fresh && s.At.Sub(g.since) <= longestGuess: // it came and landed between two looks
		a.pausedFrom = between(g.since, s.At)
	}
	a.paused = s.At
	g.stop(s.At)
}

// resumedLate notes the resumption of a guest whose arrival was counted while it stood.
func (t *Tracker) resumedLate(g *guest, s Sample) {
	if g.in.step != arrivalCounted || g.in.ran {
		return
	}
	if s.VMState == stateRunning {
		t.resumed(g, s)
		return
	}
	g.in.paused = s.At
}

// longestGuess is the longest time without a look in which a pause may be guessed.
const longestGuess = time.Second

// resumed measures the pause when the guest is first seen running. Each end of it lies between two
// samples: the middle is taken, which is wrong by half of that at most.
func (t *Tracker) resumed(g *guest, s Sample) {
	a := &g.in
	if a.ran {
		return
	}
	a.ran = true
	resumed, before := s.At, a.inmigrate
	if !a.paused.IsZero() {
		before = a.paused
	}
	if !before.IsZero() && s.At.Sub(before) <= longestGuess {
		resumed = between(before, s.At)
	}
	l := t.ledger(g.id)
	l.resumed, l.resumedUntil = resumed, s.At.Add(t.cfg.Keep)
	var pause time.Duration
	switch {
	case !a.pausedFrom.IsZero():
		pause = resumed.Sub(a.pausedFrom)
	case a.paused.IsZero() && !a.inmigrate.IsZero() && s.At.Sub(a.inmigrate) <= longestGuess:
		pause = s.At.Sub(a.inmigrate) / 2
	default:
		return
	}
	a.pause = &pause
	t.counts.Pauses = append(t.counts.Pauses, pause)
}

// landedLong counts the arrival of a guest that nobody resumes: one that was paused before, or whose
// resumption failed.
func (t *Tracker) landedLong(g *guest, at time.Time) {
	if g.in.step == arrivalLanded && g.last.Migration.Status == statusCompleted && at.Sub(g.stoppedSince) >= t.cfg.Landed {
		t.settleArrival(g, Completed)
	}
}

// cutArrival ends an arrival whose QEMU is gone: the guest did not get here.
func (t *Tracker) cutArrival(g *guest) {
	if g.in.underway() {
		t.settleArrival(g, Failed)
	}
}

func (t *Tracker) settleArrival(g *guest, result string) {
	g.in.step = arrivalCounted
	t.counts.Results[Outcome{Incoming, result}]++
	t.tell(Ended{VMID: g.id, Outcome: Outcome{Incoming, result}, Pause: g.in.pause})
}

// between is the middle of two moments.
func between(a, b time.Time) time.Time { return a.Add(b.Sub(a) / 2) }
