package ceph

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/internal/source"
)

// A Client reads one cluster through one long-lived connection. Make it with New, end it with Close.
type Client struct {
	o      Options
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // the goroutines of this Client

	mon, mgr         *source.Stats
	monFlight        *source.Flight[monAnswer]
	mgrFlight        *source.Flight[mgrAnswer]
	monGate, mgrGate gate
	monFetch         monFetcher
	mgrFetch         mgrFetcher
	firstDone        chan struct{} // closed when the first attempt to connect has ended
	firstResult      chan error
	lost             chan struct{} // tells the connecting goroutine that the connection is gone

	mu   sync.Mutex
	conn conn  // nil while not connected
	err  error // why there is no connection
}

type monAnswer struct {
	part    MonPart
	release Release
	taken   time.Time
	partial error // what could not be read of it
}

type mgrAnswer struct {
	part    MgrPart
	partial error
}

// New returns a Client that connects in the background.
func New(o Options) *Client {
	o = o.withDefaults()
	c := &Client{
		o: o, mon: source.NewStats("ceph", o.Now), mgr: source.NewStats("ceph_mgr", o.Now),
		firstDone: make(chan struct{}), firstResult: make(chan error, 1), lost: make(chan struct{}, 1),
		err: newError(ErrNotConnected, nil, "not connected to the monitors yet"),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.monFlight = source.NewFlight[monAnswer](c.mon)
	c.mgrFlight = source.NewFlight[mgrAnswer](c.mgr)
	c.monGate = gate{every: o.ProbeEvery, probe: c.probeMon}
	c.mgrGate = gate{every: o.ProbeEvery, probe: c.probeMgr}
	c.mgrFetch.now = o.Now
	c.spawn(func(context.Context) { c.connect() })
	return c
}

// spawn runs fn in a goroutine that Close waits for. It does not once the Client is closed.
func (c *Client) spawn(fn func(context.Context)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return false
	}
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		fn(c.ctx)
	}()
	return true
}

// Stats returns the counters of the sources "ceph" (monitors) and "ceph_mgr" (manager).
func (c *Client) Stats() []*source.Stats { return []*source.Stats{c.mon, c.mgr} }

// FirstConnect delivers the outcome of the first attempt to connect, nil for success. A program
// should end with an error that is Fatal. Nothing is delivered while there is no ceph.conf.
func (c *Client) FirstConnect() <-chan error { return c.firstResult }

// closeGrace bounds Close: an attempt to connect cannot be cut short and ends by its own timeout.
const closeGrace = 2 * time.Second

// Close ends the connection and every call under way.
func (c *Client) Close() error {
	c.mu.Lock()
	c.cancel()
	c.mu.Unlock()
	c.drop(newError(ErrClosed, nil, "closed"))
	done := make(chan struct{})
	go func() {
		c.wg.Wait()
		close(done)
	}()
	t := time.NewTimer(closeGrace)
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-t.C:
		return fmt.Errorf("ceph: librados still connects or answers after %s, left to end by its own timeout", closeGrace)
	}
}

// Ceph returns what the cluster says now.
//
// The Snapshot is good as far as its flags say, also when there is an error: a manager that is
// absent or hangs costs only the part it counts. It fails with ErrNotConfigured when this machine
// has no Ceph, with ErrNoQuorum when monitors answer without quorum, and at once with the last
// reason while there is no connection or an outage lasts.
func (c *Client) Ceph(ctx context.Context) (Snapshot, error) {
	cmd, err := c.commander(ctx)
	if err == nil {
		err = c.monGate.pass()
	}
	if errors.Is(err, ErrNotConfigured) {
		return Snapshot{}, err
	}
	if err != nil {
		c.mon.Fail(err)
		c.mgr.Fail(err)
		return Snapshot{}, err
	}
	a, err := c.monFlight.Do(ctx, func() (monAnswer, error) { return c.askMon(cmd) })
	if err != nil {
		c.mgr.Fail(err)
		return Snapshot{}, fmt.Errorf("read monitors: %w", err)
	}
	s := Snapshot{Taken: a.taken, HasMon: true, Mon: a.part, Release: a.release}
	m, err := c.manager(ctx, cmd, a.part)
	if err != nil {
		return s, errors.Join(a.partial, err)
	}
	s.Mgr, s.HasMgr = m.part, true
	return s, errors.Join(a.partial, m.partial)
}

func (c *Client) manager(ctx context.Context, cmd Commander, mon MonPart) (mgrAnswer, error) {
	err := c.mgrGate.pass()
	if !mon.Status.MgrAvailable {
		err = newError(ErrNoManager, nil, "no active manager: PG, pool and latency series are left out (start a ceph-mgr)")
	}
	if err != nil {
		c.mgr.Fail(err)
		return mgrAnswer{}, err
	}
	m, err := c.mgrFlight.Do(ctx, func() (mgrAnswer, error) { return c.askMgr(cmd, mon) })
	if err != nil {
		return mgrAnswer{}, fmt.Errorf("read manager: %w", err)
	}
	return m, nil
}

