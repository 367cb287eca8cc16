package pve

import (
	"slices"
	"time"
)

// An haLook compares one trusted snapshot with what the tracker remembers.
type haLook struct {
	*HATracker
	h        HA
	lrms     map[string]HALRM
	gap      time.Duration // since the snapshot before; 0 for the first
	disarmed bool
}

// away reports whether a node in this state runs nothing that the manager knows of.
func away(state string) bool {
	return state == HANodeUnknown || state == HANodeFence || state == HANodeGone
}

func (l haLook) nodesNow() {
	seen := map[string]bool{}
	for _, now := range l.h.Nodes {
		seen[now.Name] = true
		n := l.nodes[now.Name]
		if n == nil {
			n = &haNodeTrack{state: now.State}
			l.nodes[now.Name] = n
		}
		// The manager leaves "fence" only when it got the lock of the node's LRM.
		if n.state == HANodeFence && now.State != HANodeFence {
			l.fenced(now.Name, n, l.h.At)
		}
		switch {
		case !away(now.State):
			n.lost = time.Time{}
		case n.lost.IsZero():
			n.lost = l.lostAt(now.Name)
		}
		n.state = now.State
	}
	for name := range l.nodes {
		if !seen[name] {
			delete(l.nodes, name)
		}
	}
}

// lostAt is when node gave its last sign of life. An LRM that never wrote one is no better known
// than by this snapshot.
func (l haLook) lostAt(node string) time.Time {
	if u := l.lrms[node].Updated; !u.IsZero() && u.Before(l.h.At) {
		return u
	}
	return l.h.At
}

func (l haLook) servicesNow() {
	seen := map[string]bool{}
	for _, now := range l.h.Services {
		seen[now.SID] = true
		s := l.services[now.SID]
		if s == nil {
			if s = (&haServiceTrack{}); !l.begun { // what is there at the start is not ours
				s.errored = now.State == HAServiceError
			}
			l.services[now.SID] = s
		}
		if !now.Known { // ignored, or not yet taken up
			*s = haServiceTrack{errored: s.errored}
			continue
		}
		l.service(s, now)
		s.node, s.state, s.target = now.Node, now.State, now.Target
	}
	for sid := range l.services {
		if !seen[sid] {
			delete(l.services, sid)
		}
	}
}

func (l haLook) service(s *haServiceTrack, now HAService) {
	if l.disarmed { // nothing is fenced or recovered now
		s.over = nil
		return
	}
	if s.over == nil {
		s.over = l.moved(s, now)
	}
	if l.lost(now) && (s.over == nil || s.over.node != now.Node) {
		s.over = l.open(s.over, now)
	}
	if s.over != nil {
		l.advance(s, now)
	}
	l.errors(s, now)
}

// lost reports whether now is a service whose failover is due.
func (l haLook) lost(now HAService) bool {
	n := l.nodes[now.Node]
	if n == nil || !away(n.state) {
		// A node that came back before its service found a place gets it again.
		return now.State == HAServiceFence || now.State == HAServiceRecovery
	}
	return (ran(now.State) || now.State == HAServiceFreeze) && !l.leftAlone(now)
}

// ran reports whether a service in this state may run on its node, and the manager looks after it.
func ran(state string) bool {
	switch state {
	case HAServiceStopped, HAServiceError, HAServiceFreeze, "request_start", "request_start_balance":
		return false
	}
	return state != ""
}

// leftAlone reports whether now is frozen because the LRM of its node restarts, as it should be. Any
// other freeze on a node that is away is left over from an order that the node did not live to carry
// out, and nobody will come for the service.
func (l haLook) leftAlone(now HAService) bool {
	mode := l.lrms[now.Node].Mode
	return now.State == HAServiceFreeze && (mode == "restart" || mode == "shutdown")
}

// open begins a failover. One that was under way to the node which is now lost as well goes on from
// its own beginning: the service has been away that long.
func (l haLook) open(before *haFailover, now HAService) *haFailover {
	f := &haFailover{node: now.Node, lost: l.h.At, opened: l.h.At, since: l.h.At, partly: !l.begun}
	f.phase = l.phase(f, now)
	if n := l.nodes[now.Node]; n != nil && !n.lost.IsZero() {
		f.lost = n.lost
	} else if u := l.lrms[now.Node].Updated; n == nil && !u.IsZero() && u.Before(f.lost) {
		f.lost = u
	} else {
		f.untimed = true // the node is back: what its LRM says now is no sign of the loss
	}
	if before != nil && before.lost.Before(f.lost) {
		f.lost, f.untimed = before.lost, before.untimed
	}
	return f
}

