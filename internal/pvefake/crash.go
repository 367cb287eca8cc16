package pvefake

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// crashPoint is where CrashAfter interrupts.
type crashPoint struct {
	at int // request number, 0: nowhere
	do func()
}

// CrashAfter calls crash once when the k-th request from now (API or SSH, from 1) has had its effect
// and before its reply is sent; the reply is then lost. crash is called with the cluster locked: it
// is to cancel the caller's context and return. k of 0 takes the crash away.
func (c *Cluster) CrashAfter(k int, crash func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.crash = crashPoint{}
	if k > 0 {
		c.crash = crashPoint{at: c.requests + k, do: crash}
	}
}

// Requests is the number of API requests and SSH commands received so far.
func (c *Cluster) Requests() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

// countRequest says whether the crash comes with this request.
func (c *Cluster) countRequest() bool {
	c.requests++
	if c.crash.at != c.requests {
		return false
	}
	do := c.crash.do
	c.crash = crashPoint{}
	if do != nil {
		do()
	}
	return true
}

// ExpireTickets makes every ticket handed out so far older than two hours.
func (c *Cluster) ExpireTickets() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes {
		n.auth().key = newKey(c.rnd)
	}
}

// Dial connects to a node by any name or address that the cluster says it has: port 8006 is its API,
// 22 its SSH server. It is what a client under test uses in place of net.Dialer, so that
// configurations may hold addresses that this machine does not have.
func (c *Cluster) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("pvefake: dial %q: %w", address, err)
	}
	c.mu.Lock()
	n := c.nodeByAddress(host)
	target := ""
	if n != nil {
		target = n.addr.String()
		if port == "22" {
			target = n.sshAddr
		}
	}
	c.mu.Unlock()
	if target == "" {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("pvefake: no node has %s, or it serves no port %s", host, port)}
	}
	d := net.Dialer{Timeout: 10 * time.Second}
	return d.DialContext(ctx, strings.TrimSuffix(network, "6"), target)
}
