package qmp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// maxLine is the longest line that is returned. The longest reply there is, that of
	// query-qmp-schema, has 250 kB.
	maxLine = 1 << 20
	// maxSkip is how much of a longer line is read and thrown away before its end is despaired of.
	maxSkip = 16 << 20

	firstBuffer = 4 << 10
	// keepBuffer is the largest buffer that waits in the pool for the next conversation.
	keepBuffer = 64 << 10
)

var (
	errTooLong = fmt.Errorf("line longer than %d bytes", maxLine)
	errGarbage = errors.New("not a JSON object")
)

// A lineReader reads lines. When reading fails in the middle of one, such as by a deadline, what
// came of it is kept for the next call.
type lineReader struct {
	r        io.Reader
	buf      []byte
	from, to int // buf[from:to] was read and is not returned yet
	seen     int // buf[from:seen] holds no newline
	skipped  int // bytes thrown away of a line that is too long
}

// next returns a line without its end; it is valid until the next call. A line that is too long is
// read to its end and reported as errTooLong.
func (l *lineReader) next() ([]byte, error) {
	for {
		if i := bytes.IndexByte(l.buf[l.seen:l.to], '\n'); i >= 0 {
			line := l.buf[l.from : l.seen+i]
			l.from, l.seen = l.seen+i+1, l.seen+i+1
			if l.skipped > 0 || len(bytes.TrimRight(line, "\r")) > maxLine {
				l.skipped = 0
				return nil, errTooLong
			}
			return bytes.TrimRight(line, "\r"), nil
		}
		l.seen = l.to
		if l.to-l.from > maxLine+1 { // +1: there may be a \r
			l.skipped += l.to - l.from
			l.from, l.to, l.seen = 0, 0, 0
		}
		if l.skipped > maxSkip {
			return nil, errTooLong
		}
		if err := l.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads once, making room first.
func (l *lineReader) fill() error {
	if l.from > 0 {
		l.to = copy(l.buf, l.buf[l.from:l.to])
		l.seen -= l.from
		l.from = 0
	}
	if l.to == len(l.buf) {
		bigger := make([]byte, max(firstBuffer, 2*len(l.buf)))
		copy(bigger, l.buf[:l.to])
		l.buf = bigger
	}
	n, err := l.r.Read(l.buf[l.to:])
	l.to += n
	if n > 0 {
		return nil // an error that came with data comes again
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// A conn is one connection to a monitor.
type conn struct {
	net.Conn
	lines lineReader

	mu       sync.Mutex
	poked    bool // the caller has given up: reading is to fail at once
	draining bool // poke comes too late
}

// dial connects without waiting: connect(2) on a nonblocking Unix socket fails with EAGAIN when
// the listener's queue is full, and package net hands that on at once.
func dial(path string, buf []byte) (*conn, error) {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	return newConn(c, buf), nil
}

func newConn(c net.Conn, buf []byte) *conn {
	return &conn{Conn: c, lines: lineReader{r: c, buf: buf}}
}

// until sets the deadline of what is read and written from now on, unless poke came first.
func (c *conn) until(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.poked {
		return nil
	}
	return c.SetDeadline(t)
}

// poke makes reading and writing fail now.
func (c *conn) poke() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining {
		return
	}
	c.poked = true
	// It fails only on a closed connection, which is as good.
	_ = c.SetDeadline(time.Unix(1, 0))
}

// drainUntil has reading go on until t, poked or not.
func (c *conn) drainUntil(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	return c.SetDeadline(t)
}

// receive returns the next message. Its parts are valid until the next call.
func (c *conn) receive() (message, error) {
	for {
		line, err := c.lines.next()
		if err != nil {
			return message{}, err
		}
		if len(bytes.TrimSpace(line)) > 0 {
			return parseMessage(line)
		}
	}
}

// awaitReply returns the reply with the given id, as it stands in JSON. Events, and replies to
// others that an earlier client left behind, are skipped and counted.
//
// What cannot be read is taken for that reply: one command at a time is sent, and QEMU sends
// nothing but replies and events.
func (c *conn) awaitReply(id []byte) (reply message, skipped int, err error) {
	for {
		m, err := c.receive()
		if err != nil {
			return message{}, skipped, err
		}
		if bytes.Equal(m.id, id) { // an event has no id
			return m, skipped, nil
		}
		if m.event == nil {
			skipped++
		}
	}
}
