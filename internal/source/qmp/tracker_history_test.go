package qmp

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A history is what one VM and its node go through, made up at random: processes that come and go,
// migrations of all kinds, snapshots, monitors that hang. It says what a look at the monitor finds at
// any moment, and which tasks the log has.
type history struct {
	*rand.Rand
	now   float64 // seconds; the story has been told up to here
	parts []part
	tasks []told
	locks [][2]float64
	mute  [][2]float64 // the monitor does not answer
	made  []made

	pid  int
	left Migration // what this process says when it does not migrate
}

// A part is a stretch of time in which replies follow one rule; a nil rule is no process.
type part struct {
	from, to float64
	pid      int
	say      func(at float64) (state string, m Migration)
}

// A told is a task, and when the exporter comes to read it.
type told struct {
	task Task
	at   float64
}

// A made is a migration that took place.
type made struct {
	result     string
	start, end float64 // of its task
	told       float64
}

func (h *history) between(lo, hi float64) float64 { return lo + (hi-lo)*h.Float64() }

// spend adds a part of some seconds.
func (h *history) spend(d float64, say func(at float64) (string, Migration)) {
	h.parts = append(h.parts, part{h.now, h.now + d, h.pid, say})
	h.now += d
}

// rest lets the guest run and not migrate.
func (h *history) rest(d float64) {
	left := h.left
	h.spend(d, func(float64) (string, Migration) { return stateRunning, left })
}

func (h *history) absent(d float64) { h.spend(d, nil) }

func (h *history) boot() {
	h.pid++
	h.left = Migration{}
	h.rest(h.between(1, 20))
}

// arrive is a migration to here.
func (h *history) arrive() {
	h.pid++
	h.spend(h.between(2, 6), saying(stateInmigrate, Migration{}))
	h.spend(h.between(0.1, 20), saying(stateInmigrate, Migration{Status: "active"}))
	h.left = Migration{Status: statusCompleted}
	h.spend(h.between(0.05, 1), saying(statePaused, h.left))
	h.rest(h.between(8, 20))
}

func saying(state string, m Migration) func(float64) (string, Migration) {
	return func(float64) (string, Migration) { return state, m }
}

// active is d seconds of a migration that goes on.
func (h *history) active(d float64, begun float64, status string) {
	h.spend(d, func(at float64) (string, Migration) { return stateRunning, numbers(status, at-begun, at-begun) })
}

// numbers are those of a migration of some age that sends 1 MB/s.
func numbers(status string, age, sent float64) Migration {
	total, transferred, left, passes := float64(int(age*1e3)), sent*1e6, 1e8, 1+float64(int(age))
	return Migration{Status: status, TotalTime: &total, RAM: &RAM{Transferred: &transferred, Remaining: &left, DirtySyncCount: &passes}}
}

// A kind of migration goes from QEMU's begin to its end and leaves the guest as it is then.
type kind struct {
	name, result string
	run          func(h *history)
}

var migrationKinds = []kind{
	{"precopy", Completed, func(h *history) { h.complete(h.between(0.1, 20), h.between(0.5, 3), "active") }},
	{"short", Completed, func(h *history) { h.complete(h.between(0.02, 0.3), h.between(0.3, 1), "active") }},
	{"quits at once", Completed, func(h *history) { h.complete(h.between(0.1, 8), 0.02, "active") }},
	{"postcopy", Completed, func(h *history) {
		begun := h.now
		for _, status := range []string{"active", "device", "postcopy-active", "postcopy-paused", "postcopy-recover", "postcopy-active"} {
			h.active(h.between(0, 3), begun, status)
		}
		h.finish(begun, h.between(0.5, 2))
	}},
	{"cannot connect", Failed, func(h *history) { h.fail(0, "cannot connect to "+fmt.Sprint(h.now)) }},
	{"destination dies", Failed, func(h *history) { h.fail(h.between(0.1, 10), "broken pipe") }},
	{"cancelled", Cancelled, func(h *history) {
		h.active(h.between(0.5, 10), h.now, "active")
		h.left = Migration{Status: statusCancelled}
	}},
	{"refused", Failed, nil},
}

