package hareplay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/quorate/quorate/collector"
	"github.com/quorate/quorate/internal/source/pve"
)

// A Result is the outcome of one scenario.
type Result struct {
	Name        string
	Differences []string // each with its time; none if all is equal
}

// Run replays all scenarios of dir, in order of name.
func Run(ctx context.Context, dir string) ([]Result, error) {
	index, err := readIndex(dir)
	if err != nil {
		return nil, err
	}
	var all []Result
	for _, name := range slices.Sorted(maps.Keys(index)) {
		s, err := readScenario(dir, name, index[name])
		if err != nil {
			return nil, err
		}
		differ, err := replay(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, Result{name, differ})
	}
	return all, nil
}

// Print writes a line for each scenario that differs, all of its differences if verbose, and the sum.
func Print(w io.Writer, results []Result, verbose bool) error {
	differ := 0
	for _, r := range results {
		if len(r.Differences) == 0 {
			continue
		}
		differ++
		shown := r.Differences[:1]
		if verbose {
			shown = r.Differences
		}
		if _, err := fmt.Fprintf(w, "%s: %s (differences: %d)\n", r.Name, strings.Join(shown, "; "), len(r.Differences)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "scenarios=%d equal=%d differ=%d\n", len(results), len(results)-differ, differ)
	return err
}

// A player is an HAReader that reads the step it stands at.
type player struct {
	step    Step
	tracker *pve.HATracker
	now     pve.HA
}

var errNobody = errors.New("no node is there to be asked")

func (p *player) HA(context.Context) (pve.HAView, error) {
	if !p.step.answered() {
		return pve.HAView{Counts: p.tracker.Counts()}, errNobody
	}
	h, err := p.step.parse()
	if err != nil {
		return pve.HAView{}, err
	}
	p.now = h
	p.tracker.Observe(h)
	return pve.HAView{HA: h, Counts: p.tracker.Counts()}, nil
}

func (s Step) parse() (pve.HA, error) {
	return pve.ParseHAReplies(s.Current, s.Status, time.Unix(s.Time, 0))
}

// replay returns how the series of s differ from what its entry says.
func replay(ctx context.Context, s Scenario) ([]string, error) {
	p := &player{tracker: pve.NewHATracker()}
	c, err := collector.HASpec().New(collector.Sources{HA: p})
	if err != nil {
		return nil, err
	}
	want := newExpectation(s)
	var files fileView
	for _, step := range s.Steps {
		p.step = step
		got, err := scrape(ctx, c, step.answered())
		if err != nil {
			return nil, fmt.Errorf("t=%d: %w", step.T, err)
		}
		look := &comparison{t: step.T, got: got, want: want}
		if err := look.step(step, p.now, p.tracker.Counts()); err != nil {
			return nil, fmt.Errorf("t=%d: %w", step.T, err)
		}
		if err := files.compare(step, p.now, look); err != nil {
			return nil, fmt.Errorf("t=%d: %w", step.T, err)
		}
	}
	want.end(p.tracker.Counts())
	return want.differ, nil
}

// series are values by name and labels, as `name{a="x",b="y"}` with sorted labels. Histograms are
// NAME_count and NAME_sum.
type series map[string]float64

// scrape collects through a registry that refuses what is inconsistent.
func scrape(ctx context.Context, c collector.Collector, answered bool) (series, error) {
	reg := prometheus.NewPedanticRegistry()
	once := &once{ctx: ctx, c: c}
	if err := reg.Register(once); err != nil {
		return nil, err
	}
	families, err := reg.Gather()
	if err != nil {
		return nil, err
	}
	if failed := once.err != nil; failed == answered {
		return nil, fmt.Errorf("the collector returned %v", once.err)
	}
	all := series{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			all.add(f, m)
		}
	}
	return all, nil
}

func (s series) add(f *dto.MetricFamily, m *dto.Metric) {
	var labels []string
	for _, l := range m.GetLabel() {
		labels = append(labels, l.GetName(), l.GetValue())
	}
	switch {
	case m.Gauge != nil:
		s[key(f.GetName(), labels...)] = m.GetGauge().GetValue()
	case m.Counter != nil:
		s[key(f.GetName(), labels...)] = m.GetCounter().GetValue()
	case m.Histogram != nil:
		s[key(f.GetName()+"_count", labels...)] = float64(m.GetHistogram().GetSampleCount())
		s[key(f.GetName()+"_sum", labels...)] = m.GetHistogram().GetSampleSum()
	}
}

// key names a series; labels are pairs, sorted by name.
func key(name string, labels ...string) string {
	if len(labels) == 0 {
		return name
	}
	var pairs []string
	for i := 0; i < len(labels); i += 2 {
		pairs = append(pairs, fmt.Sprintf("%s=%q", labels[i], labels[i+1]))
	}
	return name + "{" + strings.Join(pairs, ",") + "}"
}

// once is a Collector as a registry wants it.
type once struct {
	ctx context.Context
	c   collector.Collector
	err error
}

func (*once) Describe(chan<- *prometheus.Desc) {}

func (o *once) Collect(ch chan<- prometheus.Metric) { o.err = o.c.Collect(o.ctx, ch) }

// current is a row of /cluster/ha/status/current: the manager's own words, beside those that the
// parser takes from manager_status.
type current struct {
	Type      string `json:"type"`
	Node      string `json:"node"`
	SID       string `json:"sid"`
	CRMState  string `json:"crm_state"`
	Requested string `json:"request_state"`
	Timestamp int64  `json:"timestamp"`
}

func (s Step) rows() (rows []current, err error) {
	err = json.Unmarshal(s.Current, &rows)
	return rows, err
}
