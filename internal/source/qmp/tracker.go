package qmp

import (
	"maps"
	"slices"
	"time"
)

// TrackerConfig is what a Tracker needs. Zero values stand for the defaults.
type TrackerConfig struct {
	Began time.Time // tasks that ended before, or in the same second, are history
	// Wait is how long the result of a migration whose source vanished may stay open until the task
	// log tells it; then it counts as Unknown. Default 5 min.
	Wait time.Duration
	// Landed is how long a guest that has arrived may stand paused until its arrival counts all the
	// same; default 1 min.
	Landed time.Duration
	// Keep is how long the moments of a switchover are shown; default 10 min.
	Keep time.Duration
	// Fresh is how old a sample may be whose numbers are shown; default 5 s.
	Fresh time.Duration
}

// A Tracker makes migrations and their results of what the monitors and the task log say. It does
// no I/O, takes the time from its callers and is not safe for concurrent use.
//
// A result counts once. Its identity is the VM, the QEMU process and the migration within it, which
// is another one when a number that only grows has fallen, or when a result changes. What a process
// says when it is first met, if it may have run before the Tracker, is history.
//
// QEMU's own result is taken where it was seen. What was not is told by the task log: see TaskEnded.
type Tracker struct {
	cfg      TrackerConfig
	listed   bool // guests that come from now on are new
	listedAt time.Time
	guests   map[int]*guest
	dead     map[int]bool // of which only the socket is left
	ledgers  map[int]*ledger
	counts   Counts
	news     []Ended
}

// A guest is one QEMU process.
type guest struct {
	id     int
	fresh  bool      // it began after the Tracker
	since  time.Time // it began after this
	seen   bool      // last is there
	silent bool      // it did not answer since
	last   Sample
	in     arrival
	out    departure

	// A guest that a migration has stopped and nobody resumed.
	stopped      bool
	stoppedSince time.Time
}

// NewTracker returns a Tracker that knows no guests.
func NewTracker(c TrackerConfig) *Tracker {
	for d, v := range map[*time.Duration]time.Duration{
		&c.Wait: 5 * time.Minute, &c.Landed: time.Minute, &c.Keep: 10 * time.Minute, &c.Fresh: 5 * time.Second,
	} {
		if *d == 0 {
			*d = v
		}
	}
	return &Tracker{cfg: c, guests: map[int]*guest{}, dead: map[int]bool{}, ledgers: map[int]*ledger{}, counts: newCounts()}
}

// Listed takes the VMs that have a monitor socket now. Those of the first call may be older than the
// Tracker; those that come later are new. Those that are missing have gone.
func (t *Tracker) Listed(at time.Time, vmids []int) {
	for _, id := range slices.Sorted(maps.Keys(t.guests)) {
		if !slices.Contains(vmids, id) {
			t.Gone(id, at)
		}
	}
	maps.DeleteFunc(t.dead, func(id int, _ bool) bool { return !slices.Contains(vmids, id) })
	for _, id := range vmids {
		if t.guests[id] == nil && !t.dead[id] {
			t.guests[id] = &guest{id: id, fresh: t.listed, since: t.listedAt}
		}
	}
	t.listed, t.listedAt = true, at
}

// Came says that the monitor socket of a VM was made just now: its QEMU began no earlier.
func (t *Tracker) Came(vmid int, at time.Time) {
	if t.guests[vmid] == nil {
		delete(t.dead, vmid)
		t.guests[vmid] = &guest{id: vmid, fresh: t.listed, since: at}
	}
}

// Sampled takes what the monitor of a VM said.
func (t *Tracker) Sampled(vmid int, s Sample) {
	s.Migration = plausible(s.Migration)
	g := t.guests[vmid]
	since := t.listedAt
	if g != nil && g.seen && otherProcess(g.last, s) {
		since = g.last.At
		t.Gone(vmid, s.At)
		g = nil
	}
	if g == nil {
		g = &guest{id: vmid, fresh: t.listed, since: since}
		t.guests[vmid] = g
		delete(t.dead, vmid)
	}
	t.ledger(vmid).met(g, s)
	t.arriving(g, s)
	if !g.in.underway() {
		t.departing(g, s)
	}
	g.standing(s)
	g.last, g.seen, g.silent = s, true, false
}

// otherProcess says whether now is of another QEMU than before. Within one process the status never
// returns to none, and only a new one waits for a migration to come in.
func otherProcess(before, now Sample) bool {
	if before.Process.PID != 0 && now.Process.PID != 0 {
		return before.Process != now.Process
	}
	return now.Migration.Status == "" && before.Migration.Status != "" ||
		now.VMState == stateInmigrate && before.VMState != stateInmigrate
}

// Silent says that a VM, which runs, did not answer. Its numbers are not shown until it does.
func (t *Tracker) Silent(vmid int, at time.Time) {
	g := t.guests[vmid]
	if g == nil {
		return
	}
	g.silent = true
	t.ledger(vmid).alive(at)
}

// Gone says that the QEMU of a VM does not run any more.
func (t *Tracker) Gone(vmid int, at time.Time) {
	g := t.guests[vmid]
	if g == nil {
		return
	}
	t.dead[vmid] = true
	t.cutArrival(g)
	t.cutDeparture(g, at)
	delete(t.guests, vmid)
}

// Advance lets time pass: what waited too long is settled, what is old is forgotten.
func (t *Tracker) Advance(at time.Time) {
	for _, g := range t.guests {
		t.landedLong(g, at)
	}
	for id, l := range t.ledgers {
		t.overdue(l, at)
		if l.forget(at) && t.guests[id] == nil {
			delete(t.ledgers, id)
		}
	}
}

// maxNews bounds the memory for migrations that nobody asks for.
const maxNews = 1000

func (t *Tracker) tell(e Ended) {
	t.news = append(t.news, e)
	if len(t.news) > maxNews {
		t.news = slices.Clone(t.news[len(t.news)-maxNews:])
	}
}

// Ended returns the migrations that were counted since it was last called.
func (t *Tracker) Ended() []Ended {
	news := t.news
	t.news = nil
	return news
}

// Hot says whether a VM should be looked at closely: it migrates, or is about to.
func (t *Tracker) Hot(vmid int, at time.Time) bool {
	g := t.guests[vmid]
	if g == nil {
		return false
	}
	switch {
	case !g.seen:
		return g.fresh && !g.silent
	case g.silent && at.Sub(g.last.At) > hotWhileSilent:
		return false
	case g.in.underway(), g.out.now != nil, !g.out.prepares.IsZero():
		return true
	case g.stopped: // until Proxmox resumes it or ends its QEMU
		return at.Sub(g.stoppedSince) < t.cfg.Landed
	}
	return false
}

// hotWhileSilent is how long a VM that migrates and does not answer is asked as if it did.
const hotWhileSilent = 10 * time.Second

// Migrating says whether the VM is known to be in a migration, so that it may be slow to answer.
func (t *Tracker) Migrating(vmid int) bool {
	g := t.guests[vmid]
	return g != nil && (g.in.underway() || g.out.now != nil || !g.out.prepares.IsZero())
}

// standing notes since when the guest stands still because of a migration.
func (g *guest) standing(s Sample) {
	switch s.VMState {
	case stateRunning:
		g.stopped = false
	case statePostmigrate:
		if !g.seen && !g.stopped { // only a migration away leads there
			g.stopped, g.stoppedSince = true, s.At
		}
	}
}

// stop notes that a migration ended while the guest did not run.
func (g *guest) stop(at time.Time) {
	if !g.stopped {
		g.stopped, g.stoppedSince = true, at
	}
}
