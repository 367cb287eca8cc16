package haoracle

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/quorate/quorate/internal/hareplay"
)

// A Config says what to hold against what.
type Config struct {
	Scenarios string // folder with index.json and NAME.jsonl.gz
	Rules     fs.FS  // whose ha*.yaml are the rules of HA, which use no others
	Promtool  string // path or name of the program
	Workers   int    // promtools at once; 0 means 2
}

// Run judges all scenarios, in order of name.
func Run(ctx context.Context, c Config) ([]Verdict, error) {
	dir, err := os.MkdirTemp("", "haoracle")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	rules, err := writeRules(c.Rules, dir)
	if err != nil {
		return nil, err
	}
	p := newPool(ctx, max(c.Workers, 2))
	var all []*Verdict
	err = hareplay.Each(c.Scenarios, func(s hareplay.Scenario) error {
		v := &Verdict{}
		all = append(all, v)
		return p.do(func() (err error) {
			if *v, err = c.judge(p.ctx, s, rules, dir); err != nil {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
			return nil
		})
	})
	if failed := p.wait(); failed != nil {
		err = failed
	}
	if err != nil {
		return nil, err
	}
	verdicts := make([]Verdict, len(all))
	for i, v := range all {
		verdicts[i] = *v
	}
	return verdicts, nil
}

// writeRules copies the rule files to dir and returns their paths.
func writeRules(rules fs.FS, dir string) ([]string, error) {
	names, err := fs.Glob(rules, "ha*.yaml")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no rule files ha*.yaml: %w", fs.ErrNotExist)
	}
	var paths []string
	for _, name := range names {
		text, err := fs.ReadFile(rules, name)
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// judge runs one scenario, in a folder of its own below dir.
func (c Config) judge(ctx context.Context, s hareplay.Scenario, rules []string, dir string) (Verdict, error) {
	steps, err := looks(s)
	if err != nil {
		return Verdict{}, err
	}
	alerts, err := c.alerts(ctx, steps, rules, dir)
	if err != nil {
		return Verdict{}, err
	}
	return judge(s.Name, Truth(s.Entry, s.Steps[len(s.Steps)-1].T, hold), alerts), nil
}

// alerts are what the rules make of steps.
func (c Config) alerts(ctx context.Context, steps []look, rules []string, dir string) ([]Alert, error) {
	seen, err := scrapes(ctx, steps)
	if err != nil {
		return nil, err
	}
	own, err := os.MkdirTemp(dir, "scenario")
	if err != nil {
		return nil, err
	}
	return newTestFile(rules, steps[0].t, seen).run(ctx, c.Promtool, own)
}

// A pool runs jobs, so many at once, until one fails.
type pool struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	seats  chan struct{}
	jobs   sync.WaitGroup
}

func newPool(ctx context.Context, size int) *pool {
	p := &pool{seats: make(chan struct{}, size)}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	return p
}

// do starts job when there is a seat. It fails when a job has failed.
func (p *pool) do(job func() error) error {
	select {
	case <-p.ctx.Done():
		return context.Cause(p.ctx)
	case p.seats <- struct{}{}:
	}
	p.jobs.Go(func() {
		defer func() { <-p.seats }()
		if err := job(); err != nil {
			p.cancel(err)
		}
	})
	return nil
}

// wait returns when all jobs have ended, with the first failure.
func (p *pool) wait() error {
	p.jobs.Wait()
	err := context.Cause(p.ctx)
	p.cancel(nil)
	return err
}

// Print writes a line for each miss and each false page, with all that fired if verbose, and the sum.
func Print(w io.Writer, all []Verdict, verbose bool) error {
	var right, missed, wrong int
	var detections []int64
	p := printer{w: w}
	for _, v := range all {
		if v.Right() {
			right++
		}
		missed += min(1, len(v.Missed))
		wrong += min(1, len(v.False))
		detections = append(detections, v.Detections...)
		for _, f := range v.Missed {
			p.printf("%s: missed: %s\n", v.Name, f)
		}
		for _, a := range v.False {
			p.printf("%s: false page: %s\n", v.Name, a)
		}
		if verbose {
			for _, f := range v.Failures {
				p.printf("%s: failure: %s\n", v.Name, f)
			}
			for _, a := range v.Alerts {
				p.printf("%s: %s: %s\n", v.Name, a.Labels["severity"], a)
			}
		}
	}
	p.printf("scenarios=%d right=%d missed=%d false=%d median_detection_s=%d\n", len(all), right, missed, wrong, median(detections))
	return p.err
}

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// median is that of list, the lower of two; 0 if list is empty.
func median(list []int64) int64 {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(list))
	return sorted[(len(sorted)-1)/2]
}