func (h *history) complete(d, after float64, status string) {
	begun := h.now
	h.active(d, begun, status)
	h.finish(begun, after)
}

func (h *history) finish(begun, after float64) {
	m := numbers(statusCompleted, h.now-begun, h.now-begun)
	down := 20.0
	m.Downtime = &down
	h.spend(after, saying(statePostmigrate, m))
	h.absent(h.between(3, 5))
}

func (h *history) fail(d float64, why string) {
	if d > 0 {
		h.active(d, h.now, "active")
	}
	h.left = Migration{Status: statusFailed, ErrorDesc: why}
}

// migrate is a migration as Proxmox does one.
func (h *history) migrate() {
	k := migrationKinds[h.IntN(len(migrationKinds))]
	start := h.now
	h.rest(h.between(2, 6))
	if k.run != nil {
		k.run(h)
	}
	lastPart := h.parts[len(h.parts)-1]
	if lastPart.say != nil {
		h.rest(h.between(1, 6))
	}
	h.locks = append(h.locks, [2]float64{start + 0.5, h.now - 0.5})
	task := Task{VMID: 100, Start: moment(start).Truncate(time.Second), End: moment(h.now).Truncate(time.Second),
		OK: k.result == Completed, LogRead: true, Live: k.run != nil, Cancelled: k.result == Cancelled}
	if k.result == Completed {
		down := 20 * time.Millisecond
		task.Downtime = &down
	}
	at := h.now + h.between(0, 30)
	h.tasks = append(h.tasks, told{task, at})
	h.made = append(h.made, made{k.result, start, h.now, at})
	if lastPart.say == nil {
		h.absent(h.between(0, 30))
		if h.IntN(2) == 0 {
			h.boot()
		} else {
			h.arrive()
		}
	}
}

// snapshot with memory: QEMU takes the state of a migration for it.
func (h *history) snapshot() {
	h.spend(h.between(0, 10), saying(stateRunning, Migration{Status: statusSetup}))
	zero := 0.0
	h.left = Migration{Status: statusCompleted, TotalTime: &zero, Downtime: &zero, RAM: &RAM{}}
	h.rest(h.between(1, 10))
}

func moment(s float64) time.Time {
	return time.Unix(1795223600, 0).Add(time.Duration(s * float64(time.Second)))
}

func newHistory(seed uint64, length int) *history {
	h := &history{Rand: rand.New(rand.NewPCG(seed, 7))}
	h.boot()
	for range length {
		h.rest(h.between(1, 20))
		switch h.IntN(8) {
		case 0:
			h.snapshot()
		case 1:
			h.absent(h.between(0, 10))
			h.boot()
		case 2:
			at := h.now + h.between(-5, 10)
			h.mute = append(h.mute, [2]float64{at, at + h.between(0.1, 40)})
			fallthrough
		default:
			h.migrate()
		}
	}
	h.rest(60)
	h.mute = slices.DeleteFunc(h.mute, func(m [2]float64) bool { return m[1] > h.now-50 })
	return h
}

func within(spans [][2]float64, at float64) bool {
	return slices.ContainsFunc(spans, func(s [2]float64) bool { return s[0] <= at && at < s[1] })
}

// look lets tr see what there is at a moment.
func (h *history) look(tr *Tracker, at float64) {
	i, _ := slices.BinarySearchFunc(h.parts, at, func(p part, at float64) int {
		if p.to <= at {
			return -1
		}
		return 1
	})
	p := h.parts[min(i, len(h.parts)-1)]
	switch {
	case p.say == nil:
		tr.Gone(100, moment(at))
	case within(h.mute, at):
		tr.Silent(100, moment(at))
	default:
		state, m := p.say(at)
		tr.Sampled(100, Sample{At: moment(at), VMState: state, Migration: m, Process: Process{PID: p.pid, Start: 1}})
	}
}

