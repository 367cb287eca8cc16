package transport

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/quorate/quorate/internal/source/pve"
)

// ticketAPI is the API of one node as a user with a ticket, or with a token.
type ticketAPI struct {
	f    *Fleet
	host Host

	mu      sync.Mutex
	client  *pve.Client
	learned string // fingerprint given to Renew
}

// open returns the client, made at the first use.
func (a *ticketAPI) open(ctx context.Context) (*pve.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.client != nil {
		return a.client, nil
	}
	c := a.f.cfg
	t, err := a.trust(ctx)
	if err != nil {
		return nil, err
	}
	auth := pve.Auth{User: c.User, Password: c.Password}
	if c.TokenID != "" {
		auth = pve.Auth{TokenID: c.TokenID, TokenSecret: c.Token}
	}
	client, err := pve.New(pve.Config{
		Endpoints: []string{"https://" + a.host.API}, Auth: auth,
		TLS: t, Timeout: c.Timeout, Log: c.Log, Now: c.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.host.Name, err)
	}
	a.client = client
	return client, nil
}

// trust says which certificate of the node is believed.
func (a *ticketAPI) trust(ctx context.Context) (pve.TLSConfig, error) {
	c := a.f.cfg
	pin := func(fp string) pve.TLSConfig { return pve.TLSConfig{Fingerprints: map[string]string{"": fp}} }
	switch {
	case a.learned != "":
		return pin(a.learned), nil
	case c.Pin == PinCA:
		return pve.TLSConfig{CAFile: c.CAFile}, nil
	case c.Pin == PinFingerprint:
		if a.host.Fingerprint == "" {
			return pve.TLSConfig{}, fmt.Errorf("%s: no fingerprint of its certificate in the file; see `pvenode cert info` there", a.host.Name)
		}
		return pin(a.host.Fingerprint), nil
	}
	if fp := c.Pins.Get(a.host.Name); fp != "" {
		return pin(fp), nil
	}
	fp, err := Fingerprint(ctx, a.host.API)
	if err != nil {
		return pve.TLSConfig{}, &LostError{Node: a.host.Name, What: "look at the certificate of " + a.host.API, Err: plainDial(err)}
	}
	if err := c.Pins.Set(a.host.Name, fp); err != nil {
		return pve.TLSConfig{}, fmt.Errorf("remember the certificate of %s: %w", a.host.Name, err)
	}
	if c.Log != nil {
		c.Log.Info("trusting a certificate on first use", "node", a.host.Name, "fingerprint", fp)
	}
	return pin(fp), nil
}

// plainDial takes off the address, which the message names already.
func plainDial(err error) error {
	if op, ok := err.(*net.OpError); ok {
		return op.Err
	}
	return err
}

// reset makes the next call begin anew.
func (a *ticketAPI) reset(fingerprint string) {
	a.mu.Lock()
	old := a.client
	a.client, a.learned = nil, fingerprint
	a.mu.Unlock()
	if old != nil {
		_ = old.Close() // its calls end, and their callers look again
	}
}

func (a *ticketAPI) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.client == nil {
		return nil
	}
	return a.client.Close()
}

func (a *ticketAPI) do(ctx context.Context, call func(*pve.Client) error) error {
	c, err := a.open(ctx)
	if err != nil {
		return err
	}
	err = call(c)
	if pve.IsKind(err, pve.Unauthorized) && ctx.Err() == nil {
		// Refused, hence not carried out: the ticket was too old, or the node has joined a cluster and
		// has another key. The client has forgotten it and logs in again. A wrong password is refused twice.
		err = call(c)
	}
	if id := a.f.cfg.TokenID; id != "" && pve.IsKind(err, pve.Forbidden) {
		err = fmt.Errorf("%w (the token %s lacks the right; to create a cluster, join or create OSDs no token does: give spec.access.api.password)", err, id)
	}
	return named(a.host.Name, err)
}

// named adds the node to an error, unless it is about it already.
func named(node string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", node, err)
}

func (a *ticketAPI) Get(ctx context.Context, path string, out any) error {
	return a.do(ctx, func(c *pve.Client) error { return c.Get(ctx, path, out) })
}

func (a *ticketAPI) Post(ctx context.Context, path string, p Params, out any) error {
	return a.do(ctx, func(c *pve.Client) error { return c.Post(ctx, path, p.wire(), out) })
}

func (a *ticketAPI) Put(ctx context.Context, path string, p Params, out any) error {
	return a.do(ctx, func(c *pve.Client) error { return c.Put(ctx, path, p.wire(), out) })
}

func (a *ticketAPI) Delete(ctx context.Context, path string, out any) error {
	return a.do(ctx, func(c *pve.Client) error { return c.Delete(ctx, path, out) })
}
