package qmp

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/internal/source"
)

// An Observer takes the measurements. Its methods are called from many goroutines.
type Observer interface {
	// Sampled says how long a Query that succeeded took, from before connecting to after closing.
	Sampled(took time.Duration)
	// Busy says that a monitor's queue was full, so the VM was skipped.
	Busy()
	// TimedOut says that a VM did not greet or did not reply in time.
	TimedOut()
}

// Options of a Client. Zero values stand for the defaults.
type Options struct {
	// Greeting is how long QEMU may take to turn to us; default 500 ms. Nothing has been written
	// by then, so giving up harms nobody.
	Greeting time.Duration
	// Reply is how long a reply may take; default 1 s. On a loaded machine one in thousands took
	// 0.3 s.
	Reply time.Duration
	// Conversation is the longest that one conversation may last; default 5 s, which is how long
	// Proxmox waits for its turn.
	Conversation time.Duration
	// Drain is how much longer a connection is kept for a reply that is late; default 10 s.
	Drain time.Duration
	// Startup is how long after the making of its socket QEMU may still be starting; default 5 min,
	// for memory that is to be allocated first. Until then a connection that was not greeted is kept
	// in the queue, as QEMU may crash of its end. Negative means no time at all.
	Startup time.Duration
	// Backoff is how long a VM is left alone after it timed out twice in a row; default 30 s. It
	// doubles with each further time up to BackoffMax, by default 5 min. Negative means never.
	Backoff, BackoffMax time.Duration

	Observer Observer
	Log      *slog.Logger
	Now      func() time.Time // clock of Sample.At, of the back-off and of Status; default time.Now
}

// A Client holds conversations with the monitors of this node's VMs, one at a time with each. It
// is safe for concurrent use.
type Client struct {
	o       Options
	stats   *source.Stats
	prefix  string // of ids; unlike that of any other client, our own predecessor included
	lastID  atomic.Uint64
	buffers sync.Pool // of *[]byte, for what is read

	mu     sync.Mutex
	vms    map[string]*vm // by socket
	open   int            // conversations, the draining ones included
	closed bool
	queued map[*conn]struct{} // connections that wait for a greeting that nobody needs
	idle   chan struct{}      // closed once closed and nothing is open

	answered, failed time.Time // when a VM last did
}

// New returns a Client.
func New(o Options) *Client {
	o.Greeting = cmp.Or(o.Greeting, 500*time.Millisecond)
	o.Reply = cmp.Or(o.Reply, time.Second)
	o.Conversation = cmp.Or(o.Conversation, 5*time.Second)
	o.Drain = cmp.Or(o.Drain, 10*time.Second)
	o.Startup = cmp.Or(o.Startup, 5*time.Minute)
	o.Backoff = cmp.Or(o.Backoff, 30*time.Second)
	o.BackoffMax = max(cmp.Or(o.BackoffMax, 5*time.Minute), o.Backoff)
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Client{
		o:       o,
		stats:   source.NewStats("qmp", o.Now, kinds()...),
		prefix:  "quorate-" + rand.Text()[:10] + "-",
		buffers: sync.Pool{New: func() any { return new([]byte) }},
		vms:     map[string]*vm{},
		queued:  map[*conn]struct{}{},
		idle:    make(chan struct{}),
	}
}

type nobody struct{}

func (nobody) Sampled(time.Duration) {}
func (nobody) Busy()                 {}
func (nobody) TimedOut()             {}

// Query asks the VM whose monitor is at path how it and its migration are, in one conversation of
// about a millisecond. Every failure is an *Error; of these ErrBusy, ErrInUse and ErrBackingOff
// mean that the VM is to be skipped this time, and ErrGone that it does not run.
func (c *Client) Query(ctx context.Context, path string) (Sample, error) {
	return c.query(c.Monitor(ctx, path))
}

// QueryUrgent is Query for a VM that is known to migrate, whose main loop may well stand still for
// a second: it waits for the greeting as long as ctx and Options.Conversation allow, as Proxmox
// does, and neither heeds nor causes a back-off.
func (c *Client) QueryUrgent(ctx context.Context, path string) (Sample, error) {
	m := c.Monitor(ctx, path)
	m.urgent = true
	return c.query(m)
}

func (c *Client) query(m *Monitor) (Sample, error) {
	s, err := m.sample()
	m.Disconnect()
	if err != nil {
		return Sample{}, err
	}
	c.o.Observer.Sampled(c.o.Now().Sub(m.began))
	return s, nil
}

func (m *Monitor) sample() (Sample, error) {
	if err := m.Connect(); err != nil {
		return Sample{}, err
	}
	raw, err := m.result("query-migrate")
	if err != nil {
		return Sample{}, err
	}
	s := Sample{At: m.client.o.Now()}
	if s.Migration, err = ParseMigration(raw); err != nil {
		return Sample{}, m.misunderstood(err)
	}
	if raw, err = m.result("query-status"); err != nil {
		return Sample{}, err
	}
	s.VMState = parseStatus(raw)
	s.Process = m.process()
	return s, nil
}

// process returns whom the conversation is with.
func (m *Monitor) process() Process {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conn == nil {
		return Process{}
	}
	return peer(m.conn.Conn)
}

// misunderstood notes that a reply was no use.
func (m *Monitor) misunderstood(err error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.breaks(newError(ErrAnswer, m.path, err, "reply not understood"))
}

// appendID appends an id, as JSON, that no other command of anybody has.
func (c *Client) appendID(buf []byte) []byte {
	buf = append(buf, '"')
	buf = append(buf, c.prefix...)
	buf = strconv.AppendUint(buf, c.lastID.Add(1), 10)
	return append(buf, '"')
}

// buffer returns memory to read into, which keep takes back.
func (c *Client) buffer() []byte { return *c.buffers.Get().(*[]byte) }

func (c *Client) keep(buf []byte) {
	if len(buf) > 0 && len(buf) <= keepBuffer {
		c.buffers.Put(&buf)
	}
}
