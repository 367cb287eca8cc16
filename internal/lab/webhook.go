package lab

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"time"
)

const (
	pagerName     = "pager"
	maxWebhook    = 8 << 20 // bytes of one notification
	pagerShutdown = 2 * time.Second
)

// Pager is the webhook that Alertmanager tells, and a page that shows what it was told.
//
//	POST /            a notification of Alertmanager
//	GET  /            the page
//	GET  /pages.jsonl the notifications, one a line
type Pager struct {
	log *PageLog
	now func() time.Time
}

// NewPager returns a webhook that keeps notifications in log.
func NewPager(log *PageLog, now func() time.Time) *Pager { return &Pager{log: log, now: now} }

// ServeHTTP takes notifications and shows them.
func (p *Pager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /{$}", p.take)
	mux.HandleFunc("GET /{$}", p.show)
	mux.HandleFunc("GET /pages.jsonl", p.list)
	mux.ServeHTTP(w, r)
}

// take keeps a notification. One that is no notification is refused; Alertmanager repeats one that
// could not be kept.
func (p *Pager) take(w http.ResponseWriter, r *http.Request) {
	var n Notification
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxWebhook)).Decode(&n); err != nil {
		http.Error(w, fmt.Sprintf("not a notification: %v", err), http.StatusBadRequest)
		return
	}
	if len(n.Alerts) == 0 {
		http.Error(w, "not a notification: it has no alerts", http.StatusBadRequest)
		return
	}
	n.Time = p.now()
	if err := p.log.Append(n); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func (p *Pager) list(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/jsonl")
	encoder := json.NewEncoder(w)
	for _, n := range p.log.All() {
		if encoder.Encode(n) != nil {
			return // who asked is gone
		}
	}
}

//go:embed pager.html
var pagerHTML string

// show writes the page, the latest notification first.
func (p *Pager) show(w http.ResponseWriter, _ *http.Request) {
	page, err := template.New("pager").Funcs(template.FuncMap{
		"clock": func(t time.Time) string { return t.Local().Format("15:04:05") },
		"where": where,
	}).Parse(pagerHTML)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	all := p.log.All()
	shown := slices.Clone(all)
	slices.Reverse(shown)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = page.Execute(w, struct { // an error is that of a browser that left
		Now           time.Time
		Firing        []Paged
		Notifications []Notification
	}{p.now(), Firing(all), shown})
}

// where is what tells an alert from others of its name.
func where(labels map[string]string) string {
	text := ""
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		switch name {
		case "alertname", "severity", "subject", "cluster", "job":
			continue
		}
		if text != "" {
			text += ", "
		}
		text += name + "=" + labels[name]
	}
	return text
}

// pagesPath is where a lab keeps what was paged.
func (l *Lab) pagesPath() string { return filepath.Join(l.NodeDir(0), "pages.jsonl") }

// StartPager runs the webhook as a process of the lab, and returns when it answers.
func (l *Lab) StartPager(ctx context.Context, listen string) error {
	self, err := l.self(ctx)
	if err != nil {
		return err
	}
	err = l.StartDaemon(ctx, Daemon{Name: pagerName, Argv: []string{self, pagerName, "--dir", l.o.Dir, "--listen", listen}})
	if err != nil {
		return err
	}
	return l.waitAnswer(ctx, 0, pagerName, "http://"+listen+"/", func(code int) bool { return code == http.StatusOK })
}

// ServePager is the webhook on a loopback address until ctx ends. What was paged is kept in the lab's
// directory, so another one goes on where it ended.
func (l *Lab) ServePager(ctx context.Context, listen string, status io.Writer) error {
	log, err := OpenPageLog(l.pagesPath())
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: NewPager(log, time.Now), ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), pagerShutdown)
		defer cancel()
		_ = server.Shutdown(end)
	})
	defer stop()
	fmt.Fprintf(status, "pages are shown on http://%s/\n", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
