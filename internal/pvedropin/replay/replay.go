// Package replay holds the page /pve against recordings of prometheus-pve-exporter: its page beside
// each reply of the API that it saw. The replies are served over TLS on a loopback port, the page is
// asked for with the same parameters, and both are compared series by series.
package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/collector"
	"github.com/quorate/quorate/internal/dropin"
	"github.com/quorate/quorate/internal/pvedropin"
	"github.com/quorate/quorate/internal/source/pve"
)

// meta is NAME.meta.json: how the recorded page was asked for.
type meta struct {
	Status int    `json:"http_status"`
	Query  string `json:"query"` // such as &cluster=0&node=1
}

// limit bounds one page. A recorded reply that never came ends with it.
const limit = 5 * time.Second

// Run replays each NAME.prom below dir with its NAME.calls.jsonl and NAME.meta.json. It fails when
// there is none, or when one cannot be understood.
func Run(ctx context.Context, dir string, log *slog.Logger) ([]dropin.State, error) {
	var pages []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".prom") {
			pages = append(pages, strings.TrimSuffix(path, ".prom"))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(pages) == 0 {
		return nil, fmt.Errorf("%s holds no recorded page (*.prom)", dir)
	}
	slices.Sort(pages)
	var states []dropin.State
	for _, p := range pages {
		name, err := filepath.Rel(dir, p)
		if err != nil {
			return nil, err
		}
		s, err := state(ctx, p, log)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		s.Name = name
		states = append(states, s)
	}
	return states, nil
}

// state replays one page.
func state(ctx context.Context, base string, log *slog.Logger) (s dropin.State, err error) {
	theirs, err := os.ReadFile(base + ".prom")
	if err != nil {
		return s, err
	}
	var m meta
	text, err := os.ReadFile(base + ".meta.json")
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return s, fmt.Errorf("%s.meta.json: %w", filepath.Base(base), err)
	}
	rec, err := readRecording(base + ".calls.jsonl")
	if err != nil {
		return s, err
	}
	code, ours, err := page(ctx, rec, m.Query, log)
	if err != nil {
		return s, err
	}
	if code != http.StatusOK {
		return s, fmt.Errorf("our page has status %d: %s", code, bytes.TrimSpace(ours))
	}
	if m.Status != http.StatusOK {
		return answered(m.Status, rec, ours)
	}
	s.Report, err = dropin.Compare(theirs, ours, dropin.Options{Explain: explain})
	return s, err
}

// answered is a state in which the recorded page is an error: there is nothing to compare with.
func answered(status int, rec *recording, ours []byte) (s dropin.State, err error) {
	report, err := dropin.Compare(nil, ours, dropin.Options{Explain: explain})
	if err != nil {
		return s, err
	}
	n := 0
	for _, r := range report.Results {
		if strings.HasPrefix(r.Family, "pve_") {
			n++
		}
	}
	s.Note = fmt.Sprintf("prometheus-pve-exporter answered %d (%s); we answer 200 with %d series, and nothing of what was not answered",
		status, strings.Join(rec.failed, ", "), n)
	return s, nil
}

// page asks our handler as the recorded page was asked for.
func page(ctx context.Context, rec *recording, query string, log *slog.Logger) (code int, body []byte, err error) {
	srv, err := serve(rec)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, srv.close()) }()
	targets, err := pvedropin.ParseTargets([]string{srv.addr})
	if err != nil {
		return 0, nil, err
	}
	h, err := pvedropin.New(pvedropin.Config{
		Modules: pvedropin.Modules{"default": {Auth: pve.Auth{TokenID: "replay@pve!token", TokenSecret: pve.NewSecret("replayed")}}},
		Targets: targets,
		Parts:   collector.AllPVEParts(),
		TLS:     pve.TLSConfig{CAPEM: srv.ca},
		Log:     log,
	})
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "/pve?target="+url.QueryEscape(srv.addr)+query, nil)
	if err != nil {
		return 0, nil, err
	}
	w := &answer{header: http.Header{}, code: http.StatusOK}
	h.ServeHTTP(w, req)
	return w.code, w.body.Bytes(), nil
}

// An answer is an http.ResponseWriter that keeps what is written.
type answer struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(code int)        { a.code = code }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }
