package corosync

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/internal/source"
)

// DefaultConfFile is where corosync has its configuration. pmxcfs keeps /etc/pve/corosync.conf, of
// which this is the local copy: it is there when the cluster file system is not.
const DefaultConfFile = "/etc/corosync/corosync.conf"

// Options say how a Client is to work.
type Options struct {
	ConfFile string           // whose absence makes this node standalone; "" means DefaultConfFile
	Log      *slog.Logger     // nil means nowhere
	Now      func() time.Time // nil means time.Now
}

// A Client reads the local corosync over connections that it opens once and keeps: each costs
// corosync, which runs at real-time priority, about 5 ms to set up. It is safe for concurrent use.
type Client struct {
	confFile string
	log      *slog.Logger
	stats    *source.Stats
	flight   *source.Flight[Snapshot]
	open     func() (daemon, error)
	closed   atomic.Bool

	d daemon // nil when there is no connection; only touched by a call inside flight
}

// New returns a Client. It connects when first asked.
func New(o Options) *Client {
	return newClient(o, openDaemon)
}

func newClient(o Options, open func() (daemon, error)) *Client {
	if o.ConfFile == "" {
		o.ConfFile = DefaultConfFile
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	stats := source.NewStats("corosync", o.Now)
	return &Client{
		confFile: o.ConfFile, log: o.Log, stats: stats,
		flight: source.NewFlight[Snapshot](stats), open: open,
	}
}

// Quorum returns what corosync says now. Without a corosync.conf the node is in no cluster: the
// Snapshot then only says Standalone.
//
// It fails with ErrStopped when corosync does not run, ErrAccess when it refuses us, ErrNotBuilt
// in a build without cgo, ctx's error when it does not answer in time, and at once with a
// *source.StuckError while an earlier call hangs.
func (c *Client) Quorum(ctx context.Context) (Snapshot, error) {
	s, err := c.flight.Do(ctx, c.read)
	if err != nil {
		return Snapshot{}, fmt.Errorf("corosync: %w", err)
	}
	return s, nil
}

// Status says how this source is.
func (c *Client) Status() source.Status { return c.stats.Status() }

// closeTimeout is far above what giving back dead handles takes (250 ms measured).
const closeTimeout = 2 * time.Second

// Close gives the connections back. When a call hangs in corosync it returns an error after a short
// while, and that call and its OS thread stay until corosync goes on or the process ends.
func (c *Client) Close() error {
	c.closed.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	for {
		// The first round may join a reading that began before closed was set.
		switch _, err := c.flight.Do(ctx, c.read); {
		case errors.Is(err, ErrClosed):
			return nil
		case ctx.Err() != nil, isStuck(err):
			return fmt.Errorf("close corosync: a call has not returned, its connections stay open: %w", err)
		}
	}
}

func isStuck(err error) bool {
	var stuck *source.StuckError
	return errors.As(err, &stuck)
}

// read is the only user of c.d. It runs inside the flight and so never twice at a time.
func (c *Client) read() (Snapshot, error) {
	defer func() {
		// Closed while this call hung: nobody else will come to give the handles back.
		if c.closed.Load() {
			c.drop()
		}
	}()
	if c.closed.Load() {
		return Snapshot{}, ErrClosed
	}
	if _, err := os.Stat(c.confFile); errors.Is(err, fs.ErrNotExist) {
		c.stats.SetConfigured(false)
		c.drop()
		return Snapshot{Standalone: true}, nil
	}
	c.stats.SetConfigured(true)
	return c.readPatiently()
}

// A starting daemon answers CS_ERR_TRY_AGAIN for a moment.
const (
	tryAgainTimes = 5
	tryAgainPause = 20 * time.Millisecond
)

func (c *Client) readPatiently() (Snapshot, error) {
	for try := 1; ; try++ {
		s, err := c.readOnce()
		if !isTryAgain(err) || try == tryAgainTimes {
			return s, err
		}
		time.Sleep(tryAgainPause)
	}
}

// readOnce reads over the kept connections, and over new ones when those turn out to be dead: a
// restart of corosync between two scrapes costs time, not a scrape.
func (c *Client) readOnce() (Snapshot, error) {
	if c.d != nil {
		s, err := readSnapshot(c.d)
		if !breaksConnection(err) {
			return s, err
		}
		c.log.Info("corosync connection lost, opening a new one", "err", err)
		c.drop()
	}
	d, err := c.open()
	if err != nil {
		return Snapshot{}, explain(err)
	}
	c.d = d
	s, err := readSnapshot(d)
	if breaksConnection(err) {
		c.drop()
	}
	return s, explain(err)
}

func (c *Client) drop() {
	if c.d != nil {
		c.d.close()
		c.d = nil
	}
}

// explain adds who we are to a refusal.
func explain(err error) error {
	if errors.Is(err, ErrAccess) {
		return fmt.Errorf("as effective uid %d, gid %d: %w", os.Geteuid(), os.Getegid(), err)
	}
	return err
}
