package linkprobe

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// A peerLink measures one peer on one link.
type peerLink struct {
	pair
	interval, timeout time.Duration
	observer          Observer
	log               *slog.Logger
	faults            *faults

	chooser   *chooser
	udp, icmp port
	silent    bool // told that nothing answers
}

// A port opens its transport when it is needed, and again after it failed.
type port struct {
	what      string // for the log
	open      func() (transport, error)
	transport transport
}

// run measures until ctx ends.
func (l *peerLink) run(ctx context.Context) {
	defer l.faults.forget(l.String())
	defer l.udp.close()
	defer l.icmp.close()
	// Peers are spread over the interval: 20 of them at once would delay each other's packets.
	sleep(ctx, rand.N(l.interval))
	tick := time.NewTicker(l.interval)
	defer tick.Stop()
	for ctx.Err() == nil {
		l.measure(ctx)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// String names the peer link in faults.
func (l *peerLink) String() string { return fmt.Sprintf("%s link %d", l.name, l.link) }

// measure does one round.
func (l *peerLink) measure(ctx context.Context) {
	plan, before := l.chooser.plan(), l.chooser.now
	udp, icmp := l.send(ctx, plan)
	if ctx.Err() != nil {
		return
	}
	l.chooser.learn(udp.outcome, icmp.outcome)
	switch plan.counts {
	case byUDP:
		l.count(udp)
	case byICMP:
		l.count(icmp)
	}
	l.report(plan, before, udp, icmp)
}

// send sends what plan says and waits for the answers.
func (l *peerLink) send(ctx context.Context, plan plan) (udp, icmp result) {
	var both sync.WaitGroup
	if plan.icmp {
		both.Go(func() { icmp = l.icmp.probe(ctx, l.timeout) })
	}
	if plan.udp {
		udp = l.udp.probe(ctx, l.timeout)
	}
	both.Wait()
	return udp, icmp
}

// count hands one result on. A round counts as sent when its end is known: one that ends in
// refused or unsent says nothing about loss, and must not be in the denominator either.
func (l *peerLink) count(r result) {
	switch r.outcome {
	case answered:
		l.observer.Sent(l.name, l.link)
		l.observer.RTT(l.name, l.link, r.rtt)
	case missed:
		l.observer.Sent(l.name, l.link)
		l.observer.Lost(l.name, l.link)
	}
}

// report logs changes of state and keeps the faults of this machine.
func (l *peerLink) report(plan plan, before way, udp, icmp result) {
	if plan.udp {
		l.faults.set(l.udp.what, l.String(), udp.err)
	}
	switch {
	case l.chooser.now != byICMP: // UDP measures, so it does not matter whether ICMP could
		l.faults.drop(l.icmp.what, l.String())
	case plan.icmp:
		l.faults.set(l.icmp.what, l.String(), icmp.err)
	}
	if now := l.chooser.now; now != before {
		l.log.Debug("link probe changes its way", "peer", l.name, "link", l.link, "from", before, "to", now)
	}
	mute := l.chooser.now == byICMP && !l.chooser.icmpProven && icmp.err == nil
	if mute && !l.silent {
		l.log.Info("peer link is not measured until the peer answers: neither an exporter nor ICMP echo did (is a firewall between the ring addresses?)",
			"peer", l.name, "link", l.link, "address", l.remote)
	}
	l.silent = mute
}

func (p *port) probe(ctx context.Context, timeout time.Duration) result {
	if p.transport == nil {
		t, err := p.open()
		if err != nil {
			return result{err: err}
		}
		p.transport = t
	}
	r := p.transport.probe(ctx, timeout)
	if r.err != nil {
		p.close()
	}
	return r
}

func (p *port) close() {
	if p.transport != nil {
		p.transport.close()
		p.transport = nil
	}
}
