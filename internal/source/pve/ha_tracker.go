package pve

import (
	"maps"
	"slices"
	"time"
)

// The limits beyond which a failover has failed. A healthy one stays "unknown" and "fence" for about
// a minute each, and in recovery for one round of 10 s.
const (
	haFenceLimit    = 180 * time.Second // fence not confirmed
	haLostLimit     = 180 * time.Second // node away and not even to be fenced, or its service frozen
	haRecoveryLimit = 60 * time.Second  // no node found that may run the service
	haMasterLimit   = 120 * time.Second // age of the master's status that is no longer taken for true
	haBlindLimit    = 60 * time.Second  // time between two looks after which no span is trusted
	haTimingLimit   = 30 * time.Second  // the same for the time of a start
)

// HACounts are what an HATracker has counted since it began.
type HACounts struct {
	// Fences, Failovers and Failed count for each node that was ever known, from 0.
	//
	//	Fences     confirmed fencings of the node
	//	Failovers  services that run elsewhere after the node was lost
	//	Failed     services that stayed in recovery, fence or frozen on the lost node too long, or came to
	//	           error; those that came to error without a loss count for the node that they are on
	//
	// One failover may count in Failovers and in Failed: a late success is both.
	Fences, Failovers, Failed map[string]uint64

	// Durations are the times from the last sign of life of the lost node's LRM to the first one of the
	// new node's LRM with the service running (they write every 5 s), one for each of Failovers whose
	// time is known, oldest first. It only grows.
	Durations []time.Duration

	// InProgress has for each service that is failing over the time since the node was lost. Empty
	// while the HA manager's status cannot be trusted.
	InProgress map[string]time.Duration
}

// An HATracker counts fencings and failovers from successive snapshots. It does no I/O and has no
// clock: HA.At is the time. It is not safe for concurrent use.
//
// What it relies on is that a service leaves a node that is away only after the node was fenced. So
// it need not see the states "fence" and "recovery", which last one round of the manager or less when
// the lock is free already: it is enough that the service was on a lost node and is not any more.
//
// Frozen data counts for nothing: snapshots without quorum, without a master, or with a master status
// older than 120 s are passed over, and the limits do not run meanwhile, nor while snapshots are
// missing.
//
// Who counts, when an exporter is restarted in the middle: the one that sees it end. A fencing counts
// for who saw it unconfirmed before, a failover for who saw the service on the lost node before, an
// error for who saw the service without it. A limit counts for who saw the span begin. The first
// snapshot is only looked at: what it shows as done was somebody else's, and so nothing is counted
// twice or invented; what ends while no exporter runs is counted by nobody here, but by those of the
// other nodes.
//
// Migrations, relocations, rebalancing, maintenance, shutdowns that move services away, and whatever
// happens while HA is disarmed are no failovers.
type HATracker struct {
	begun    bool
	last     time.Time // At of the last trusted snapshot
	nodes    map[string]*haNodeTrack
	services map[string]*haServiceTrack
	counts   HACounts
}

type haNodeTrack struct {
	state    string
	lost     time.Time // last sign of life, zero while the node is not away
	fencedAt time.Time // snapshot that showed the last confirmation
}

type haServiceTrack struct {
	node, state, target string
	errored             bool        // counted, or there from the start, until it runs or is stopped
	over                *haFailover // nil while none is under way
}

// An haFailover is what happens to one service after its node was lost.
type haFailover struct {
	node    string    // that was lost
	lost    time.Time // last sign of life of it
	opened  time.Time // snapshot that showed it first
	phase   haPhase
	since   time.Time // first snapshot in phase, shifted by the time nobody looked
	partly  bool      // phase was under way at the first snapshot: how long it lasts is not known
	failed  bool      // counted
	untimed bool      // when it ends cannot be told well enough
}

type haPhase int

const (
	haLost     haPhase = iota // the node is away, not yet to be fenced
	haFrozen                  // the same, and the service is left alone
	haFencing                 // to be fenced
	haRecovery                // fenced, no new node yet
	haStarting                // placed on another node
)

// limits after which a phase is a failed failover.
func (p haPhase) limit() (limit time.Duration, ok bool) {
	switch p {
	case haLost, haFrozen:
		return haLostLimit, true
	case haFencing:
		return haFenceLimit, true
	case haRecovery:
		return haRecoveryLimit, true
	}
	return 0, false // a start that fails ends in error, and slow starts are no failure
}

// NewHATracker returns a tracker that has seen nothing.
func NewHATracker() *HATracker {
	return &HATracker{
		nodes:    map[string]*haNodeTrack{},
		services: map[string]*haServiceTrack{},
		counts:   HACounts{Fences: map[string]uint64{}, Failovers: map[string]uint64{}, Failed: map[string]uint64{}},
	}
}

// Counts returns a copy of the counts; Durations may be shared and must not be changed.
func (t *HATracker) Counts() HACounts {
	c := t.counts
	c.Fences, c.Failovers, c.Failed = maps.Clone(c.Fences), maps.Clone(c.Failovers), maps.Clone(c.Failed)
	c.InProgress = maps.Clone(c.InProgress)
	c.Durations = slices.Clip(c.Durations)
	return c
}

// Trusted reports whether h is more than frozen data.
func (h HA) Trusted() bool {
	age := h.At.Sub(h.Updated)
	return h.Quorate && h.Master != "" && !h.Updated.IsZero() && age <= haMasterLimit && age >= -haMasterLimit
}

// Observe takes the next snapshot. One that is not later than the one before is passed over.
func (t *HATracker) Observe(h HA) {
	t.know(h)
	if !h.Trusted() {
		t.counts.InProgress = nil
		return
	}
	if t.begun && !h.At.After(t.last) {
		return
	}
	look := haLook{HATracker: t, h: h, lrms: map[string]HALRM{}, disarmed: h.Arming == HADisarming || h.Arming == HADisarmed}
	for _, l := range h.LRMs {
		look.lrms[l.Node] = l
	}
	if t.begun {
		look.gap = h.At.Sub(t.last)
		if look.gap > haBlindLimit {
			t.shift(look.gap)
		}
	}
	look.nodesNow()
	look.servicesNow()
	t.begun, t.last = true, h.At
	t.counts.InProgress = t.inProgress()
}

// know begins the counters of each node at 0, so that the first fence is an increase.
func (t *HATracker) know(h HA) {
	for _, n := range h.Nodes {
		t.knowNode(n.Name)
	}
	for _, l := range h.LRMs {
		t.knowNode(l.Node)
	}
}

func (t *HATracker) knowNode(name string) {
	for _, m := range []map[string]uint64{t.counts.Fences, t.counts.Failovers, t.counts.Failed} {
		m[name] += 0
	}
}

// shift keeps time that nobody saw out of the spans.
func (t *HATracker) shift(gap time.Duration) {
	for _, s := range t.services {
		if s.over != nil {
			s.over.since = s.over.since.Add(gap)
		}
	}
}

func (t *HATracker) inProgress() map[string]time.Duration {
	all := map[string]time.Duration{}
	for sid, s := range t.services {
		if s.over != nil {
			all[HAService{SID: sid}.ID()] = max(0, t.last.Sub(s.over.lost))
		}
	}
	return all
}

// fenced counts a confirmed fencing.
func (t *HATracker) fenced(node string, n *haNodeTrack, at time.Time) {
	t.knowNode(node)
	t.counts.Fences[node]++
	n.fencedAt = at
}
