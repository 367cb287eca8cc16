package collector

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/quorate/quorate/internal/source"
	"github.com/quorate/quorate/internal/source/corosync"
)

// funcCollector is a collector made of one function.
type funcCollector func(ctx context.Context, ch chan<- prometheus.Metric) error

func (f funcCollector) Collect(ctx context.Context, ch chan<- prometheus.Metric) error {
	return f(ctx, ch)
}

func spec(name string, scope Scope, f funcCollector) Spec {
	return Spec{Name: name, Scope: scope, On: true, New: func(Sources) (Collector, error) { return f, nil }}
}

var testSample = newGauge("test_sample", "A sample.", "of")

func sends(of ...string) funcCollector {
	return func(_ context.Context, ch chan<- prometheus.Metric) error {
		for _, o := range of {
			ch <- testSample.metric(1, o)
		}
		return nil
	}
}

type testExporter struct {
	*Exporter
	log bytes.Buffer
}

func newTestExporter(t *testing.T, o Options, src Sources, specs ...Spec) *testExporter {
	t.Helper()
	te := &testExporter{}
	o.Log = slog.New(slog.NewTextHandler(&te.log, nil))
	o.Now = time.Now
	if o.Timeout == 0 {
		o.Timeout = 3 * time.Second
	}
	if o.Clusters == "" {
		o.Clusters = ScopeAll
	}
	e, err := NewExporter(specs, src, o)
	if err != nil {
		t.Fatal(err)
	}
	te.Exporter = e
	return te
}

// scrape returns the values by "name{label values}".
func (e *testExporter) scrape(t *testing.T, f Filter) map[string]float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	s, err := e.Scrape(ctx, f)
	if err != nil {
		t.Fatal(err)
	}
	families, err := s.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return values(families)
}

func values(families []*dto.MetricFamily) map[string]float64 {
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetValue())
			}
			out[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
		}
	}
	return out
}

func TestOneStuckCollectorCostsOnlyItsOwnSeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var runs atomic.Int64
		e := newTestExporter(t, Options{}, Sources{},
			spec("good", Node, sends("good")),
			spec("bad", Node, func(_ context.Context, ch chan<- prometheus.Metric) error {
				runs.Add(1)
				ch <- testSample.metric(1, "bad")
				<-release // deaf to its context
				return nil
			}))

		begun := time.Now()
		got := e.scrape(t, Filter{})
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("the scrape took %s", took)
		}
		if got["test_sample{good}"] != 1 || got["quorate_scrape_collector_success{good}"] != 1 {
			t.Errorf("the good collector's series are not all there: %v", got)
		}
		if _, there := got["test_sample{bad}"]; there || got["quorate_scrape_collector_success{bad}"] != 0 {
			t.Errorf("half an answer of the bad collector was exported: %v", got)
		}

		begun = time.Now()
		e.scrape(t, Filter{})
		if took := time.Since(begun); took != 0 {
			t.Errorf("the next scrape waited %s for a collector known to be stuck", took)
		}
		if n := runs.Load(); n != 1 {
			t.Errorf("the bad collector was started %d times", n)
		}
		if n := strings.Count(e.log.String(), "collecting fails"); n != 1 {
			t.Errorf("logged %d times, want once:\n%s", n, e.log.String())
		}

		close(release)
		synctest.Wait()
		if got := e.scrape(t, Filter{}); got["test_sample{bad}"] != 1 {
			t.Errorf("the bad collector did not come back: %v", got)
		}
		if !strings.Contains(e.log.String(), "collecting works again") {
			t.Errorf("recovery is not in the log:\n%s", e.log.String())
		}
	})
}

func TestMetricsSentBeforeAnErrorAreExported(t *testing.T) {
	e := newTestExporter(t, Options{}, Sources{}, spec("half", Node, func(_ context.Context, ch chan<- prometheus.Metric) error {
		ch <- testSample.metric(0, "half")
		return errors.New("the rest cannot be read")
	}))
	got := e.scrape(t, Filter{})
	if _, there := got["test_sample{half}"]; !there || got["quorate_scrape_collector_success{half}"] != 0 {
		t.Errorf("got %v", got)
	}
}

func TestABadSeriesIsDroppedAloneAndLoggedOnce(t *testing.T) {
	for name, labels := range map[string][]string{
		"a duplicate":                    {"twin", "twin", "rest"},
		"a label that is not UTF-8":      {"rest", "\xff"},
		"a panic's leftovers and a twin": {"rest", "rest"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newTestExporter(t, Options{}, Sources{}, spec("rows", Node, sends(labels...)))
			for range 3 {
				if got := e.scrape(t, Filter{}); got["test_sample{rest}"] != 1 {
					t.Fatalf("the good row is missing: %v", got)
				}
			}
			if n := strings.Count(e.log.String(), "series dropped"); n != 1 {
				t.Errorf("logged %d times, want once:\n%s", n, e.log.String())
			}
		})
	}
}

