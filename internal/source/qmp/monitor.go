package qmp

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A Monitor is one conversation with a VM's monitor, in the form that go-qemu wants: it is a
// qmp.Monitor. Make one with Client.Monitor, and Disconnect it soon: while it is connected nobody
// else, Proxmox included, can talk to that VM. It is safe for concurrent use, but one command is
// sent at a time.
type Monitor struct {
	client *Client
	path   string
	urgent bool // no patience is lost with this VM: see Client.QueryUrgent

	parent context.Context

	mu      sync.Mutex
	conn    *conn // nil while not connected
	ctx     context.Context
	cancel  context.CancelFunc
	unhook  func() bool // stops watching ctx
	began   time.Time
	greeted bool
	owes    []byte // id of the command whose reply has not been read, else nil
	broken  error  // why no further command can be sent
	told    error  // what QEMU said to a command, nil if it did as asked
	late    error  // that the conversation was ended for lasting too long, else nil
	out     []byte // buffer of what is sent
	ids     []byte // buffer of the id
}

// Monitor returns a conversation with the monitor at path. It ends with ctx at the latest, or
// after Options.Conversation.
func (c *Client) Monitor(ctx context.Context, path string) *Monitor {
	return &Monitor{client: c, path: path, parent: ctx}
}

// Connect connects, waits for QEMU's greeting and does the handshake. Nothing is written before
// the greeting was read: QEMU serves one client after the other, and would execute what it finds
// once a client that left early had its turn.
func (m *Monitor) Connect() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn != nil {
		return newError(ErrInUse, m.path, nil, "connected already")
	}
	if err := m.parent.Err(); err != nil {
		return newError(ErrCanceled, m.path, err, "not asked")
	}
	if err := m.client.admit(m.path, m.urgent); err != nil {
		return err
	}
	m.began = m.client.o.Now()
	m.greeted = false
	m.owes, m.broken, m.told, m.late = nil, nil, nil, nil
	c, err := dial(m.path, m.client.buffer())
	if err != nil {
		failed := dialError(m.path, err)
		m.client.leave(m.path, m.urgent, failed)
		return failed
	}
	m.conn = c
	m.ctx, m.cancel = context.WithTimeout(m.parent, m.client.o.Conversation)
	m.unhook = context.AfterFunc(m.ctx, func() {
		c.poke()
		m.hangUp(c) // whoever forgot to
	})
	if err := m.greet(); err != nil {
		m.disconnect()
		return err
	}
	return nil
}

// greet reads the greeting and answers it.
func (m *Monitor) greet() error {
	patience := m.client.o.Greeting
	if m.urgent {
		patience = m.client.o.Conversation
	}
	began := time.Now()
	if err := m.conn.until(began.Add(patience)); err != nil {
		return m.breaks(newError(ErrLost, m.path, err, "connection"))
	}
	for {
		msg, err := m.conn.receive()
		if err != nil {
			return m.breaks(readError(m.ctx, m.path, err, ErrNoGreeting, "greeting", time.Since(began)))
		}
		if msg.greeting != nil {
			m.greeted = true
			break
		}
		// Something that an earlier client has not waited for.
		m.client.o.Log.Debug("line before the greeting skipped", "socket", m.path, "line", excerpt(msg.line))
	}
	_, err := m.ask(handshake, nil)
	if err != nil && m.broken == nil {
		m.broken = err // QEMU refused the handshake: it will refuse everything
	}
	return err
}