// moved begins the failover of a service that was on a node which was lost and left since the last
// look, as when snapshots were missed. Where the node's LRM has the start of the service as its last
// order, the service was there when the node died: a migration would have been a later order.
func (l haLook) moved(s *haServiceTrack, now HAService) *haFailover {
	n := l.nodes[s.node]
	switch {
	case n == nil, !away(n.state), now.Node == s.node, now.Node == "",
		now.State != HAServiceStarted,
		!ran(s.state), s.target == now.Node,
		!slices.Contains(l.lrms[s.node].Started, now.SID):
		return nil
	}
	return &haFailover{node: s.node, lost: n.lost, opened: l.last, phase: haRecovery, since: l.h.At, untimed: l.gap > haTimingLimit}
}

// phase tells how far the failover f has come.
func (l haLook) phase(f *haFailover, now HAService) haPhase {
	n := l.nodes[f.node]
	switch {
	case now.State == HAServiceRecovery:
		return haRecovery
	case now.Node != f.node:
		return haStarting
	case now.State == HAServiceFence, n != nil && n.state == HANodeFence:
		return haFencing
	case now.State == HAServiceFreeze:
		return haFrozen
	}
	return haLost
}

// advance brings the failover of s up to what now says, counts what it proves and ends it where it
// has ended.
func (l haLook) advance(s *haServiceTrack, now HAService) {
	f := s.over
	if l.inVain(s, now) {
		s.over = nil
		return
	}
	n, left, p := l.nodes[f.node], now.Node != f.node, l.phase(f, now)
	if p >= haRecovery {
		l.fencedBy(f, n)
	}
	if p != f.phase {
		f.phase, f.since, f.partly = p, l.h.At, false
	}
	switch {
	case left && now.State == HAServiceStarted && (now.Running || now.Confirmed):
		l.complete(f, now)
		s.over = nil
	case now.State == HAServiceStopped, left && now.State == "request_stop":
		s.over = nil // somebody does not want it to run any more
	default:
		if limit, ok := p.limit(); ok && !f.partly && l.h.At.Sub(f.since) > limit {
			l.fail(f)
		}
	}
}

// inVain reports whether the failover of s ended without the service having been taken over.
func (l haLook) inVain(s *haServiceTrack, now HAService) bool {
	f, n := s.over, l.nodes[s.over.node]
	left, recovering := now.Node != f.node, now.State == HAServiceFence || now.State == HAServiceRecovery
	switch {
	case left && f.phase < haFencing && s.target == now.Node:
		return true // a migration that the node finished before it died
	case n != nil && away(n.state):
		return l.leftAlone(now)
	}
	// The node is back. Its service stays, or went elsewhere: by recovery only if that had begun.
	return !left && !recovering || left && f.phase < haFencing
}

// fencedBy counts the fencing that the progress of f proves, unless it was seen itself.
func (l haLook) fencedBy(f *haFailover, n *haNodeTrack) {
	if n == nil || !n.fencedAt.Before(f.opened) {
		return
	}
	if f.partly && f.phase >= haRecovery { // it was confirmed before the first look
		n.fencedAt = l.h.At
		return
	}
	l.fenced(f.node, n, l.h.At)
}

// complete counts a service that runs elsewhere. It has run since its LRM wrote so, or, where that
// was missed, since the master took note at the latest.
func (l haLook) complete(f *haFailover, now HAService) {
	l.knowNode(f.node)
	l.counts.Failovers[f.node]++
	end := l.h.Updated
	if u := l.lrms[now.Node].Updated; now.Confirmed && !u.IsZero() {
		end = u
	}
	if end.After(l.h.At) {
		end = l.h.At
	}
	if !f.untimed && l.gap <= haTimingLimit && end.After(f.lost) {
		l.counts.Durations = append(l.counts.Durations, end.Sub(f.lost))
	}
}

// fail counts a failed failover once.
func (l haLook) fail(f *haFailover) {
	if !f.failed {
		f.failed = true
		l.knowNode(f.node)
		l.counts.Failed[f.node]++
	}
}

// errors counts a service that came to error: the manager leaves it alone until somebody disables it.
func (l haLook) errors(s *haServiceTrack, now HAService) {
	switch {
	case now.State == HAServiceStopped, now.State == HAServiceStarted && (now.Running || now.Confirmed):
		s.errored = false
	case now.State != HAServiceError || s.errored:
	case s.over != nil:
		l.fail(s.over)
		s.errored, s.over = true, nil
	default:
		s.errored = true
		l.knowNode(now.Node)
		l.counts.Failed[now.Node]++
	}
	if now.State == HAServiceError {
		s.over = nil
	}
}