func TestAPanicInACollectorIsAFailureOfThatCollector(t *testing.T) {
	e := newTestExporter(t, Options{}, Sources{},
		spec("good", Node, sends("good")),
		spec("bad", Node, func(context.Context, chan<- prometheus.Metric) error { panic("index out of range") }))
	got := e.scrape(t, Filter{})
	if got["test_sample{good}"] != 1 || got["quorate_scrape_collector_success{bad}"] != 0 {
		t.Errorf("got %v", got)
	}
}

func TestFilterChoosesCollectorsAndTheirSources(t *testing.T) {
	up := source.NewStats("daemon", nil)
	up.Record(nil)
	o := Options{Statuses: map[string][]func() source.Status{"a": {up.Status}}}
	e := newTestExporter(t, o, Sources{}, spec("a", Node, sends("a")), spec("b", Node, sends("b")))
	for name, c := range map[string]struct {
		filter Filter
		a, b   bool
	}{
		"everything":   {Filter{}, true, true},
		"collect[]=a":  {Filter{Collect: []string{"a"}}, true, false},
		"collect[]=b":  {Filter{Collect: []string{"b"}}, false, true},
		"exclude[]=a":  {Filter{Exclude: []string{"a"}}, false, true},
		"exclude both": {Filter{Exclude: []string{"a", "b"}}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := e.scrape(t, c.filter)
			_, a := got["test_sample{a}"]
			_, b := got["test_sample{b}"]
			_, src := got["quorate_source_up{daemon}"]
			if a != c.a || b != c.b || src != c.a {
				t.Errorf("got %v", got)
			}
		})
	}
	for name, f := range map[string]Filter{
		"unknown collect": {Collect: []string{"ceph", "nope"}},
		"unknown exclude": {Exclude: []string{"nope"}},
		"both":            {Collect: []string{"a"}, Exclude: []string{"b"}},
	} {
		if _, err := e.Scrape(t.Context(), f); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestASourceThisMachineDoesNotHaveIsNotDown(t *testing.T) {
	stats := source.NewStats("ceph", nil)
	stats.SetConfigured(false)
	o := Options{Statuses: map[string][]func() source.Status{"ceph": {stats.Status}}}
	e := newTestExporter(t, o, Sources{}, spec("ceph", Cluster, sends()))
	if got := e.scrape(t, Filter{}); len(got) != 2 {
		t.Errorf("got %v, want only the collector's success and duration", got)
	}
	stats.SetConfigured(true)
	stats.Record(context.DeadlineExceeded)
	if v, there := e.scrape(t, Filter{})["quorate_source_up{ceph}"]; !there || v != 0 {
		t.Errorf("quorate_source_up is %v (%t) for a source that does not answer", v, there)
	}
}

type fixedQuorum struct {
	corosync.Snapshot
	err error
}

func (f fixedQuorum) Quorum(context.Context) (corosync.Snapshot, error) { return f.Snapshot, f.err }

func TestClusterScopeLeaderIsTheLowestOnlineNodeOfTheQuoratePartition(t *testing.T) {
	members := func(up ...uint32) (all []corosync.Member) {
		for id := uint32(1); id <= 3; id++ {
			m := corosync.Member{ID: id}
			for _, u := range up {
				m.Up = m.Up || u == id
			}
			all = append(all, m)
		}
		return all
	}
	for name, c := range map[string]struct {
		quorum fixedQuorum
		leads  bool
	}{
		"the lowest":                    {fixedQuorum{Snapshot: corosync.Snapshot{Quorate: true, SelfID: 1, Members: members(1, 2, 3)}}, true},
		"not the lowest":                {fixedQuorum{Snapshot: corosync.Snapshot{Quorate: true, SelfID: 2, Members: members(1, 2, 3)}}, false},
		"the lowest is down":            {fixedQuorum{Snapshot: corosync.Snapshot{Quorate: true, SelfID: 2, Members: members(2, 3)}}, true},
		"cut off alone":                 {fixedQuorum{Snapshot: corosync.Snapshot{SelfID: 1, Members: members(1)}}, false},
		"corosync does not answer":      {fixedQuorum{err: context.DeadlineExceeded}, false},
		"one machine without a cluster": {fixedQuorum{Snapshot: corosync.Snapshot{Standalone: true}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			e := newTestExporter(t, Options{Clusters: ScopeLeader}, Sources{Corosync: c.quorum},
				spec("node", Node, sends("node")), spec("cluster", Cluster, sends("cluster")))
			got := e.scrape(t, Filter{})
			if _, leads := got["test_sample{cluster}"]; leads != c.leads || got["test_sample{node}"] != 1 {
				t.Errorf("got %v, want leader %t", got, c.leads)
			}
		})
	}
	e := newTestExporter(t, Options{Clusters: ScopeNone}, Sources{}, spec("node", Node, sends()), spec("cluster", Cluster, sends()))
	if got := e.Names(); len(got) != 1 || got[0] != "node" {
		t.Errorf("cluster scope none leaves %v", got)
	}
}

func TestExporterRefusesTwoCollectorsOfOneName(t *testing.T) {
	_, err := NewExporter([]Spec{spec("a", Node, sends()), spec("a", Node, sends())}, Sources{}, Options{Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err == nil {
		t.Error("no error")
	}
}
