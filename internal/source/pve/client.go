package pve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	proxmox "github.com/luthermonson/go-proxmox"

	"github.com/quorate/quorate/internal/source"
)

// A Client asks the API of one Proxmox VE cluster. It is safe for concurrent use.
//
// Errors of its methods are of type *Error, or *source.StuckError while an earlier call of the same
// kind hangs. Typed calls of one kind that are made at the same time share one request, and what
// they return is shared as well: do not change it.
type Client struct {
	transport *transport
	http      *http.Client
	library   *proxmox.Client
	timeout   time.Duration
	lanes     *lanes

	base   context.Context // ends with Close
	cancel context.CancelFunc

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup // grows only while not closed
}

// New checks c and returns a Client. It sends nothing: who has a user and password logs in with the
// first request.
func New(c Config) (*Client, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.MaxReply <= 0 {
		c.MaxReply = DefaultMaxReply
	}
	if err := c.Auth.check(); err != nil {
		return nil, fmt.Errorf("pve: %w", err)
	}
	if len(c.Endpoints) == 0 {
		return nil, errors.New("pve: no endpoint is given, want one https://HOST:8006 for each node")
	}
	base, cancel := context.WithCancel(context.Background())
	t := &transport{
		base: base, timeout: c.Timeout, maxReply: c.MaxReply, log: c.Log,
		auth: &auth{Auth: c.Auth, now: c.Now},
	}
	t.auth.post = t.postForm
	if err := t.addEndpoints(base, c); err != nil {
		cancel()
		return nil, fmt.Errorf("pve: %w", err)
	}
	h := &http.Client{Transport: t}
	return &Client{
		transport: t, http: h, timeout: c.Timeout, base: base, cancel: cancel,
		lanes: newLanes("pve", c.Now, kinds()),
		library: proxmox.NewClient(t.endpoints[0].url.String()+apiPrefix, proxmox.WithHTTPClient(h),
			proxmox.WithUserAgent("quorate"),
			proxmox.WithLogger(libraryLog{c.Log, func(s string) string { return redact(s, t.auth.secrets()...) }})),
	}, nil
}

func (t *transport) addEndpoints(base context.Context, c Config) error {
	d, err := newDialer(base, c.TLS, c.Now)
	if err != nil {
		return err
	}
	for _, s := range c.Endpoints {
		u, err := parseEndpoint(s, c.TLS.Insecure)
		if err != nil {
			return err
		}
		t.endpoints = append(t.endpoints, &endpoint{url: u, rt: d.roundTripper(u)})
	}
	return nil
}

// Library returns go-proxmox on the same transport, for the calls whose types it has right. There,
// too, every refusal is an *Error (errors.As). Not right in v0.8.0: HA status and manager status, POST
// /storage, cluster storages, waiting for tasks, and Client.Version, which is a data race.
func (c *Client) Library() *proxmox.Client { return c.library }

// Status says how the API is. It is up when every kind of call was answered the last time it was
// made; "forbidden" and what a call refuses for its own reasons are answers.
func (c *Client) Status() source.Status { return c.lanes.status() }

// Close ends all calls and waits for their goroutines.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.calls.Wait()
	for _, ep := range c.transport.endpoints {
		ep.rt.CloseIdleConnections()
	}
	return nil
}

// Get reads path (such as "/cluster/status?x=y") and decodes its data into out, a pointer. Numbers
// that may come as text want Int, Float or Bool in out.
func (c *Client) Get(ctx context.Context, path string, out any) error {
	return c.raw(ctx, func(ctx context.Context) error {
		body, err := c.fetch(ctx, path)
		if err != nil {
			return err
		}
		return about(path, decode(body, out))
	})
}

// Post sends params, which is marshalled as JSON, or nothing when nil. out may be nil. It is sent at
// most once: after an error of kind timeout or truncated nobody knows whether it was carried out.
func (c *Client) Post(ctx context.Context, path string, params, out any) error {
	return c.write(ctx, http.MethodPost, path, params, out)
}

// Put is like Post.
func (c *Client) Put(ctx context.Context, path string, params, out any) error {
	return c.write(ctx, http.MethodPut, path, params, out)
}