func (h *history) there(at float64) []int {
	for _, p := range h.parts {
		if p.from <= at && at < p.to && p.say != nil {
			return []int{100}
		}
	}
	return nil
}

// watch follows the history from one moment to another as an exporter that runs then.
func (h *history) watch(from, to float64) *Tracker {
	tr := NewTracker(TrackerConfig{Began: moment(from)})
	tr.Listed(moment(from), h.there(from))
	done := make([]bool, len(h.tasks))
	tell := func(i int) {
		if !done[i] && !h.tasks[i].task.End.Add(time.Second).Before(moment(from)) {
			done[i] = true
			tr.TaskEnded(h.tasks[i].task)
		}
	}
	listed := from
	for at := from + h.Float64(); at < to; {
		if at-listed > 2 {
			tr.Listed(moment(at), h.there(at))
			listed = at
		}
		h.look(tr, at)
		tr.Advance(moment(at))
		order := h.Perm(len(h.tasks)) // of several that are due the order is any
		for _, i := range order {
			if h.tasks[i].at <= at {
				tell(i)
			}
		}
		interval := 1.0
		if tr.Hot(100, moment(at)) || within(h.locks, at-2) {
			interval = 0.2
		}
		at += interval * h.between(0.9, 1.1)
	}
	return tr
}

func (tr *Tracker) outgoing() map[string]int {
	n := map[string]int{}
	for o, c := range tr.counts.Results {
		if o.Direction == Outgoing && c > 0 {
			n[o.Result] += int(c)
		}
	}
	return n
}

func TestResultsCountedAreMigrationsMadeInAnyHistory(t *testing.T) {
	var all, final, completed int
	for seed := range uint64(400) {
		h := newHistory(seed, 30)
		want := map[string]int{}
		for _, m := range h.made {
			want[m.result]++
		}
		tr := h.watch(0, h.now)
		if got := tr.outgoing(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("history %d: counted %v, made %v", seed, got, want)
		}
		if n := len(tr.counts.Downtimes); n != want[Completed] || len(tr.counts.Durations) > n {
			t.Errorf("history %d: %d downtimes and %d durations of %d that completed", seed, n, len(tr.counts.Durations), want[Completed])
		}
		all += len(h.made)
		completed += want[Completed]
		final += len(tr.counts.Durations)
	}
	t.Logf("%d migrations; final statistics of %d of the %d that completed", all, final, completed)
}

// A migration whose result was open when the exporter was restarted may be lost, but nothing may
// count twice.
func TestARestartAtAnyMomentCountsNothingTwice(t *testing.T) {
	var all, lost int
	for seed := range uint64(400) {
		h := newHistory(seed, 10)
		var cuts []float64
		for range 5 {
			cuts = append(cuts, h.between(0, h.now))
		}
		slices.Sort(cuts)
		sum := map[string]int{}
		from := 0.0
		for _, to := range append(cuts, h.now) {
			for r, n := range h.watch(from, to).outgoing() {
				sum[r] += n
			}
			from = to
		}
		most, least := map[string]int{}, map[string]int{}
		for _, m := range h.made {
			most[m.result]++
			if !slices.ContainsFunc(cuts, func(c float64) bool { return m.start-1 <= c && c <= m.told+1 }) {
				least[m.result]++
			}
		}
		for _, r := range []string{Completed, Failed, Cancelled, Unknown} {
			if sum[r] > most[r] || sum[r] < least[r] {
				t.Errorf("history %d: counted %d %s, made %d, of which %d with no restart meanwhile", seed, sum[r], r, most[r], least[r])
			}
			all, lost = all+most[r], lost+most[r]-sum[r]
		}
	}
	t.Logf("%d migrations, %d lost by 2000 restarts", all, lost)
}