// askMgr reads the manager's part, and shuts its gate on a timeout.
func (c *Client) askMgr(cmd Commander, mon MonPart) (mgrAnswer, error) {
	p, partial, err := c.mgrFetch.fetch(cmd, mon)
	if errors.Is(err, ErrTimeout) {
		c.mgrGate.close(c.spawn, err)
	}
	return mgrAnswer{part: p, partial: partial}, err
}

// askMon reads the monitors' part, and shuts the gate on a timeout.
func (c *Client) askMon(cmd Commander) (monAnswer, error) {
	p, partial, err := c.monFetch.fetch(cmd)
	switch {
	case errors.Is(err, ErrTimeout):
		c.monGate.close(c.spawn, err)
	case errors.Is(err, ErrNotConnected):
		c.drop(err)
	}
	return monAnswer{part: p, release: releaseOf(p), taken: c.o.Now(), partial: partial}, err
}

// probeMon asks whether a quorum is there again.
func (c *Client) probeMon() error {
	cmd, err := c.commander(c.ctx)
	if err != nil {
		return err
	}
	ranks, err := ask(cmd.Mon, cmdQuorumStatus, ParseQuorumStatus)
	if err == nil && len(ranks) == 0 {
		err = newError(ErrNoQuorum, nil, "no quorum")
	}
	return err
}

// probeMgr asks whether a manager answers again.
func (c *Client) probeMgr() error {
	cmd, err := c.commander(c.ctx)
	if err != nil {
		return err
	}
	_, err = cmd.Mgr(cmdPGStat.Encode())
	return err
}

// commander returns the connection. Only the first attempt to connect is waited for.
func (c *Client) commander(ctx context.Context) (Commander, error) {
	select {
	case <-c.firstDone:
	case <-ctx.Done():
	case <-c.ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil {
		return nil, c.err
	}
	return c.conn, nil
}

// drop gives up the connection for err, and has another one made.
func (c *Client) drop(err error) {
	c.mu.Lock()
	old := c.conn
	c.conn, c.err = nil, err
	c.mu.Unlock()
	if old == nil {
		return
	}
	old.Close()
	select {
	case c.lost <- struct{}{}:
	default:
	}
}

// connect keeps a connection as long as the Client lives. It is the Client's own goroutine.
func (c *Client) connect() {
	firstDone := sync.OnceFunc(func() { close(c.firstDone) })
	said := ""
	for c.ctx.Err() == nil {
		cn, err := c.dial()
		c.mu.Lock()
		switch {
		case c.ctx.Err() != nil:
			c.err = newError(ErrClosed, nil, "closed")
		default:
			c.conn, c.err = cn, err
		}
		closed := c.ctx.Err() != nil
		c.mu.Unlock()
		if closed && cn != nil {
			cn.Close()
		}
		firstDone()
		c.report(err, &said)
		if err != nil {
			cn = nil
			runtime.GC() // frees the threads of the connection that failed, see dialRados
			c.wait(c.o.RetryAfter, nil)
			continue
		}
		c.wait(0, c.lost)
	}
}

// dial makes one attempt.
func (c *Client) dial() (conn, error) {
	s, err := c.o.look(c.o)
	c.mon.SetConfigured(!errors.Is(err, ErrNotConfigured))
	c.mgr.SetConfigured(!errors.Is(err, ErrNotConfigured))
	if err != nil {
		return nil, err
	}
	cn, err := c.o.dial(c.o, s)
	if err != nil {
		return nil, err
	}
	fsid, err := cn.FSID()
	if err == nil && s.fsid != "" && !strings.EqualFold(fsid, s.fsid) {
		err = newError(ErrWrongCluster, nil, "the monitors belong to cluster %s, but %s names %s (correct its fsid or mon_host)", fsid, c.o.ConfFile, s.fsid)
	}
	if err != nil {
		cn.Close()
		return nil, err
	}
	return cn, nil
}

// report tells the outcome of an attempt once: to FirstConnect and, when it changes, to the log.
func (c *Client) report(err error, said *string) {
	if errors.Is(err, ErrNotConfigured) || c.ctx.Err() != nil {
		return
	}
	if *said == "" {
		c.firstResult <- err
	}
	msg := "connected"
	if err != nil {
		msg = err.Error()
	}
	if msg == *said {
		return
	}
	*said = msg
	if err != nil {
		c.o.Log.Warn("no connection to Ceph, will retry", "reason", source.Reason(err), "err", err, "retry_after", c.o.RetryAfter)
		return
	}
	c.o.Log.Info("connected to Ceph", "user", "client."+c.o.User)
}

// wait returns after d (0: never), when the Client ends, or when wake delivers.
func (c *Client) wait(d time.Duration, wake <-chan struct{}) {
	var after <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		after = t.C
	}
	select {
	case <-c.ctx.Done():
	case <-after:
	case <-wake:
	}
}
