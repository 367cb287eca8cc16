package collector

import (
	"context"
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/quorate/quorate/internal/source"
)

// A Scrape is one answer in the making.
type Scrape struct {
	exporter *Exporter
	ctx      context.Context
	runners  []*runner
}

// Gather runs the collectors and returns their metrics, sorted. It never fails: a series that
// cannot be exported, such as a second one of the same name and labels, is dropped and logged.
func (s *Scrape) Gather() ([]*dto.MetricFamily, error) {
	families, err := gather(s.collect())
	if err != nil {
		err = droppedError{err}
	}
	s.exporter.drop.report(err)
	return families, nil
}

// droppedError tells that series were left out of an answer.
type droppedError struct{ error }

func (e droppedError) Error() string { return "series dropped: " + e.error.Error() }

// Reason is the same for all, so that one bad row is logged once.
func (droppedError) Reason() string { return "invalid_series" }

// collect runs all collectors at once and waits until each has finished or the deadline is over.
func (s *Scrape) collect() []prometheus.Metric {
	leads := sync.OnceValue(func() bool { return s.exporter.leads(s.ctx) })
	results := make([]result, len(s.runners))
	var wg sync.WaitGroup
	for i, r := range s.runners {
		wg.Go(func() {
			if r.spec.Scope == Cluster && s.exporter.opts.Clusters == ScopeLeader && !leads() {
				results[i] = result{err: errNotLeader}
				return
			}
			results[i] = r.run(s.ctx)
		})
	}
	wg.Wait()

	var out []prometheus.Metric
	for i, r := range s.runners {
		if errors.Is(results[i].err, errNotLeader) {
			continue
		}
		out = append(out, results[i].metrics...)
		out = append(out, emitRun(r.spec.Name, results[i])...)
		for _, status := range s.exporter.opts.Statuses[r.spec.Name] {
			out = append(out, emitStatus(status())...)
		}
	}
	return out
}

// errNotLeader marks a collector that another node runs.
var errNotLeader = errors.New("not the leader")

var (
	collectorSuccess = newGauge("quorate_scrape_collector_success",
		"1 if the collector finished in time and without an error.", "collector")
	collectorDuration = newGauge("quorate_scrape_collector_duration_seconds",
		"How long the collector took in this scrape.", "collector")
	sourceUp = newGauge("quorate_source_up",
		"1 if the source answered this scrape's requests. Always there when this machine has the source.", "source")
	sourceStuck = newGauge("quorate_source_stuck_seconds",
		"Age of a call to the source that does not return, else 0.", "source")
	sourceRequests = newCounter("quorate_source_requests_total",
		"Requests made to the source.", "source")
	sourceErrors = newCounter("quorate_source_request_errors_total",
		"Requests to the source that failed, or were not made because an earlier one is stuck, by reason.", "source", "reason")
)

// SelfFamilies are the metrics an Exporter adds about itself.
func SelfFamilies() []*Family {
	return []*Family{collectorSuccess, collectorDuration, sourceUp, sourceStuck, sourceRequests, sourceErrors}
}

func emitRun(name string, r result) []prometheus.Metric {
	return []prometheus.Metric{
		collectorSuccess.metric(boolean(r.err == nil), name),
		collectorDuration.metric(r.took.Seconds(), name),
	}
}

// emitStatus is empty for a source that this machine is not meant to have: a Proxmox node without
// Ceph must not look like one whose Ceph is down.
func emitStatus(s source.Status) []prometheus.Metric {
	if !s.Configured {
		return nil
	}
	out := []prometheus.Metric{
		sourceUp.metric(boolean(s.Up), s.Name),
		sourceStuck.metric(s.Stuck.Seconds(), s.Name),
		sourceRequests.metric(float64(s.Requests), s.Name),
	}
	for reason, n := range s.Errors {
		out = append(out, sourceErrors.metric(float64(n), s.Name, reason))
	}
	return out
}
