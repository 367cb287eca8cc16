package qmpreplay

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorate/quorate/collector"
	"github.com/quorate/quorate/internal/source/qmp"
)

// A Result is the outcome of one scenario.
type Result struct {
	Name        string
	Differences []string // none if all is equal
}

// Run replays all scenarios of dir, in order of name.
func Run(ctx context.Context, dir string) ([]Result, error) {
	found, err := scenarios(dir)
	if err != nil {
		return nil, err
	}
	var all []Result
	for _, d := range found {
		s, err := readScenario(dir, d)
		if err != nil {
			return nil, err
		}
		differ, err := replay(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		all = append(all, Result{s.Name, differ})
	}
	return all, nil
}

// Print writes a line for each scenario that differs, with all of its differences if verbose, and the
// sum. It returns how many differ.
func Print(w io.Writer, results []Result, verbose bool) (differ int, err error) {
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
			return differ, err
		}
	}
	_, err = fmt.Fprintf(w, "scenarios=%d equal=%d differ=%d\n", len(results), len(results)-differ, differ)
	return differ, err
}

// vmid is the VM of every recording.
const vmid = 100

// An end is one of the two nodes: a MigrationReader at a moment of the recording.
type end struct {
	tracker *qmp.Tracker
	c       collector.Collector
	now     time.Time
	ended   []qmp.Ended
	last    *Reply // that had numbers
}

func (e *end) Migrations() (qmp.View, error) { return e.tracker.View(e.now), nil }

func newEnd(begun time.Time) (*end, error) {
	e := &end{tracker: qmp.NewTracker(qmp.TrackerConfig{Began: begun}), now: begun}
	c, err := collector.MigrationSpec().New(collector.Sources{Migration: &collector.MigrationSource{Sampler: e, Meter: collector.NewQMPMeter()}})
	e.c = c
	return e, err
}

// replay returns how what is exported of s differs from what its recording says.
func replay(ctx context.Context, s Scenario) (differ []string, err error) {
	var ends [2]*end
	for i := range ends {
		if ends[i], err = newEnd(s.begun()); err != nil {
			return nil, err
		}
	}
	src, dst := ends[0], ends[1]
	src.tracker.Listed(src.now, []int{vmid})
	dst.tracker.Listed(dst.now, nil)
	c := &comparison{}
	type turn struct {
		end  *end
		look Look
	}
	var turns []turn
	for _, l := range s.Src {
		turns = append(turns, turn{src, l})
	}
	for _, l := range s.Dst {
		turns = append(turns, turn{dst, l})
	}
	slices.SortStableFunc(turns, func(a, b turn) int { return a.look.At.Compare(b.look.At) })
	for _, t := range turns {
		if err := t.end.look(ctx, t.look, t.end == src, c); err != nil {
			return nil, err
		}
	}
	if s.Summary.FinalDst.Error != nil {
		dst.tracker.Gone(vmid, dst.now)
	}
	return c.differ, c.outcome(ctx, s, src, dst)
}

func (s Scenario) begun() time.Time {
	if len(s.Src) == 0 {
		return time.Unix(0, 0)
	}
	return s.Src[0].At.Add(-time.Second)
}

// look lets one end have a look and compares what it exports then.
func (e *end) look(ctx context.Context, l Look, source bool, c *comparison) error {
	sample, err := l.sample()
	if err != nil {
		return err
	}
	e.now = l.At
	e.tracker.Sampled(vmid, sample)
	e.tracker.Advance(l.At)
	e.ended = append(e.ended, e.tracker.Ended()...)
	got, err := scrape(ctx, e.c)
	if err != nil {
		return err
	}
	reply, err := l.reply()
	if err != nil {
		return err
	}
	if reply.RAM != nil {
		e.last = &reply
	}
	c.look(got, reply, source)
	return nil
}

// series are values by name and labels, as `name{a="x",b="y"}` with sorted labels. Histograms are
// NAME_count and NAME_sum.
type series map[string]float64

// scrape collects through a registry that refuses what is inconsistent.
func scrape(ctx context.Context, c collector.Collector) (series, error) {
	reg := prometheus.NewPedanticRegistry()
	once := &once{ctx: ctx, c: c}
	if err := reg.Register(once); err != nil {
		return nil, err
	}
	families, err := reg.Gather()
	if err != nil || once.err != nil {
		return nil, fmt.Errorf("collect: %w, %w", err, once.err)
	}
	all := series{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			var pairs []string
			for _, l := range m.GetLabel() {
				pairs = append(pairs, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			if len(pairs) > 0 {
				name += "{" + strings.Join(pairs, ",") + "}"
			}
			if h := m.GetHistogram(); h != nil {
				all[name+"_count"], all[name+"_sum"] = float64(h.GetSampleCount()), h.GetSampleSum()
				continue
			}
			all[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return all, nil
}

// once is a Collector as a registry wants it.
type once struct {
	ctx context.Context
	c   collector.Collector
	err error
}

func (*once) Describe(chan<- *prometheus.Desc) {}

func (o *once) Collect(ch chan<- prometheus.Metric) { o.err = o.c.Collect(o.ctx, ch) }
