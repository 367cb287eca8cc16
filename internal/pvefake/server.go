package pvefake

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Call is one request the cluster received.
type Call struct {
	Node       int // that received it
	Method     string
	Path       string // below /api2/json
	Query      string
	Status     int
	Identity   string // "root@pam", "user@pve!token", "" when not authenticated
	ReceivedAt time.Time
}

// reply is what goes on the wire. net/http cannot send a reason phrase of its own, and the reason is
// where PVE puts its error text, so the response is written by hand.
type reply struct {
	status int
	reason string
	body   []byte
	after  time.Duration
	fault  *Rule // changes how the reply is delivered
}

// serveConn answers requests on one connection until it breaks.
func (n *node) serveConn(conn net.Conn) {
	defer conn.Close()
	br := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		body, err := io.ReadAll(io.LimitReader(req.Body, 1<<20))
		if err != nil {
			return
		}
		r := n.answer(req, string(body))
		if !n.deliver(conn, br, r) || req.Close {
			return
		}
	}
}

// deliver writes r; false means the connection is to be closed.
func (n *node) deliver(conn net.Conn, br *bufio.Reader, r reply) bool {
	ctx, stop := watchClient(n.c.ctx, conn, br)
	defer stop()
	if r.fault != nil && r.fault.Hang {
		<-ctx.Done()
		return false
	}
	wait := time.Duration(float64(r.after) * n.c.opt.DelayScale)
	if r.fault != nil {
		wait += r.fault.Slow // wall time: a slow reply must be slow for the client under test
	}
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return false
		}
	}
	if r.fault != nil && (r.fault.CloseBefore || r.fault.LoseReply) {
		return false
	}
	return writeReply(conn, r)
}

func writeReply(conn net.Conn, r reply) bool {
	length := len(r.body)
	cut := r.fault != nil && r.fault.Truncate
	if r.fault != nil && r.fault.HugeBytes > 0 {
		length = int(r.fault.HugeBytes)
	}
	head := fmt.Sprintf("HTTP/1.1 %d %s\r\nCache-Control: max-age=0\r\nConnection: Keep-Alive\r\nServer: pve-api-daemon/3.0\r\n"+
		"Content-Type: application/json;charset=UTF-8\r\nContent-Length: %d\r\n\r\n", r.status, strings.ReplaceAll(r.reason, "\r", " "), length)
	if _, err := io.WriteString(conn, head); err != nil {
		return false
	}
	if r.fault != nil && r.fault.HugeBytes > 0 {
		return writeHuge(conn, r.fault.HugeBytes)
	}
	if cut {
		r.body = r.body[:len(r.body)/2]
	}
	if _, err := conn.Write(r.body); err != nil {
		return false
	}
	return !cut
}

// writeHuge sends a well-formed reply of size bytes without holding it in memory.
func writeHuge(conn net.Conn, size int64) bool {
	const open, end = `{"data":[{"id":"`, `"}]}`
	w := bufio.NewWriterSize(conn, 64<<10)
	filler := strings.Repeat("x", 4096)
	left := size - int64(len(open)+len(end))
	if _, err := w.WriteString(open); err != nil {
		return false
	}
	for left > 0 {
		part := filler[:min(int64(len(filler)), left)]
		if _, err := w.WriteString(part); err != nil {
			return false
		}
		left -= int64(len(part))
	}
	if _, err := w.WriteString(end); err != nil {
		return false
	}
	return w.Flush() == nil
}

// watchClient returns a context that ends when parent does or the client hangs up, and a function that
// ends the watching. The client sends nothing while it waits, so one pending read tells.
func watchClient(parent context.Context, conn net.Conn, br *bufio.Reader) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := br.Peek(1); err != nil && !isTimeout(err) {
			cancel()
		}
	}()
	return ctx, func() {
		// The deadline wakes the pending read; lifting it makes the connection usable again. Errors mean
		// that the connection is gone, which the next read or write will say.
		_ = conn.SetReadDeadline(time.Now())
		<-done
		_ = conn.SetReadDeadline(time.Time{})
		cancel()
	}
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error)
	return ok && ne.Timeout()
}

// callsKept bounds what a demo that runs for days remembers.
const callsKept = 20000

func (c *Cluster) record(r Call) {
	if len(c.calls) >= callsKept {
		c.calls = append([]Call(nil), c.calls[callsKept/2:]...)
	}
	c.calls = append(c.calls, r)
}

// Calls returns the requests received since the last ResetCalls, oldest first, 20,000 at most.
func (c *Cluster) Calls() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Call(nil), c.calls...)
}

// ResetCalls forgets the requests received so far.
func (c *Cluster) ResetCalls() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = nil
}
