package qmp

import (
	"cmp"
	"slices"
	"time"
)

// A Task is a finished migration task of this node, as its task log has it.
type Task struct {
	VMID       int
	Start, End time.Time // to the second, cut off
	OK         bool
	// LogRead says that its log could be read, and Live that it tells of a migration by QEMU. That of
	// a task that failed before, or moved a guest that did not run, does not.
	LogRead, Live bool
	// Cancelled says that it was ended on purpose while QEMU migrated.
	Cancelled bool
	Downtime  *time.Duration // QEMU's own, as its log says
}

func (t Task) result() string {
	switch {
	case t.OK:
		return Completed
	case t.Cancelled:
		return Cancelled
	}
	return Failed
}

// clockSlack is by how much the clock may be set during a migration.
const clockSlack = 100 * time.Millisecond

// fits says how well r fits the task; 0 is not at all. A VM is locked while a task migrates it, so no
// two tasks are of one migration, nor two migrations of one task. But of one that ended unseen it may
// only be known that it began since the last look.
func (t Task) fits(r *result) (well int) {
	from, to := t.Start.Add(-clockSlack), t.End.Add(time.Second+clockSlack)
	if r.begun.to.Before(from) || !r.begun.from.Before(to) || !r.open && !r.endFrom.Before(to) {
		return 0
	}
	well = 1
	if !r.begun.from.Before(from) && r.begun.to.Before(to) {
		well += 2
	}
	if result := cmp.Or(r.outcome, r.guess); result == "" || (result == Completed) == t.OK {
		well++
	}
	return well
}

// A span is when something happened, as far as that is known.
type span struct{ from, to time.Time }

// A result is one migration away from here: under way, waiting for its result, or counted.
type result struct {
	vmid                   int
	open, pending, counted bool

	begun      span
	start      time.Time // by QEMU's own count of its age; zero until it told
	endFrom    time.Time // it ended after this
	since      time.Time // pending since
	last       Migration // of the last sample that had numbers
	seen       time.Time // going on; zero if it was not
	passes     passes
	postcopy   bool
	wasRunning bool
	guess      string // the result, if no task tells another
	outcome    string

	final         bool  // last are QEMU's numbers of the end
	task          *Task // that is of this migration
	downtimeKnown bool  // for the task has told it
}

// take notes a sample of a migration that goes on. The replies to a failed or cancelled one have no
// numbers any more.
func (r *result) take(s Sample) {
	r.seen = s.At
	r.passes.take(s.Migration)
	r.postcopy = r.postcopy || postcopy(s.Migration)
	if ms := num(s.Migration.TotalTime); ms >= 0 {
		// A reply can only be late, never early.
		if start := s.At.Add(-milliseconds(ms)); r.start.IsZero() || start.Before(r.start) {
			r.start = start
		}
	}
	if s.Migration.RAM != nil {
		r.last = s.Migration
	} else {
		r.last.Status = s.Migration.Status
	}
}

// A ledger is what is remembered of a VM's migrations from this node, whether or not it is here.
type ledger struct {
	results []*result // oldest first
	tasks   []Task    // that were counted and of which QEMU has said nothing yet

	here  span // when the VM was last known to run here
	clean bool // the process first met had not migrated until then

	stopped, stoppedUntil time.Time // the guest ceased to run here, for it ran elsewhere next
	resumed, resumedUntil time.Time // the guest ran here for the first time
}

// memory is how long results are remembered for tasks that are told late, and the other way round.
const memory = 24 * time.Hour

func (t *Tracker) ledger(vmid int) *ledger {
	l := t.ledgers[vmid]
	if l == nil {
		l = &ledger{}
		t.ledgers[vmid] = l
	}
	return l
}

// met notes that g answered.
func (l *ledger) met(g *guest, s Sample) {
	if !g.seen {
		if s.At.Sub(l.here.to) > time.Minute {
			l.here.from = s.At
		}
		if !g.fresh {
			l.clean = sourcePhase(s.Migration) == phaseIdle && s.VMState != stateInmigrate
		}
	}
	l.here.to = s.At
}

func (l *ledger) alive(at time.Time) {
	if l.here.from.IsZero() {
		l.here.from = at
	}
	l.here.to = at
}

// open adds a migration. If a task that covers it has been counted it will not count again.
func (l *ledger) open(r *result) {
	l.results = append(l.results, r)
	best, well := 0, 0
	for i, task := range l.tasks {
		if w := task.fits(r); w > 0 && w >= well {
			best, well = i, w
		}
	}
	if well > 0 {
		task := l.tasks[best]
		l.tasks = slices.Delete(l.tasks, best, best+1)
		r.task, r.counted, r.downtimeKnown = &task, true, task.Downtime != nil
	}
}