// Run sends a command, {"execute": NAME}, and returns QEMU's whole reply, {"return": …}. Anything
// but a few commands that only read is refused before a byte is sent, with ErrNotAllowed. It fails
// with ErrCommand when QEMU answers with an error, after which other commands may follow; after
// any other failure none can.
func (m *Monitor) Run(command []byte) ([]byte, error) {
	name, args, err := parseCommand(command)
	if err != nil {
		return nil, newError(ErrNotAllowed, m.path, err, "nothing was sent")
	}
	if !allowed(name) {
		return nil, newError(ErrNotAllowed, m.path, nil, "%q is not one of the commands that only read; nothing was sent", name)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	reply, err := m.ask(name, args)
	if err != nil {
		return nil, err
	}
	return append([]byte(nil), reply.line...), nil
}

// result is Run for a command of our own. What it returns is valid until the next command.
func (m *Monitor) result(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	reply, err := m.ask(name, nil)
	return reply.result, err
}

// ask sends one command and reads its reply. The caller holds mu.
func (m *Monitor) ask(name string, args []byte) (message, error) {
	if m.conn == nil && m.late != nil {
		return message{}, m.late
	}
	if m.conn == nil {
		return message{}, newError(ErrClosed, m.path, nil, "%s: not connected", name)
	}
	if m.broken != nil {
		return message{}, m.broken
	}
	began := time.Now()
	if err := m.send(name, args, began); err != nil {
		return message{}, err
	}
	reply, skipped, err := m.conn.awaitReply(m.owes)
	if skipped > 0 {
		m.client.o.Log.Info("replies to somebody else skipped: another client of this monitor left too early",
			"socket", m.path, "replies", skipped)
	}
	if err != nil {
		if errors.Is(err, errGarbage) || errors.Is(err, errTooLong) {
			m.owes = nil // that was it
		}
		return message{}, m.breaks(readError(m.ctx, m.path, err, ErrTimeout, "reply to "+name, time.Since(began)))
	}
	m.owes = nil
	if reply.result == nil {
		m.told = newError(ErrCommand, m.path, nil, "%s: QEMU says: %s", name, failureText(reply.failure))
		return message{}, m.told
	}
	return reply, nil
}

// send writes the command; from then on QEMU owes a reply.
func (m *Monitor) send(name string, args []byte, now time.Time) error {
	// QEMU's end must not see a command that the caller does not want any more.
	if m.ctx.Err() != nil {
		return m.breaks(m.ended("no time left for " + name))
	}
	if err := m.conn.until(now.Add(m.client.o.Reply)); err != nil {
		return m.breaks(newError(ErrLost, m.path, err, "connection"))
	}
	m.ids = m.client.appendID(m.ids[:0])
	out, err := appendCommand(m.out[:0], name, args, m.ids)
	if err != nil {
		return newError(ErrNotAllowed, m.path, err, "nothing was sent")
	}
	m.out = out
	n, err := m.conn.Write(out)
	// The newline is for people: QEMU executes a command at its last brace.
	if n >= len(out)-1 {
		m.owes = m.ids
	}
	if err != nil {
		return m.breaks(readError(m.ctx, m.path, err, ErrTimeout, "room to send "+name, time.Since(now)))
	}
	return nil
}

func (m *Monitor) breaks(err error) error {
	m.broken = err
	return err
}

// Disconnect ends the conversation. If a reply is still to come the connection stays open in the
// background until it has come, for at most Options.Drain: closed now, QEMU would give that reply
// to its next client. A connection to a QEMU that may still be starting is kept as well until QEMU
// has greeted. A second Disconnect does nothing.
func (m *Monitor) Disconnect() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.late = nil
	m.disconnect()
	return nil
}

// hangUp is Disconnect unless that has happened, and perhaps another Connect after it.
func (m *Monitor) hangUp(c *conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn != c {
		return
	}
	if m.broken == nil {
		m.broken = m.ended("the conversation was not over")
	}
	m.late = m.broken
	m.disconnect()
}

// ended is the error of a context that ended where nothing was waited for.
func (m *Monitor) ended(where string) *Error {
	kind := ErrTimeout
	if errors.Is(m.ctx.Err(), context.Canceled) {
		kind = ErrCanceled
	}
	return newError(kind, m.path, m.ctx.Err(), "%s", where)
}

func (m *Monitor) disconnect() {
	c := m.conn
	if c == nil {
		return
	}
	m.conn = nil
	m.unhook()
	m.cancel()
	outcome := m.broken
	if outcome == nil {
		outcome = m.told
	}
	m.client.part(parting{conn: c, path: m.path, urgent: m.urgent, greeted: m.greeted, owes: m.owes, outcome: outcome})
	m.owes = nil
}
