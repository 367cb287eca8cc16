package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/exporter-toolkit/web"
)

// Config is what a Server needs.
type Config struct {
	Scraper Scraper
	Self    prometheus.Gatherer // metrics about this process, in /metrics only
	PVE     http.Handler        // the page /pve; nil leaves it out

	DefaultTimeout time.Duration // deadline of a request that names none
	Offset         time.Duration // taken off the scraper's timeout for the way back
	MaxRequests    int           // scrapes at the same time; further ones get status 503

	Version string
	Log     *slog.Logger
}

// A Server is the program's HTTP side.
type Server struct {
	cfg   Config
	http  http.Server
	ready atomic.Bool
}

// New returns a Server that is not ready until SetReady.
func New(cfg Config) (*Server, error) {
	s := &Server{cfg: cfg}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.scrapes("", cfg.Self))
	mux.Handle("GET /ceph", s.scrapes("ceph", nil))
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "healthy")
	})
	mux.HandleFunc("GET /-/ready", s.answerReady)
	links := []web.LandingLinks{
		{Address: "/metrics", Text: "Metrics", Description: "everything this node knows; choose with ?collect[]=NAME or ?exclude[]=NAME"},
		{Address: "/ceph", Text: "Ceph", Description: "the Ceph part alone, for a scrape job named ceph"},
		{Address: "/-/healthy", Text: "Healthy", Description: "the program runs"},
		{Address: "/-/ready", Text: "Ready", Description: "the program answers scrapes"},
	}
	if cfg.PVE != nil {
		mux.Handle("GET /pve", s.within(cfg.PVE))
		links = append(links, web.LandingLinks{Address: "/pve", Text: "Proxmox VE", Description: "as prometheus-pve-exporter: ?target=&module=&cluster=&node="})
	}
	landing, err := web.NewLandingPage(web.LandingConfig{
		Name:        "Quorate",
		Description: "What this node knows of its cluster: corosync, Ceph, Proxmox VE",
		Version:     cfg.Version,
		Profiling:   "false",
		Links:       links,
	})
	if err != nil {
		return nil, fmt.Errorf("landing page: %w", err)
	}
	mux.Handle("GET /{$}", landing)
	s.http.Handler = mux
	s.http.ReadHeaderTimeout = 10 * time.Second
	s.http.IdleTimeout = 2 * time.Minute
	s.http.WriteTimeout = 2 * time.Minute // a reader that stalls does not keep its slot
	return s, nil
}

// Handler is the server's handler without listener or TLS.
func (s *Server) Handler() http.Handler { return s.http.Handler }

// SetReady says whether /-/ready answers 200.
func (s *Server) SetReady(yes bool) { s.ready.Store(yes) }

func (s *Server) answerReady(w http.ResponseWriter, _ *http.Request) {
	if !s.ready.Load() {
		http.Error(w, "not ready: starting or stopping", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

// Serve listens as flags say and answers until ctx ends, then lets running scrapes finish for at
// most DefaultTimeout. It fails when it cannot listen or the web configuration is wrong.
func (s *Server) Serve(ctx context.Context, flags *web.FlagConfig) error {
	if err := web.Validate(*flags.WebConfigFile); err != nil {
		return fmt.Errorf("web configuration %s: %w", *flags.WebConfigFile, err)
	}
	failed := make(chan error, 1)
	go func() { failed <- web.ListenAndServe(&s.http, flags, s.cfg.Log) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", strings.Join(*flags.WebListenAddresses, ", "), err)
	case <-ctx.Done():
	}
	s.SetReady(false)
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.DefaultTimeout)
	defer cancel()
	err := s.http.Shutdown(stop)
	if serveErr := <-failed; err == nil && !errors.Is(serveErr, http.ErrServerClosed) {
		err = serveErr
	}
	return err
}
