package pve

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// ticketAge is when a ticket is renewed; it is good for two hours.
const ticketAge = time.Hour

// A credential is what makes a request one of ours.
type credential struct {
	token        string // the value of header Authorization
	ticket, csrf string
}

func (c credential) apply(r *http.Request) {
	r.Header.Del("Authorization")
	r.Header.Del("Cookie")
	r.Header.Del("CSRFPreventionToken")
	switch {
	case c.token != "":
		r.Header.Set("Authorization", c.token)
	case c.ticket != "":
		// Not by AddCookie, which quotes and drops characters that a ticket may have.
		r.Header.Set("Cookie", "PVEAuthCookie="+c.ticket)
		if !safeMethod(r.Method) {
			r.Header.Set("CSRFPreventionToken", c.csrf)
		}
	}
}

// auth hands out credentials. Of those who need a ticket at the same time, one logs in and all get
// what comes of it: go-proxmox left to itself fails 15 of 16 concurrent first calls.
type auth struct {
	Auth
	now  func() time.Time
	post func(ctx context.Context, form []byte) ([]byte, error) // to ticketPath

	mu      sync.Mutex
	have    credential
	since   time.Time
	pending *login
}

type login struct {
	done chan struct{}
	cred credential
	err  error
}

// credential returns the token, or a ticket that is young enough.
func (a *auth) credential(ctx context.Context) (credential, error) {
	if a.TokenID != "" {
		return credential{token: "PVEAPIToken=" + a.TokenID + "=" + a.TokenSecret.Reveal()}, nil
	}
	for {
		have, p, leads := a.join()
		switch {
		case p == nil:
			return have, nil
		case leads:
			p.cred, p.err = a.logIn(ctx)
			a.land(p)
			return p.cred, p.err
		}
		select {
		case <-p.done:
		case <-ctx.Done():
			return credential{}, ctx.Err()
		}
		// The one who logged in may have had less time than we have.
		if !errors.Is(p.err, context.DeadlineExceeded) && !errors.Is(p.err, context.Canceled) {
			return p.cred, p.err
		}
	}
}

// join returns a ticket that is young enough, else the login that is under way, else a new one that
// the caller is to carry out.
func (a *auth) join() (have credential, p *login, leads bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.have.ticket != "" && a.now().Sub(a.since) < ticketAge:
		return a.have, nil, false
	case a.pending != nil:
		return credential{}, a.pending, false
	}
	a.pending = &login{done: make(chan struct{})}
	return credential{}, a.pending, true
}

// land makes the outcome of p known.
func (a *auth) land(p *login) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pending = nil
	if p.err == nil {
		a.have, a.since = p.cred, a.now()
	}
	close(p.done)
}

// forget drops the ticket of c, if it is still the current one. A ticket dies before its time when
// the node joins a cluster, which has another key.
func (a *auth) forget(c credential) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.ticket != "" && a.have.ticket == c.ticket {
		a.have = credential{}
	}
}

const ticketPath = "/access/ticket"

func (a *auth) logIn(ctx context.Context) (credential, error) {
	form := url.Values{"username": {a.User}, "password": {a.Password.Reveal()}}
	body, err := a.post(ctx, []byte(form.Encode()))
	if err != nil {
		return credential{}, err
	}
	var reply struct {
		Data struct {
			Ticket  string `json:"ticket"`
			CSRF    string `json:"CSRFPreventionToken"`
			NeedTFA Bool   `json:"NeedTFA"`
		} `json:"data"`
	}
	fail := func(k Kind, text string) (credential, error) {
		return credential{}, &Error{Kind: k, Text: text, Method: http.MethodPost, Path: ticketPath, Sent: true}
	}
	switch err := json.Unmarshal(body, &reply); {
	case err != nil:
		return fail(Type, "the reply to the login cannot be read")
	case reply.Data.NeedTFA.V:
		return fail(Unauthorized, "user "+a.User+" needs a second factor; use an API token")
	case reply.Data.Ticket == "":
		return fail(Type, "the reply to the login holds no ticket")
	}
	return credential{ticket: reply.Data.Ticket, csrf: reply.Data.CSRF}, nil
}

// secrets are all that must not appear in a text.
func (a *auth) secrets() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return []string{a.TokenSecret.Reveal(), a.Password.Reveal(), a.have.ticket, a.have.csrf}
}
