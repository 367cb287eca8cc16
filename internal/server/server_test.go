package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/exporter-toolkit/web"

	"github.com/quorate/quorate/collector"
)

type deadlineCollector struct{ left chan<- time.Duration }

func (c deadlineCollector) Collect(ctx context.Context, ch chan<- prometheus.Metric) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(time.Hour)
	}
	c.left <- time.Until(deadline)
	ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("test_sample", "A sample.", nil, nil), prometheus.GaugeValue, 1)
	return nil
}

func newTestServer(t *testing.T, left chan<- time.Duration) *Server {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	e, err := collector.NewExporter([]collector.Spec{
		{Name: "ceph", New: func(collector.Sources) (collector.Collector, error) { return deadlineCollector{left}, nil }},
	}, collector.Sources{}, collector.Options{Clusters: collector.ScopeAll, Timeout: time.Minute, Log: log, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	self := prometheus.NewRegistry()
	self.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "self_sample", Help: "Ours."}, func() float64 { return 1 }))
	s, err := New(Config{
		Scraper: e, Self: self, DefaultTimeout: 10 * time.Second, Offset: 250 * time.Millisecond, MaxRequests: 2, Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func get(t *testing.T, s *Server, path, timeout string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	if timeout != "" {
		r.Header.Set(timeoutHeader, timeout)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(body)
}

func TestTheScrapersTimeoutIsTheDeadlineOfItsCollectors(t *testing.T) {
	left := make(chan time.Duration, 1)
	s := newTestServer(t, left)
	for name, c := range map[string]struct {
		header string
		atMost time.Duration
	}{
		"named":               {"5", 4750 * time.Millisecond},
		"fractional":          {"2.5", 2250 * time.Millisecond},
		"as short as the way": {"0.2", 100 * time.Millisecond},
		"not named":           {"", 10 * time.Second},
		"longer than default": {"30", 29750 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			code, body := get(t, s, "/metrics", c.header)
			if code != http.StatusOK || !strings.Contains(body, "test_sample 1") {
				t.Fatalf("status %d: %s", code, body)
			}
			if got := <-left; got > c.atMost || got < c.atMost-time.Second {
				t.Errorf("the collector had %s, want a little less than %s", got, c.atMost)
			}
		})
	}
}

func TestBadRequestsAreToldWhatIsWrong(t *testing.T) {
	s := newTestServer(t, make(chan time.Duration, 1))
	for name, c := range map[string]struct{ path, header, want string }{
		"a timeout that is no number": {"/metrics", "soon", `"soon" is not a number of seconds`},
		"a timeout below zero":        {"/metrics", "-1", `"-1" is not a number of seconds`},
		"an unknown collector":        {"/metrics?collect[]=cpeh", "", `no collector "cpeh" is on; there are ceph`},
		"collect and exclude":         {"/metrics?collect[]=ceph&exclude[]=ceph", "", "cannot be combined"},
	} {
		t.Run(name, func(t *testing.T) {
			code, body := get(t, s, c.path, c.header)
			if code != http.StatusBadRequest || !strings.Contains(body, c.want) {
				t.Errorf("status %d: %s", code, body)
			}
		})
	}
}

func TestPagesAnswer(t *testing.T) {
	s := newTestServer(t, make(chan time.Duration, 9))
	s.SetReady(true)
	for path, want := range map[string]string{
		"/":                       `href="/metrics"`,
		"/-/healthy":              "healthy",
		"/-/ready":                "ready",
		"/metrics":                "self_sample 1",
		"/metrics?exclude[]=ceph": "self_sample 1",
		"/ceph":                   "test_sample 1",
	} {
		code, body := get(t, s, path, "")
		if code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: status %d, want %q in %s", path, code, want, body)
		}
	}
	if _, body := get(t, s, "/ceph", ""); strings.Contains(body, "self_sample") {
		t.Error("/ceph has more than the Ceph part")
	}
	if code, _ := get(t, s, "/nothing", ""); code != http.StatusNotFound {
		t.Errorf("/nothing: status %d", code)
	}
	s.SetReady(false)
	if code, _ := get(t, s, "/-/ready", ""); code != http.StatusServiceUnavailable {
		t.Errorf("ready while stopping: status %d", code)
	}
}

// heldScraper keeps every scrape until it is released.
type heldScraper struct{ in, release chan struct{} }

func (h heldScraper) Scrape(context.Context, collector.Filter) (*collector.Scrape, error) {
	h.in <- struct{}{}
	<-h.release
	return nil, errors.New("released")
}

func (heldScraper) Names() []string { return nil }

func TestMoreScrapesThanAllowedAreTurnedAway(t *testing.T) {
	held := heldScraper{in: make(chan struct{}), release: make(chan struct{})}
	s, err := New(Config{Scraper: held, DefaultTimeout: time.Second, MaxRequests: 2, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	codes := make(chan int)
	for range 2 {
		go func() {
			code, _ := get(t, s, "/metrics", "")
			codes <- code
		}()
		<-held.in
	}
	if code, _ := get(t, s, "/metrics", ""); code != http.StatusServiceUnavailable {
		t.Errorf("a third scrape got status %d", code)
	}
	close(held.release)
	for range 2 {
		if code := <-codes; code != http.StatusBadRequest {
			t.Errorf("a scrape that was let in got status %d", code)
		}
	}
}

func TestServeStopsWhenItsContextEnds(t *testing.T) {
	s := newTestServer(t, make(chan time.Duration, 1))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error, 1)
	go func() { failed <- s.Serve(ctx, toolkitFlags("127.0.0.1:0", "")) }()
	cancel()
	select {
	case err := <-failed:
		if err != nil {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still serving")
	}
}

func TestServeFailsOnABadAddressOrConfiguration(t *testing.T) {
	for name, flags := range map[string]*web.FlagConfig{
		"address":       toolkitFlags("nowhere.invalid:port", ""),
		"configuration": toolkitFlags("127.0.0.1:0", "testdata/broken-web.yml"),
		"missing file":  toolkitFlags("127.0.0.1:0", "testdata/absent.yml"),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := newTestServer(t, make(chan time.Duration, 1)).Serve(ctx, flags); err == nil {
				t.Error("it served")
			}
		})
	}
}

func toolkitFlags(address, config string) *web.FlagConfig {
	addresses, socket := []string{address}, false
	return &web.FlagConfig{WebListenAddresses: &addresses, WebSystemdSocket: &socket, WebConfigFile: &config}
}
