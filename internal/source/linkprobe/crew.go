package linkprobe

import (
	"bytes"
	"context"
	"net/netip"
)

// A crew is everything that works for one Topology. Only Run's goroutine uses it.
type crew struct {
	prober     *Prober
	key        Key
	series     map[series]bool
	links      map[pair]*task
	responders map[post]*answerer
}

// A series is what the Observer tells peer links apart by.
type series struct {
	peer string
	link int
}

// A post is one ring address of this node at which a responder stands.
type post struct {
	self  uint32
	link  int
	local netip.Addr
}

type answerer struct {
	task      *task
	responder *responder
}

func newCrew(p *Prober) *crew {
	return &crew{prober: p, series: map[series]bool{}, links: map[pair]*task{}, responders: map[post]*answerer{}}
}

// adopt ends what t no longer has and starts what it has anew. What stays is not disturbed.
func (c *crew) adopt(ctx context.Context, t Topology) {
	want := t.pairs()
	posts := map[post]bool{}
	if t.Key != nil {
		for p := range want {
			posts[post{p.self, p.link, p.local}] = true
		}
	}
	if !bytes.Equal(c.key, t.Key) {
		c.end(nil, nil)
		c.key = bytes.Clone(t.Key)
	}
	c.end(want, posts)
	c.rename(want) // after the end: a task that still ran would bring its series back
	c.answer(ctx, posts, want)
	for p := range want {
		if c.links[p] == nil {
			c.links[p] = start(ctx, c.newLink(p).run)
		}
	}
}

// end stops all tasks that are not wanted and waits for them.
func (c *crew) end(want map[pair]bool, posts map[post]bool) {
	var leaving []*task
	for p, t := range c.links {
		if !want[p] {
			leaving = append(leaving, t)
			delete(c.links, p)
		}
	}
	for at, a := range c.responders {
		if !posts[at] {
			leaving = append(leaving, a.task)
			delete(c.responders, at)
		}
	}
	for _, t := range leaving {
		t.cancel()
	}
	for _, t := range leaving {
		<-t.done
	}
}

// rename tells the Observer who left and who came.
func (c *crew) rename(want map[pair]bool) {
	next := map[series]bool{}
	for p := range want {
		next[series{p.name, p.link}] = true
	}
	for s := range c.series {
		if !next[s] {
			c.prober.cfg.Observer.Forget(s.peer, s.link)
		}
	}
	for s := range next {
		if !c.series[s] {
			c.prober.cfg.Observer.Known(s.peer, s.link)
		}
	}
	c.series = next
}

// answer has a responder at each post, for the peers of want.
func (c *crew) answer(ctx context.Context, posts map[post]bool, want map[pair]bool) {
	for at := range posts {
		if a := c.responders[at]; a != nil {
			a.responder.setAskers(want)
			continue
		}
		r := &responder{
			self: at.self, link: at.link, local: netip.AddrPortFrom(at.local, c.prober.cfg.Port),
			key: c.key, now: c.prober.cfg.Now, faults: c.prober.faults,
		}
		r.setAskers(want)
		c.responders[at] = &answerer{responder: r, task: start(ctx, func(ctx context.Context) { r.run(ctx, retryAfter) })}
	}
}

func (c *crew) newLink(p pair) *peerLink {
	cfg, key := c.prober.cfg, c.key
	return &peerLink{
		pair: p, interval: cfg.Interval, timeout: cfg.Timeout,
		observer: cfg.Observer, log: cfg.Log, faults: c.prober.faults,
		chooser: newChooser(key != nil),
		udp: port{
			what: "probe by UDP from " + p.local.String(),
			open: func() (transport, error) { return openUDP(p, cfg.Port, key) },
		},
		icmp: port{
			what: "probe by ICMP from " + p.local.String(),
			open: func() (transport, error) { return openICMP(p) },
		},
	}
}

// A task is a goroutine that can be ended.
type task struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func start(ctx context.Context, run func(context.Context)) *task {
	ctx, cancel := context.WithCancel(ctx)
	t := &task{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		defer cancel()
		run(ctx)
	}()
	return t
}
