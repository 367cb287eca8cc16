package server

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/quorate/quorate/collector"
)

// A Scraper is what the server needs of collector.Exporter.
type Scraper interface {
	Scrape(ctx context.Context, f collector.Filter) (*collector.Scrape, error)
	Names() []string
}

// timeoutHeader is what Prometheus says its scrape timeout by, in seconds.
const timeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"

// scrapes answers with the chosen collectors' metrics, of collector only alone when that is given,
// and with those of self.
func (s *Server) scrapes(only string, self prometheus.Gatherer) http.Handler {
	slots := make(chan struct{}, s.cfg.MaxRequests)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			http.Error(w, fmt.Sprintf("%d scrapes are running already", s.cfg.MaxRequests), http.StatusServiceUnavailable)
			return
		}
		limit, err := s.timeout(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), limit)
		defer cancel()

		filter := collector.Filter{Collect: r.URL.Query()["collect[]"], Exclude: r.URL.Query()["exclude[]"]}
		if only != "" {
			filter = collector.Filter{Collect: []string{only}}
		}
		scrape, err := s.cfg.Scraper.Scrape(ctx, filter)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		gather := joined{scrape}
		if self != nil && len(filter.Collect) == 0 {
			gather = append(gather, self)
		}
		compressed(promhttp.HandlerFor(gather, promhttp.HandlerOpts{
			ErrorHandling:      promhttp.ContinueOnError,
			ErrorLog:           errorLog{s.cfg.Log},
			DisableCompression: true, // it is done by compressed
		})).ServeHTTP(w, r)
	})
}

// within gives requests to h the scraper's deadline.
func (s *Server) within(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit, err := s.timeout(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), limit)
		defer cancel()
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}

// timeout is the time this request may take: what the scraper says less the offset.
func (s *Server) timeout(r *http.Request) (time.Duration, error) {
	text := r.Header.Get(timeoutHeader)
	if text == "" {
		return s.cfg.DefaultTimeout, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || seconds <= 0 || seconds > time.Hour.Seconds() {
		return 0, fmt.Errorf("header %s: %q is not a number of seconds", timeoutHeader, text)
	}
	asked := time.Duration(seconds * float64(time.Second))
	// A timeout about as short as the offset leaves half of itself.
	return max(asked-s.cfg.Offset, asked/2), nil
}

// errorLog is a slog.Logger as promhttp wants it.
type errorLog struct {
	log interface{ Error(string, ...any) }
}

func (l errorLog) Println(v ...any) { l.log.Error("writing an answer", "err", fmt.Sprint(v...)) }
