package qmp

import "strings"

// What the Tracker makes of a status of query-migrate.
type phase int

const (
	phaseIdle    phase = iota // never migrated from here, or came here by a migration
	phaseUnder                // a migration of which this VM is the source
	phaseEnded                // the last migration from here has a result
	phaseUnclear              // of a source or a destination: nothing follows from it
)

// Statuses of query-migrate while this VM is the source, as they are named from QEMU 7.2 to 11.
const (
	statusSetup      = "setup"
	statusWaitUnplug = "wait-unplug"
	statusCompleted  = "completed"
	statusFailed     = "failed"
	statusCancelled  = "cancelled"
	// StatusOther stands for a status that is not in Statuses.
	StatusOther = "other"
)

// Statuses are the values that Running.Status can have, in the order in which a migration passes
// them.
func Statuses() []string {
	return []string{
		statusSetup, statusWaitUnplug, "active", "pre-switchover", "device",
		"postcopy-device", "postcopy-active", "postcopy-paused", "postcopy-recover-setup", "postcopy-recover",
		"cancelling", "failing", StatusOther,
	}
}

// States of query-status that matter here.
const (
	stateRunning       = "running"
	statePaused        = "paused"
	stateInmigrate     = "inmigrate"
	stateFinishMigrate = "finish-migrate"
	statePostmigrate   = "postmigrate"
)

// sourcePhase says what m tells of migrations away from here. A destination's replies have no
// numbers, and it says "completed" for ever: also as the next source, before it migrates.
func sourcePhase(m Migration) phase {
	numbers := m.TotalTime != nil || m.RAM != nil
	switch m.Status {
	case "", "none":
		return phaseIdle
	case statusCompleted:
		if !numbers {
			return phaseIdle
		}
		return phaseEnded
	case statusFailed, statusCancelled:
		return phaseEnded
	case statusSetup, statusWaitUnplug, "cancelling", "failing":
		return phaseUnder
	}
	if !numbers {
		return phaseUnclear
	}
	return phaseUnder
}

// plausible leaves out a downtime that is longer than its whole migration. After postcopy QEMU says now
// and then for how long the machine has been up.
func plausible(m Migration) Migration {
	if m.Downtime != nil && m.TotalTime != nil && *m.Downtime > max(*m.TotalTime, 1) {
		m.Downtime = nil
	}
	return m
}

// A mark tells a result from the one before: every migration starts its numbers again.
type mark struct {
	status, desc                        string
	total, setup, downtime, transferred float64
}

func markOf(m Migration) mark {
	k := mark{status: m.Status, total: num(m.TotalTime), setup: num(m.SetupTime), downtime: num(m.Downtime), transferred: -1}
	if m.Status == statusFailed {
		k.desc = m.ErrorDesc
	}
	if m.RAM != nil {
		k.transferred = num(m.RAM.Transferred)
	}
	return k
}

// same says whether both are of one migration. The words of a failure may come a moment after the
// status.
func (k mark) same(o mark) bool {
	if k.desc == "" || o.desc == "" {
		k.desc, o.desc = "", ""
	}
	return k == o
}

// num is *p, or -1.
func num(p *float64) float64 {
	if p == nil {
		return -1
	}
	return *p
}

// restarted says whether now is of a later migration than before: no number of one ever falls.
func restarted(before, now Migration) bool {
	if num(now.TotalTime) >= 0 && num(now.TotalTime) < num(before.TotalTime) {
		return true
	}
	if before.RAM == nil || now.RAM == nil || num(now.RAM.DirtySyncCount) < 0 {
		return false
	}
	return num(now.RAM.DirtySyncCount) < num(before.RAM.DirtySyncCount)
}

// passes follows what is left to be sent at the begin of each pass over the memory.
type passes struct {
	count         float64 // dirty-sync-count; 0 before the first sample
	begin, before float64 // bytes left when this pass and the one before were first seen; -1 unknown
}

func (p *passes) take(m Migration) {
	if m.RAM == nil || m.RAM.DirtySyncCount == nil || m.RAM.Remaining == nil || *m.RAM.DirtySyncCount <= p.count {
		return
	}
	before := -1.0
	if p.count >= 2 { // of the first pass, which sends all memory, nothing is learned
		before = p.begin
	}
	p.count, p.begin, p.before = *m.RAM.DirtySyncCount, *m.RAM.Remaining, before
}

// better is by how much a pass must be better than the one before, or the throughput than the dirty
// rate. A migration that hangs in the balance sends as fast as the guest dirties, to a few percent.
const better = 0.9

// converging judges a migration: true if the guest dirties memory more slowly than it is sent, or if
// there was less to send at the begin of this pass than of the one before. nil during the first
// pass, when QEMU knows neither.
func (p *passes) converging(m Migration) *bool {
	yes := true
	if postcopy(m) { // each page is sent once from here on
		return &yes
	}
	r := m.RAM
	if r == nil || num(r.DirtySyncCount) < 2 || r.DirtyPagesRate == nil || r.PageSize == nil || r.Mbps == nil {
		return nil
	}
	slower := *r.DirtyPagesRate**r.PageSize < better**r.Mbps*bytesPerMegabit
	less := p.before >= 0 && p.begin < better*p.before
	yes = slower || less
	return &yes
}

func postcopy(m Migration) bool { return strings.HasPrefix(m.Status, "postcopy") }

const bytesPerMegabit = 1e6 / 8