// Delete is like Post; its parameters belong into the query of path.
func (c *Client) Delete(ctx context.Context, path string, out any) error {
	return c.write(ctx, http.MethodDelete, path, nil, out)
}

func (c *Client) write(ctx context.Context, method, path string, params, out any) error {
	return c.raw(ctx, func(ctx context.Context) error {
		var body []byte
		if params != nil {
			var err error
			if body, err = json.Marshal(params); err != nil {
				return fmt.Errorf("%s %s: marshal parameters: %w", method, path, err)
			}
		}
		var reply json.RawMessage
		if err := plain(c.library.Req(ctx, method, path, body, &reply)); err != nil {
			return ofWrite(method, path, err)
		}
		if out == nil {
			return nil
		}
		return ofWrite(method, path, decodeData(reply, out))
	})
}

// raw runs fn and counts it.
func (c *Client) raw(ctx context.Context, fn func(context.Context) error) error {
	ctx, leave := c.enter(ctx)
	defer leave()
	err := fn(ctx)
	n := c.lanes.get("raw")
	n.stats.Record(err)
	c.lanes.note(n, answeredByAPI(err))
	return err
}

// enter is ctx ended by Close, which waits until leave is called. The time limit is the transport's.
func (c *Client) enter(ctx context.Context) (_ context.Context, leave func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.base, cancel)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		cancel()
		return ctx, func() { stop() }
	}
	c.calls.Add(1)
	return ctx, func() { stop(); cancel(); c.calls.Done() }
}

// shared runs fn once for all who ask for key at the same time. The request has the time that the
// first of them has.
func shared[T any](ctx context.Context, c *Client, key string, fn func(context.Context) (T, error)) (T, error) {
	end, hasEnd := ctx.Deadline()
	v, err := inLane(ctx, c.lanes, key, answeredByAPI, func() (T, error) {
		ctx, leave := c.enter(c.base)
		defer leave()
		if hasEnd {
			// A little earlier than the one who waits: it says better what was waited for.
			left := time.Until(end)
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, left-min(left/20, 50*time.Millisecond))
			defer cancel()
		}
		return fn(ctx)
	})
	return v, timely(key, err)
}

// timely makes an Error of a context that ended before the call did.
func timely(key string, err error) error {
	var e *Error
	if err == nil || errors.As(err, &e) || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return err
	}
	return &Error{Kind: Timeout, Method: http.MethodGet, Path: key, Node: nodeOf(key), Text: err.Error(), Sent: true, err: err}
}

func answeredByAPI(err error) bool {
	var e *Error
	return err == nil || errors.As(err, &e) && e.answered()
}

// fetch returns the body of a GET. It does not go through go-proxmox, which reads the JSON of every
// reply four times: too much for lists of thousands of guests.
func (c *Client) fetch(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.transport.endpoints[0].url.String()+apiPrefix+path, nil)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "quorate")
	res, err := c.http.Do(req)
	if err != nil {
		return nil, about(path, plain(err))
	}
	defer res.Body.Close()
	if body, is := res.Body.(held); is {
		return body.all, nil
	}
	return io.ReadAll(res.Body)
}

// plain takes off what net/http wraps around an Error.
func plain(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return err
}

// about adds to an error of the decoder where the reply came from, and makes an Error of a context
// that ended before the request was sent.
func about(path string, err error) error { return ofWrite(http.MethodGet, path, err) }

func ofWrite(method, path string, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if !errors.As(err, &e) {
		e = formOf(err)
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			e.Kind = Timeout
		}
	}
	if e.Path == "" {
		e.Method, e.Path, e.Node, e.Sent = method, path, nodeOf(path), true
	}
	return e
}

// decodeData is decode for what go-proxmox has unpacked already.
func decodeData(data json.RawMessage, out any) error {
	if len(data) == 0 || string(data) == "null" {
		return &Error{Kind: Type, Text: "the reply holds no data"}
	}
	if err := json.Unmarshal(data, out); err != nil {
		return formOf(err)
	}
	return nil
}
