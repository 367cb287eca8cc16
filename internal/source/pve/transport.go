package pve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// transport is the http.RoundTripper under go-proxmox and under Client. A reply it returns is
// complete, in memory and a success: go-proxmox takes 404, 502, 503 and 595 to 599 for success, so
// everything from 300 up is an *Error here. It owns authentication and the choice of the endpoint.
type transport struct {
	base      context.Context // ends with the Client
	timeout   time.Duration   // of one request, whatever it takes to get it answered
	endpoints []*endpoint
	auth      *auth
	maxReply  int64
	log       *slog.Logger
	good      atomic.Int32 // index of the endpoint that answered last
}

type endpoint struct {
	url *url.URL // scheme and host
	rt  *http.Transport
}

// An exchange is one request as it is given to one endpoint after the other.
type exchange struct {
	req  *http.Request
	body []byte
	cred credential
	safe bool // it may be sent more than once
}

func safeMethod(m string) bool { return m == http.MethodGet || m == http.MethodHead }

// RoundTrip sends req to the endpoint that answered last, and to others if need be and may be.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), t.timeout)
	defer cancel()
	defer context.AfterFunc(t.base, cancel)()
	x := exchange{req: req.WithContext(ctx), safe: safeMethod(req.Method)}
	if req.Body != nil {
		defer req.Body.Close()
		var err error
		if x.body, err = io.ReadAll(req.Body); err != nil {
			return nil, fmt.Errorf("read request body: %w", err)
		}
	}
	for again := false; ; again = true {
		var err error
		if x.cred, err = t.auth.credential(ctx); err != nil {
			return nil, t.loginError(x, err)
		}
		res, e := t.send(x)
		if e == nil {
			return res, nil
		}
		if e.Kind == Unauthorized {
			// A write is not repeated even though this one was refused: the next will find a new ticket.
			t.auth.forget(x.cred)
			if x.safe && x.cred.ticket != "" && !again {
				continue
			}
		}
		return nil, e
	}
}

// loginError is the error of x when there was no ticket to be had for it.
func (t *transport) loginError(x exchange, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return t.failure(x, nil, networkKind(err), "no ticket: "+err.Error(), err)
}

// postForm sends a login, which may go to any endpoint and be sent again.
func (t *transport) postForm(ctx context.Context, form []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.endpoints[0].url.String()+apiPrefix+ticketPath, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, e := t.send(exchange{req: req, body: form, safe: true})
	if e != nil {
		return nil, e
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}

// maxCostly bounds how many endpoints are asked that let us wait or that must go and ask another node.
const maxCostly = 3

// retryPause stands before the second and last round of a request that failed in passing.
const retryPause = 100 * time.Millisecond

// send tries the endpoints. Of several errors it returns the one that tells most.
func (t *transport) send(x exchange) (*http.Response, *Error) {
	var told *Error
	costly := 0
	for round := range 2 {
		first, passing := int(t.good.Load()), false
		for i := range t.endpoints {
			n := (first + i) % len(t.endpoints)
			last := i == len(t.endpoints)-1 || costly == maxCostly-1
			res, e := t.attempt(x, t.endpoints[n], last)
			if e == nil {
				t.settle(n, first)
				return res, nil
			}
			told = telling(told, e)
			if x.req.Context().Err() != nil || !t.mayGoOn(x, e) {
				return nil, told
			}
			passing = passing || inPassing(e)
			if e.Kind == Timeout || e.Kind == NodeUnreachable {
				if costly++; costly == maxCostly {
					t.good.Store(int32((n + 1) % len(t.endpoints))) // the next request begins behind
					return nil, told
				}
			}
		}
		if round > 0 || !x.safe || !passing || !pause(x.req.Context(), retryPause) {
			break
		}
	}
	return nil, told
}

// settle remembers that endpoint n answered.
func (t *transport) settle(n, before int) {
	if n != before && t.good.CompareAndSwap(int32(before), int32(n)) {
		t.log.Info("asking another Proxmox VE endpoint from now on",
			"endpoint", t.endpoints[n].url.Host, "before", t.endpoints[before].url.Host)
	}
}

// mayGoOn says whether another endpoint may be asked after e. A write goes on only when no byte of
// it can have left, which is certain when there was no connection.
func (t *transport) mayGoOn(x exchange, e *Error) bool {
	if !x.safe {
		return !e.Sent && (e.Kind == Refused || e.Kind == Dial || e.Kind == Timeout)
	}
	switch e.Kind {
	case Refused, Dial, TLS, Timeout, Truncated, NodeUnreachable:
		return true
	}
	return inPassing(e)
}

// inPassing says whether the same request may well succeed a moment later: pveproxy drops
// connections and answers 502 to 504 while its workers restart. Not so 596: there pvedaemon has all
// hands full, and more requests make it worse.
func inPassing(e *Error) bool {
	return e.Status == 502 || e.Status == 503 || e.Status == 504 || e.Kind == Truncated && e.Status == 0
}

// telling returns the error that says more: what a server answered, before what kept it from that.
func telling(a, b *Error) *Error {
	rank := func(e *Error) int {
		switch {
		case e == nil:
			return 0
		case e.Status != 0:
			return 4
		case e.Kind == TLS:
			return 3
		case e.Kind == Timeout:
			return 2
		}
		return 1
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}

// pause waits, unless ctx would end within twice that time.
func pause(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) < 2*d {
		return false
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// attempt gives x to one endpoint and reads the whole reply. A safe request that has others to turn
// to gets half of the time that is left.
func (t *transport) attempt(x exchange, ep *endpoint, last bool) (*http.Response, *Error) {
	ctx := x.req.Context()
	if end, ok := ctx.Deadline(); ok && x.safe && !last {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/2)
		defer cancel()
	}
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent.Store(true) },
	})
	res, err := ep.rt.RoundTrip(x.to(ctx, ep))
	if err != nil {
		e := t.failure(x, ep, networkKind(err), err.Error(), err)
		e.Sent = sent.Load()
		return nil, e
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		return nil, t.refusal(x, ep, res)
	}
	body, e := t.read(x, ep, res)
	if e != nil {
		return nil, e
	}
	if err := ctx.Err(); err != nil && (x.safe || len(body) == 0) {
		// We hung up, and what came may be how the server ended its reply then: net/http can still
		// deliver it.
		e := t.failure(x, ep, Timeout, "no answer: "+err.Error(), err)
		e.Sent = true
		return nil, e
	}
	res.Body, res.ContentLength = held{bytes.NewReader(body), body}, int64(len(body))
	return res, nil
}