// TaskEnded takes a migration task of this node that has ended, each once, whenever it is told.
//
// If a migration of its VM lies within it, QEMU's result stands; one whose end was not seen gets the
// task's. Otherwise the task itself counts: QEMU migrated unseen, or the migration was refused before
// it came to that. A task about a VM that was not seen to run here, and whose log tells of no live
// migration, moved a guest that is off: it does not count.
//
// A task that began before the Tracker counts only if its VM had not migrated when it was first met,
// or if QEMU never began: else whoever ran before has counted it.
func (t *Tracker) TaskEnded(task Task) {
	if !task.End.After(t.cfg.Began.Truncate(time.Second)) {
		return
	}
	l := t.ledger(task.VMID)
	if r := l.match(task); r != nil {
		r.task = &task
		switch {
		case r.pending:
			t.settleByTask(r, task)
		case r.open && r.seen.Before(task.End.Add(time.Second)) && !r.counted:
			t.countTask(task) // its monitor has been silent; what it will say later counts no more
			r.counted, r.downtimeKnown = true, task.Downtime != nil
		}
		return
	}
	seen := l.here.from.Before(task.End.Add(time.Second)) && !l.here.to.Before(task.Start)
	counted := task.Start.Before(t.cfg.Began) && !l.clean && (task.Live || !task.LogRead)
	if !task.Live && !seen || counted {
		return
	}
	t.countTask(task)
	l.tasks = append(l.tasks, task)
}

func (t *Tracker) countTask(task Task) {
	t.counts.Results[Outcome{Outgoing, task.result()}]++
	t.counts.FromLog++
	t.tell(Ended{VMID: task.VMID, Outcome: Outcome{Outgoing, task.result()}, FromLog: true, Downtime: task.Downtime})
	if task.Downtime != nil {
		t.counts.Downtimes = append(t.counts.Downtimes, *task.Downtime)
	}
}

// match finds the migration that the task is about.
func (l *ledger) match(task Task) (best *result) {
	well := 0
	for _, r := range l.results {
		if w := task.fits(r); r.task == nil && w > well {
			best, well = r, w
		}
	}
	return best
}

// settleByTask gives a migration whose end was not seen the result of its task.
func (t *Tracker) settleByTask(r *result, task Task) {
	if !r.counted {
		if r.final && task.OK {
			task.Downtime = nil // QEMU has told it
		}
		t.countTask(task)
		r.counted, r.downtimeKnown = true, task.Downtime != nil
	}
	t.count(r, task.result())
}

// count ends a migration with its result.
func (t *Tracker) count(r *result, outcome string) {
	r.open, r.pending, r.outcome = false, false, outcome
	if !r.counted {
		r.counted = true
		t.counts.Results[Outcome{Outgoing, outcome}]++
		t.tell(r.story())
	}
	if r.final && outcome == Completed { // else it may be of another migration
		t.counts.Durations = append(t.counts.Durations, milliseconds(max(0, num(r.last.TotalTime))))
		if r.last.Downtime != nil && !r.downtimeKnown {
			t.counts.Downtimes = append(t.counts.Downtimes, milliseconds(*r.last.Downtime))
		}
	}
	if r.last.RAM != nil {
		t.counts.TransferredBytes += max(0, num(r.last.RAM.Transferred))
	}
}

// story tells what is known of a migration that QEMU was seen to do.
func (r *result) story() Ended {
	e := Ended{VMID: r.vmid, Outcome: Outcome{Outgoing, r.outcome}}
	if r.last.RAM != nil {
		e.TransferredBytes, e.Iterations = r.last.RAM.Transferred, r.last.RAM.DirtySyncCount
	}
	e.Duration, e.Downtime = duration(r.last.TotalTime), duration(r.last.Downtime)
	return e
}

func duration(ms *float64) *time.Duration {
	if ms == nil {
		return nil
	}
	d := milliseconds(*ms)
	return &d
}

// overdue gives up on results that nobody told.
func (t *Tracker) overdue(l *ledger, at time.Time) {
	for _, r := range l.results {
		if r.pending && at.Sub(r.since) >= t.cfg.Wait {
			t.count(r, cmp.Or(r.guess, Unknown))
		}
	}
}

// forget drops what is too old to matter, and says whether nothing is left.
func (l *ledger) forget(at time.Time) (empty bool) {
	old := at.Add(-memory)
	l.results = slices.DeleteFunc(l.results, func(r *result) bool {
		return !r.open && !r.pending && r.endFrom.Before(old)
	})
	l.tasks = slices.DeleteFunc(l.tasks, func(task Task) bool { return task.End.Before(old) })
	if at.After(l.stoppedUntil) {
		l.stopped = time.Time{}
	}
	if at.After(l.resumedUntil) {
		l.resumed = time.Time{}
	}
	return len(l.results)+len(l.tasks) == 0 && l.here.to.Before(old)
}
