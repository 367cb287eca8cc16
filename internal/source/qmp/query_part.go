package qmp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// A parting is a conversation that is over as far as its caller is concerned.
type parting struct {
	conn    *conn
	path    string
	urgent  bool
	greeted bool   // QEMU has turned to us
	owes    []byte // id of the command whose reply has not been read, else nil
	outcome error  // nil if the VM said all that it was asked
}

// part ends a conversation. The connection is closed at once unless that would do harm:
//
// A reply that is owed would go to QEMU's next client, so it is waited for.
//
// A QEMU that is starting may crash of a client that leaves before it was greeted: version 7.2 does
// so when the main loop takes the connection for its own while the monitor's thread takes over the
// socket. So with a socket that is new we stay in the queue until it is our turn.
func (c *Client) part(p parting) {
	c.score(p.path, p.urgent, p.outcome)
	startup := time.Duration(0)
	if !p.greeted {
		startup = c.startup(p.path)
	}
	switch {
	case p.owes != nil:
		go c.drain(p)
	case startup > 0 && c.queue(p.conn):
		go c.stay(p, startup)
	default:
		c.closeConn(p)
	}
}

func (c *Client) closeConn(p parting) {
	p.conn.Close()
	c.keep(p.conn.lines.buf)
	c.free(p.path)
}

// drain waits for the reply that is owed.
func (c *Client) drain(p parting) {
	defer c.closeConn(p)
	err := p.conn.drainUntil(time.Now().Add(c.o.Drain))
	if err == nil {
		_, _, err = p.conn.awaitReply(p.owes)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.o.Log.Warn("a reply that is overdue was given up: the next client of this monitor may get it",
			"socket", p.path, "waited", c.o.Drain)
	}
}

// stay waits for the greeting, to leave thereafter.
func (c *Client) stay(p parting, startup time.Duration) {
	defer c.closeConn(p)
	err := p.conn.drainUntil(time.Now().Add(startup))
	for err == nil {
		var msg message
		if msg, err = p.conn.receive(); err == nil && msg.greeting != nil {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.queued, p.conn)
	if err == nil {
		c.vms[p.path].wellAgain()
	}
}

// queue notes that conn stays, unless the Client was closed.
func (c *Client) queue(conn *conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.queued[conn] = struct{}{}
	return true
}

// startup returns for how much longer the QEMU that made the socket may still be starting.
func (c *Client) startup(path string) time.Duration {
	socket, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return min(c.o.Startup-time.Since(socket.ModTime()), c.o.Startup)
}

// Close lets no further conversation begin and waits until those that go on have ended, which they
// do by themselves within Options.Conversation and Options.Drain. It fails when ctx ends first.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		for conn := range c.queued {
			conn.Close() // as the end of the program would
		}
		if c.open == 0 {
			close(c.idle)
		}
	}
	c.mu.Unlock()
	select {
	case <-c.idle:
		return nil
	case <-ctx.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Errorf("%d conversations with VMs have not ended (a late reply goes to the monitor's next client): %w", c.open, ctx.Err())
}
