package collector

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorate/quorate/internal/source"
)

// A runner runs one collector, at most once at a time, and logs when it begins or ceases to fail.
type runner struct {
	spec      Spec
	collector Collector
	flight    *source.Flight[result]
	timeout   time.Duration
	now       func() time.Time
	changes   changeLog
	last      atomic.Int64 // how many metrics the last run gave
}

// result is what one run of a collector gave.
type result struct {
	metrics []prometheus.Metric
	err     error
	took    time.Duration
}

func newRunner(s Spec, c Collector, o Options) *runner {
	return &runner{
		spec:      s,
		collector: c,
		flight:    source.NewFlight[result](source.NewStats("collector "+s.Name, o.Now)),
		timeout:   o.Timeout,
		now:       o.Now,
		changes:   changeLog{log: o.Log.With("collector", s.Name)},
	}
}

// grace is how long before the scrape's deadline a collector is told to end, so that it can still
// hand over what it has.
const grace = 100 * time.Millisecond

// run collects under ctx. Concurrent runs share one result. It returns soon after ctx ends, with
// or without the collector.
func (r *runner) run(ctx context.Context) result {
	start := r.now()
	res, err := r.flight.Do(ctx, func() (result, error) { return r.collect(ctx), nil })
	if err != nil { // abandoned, stuck or panicked: nothing it may have sent is used
		res = result{err: err}
	}
	res.took = r.now().Sub(start)
	r.changes.report(res.err)
	return res
}

func (r *runner) collect(ctx context.Context) result {
	limit := r.timeout
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)-grace)
	}
	// Others may share this run, so it does not end because the first scraper hung up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()

	ch := make(chan prometheus.Metric, 256) // so that sender and buffer take turns seldom
	buffer := make(chan []prometheus.Metric, 1)
	go func() {
		metrics := make([]prometheus.Metric, 0, r.last.Load())
		for m := range ch {
			metrics = append(metrics, m)
		}
		r.last.Store(int64(len(metrics)))
		buffer <- metrics
	}()
	err := func() error {
		defer close(ch) // also when the collector panics
		return r.collector.Collect(ctx, ch)
	}()
	return result{metrics: <-buffer, err: err}
}
