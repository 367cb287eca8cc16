package collector

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// durations is a histogram of a list that only grows: a source that knows no Prometheus keeps the
// list, and each member is observed once.
type durations struct {
	histogram prometheus.Histogram

	mu   sync.Mutex
	seen int // members observed
}

func newDurations(f *Family, buckets []float64) *durations {
	return &durations{histogram: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: f.Name, Help: f.Help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	})}
}

// upTo returns the histogram with all of list observed.
func (d *durations) upTo(list []time.Duration) prometheus.Metric {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ; d.seen < len(list); d.seen++ {
		d.histogram.Observe(list[d.seen].Seconds())
	}
	return d.histogram
}