// held is a body that was read already: who knows it need not copy it.
type held struct {
	*bytes.Reader
	all []byte
}

// Close implements io.Closer.
func (held) Close() error { return nil }

// to is the request of x to ep.
func (x exchange) to(ctx context.Context, ep *endpoint) *http.Request {
	r := x.req.Clone(ctx)
	r.URL.Scheme, r.URL.Host, r.Host = ep.url.Scheme, ep.url.Host, ""
	r.GetBody = nil // so that net/http cannot send a write again
	r.Body, r.ContentLength = nil, 0
	if len(x.body) > 0 {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(x.body)), int64(len(x.body))
	}
	x.cred.apply(r)
	return r
}

// read returns the body, of at most maxReply bytes.
func (t *transport) read(x exchange, ep *endpoint, res *http.Response) ([]byte, *Error) {
	tooLarge := func() *Error {
		e := t.failure(x, ep, TooLarge, fmt.Sprintf("the reply is larger than %d bytes", t.maxReply), nil)
		e.Status, e.Sent = res.StatusCode, true
		return e
	}
	if res.ContentLength > t.maxReply {
		return nil, tooLarge()
	}
	var b bytes.Buffer
	b.Grow(int(min(max(res.ContentLength+bytes.MinRead, 4<<10), 1<<20)))
	if _, err := b.ReadFrom(io.LimitReader(res.Body, t.maxReply+1)); err != nil {
		k := networkKind(err)
		if k != Timeout {
			k = Truncated
		}
		e := t.failure(x, ep, k, fmt.Sprintf("the reply broke off after %d bytes: %v", b.Len(), err), err)
		e.Status, e.Sent = res.StatusCode, true
		return nil, e
	}
	if int64(b.Len()) > t.maxReply {
		return nil, tooLarge()
	}
	return b.Bytes(), nil
}

// failure makes an Error about x. ep is nil when none was asked.
func (t *transport) failure(x exchange, ep *endpoint, k Kind, text string, cause error) *Error {
	path := strings.TrimPrefix(x.req.URL.Path, apiPrefix)
	e := &Error{
		Kind: k, Text: redact(text, t.auth.secrets()...), err: cause,
		Method: x.req.Method, Path: path, Node: nodeOf(path),
	}
	if ep != nil {
		e.Endpoint = ep.url.Host
	}
	return e
}
