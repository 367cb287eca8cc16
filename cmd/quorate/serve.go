package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	versioncollector "github.com/prometheus/client_golang/prometheus/collectors/version"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"
	toolkit "github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"github.com/quorate/quorate/collector"
	"github.com/quorate/quorate/internal/server"
)

// serveCommand is `quorate serve`: its flags, and how they are wired.
type serveCommand struct {
	clause *kingpin.CmdClause

	collectors map[string]*bool
	asked      map[string]*bool // switched on or off by the user
	scope      *string
	timeout    *time.Duration
	web        *web.FlagConfig
	offset     *time.Duration
	fallback   *time.Duration
	requests   *int
	log        *promslog.Config
	sources    sourceFlags
}

func newServeCommand(app *kingpin.Application, log *promslog.Config) *serveCommand {
	c := app.Command("serve", "Export metrics for Prometheus.")
	s := &serveCommand{clause: c, collectors: map[string]*bool{}, asked: map[string]*bool{}, log: log}
	for _, spec := range collector.Specs() {
		help := fmt.Sprintf("Collector %s: %s (%s scope)", spec.Name, spec.Help, spec.Scope)
		s.asked[spec.Name] = new(bool)
		s.collectors[spec.Name] = c.Flag("collector."+spec.Name, help).Default(fmt.Sprint(spec.On && supported(spec.Name))).
			IsSetByUser(s.asked[spec.Name]).Bool()
	}
	s.timeout = c.Flag("collector.timeout", "How long one collector may take, within the scrape's timeout.").Default("3s").Duration()
	s.scope = c.Flag("cluster-scope", "Which nodes export facts of the whole cluster: all, the leader (lowest online node id of the quorate partition), or none.").
		Default(string(collector.ScopeAll)).Enum(string(collector.ScopeAll), string(collector.ScopeLeader), string(collector.ScopeNone))
	s.web = toolkit.AddFlags(c, ":9921")
	s.offset = c.Flag("web.timeout-offset", "Taken off the scraper's timeout, for the way back.").Default("250ms").Duration()
	s.fallback = c.Flag("web.default-timeout", "Deadline of a scrape that names none.").Default("10s").Duration()
	s.requests = c.Flag("web.max-requests", "Scrapes at the same time.").Default("40").Int()
	s.sources.add(c)
	return s
}

func (s *serveCommand) name() string { return s.clause.FullCommand() }

// run serves until SIGTERM or SIGINT.
func (s *serveCommand) run(stderr io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50) // a scrape allocates little: Go's default headroom is not worth the memory
	}
	runtime.MemProfileRate = 0 // nobody can ask for the profile, whose tables take more than a MiB
	s.log.Writer = stderr
	log := promslog.New(s.log)
	src, err := s.sources.open(s.enabled, log)
	if err != nil {
		return err
	}
	defer src.close(log)
	page, err := s.sources.pve.page(src, log.With("component", "pve-dropin"))
	if err != nil {
		return err
	}
	exporter, err := collector.NewExporter(s.specs(src, log), src.Sources, collector.Options{
		Clusters: collector.ClusterScope(*s.scope),
		Statuses: src.statuses,
		Timeout:  *s.timeout,
		Log:      log,
		Now:      time.Now,
	})
	if err != nil {
		return err
	}
	srv, err := server.New(server.Config{
		Scraper:        exporter,
		Self:           selfMetrics(),
		PVE:            page,
		DefaultTimeout: *s.fallback,
		Offset:         *s.offset,
		MaxRequests:    *s.requests,
		Version:        version.Info(),
		Log:            log,
	})
	if err != nil {
		return err
	}
	log.Info("starting", "version", version.Info(), "collectors", strings.Join(exporter.Names(), " "))
	finished := src.start(ctx, cancel)
	srv.SetReady(true)
	err = srv.Serve(ctx, s.web)
	cancel(nil)
	<-finished
	// A source that found out that it can never work has ended the program.
	if fatal := (fatalError{}); errors.As(context.Cause(ctx), &fatal) {
		err = fatal
	}
	return err
}

func (s *serveCommand) enabled(name string) bool { return *s.collectors[name] }

// specs are the collectors to run: those that are on, less those that this machine has no source for
// unless they were asked for, which is an error that NewExporter words.
func (s *serveCommand) specs(src *sources, log *slog.Logger) []collector.Spec {
	return slices.DeleteFunc(collector.Specs(), func(spec collector.Spec) bool {
		if s.enabled(spec.Name) && !src.has(spec.Name) && !*s.asked[spec.Name] {
			log.Info("collector is off: this machine has no source for it", "collector", spec.Name)
			return true
		}
		return !s.enabled(spec.Name)
	})
}

// selfMetrics are those about this process.
func selfMetrics() prometheus.Gatherer {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		versioncollector.NewCollector("quorate"),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return reg
}
