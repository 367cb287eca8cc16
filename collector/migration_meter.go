package collector

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A QMPMeter counts the conversations with QEMU's monitors: it is a qmp.Observer. It is safe for
// concurrent use.
type QMPMeter struct {
	busy, timeouts prometheus.Counter
	took           prometheus.Histogram
}

// NewQMPMeter returns a QMPMeter at 0.
func NewQMPMeter() *QMPMeter {
	counter := func(f *Family) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: f.Name, Help: f.Help})
	}
	return &QMPMeter{
		busy: counter(qmpBusy), timeouts: counter(qmpTimeouts),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: qmpSampleDuration.Name, Help: qmpSampleDuration.Help,
			// A look takes about a millisecond; Proxmox gives up on a monitor after 5 s.
			Buckets:                         []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5},
			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  100,
			NativeHistogramMinResetDuration: time.Hour,
		}),
	}
}

// Sampled takes how long a look took that was answered.
func (m *QMPMeter) Sampled(took time.Duration) { m.took.Observe(took.Seconds()) }

// Busy counts a look that was left out for others.
func (m *QMPMeter) Busy() { m.busy.Inc() }

// TimedOut counts a look that was not answered in time.
func (m *QMPMeter) TimedOut() { m.timeouts.Inc() }

func (m *QMPMeter) collect(ch chan<- prometheus.Metric) {
	ch <- m.busy
	ch <- m.timeouts
	ch <- m.took
}
