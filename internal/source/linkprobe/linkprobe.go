package linkprobe

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/internal/source"
)

// An Observer takes the measurements. Its methods are called from many goroutines.
type Observer interface {
	// Known says that the peer link is in the nodelist; nothing has been measured yet.
	Known(peer string, link int)
	// Sent counts one finished probe; RTT or Lost follows at once.
	Sent(peer string, link int)
	RTT(peer string, link int, rtt time.Duration)
	Lost(peer string, link int)
	// Forget says that the peer link has left the nodelist, or that measuring has ended.
	Forget(peer string, link int)
}

// Config says what a Prober measures. Zero values stand for the defaults.
type Config struct {
	Interval time.Duration // between probes of one peer link; default 1 s
	Timeout  time.Duration // a reply that takes longer is lost; default and upper limit Interval
	Port     uint16        // UDP, the same on every node; default 9921
	Reread   time.Duration // between calls of Peers; default 30 s

	// Peers says who is in the cluster now. The zero Topology means a standalone node. When it
	// fails the last Topology stays in use.
	Peers    func(ctx context.Context) (Topology, error)
	Observer Observer
	Log      *slog.Logger
	Now      func() time.Time // clock of Status and of the rate limit; default time.Now
}

// DefaultPort is the UDP port of the echo between exporters.
const DefaultPort = 9921

const (
	readTimeout = 10 * time.Second // for Peers
	retryAfter  = 5 * time.Second  // when Peers fails, or a ring address is not on this machine
)

// A Prober measures round-trip time and loss to the peers. Make one with New.
type Prober struct {
	cfg    Config
	stats  *source.Stats
	faults *faults
	peers  *source.Flight[Topology]
	active atomic.Bool // Run runs and has read a Topology
}

// New returns a Prober for cfg; it does nothing until Run.
func New(cfg Config) *Prober {
	cfg.Interval = cmp.Or(cfg.Interval, time.Second)
	cfg.Timeout = min(cmp.Or(cfg.Timeout, cfg.Interval), cfg.Interval)
	cfg.Port = cmp.Or(cfg.Port, DefaultPort)
	cfg.Reread = cmp.Or(cfg.Reread, 30*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	stats := source.NewStats("linkprobe", cfg.Now)
	return &Prober{
		cfg: cfg, stats: stats,
		faults: newFaults(cfg.Log, stats),
		peers:  source.NewFlight[Topology](stats),
	}
}

// Status says how the probe is. Requests are readings of the nodelist. It is up when the last one
// succeeded and every socket that is needed is open, and not configured on a standalone node.
func (p *Prober) Status() source.Status {
	st := p.stats.Status()
	st.Up = st.Stuck == 0 && p.active.Load() && !p.faults.any()
	return st
}

// Run measures until ctx ends, and then returns nil. It owns every goroutine and socket of the
// package, save a call of Config.Peers that outlives its deadline. It may be called again, but not
// twice at a time.
func (p *Prober) Run(ctx context.Context) error {
	c := newCrew(p)
	defer p.active.Store(false)
	defer c.adopt(ctx, Topology{}) // ends everything
	var told string
	for ctx.Err() == nil {
		wait := p.cfg.Reread
		t, err := p.read(ctx)
		if ctx.Err() != nil {
			break
		}
		p.active.Store(err == nil)
		if err == nil {
			p.stats.SetConfigured(len(t.Peers) > 0)
			c.adopt(ctx, t)
		} else {
			wait = min(wait, retryAfter)
		}
		if now := complaint(t, err); now != told {
			p.logReading(now)
			told = now
		}
		sleep(ctx, wait)
	}
	return nil
}

// read asks for the Topology. Files below /etc/pve can block for ever, hence the Flight.
func (p *Prober) read(ctx context.Context) (Topology, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	return p.peers.Do(ctx, func() (Topology, error) { return p.cfg.Peers(ctx) })
}

// complaint returns what is wrong with a reading of the nodelist, or "".
func complaint(t Topology, err error) string {
	switch {
	case err != nil:
		return err.Error() + " (peers stay as they were)"
	case len(t.Unresolved) > 0:
		return "these ring addresses do not resolve and are left out: " + strings.Join(t.Unresolved, "; ")
	}
	return ""
}

func (p *Prober) logReading(complaint string) {
	if complaint == "" {
		p.cfg.Log.Info("link probe reads the nodelist again")
		return
	}
	p.cfg.Log.Warn("link probe cannot use the whole nodelist", "err", complaint)
}
