package pvedropin

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
)

// A place is whom to ask, and as whom.
type place struct {
	module string
	target target
}

// A client is a pve.Client in the cache.
type client struct {
	*pve.Client
	place place

	// Guarded by clients.mu.
	users int
	since time.Time   // when the last user left
	timer *time.Timer // closes it when it has been idle for long; nil while it has users
	gone  bool        // no longer in the cache

	reports reports
}

// clients keeps API clients between scrapes, for their connections, tickets and counters.
type clients struct {
	open func(place) (*pve.Client, error)
	max  int
	idle time.Duration
	now  func() time.Time

	mu     sync.Mutex
	all    map[place]*client
	closed bool
}

var (
	errFull   = errors.New("scrapes of too many targets are running")
	errClosed = errors.New("the program is stopping")
)

// acquire returns the client of p, for which release must be called.
func (c *clients) acquire(p place) (*client, error) {
	one, evicted, err := c.take(p)
	if evicted != nil {
		_ = evicted.Close() // always nil
	}
	return one, err
}

func (c *clients) take(p place) (one, evicted *client, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, errClosed
	}
	if one = c.all[p]; one == nil {
		if len(c.all) >= c.max {
			if evicted = c.longestIdle(); evicted == nil {
				return nil, nil, errFull
			}
			c.drop(evicted)
		}
		api, err := c.open(p)
		if err != nil {
			return nil, evicted, fmt.Errorf("module %q: %w", p.module, err)
		}
		one = &client{Client: api, place: p}
		c.all[p] = one
	}
	one.users++
	if one.timer != nil {
		one.timer.Stop()
		one.timer = nil
	}
	return one, evicted, nil
}

// longestIdle returns the client that has had no user for longest, nil if all have one.
func (c *clients) longestIdle() *client {
	var oldest *client
	for _, one := range c.all {
		if one.users == 0 && (oldest == nil || one.since.Before(oldest.since)) {
			oldest = one
		}
	}
	return oldest
}

// drop takes one out of the cache. c.mu is held.
func (c *clients) drop(one *client) {
	delete(c.all, one.place)
	one.gone = true
	if one.timer != nil {
		one.timer.Stop()
		one.timer = nil
	}
}

func (c *clients) release(one *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one.users--
	one.since = c.now()
	if one.users == 0 && !one.gone {
		one.timer = time.AfterFunc(c.idle, func() { c.expire(one) })
	}
}

// expire closes one unless somebody came for it meanwhile.
func (c *clients) expire(one *client) {
	c.mu.Lock()
	if one.users > 0 || one.gone {
		c.mu.Unlock()
		return
	}
	c.drop(one)
	c.mu.Unlock()
	_ = one.Close() // always nil
}

// close ends all clients and the scrapes that use them.
func (c *clients) close() error {
	c.mu.Lock()
	c.closed = true
	all := make([]*client, 0, len(c.all))
	for _, one := range c.all {
		all = append(all, one)
	}
	for _, one := range all {
		c.drop(one)
	}
	c.mu.Unlock()
	var errs []error
	for _, one := range all {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}
