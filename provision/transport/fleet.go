package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
)

// The ways to trust a node's certificate.
const (
	PinCA          = "ca"
	PinFingerprint = "fingerprint"
	PinFirstUse    = "trust-on-first-use"
)

// The transports of the API.
const (
	ViaAPI = "api"
	ViaSSH = "ssh"
)

// A Host is one node and where it is reached.
type Host struct {
	Name        string
	API         string // host:port
	SSH         string // host:port
	HostKey     string // SHA256:…, "" when known_hosts is to tell
	Fingerprint string // of the API's certificate, for PinFingerprint
}

// Config says how to reach the nodes.
type Config struct {
	Hosts    []Host
	Via      string // ViaAPI or ViaSSH
	User     string // of the API: root@pam
	Password pve.Secret
	TokenID  string     // of an API token instead of user and password
	Token    pve.Secret // its secret
	Pin      string
	CAFile   string
	Pins     *Pins // for PinFirstUse
	SSH      SSHConfig
	Timeout  time.Duration // of one request; default 60 s, as storages that are added are tried first
	Now      func() time.Time
	Log      *slog.Logger
}

// A Fleet is the real Set. It connects when a node is first used.
type Fleet struct {
	cfg   Config
	hosts map[string]Host

	mu     sync.Mutex
	apis   map[string]*ticketAPI
	shells map[string]Shell
}

// NewFleet checks c. It connects to nobody yet.
func NewFleet(c Config) (*Fleet, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Timeout <= 0 {
		c.Timeout = 60 * time.Second
	}
	if c.Pins == nil {
		c.Pins = &Pins{by: map[string]string{}}
	}
	f := &Fleet{cfg: c, hosts: map[string]Host{}, apis: map[string]*ticketAPI{}, shells: map[string]Shell{}}
	for _, h := range c.Hosts {
		if _, _, err := net.SplitHostPort(h.API); err != nil && c.Via == ViaAPI {
			return nil, fmt.Errorf("node %s: address of the API %q: %w", h.Name, h.API, err)
		}
		f.hosts[h.Name] = h
	}
	if c.Via != ViaAPI && c.Via != ViaSSH {
		return nil, fmt.Errorf("transport %q: want %s or %s", c.Via, ViaAPI, ViaSSH)
	}
	return f, nil
}

// API implements Set.
func (f *Fleet) API(node string) API {
	h, ok := f.hosts[node]
	if !ok {
		return failing{fmt.Errorf("node %s is not in the file", node)}
	}
	if f.cfg.Via == ViaSSH {
		return pvesh{f.Shell(node)}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.apis[node]
	if a == nil {
		a = &ticketAPI{f: f, host: h}
		f.apis[node] = a
	}
	return a
}

// Shell implements Set.
func (f *Fleet) Shell(node string) Shell {
	h, ok := f.hosts[node]
	if !ok {
		return failing{fmt.Errorf("node %s is not in the file", node)}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.shells[node]
	if s == nil {
		s = f.cfg.SSH.shell(h)
		f.shells[node] = s
	}
	return s
}

// Renew implements Set.
func (f *Fleet) Renew(node, fingerprint string) {
	if f.cfg.Pin == PinFirstUse {
		if err := f.cfg.Pins.Set(node, fingerprint); err != nil && f.cfg.Log != nil {
			f.cfg.Log.Warn("cannot remember the certificate of a node", "node", node, "err", err)
		}
	}
	f.mu.Lock()
	a := f.apis[node]
	f.mu.Unlock()
	if a != nil {
		a.reset(fingerprint)
	}
}

// Close ends all connections.
func (f *Fleet) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, a := range f.apis {
		errs = append(errs, a.close())
	}
	for _, s := range f.shells {
		if c, ok := s.(interface{ Close() error }); ok {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// failing is a node that cannot be used.
type failing struct{ err error }

func (f failing) Get(context.Context, string, any) error             { return f.err }
func (f failing) Post(context.Context, string, Params, any) error    { return f.err }
func (f failing) Put(context.Context, string, Params, any) error     { return f.err }
func (f failing) Delete(context.Context, string, any) error          { return f.err }
func (f failing) Run(context.Context, Command) (out Output, _ error) { return out, f.err }
