package pvedropin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/quorate/quorate/collector"
	"github.com/quorate/quorate/internal/source"
	"github.com/quorate/quorate/internal/source/pve"
)

// Defaults of Config.
const (
	DefaultTimeout    = 10 * time.Second
	DefaultMaxClients = 32
	DefaultIdle       = 10 * time.Minute
)

// A Config is what a Handler needs.
type Config struct {
	Modules Modules
	Targets Targets
	Parts   collector.PVEParts // which of its parts the page has; see collector.AllPVEParts

	// TLS says whom to believe where a module does not: system CAs if it is empty.
	TLS pve.TLSConfig

	Timeout    time.Duration    // of a request whose context has no deadline; 0 means DefaultTimeout
	MaxClients int              // API clients kept at a time; 0 means DefaultMaxClients
	Idle       time.Duration    // after which an unused client is closed; 0 means DefaultIdle
	Log        *slog.Logger     // nil means nowhere
	Now        func() time.Time // nil means time.Now
}

// A Handler is the page /pve.
type Handler struct {
	cfg     Config
	clients *clients
	stats   *source.Stats
}

// New returns a Handler. It sends nothing; a module that can never work is an error.
func New(c Config) (*Handler, error) {
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	h := &Handler{cfg: c, stats: source.NewStats("pve_dropin", c.Now, reasons()...)}
	h.stats.SetConfigured(len(c.Modules) > 0)
	h.clients = &clients{
		open: h.open, now: c.Now, all: map[place]*client{},
		max: cmp.Or(c.MaxClients, DefaultMaxClients), idle: cmp.Or(c.Idle, DefaultIdle),
	}
	for name := range c.Modules {
		api, err := h.open(place{name, target{"localhost", 1}})
		if err != nil {
			return nil, fmt.Errorf("module %q: %w", name, err)
		}
		_ = api.Close() // always nil
	}
	return h, nil
}

// reasons are those that errors of the API have.
func reasons() []string {
	var all []string
	for _, k := range []pve.Kind{
		pve.Refused, pve.Dial, pve.TLS, pve.Timeout, pve.Unauthorized, pve.Forbidden, pve.NoQuorum, pve.NodeUnreachable,
		pve.NotImplemented, pve.Server, pve.Client4xx, pve.Truncated, pve.Type, pve.TooLarge,
	} {
		all = append(all, string(k))
	}
	return all
}

// open makes the client of p.
func (h *Handler) open(p place) (*pve.Client, error) {
	m := h.cfg.Modules[p.module]
	tls := h.cfg.TLS
	switch {
	case m.Insecure:
		tls = pve.TLSConfig{Insecure: true}
	case m.CAFile != "":
		tls.CAFile, tls.CAPEM = m.CAFile, nil
	}
	return pve.New(pve.Config{
		Endpoints: []string{"https://" + p.target.String()},
		Auth:      m.Auth,
		TLS:       tls,
		Timeout:   cmp.Or(m.Timeout, h.cfg.Timeout),
		Log:       h.cfg.Log.With("target", p.target.String()),
		Now:       h.cfg.Now,
	})
}

// Status counts pages as requests, and those that lack something by the reason of it. It is of use in
// /metrics, where a target that does not answer at all can be told from one that nobody scrapes.
func (h *Handler) Status() source.Status { return h.stats.Status() }

// Close ends all scrapes and clients.
func (h *Handler) Close() error { return h.clients.close() }

// A question is what a request asks for.
type question struct {
	place
	parts collector.PVEParts
}

// A refusal is a request that is not carried out.
type refusal struct {
	code int
	text string
}

func (r refusal) Error() string { return r.text }

// ServeHTTP answers with what could be read. If nothing could, it answers 502 or 504 and says why, so
// that Prometheus sets up to 0.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q, err := h.parse(r)
	var no refusal
	if errors.As(err, &no) {
		http.Error(w, no.text, no.code)
		return
	}
	one, err := h.clients.acquire(q.place)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer h.clients.release(one)

	ctx := r.Context()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, h.cfg.Timeout)
		defer cancel()
	}
	families, err := collector.GatherPVEPage(ctx, reader{one.Client}, q.parts, one.Status)
	if !errors.Is(r.Context().Err(), context.Canceled) { // who hangs up says nothing about the target
		h.stats.Record(err)
		one.reports.report(h.cfg.Log.With("target", q.target.String(), "module", q.module), err)
	}
	if err != nil && !tells(families) {
		http.Error(w, fmt.Sprintf("nothing could be read from %s: %v", q.target, err), code(err))
		return
	}
	page := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return families, nil })
	promhttp.HandlerFor(page, promhttp.HandlerOpts{ErrorLog: errorLog{h.cfg.Log}}).ServeHTTP(w, r)
}

// parse reads the parameters as prometheus-pve-exporter does.
func (h *Handler) parse(r *http.Request) (question, error) {
	values := r.URL.Query()
	get := func(name, otherwise string) string {
		if !values.Has(name) {
			return otherwise
		}
		return values.Get(name)
	}
	var q question
	q.module = get("module", defaultModule)
	m, ok := h.cfg.Modules[q.module]
	if !ok {
		return q, refusal{http.StatusBadRequest, fmt.Sprintf("Module %s not found in config", strconv.Quote(shown(q.module)))}
	}
	name := get("target", "localhost")
	t, err := parseTarget(name)
	if err != nil {
		return q, refusal{http.StatusBadRequest, fmt.Sprintf("target %s: %v", strconv.Quote(shown(name)), err)}
	}
	if q.target, ok = h.cfg.Targets.allow(t, m.home()); !ok {
		return q, refusal{http.StatusForbidden, fmt.Sprintf(
			"target %s is not on the list of allowed targets: whoever may name any host gets the token of module %q sent to his own. "+
				"Add it by --pve.dropin.target if it is yours.", q.target, q.module)}
	}
	q.parts = h.cfg.Parts.Choose(on(get("cluster", "1")), on(get("node", "1")))
	return q, nil
}

// home is the port of targets that name none.
func (m Module) home() uint16 {
	if m.Port != 0 {
		return m.Port
	}
	n, _ := strconv.ParseUint(pve.DefaultPort, 10, 16) // a constant
	return uint16(n)
}

func on(s string) bool {
	switch strings.ToLower(s) {
	case "false", "0", "":
		return false
	}
	return true
}

// tells says whether there is anything about the target, not only about the way to it.
func tells(families []*dto.MetricFamily) bool {
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "pve_") {
			return true
		}
	}
	return false
}

func code(err error) int {
	if source.Reason(err) == "timeout" {
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}

// reports logs when a target begins to fail, fails otherwise, or ceases to.
type reports struct {
	mu   sync.Mutex
	last string
}

func (r *reports) report(log *slog.Logger, err error) {
	now := ""
	if err != nil {
		now = source.Reason(err)
	}
	r.mu.Lock()
	before := r.last
	r.last = now
	r.mu.Unlock()
	switch {
	case now == before:
	case err != nil:
		log.Warn("a scrape of /pve lacks something", "reason", now, "err", err)
	default:
		log.Info("scrapes of /pve are complete again")
	}
}

// errorLog is a slog.Logger as promhttp wants it.
type errorLog struct{ log *slog.Logger }

func (l errorLog) Println(v ...any) { l.log.Error("writing an answer", "err", fmt.Sprint(v...)) }
