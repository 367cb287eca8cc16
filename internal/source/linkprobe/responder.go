package linkprobe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

const (
	// A peer asks once an interval; a restarted peer or a shorter interval needs more for a moment.
	answersPerSecond = 20
	answersBurst     = 40
)

// A responder answers the probes that reach one ring address of this node.
type responder struct {
	self   uint32
	link   int
	local  netip.AddrPort
	key    Key
	now    func() time.Time
	faults *faults

	mu     sync.Mutex
	askers map[netip.Addr]*asker // by ring address on this link
}

// An asker is a peer that may be answered.
type asker struct {
	id      uint32
	name    string
	tokens  float64 // answers it may have now
	updated time.Time
	warned  bool // that its packets do not carry our key
}

// setAskers replaces the peers that are answered; who stays keeps its state.
func (r *responder) setAskers(pairs map[pair]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := map[netip.Addr]*asker{}
	for p := range pairs {
		if p.link != r.link {
			continue
		}
		a := r.askers[p.remote]
		if a == nil || a.id != p.id {
			a = &asker{id: p.id, tokens: answersBurst}
		}
		a.name = p.name
		next[p.remote] = a
	}
	r.askers = next
}

// run serves until ctx ends. An address that is not there yet, or is lost, is waited for.
func (r *responder) run(ctx context.Context, retry time.Duration) {
	defer r.faults.forget(r.String())
	for ctx.Err() == nil {
		if err := r.serve(ctx); err != nil {
			r.report(err)
			sleep(ctx, retry)
		}
	}
}

// String names the responder in faults.
func (r *responder) String() string { return fmt.Sprintf("responder of link %d", r.link) }

func (r *responder) report(err error) {
	r.faults.set("answer the peers on "+r.local.String(), r.String(), err)
}

// serve opens the socket and answers until it fails or ctx ends.
func (r *responder) serve(ctx context.Context) error {
	s, err := openSock(udpSock, r.local, netip.AddrPort{})
	if err != nil {
		return err
	}
	defer s.close()
	defer context.AfterFunc(ctx, s.close)()
	r.report(nil)
	var buf [packetSize + 1]byte // a packet that is too long fills it
	for {
		d, err := s.recv(buf[:])
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, syscall.ECONNREFUSED) || unreachable(err):
			continue // about an earlier reply that nobody waited for
		case err != nil:
			return &socketError{"receive probes on " + r.local.String(), err}
		}
		if b := r.answer(d); b != nil {
			// A reply that cannot be sent is lost, and the peer counts it so.
			_ = s.sendTo(b, d.from)
		}
	}
}

// answer returns the reply to d, or nil if it deserves none.
func (r *responder) answer(d datagram) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.askers[d.from.Addr().Unmap()]
	if a == nil {
		return nil
	}
	p, ok := open(r.key, d.data)
	if !ok {
		r.warn(a)
		return nil
	}
	if p.kind != request || p.sender != a.id || p.receiver != r.self || int(p.link) != r.link || !a.spend(r.now()) {
		return nil
	}
	p.kind, p.sender, p.receiver, p.hold = reply, p.receiver, p.sender, 0
	if !d.at.IsZero() {
		p.hold = max(0, time.Since(d.at))
	}
	return p.seal(r.key)
}

// warn reports a peer whose packets do not carry our key, once.
func (r *responder) warn(a *asker) {
	if !a.warned {
		a.warned = true
		r.faults.log.Warn("link probe is not authentic: the peer has another authkey, or somebody uses its address",
			"peer", a.name, "link", r.link)
	}
}

// spend takes one answer out of the asker's bucket, or reports that it is empty.
func (a *asker) spend(now time.Time) bool {
	if !a.updated.IsZero() {
		a.tokens = min(answersBurst, a.tokens+max(0, now.Sub(a.updated).Seconds())*answersPerSecond)
	}
	a.updated = now
	if a.tokens < 1 {
		return false
	}
	a.tokens--
	return true
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
