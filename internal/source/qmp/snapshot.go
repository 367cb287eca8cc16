package qmp

import (
	"maps"
	"slices"
	"time"
)

// Directions of a migration, as seen from this node.
const (
	Outgoing = "outgoing"
	Incoming = "incoming"
)

// Results of a migration. An incoming one is Completed or Failed: why it ended only its source knows.
const (
	Completed = "completed"
	Failed    = "failed"    // QEMU failed, or Proxmox refused or gave up before QEMU began
	Cancelled = "cancelled" // ended on purpose
	// Unknown is the result of a migration whose source vanished in the middle, if the task log does
	// not tell.
	Unknown = "unknown"
)

// An Outcome is what is counted.
type Outcome struct{ Direction, Result string }

// Outcomes are all there are.
func Outcomes() []Outcome {
	return []Outcome{
		{Outgoing, Completed}, {Outgoing, Failed}, {Outgoing, Cancelled}, {Outgoing, Unknown},
		{Incoming, Completed}, {Incoming, Failed},
	}
}

// Counts are what a Tracker counted since it began. They only grow.
type Counts struct {
	Results map[Outcome]uint64 // has all Outcomes
	// FromLog are those of Results that the task log told, for QEMU was not seen to end them.
	FromLog uint64
	// TransferredBytes are what ended migrations away from here sent, as far as it was seen.
	TransferredBytes float64

	Durations []time.Duration // QEMU's total-time, of those seen to complete
	Downtimes []time.Duration // QEMU's downtime, or the task log's, which is the same
	Pauses    []time.Duration // of guests that arrived here: from the end of the transfer until they ran
}

func newCounts() Counts {
	c := Counts{Results: map[Outcome]uint64{}}
	for _, o := range Outcomes() {
		c.Results[o] = 0
	}
	return c
}

// An Ended is a migration that was counted. What is not known of it is nil.
type Ended struct {
	VMID int
	Outcome
	FromLog bool // the task log told it

	TransferredBytes, Iterations *float64 // up to the last sample
	Duration, Downtime           *time.Duration
	Pause                        *time.Duration // of one that came here
}

// A Running is a migration away from here that goes on. What QEMU does not say is nil.
type Running struct {
	VMID   int
	Status string // one of Statuses

	RAMTotal, RAMTransferred, RAMRemaining *float64 // bytes
	DirtyRate, Throughput                  *float64 // bytes per second
	ExpectedDowntime, Elapsed              *float64 // seconds
	Iterations                             *float64 // passes over the memory
	CPUThrottle                            *float64 // 0 to 1
	// Converging is true if the guest dirties memory more slowly than it is sent (by a tenth), or if
	// this pass over the memory began with a tenth less to send than the one before; always with
	// postcopy. nil during the first pass.
	Converging *bool
}

// A View is what a Tracker knows at one moment.
type View struct {
	Counts
	Running []Running // by VMID
	// Stopped says for how long guests stand still that a migration stopped, and that nobody resumed
	// or ended since.
	Stopped map[int]time.Duration
	// SourceStopped is when a guest that moved away lately ceased to run here, and DestinationRunning
	// when one that came lately began to. The latter lies between two samples, of which it is the
	// middle; the former too if the result was not seen, or with postcopy.
	SourceStopped, DestinationRunning map[int]time.Time
}

// View returns what is known at a moment. It may be kept; its slices must not be changed.
func (t *Tracker) View(at time.Time) View {
	v := View{Counts: t.counts, Stopped: map[int]time.Duration{}, SourceStopped: map[int]time.Time{}, DestinationRunning: map[int]time.Time{}}
	v.Results = maps.Clone(v.Results)
	v.Durations, v.Downtimes, v.Pauses = slices.Clip(v.Durations), slices.Clip(v.Downtimes), slices.Clip(v.Pauses)
	for _, id := range slices.Sorted(maps.Keys(t.guests)) {
		g := t.guests[id]
		if g.silent || !g.seen || at.Sub(g.last.At) > t.cfg.Fresh {
			continue
		}
		if r := g.out.now; r != nil {
			v.Running = append(v.Running, r.running(id))
		}
		if g.stopped && (g.last.VMState == statePaused || g.last.VMState == statePostmigrate) {
			v.Stopped[id] = max(0, at.Sub(g.stoppedSince))
		}
	}
	for id, l := range t.ledgers {
		if !l.stopped.IsZero() && !at.After(l.stoppedUntil) {
			v.SourceStopped[id] = l.stopped
		}
		if !l.resumed.IsZero() && !at.After(l.resumedUntil) {
			v.DestinationRunning[id] = l.resumed
		}
	}
	return v
}

func (r *result) running(vmid int) Running {
	m := r.last
	run := Running{
		VMID: vmid, Status: m.Status,
		ExpectedDowntime: scaled(m.ExpectedDowntime, 1e-3),
		Elapsed:          scaled(m.TotalTime, 1e-3),
		CPUThrottle:      scaled(m.ThrottlePercent, 1e-2),
		Converging:       r.passes.converging(m),
	}
	if !slices.Contains(Statuses(), m.Status) {
		run.Status = StatusOther
	}
	if ram := m.RAM; ram != nil {
		run.RAMTotal, run.RAMTransferred, run.RAMRemaining = ram.Total, ram.Transferred, ram.Remaining
		run.Throughput, run.Iterations = scaled(ram.Mbps, bytesPerMegabit), ram.DirtySyncCount
		if ram.PageSize != nil {
			run.DirtyRate = scaled(ram.DirtyPagesRate, *ram.PageSize)
		}
	}
	return run
}

// scaled is p times f, nil for nil.
func scaled(p *float64, f float64) *float64 {
	if p == nil {
		return nil
	}
	v := *p * f
	return &v
}
