package dropin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/quorate/quorate/collector"
	"github.com/quorate/quorate/internal/source/ceph"
)

// A State is one recorded state of a cluster, replayed.
type State struct {
	Name string
	// Report is empty when the module had nothing to compare with.
	Report Report
	// Note says why there is no comparison, "" if there is one.
	Note string
}

// expositionFile is what the module served in a recorded state.
const expositionFile = "metrics.prom"

// ReplayCeph replays each folder of dir that holds recorded answers through the source and the
// collector, and compares the outcome with what the module served. It fails when dir holds no
// state, or when an answer or an exposition cannot be understood.
func ReplayCeph(ctx context.Context, dir string) ([]State, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var states []State
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if _, err := os.Stat(filepath.Join(path, "status.json")); err != nil {
			continue
		}
		s, err := replayState(ctx, path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		states = append(states, s)
	}
	if len(states) == 0 {
		return nil, fmt.Errorf("%s holds no folder with a status.json", dir)
	}
	return states, nil
}

func replayState(ctx context.Context, dir string) (State, error) {
	s := State{Name: filepath.Base(dir)}
	var missing []string
	rec := ceph.Recording{FS: os.DirFS(dir), Missing: func(cmd string) { missing = append(missing, cmd) }}
	ours, err := Exposition(ctx, rec)
	if err != nil {
		return s, err
	}
	module, err := os.ReadFile(filepath.Join(dir, expositionFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.Note = "no " + expositionFile + ": replayed only"
		return s, nil
	case err != nil:
		return s, err
	case !hasSeries(module):
		s.Note = "the module served nothing, as a standby does: replayed only"
		return s, nil
	}
	slices.Sort(missing)
	s.Report, err = Compare(module, ours, Options{
		Missing: slices.Compact(missing), Contradictions: contradictions(os.DirFS(dir), module, ours),
	})
	return s, err
}

func hasSeries(text []byte) bool {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return true
		}
	}
	return false
}

// Exposition is what Quorate exports of the cluster that c answers for. It fails when an answer
// cannot be understood; a command that is not answered costs only its series.
func Exposition(ctx context.Context, c ceph.Commander) ([]byte, error) {
	reader := &commanderReader{c: c}
	col, err := collector.CephSpec().New(collector.Sources{Ceph: reader})
	if err != nil {
		return nil, err
	}
	reg := prometheus.NewRegistry()
	if err := reg.Register(unchecked{ctx, col}); err != nil {
		return nil, err
	}
	families, err := reg.Gather()
	if err != nil {
		return nil, err
	}
	if errors.Is(reader.err, ceph.ErrAnswer) {
		return nil, reader.err
	}
	var out bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&out, f); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

type commanderReader struct {
	c   ceph.Commander
	err error
}

func (r *commanderReader) Ceph(context.Context) (ceph.Snapshot, error) {
	s, err := ceph.Read(r.c, time.Now)
	r.err = err
	return s, err
}

// unchecked gives a collector.Collector to a registry. Which series are there is known only at the
// scrape, so it describes none.
type unchecked struct {
	ctx context.Context
	c   collector.Collector
}

func (unchecked) Describe(chan<- *prometheus.Desc) {}

// Collect drops the error: what was not read is missing from the exposition.
func (u unchecked) Collect(ch chan<- prometheus.Metric) { _ = u.c.Collect(u.ctx, ch) }

// Totals are the numbers of the last line of a replay.
type Totals struct{ States, Compared, Equal, Differ, Missing int }

// Total adds up the states.
func Total(states []State) Totals {
	t := Totals{States: len(states)}
	for _, s := range states {
		t.Compared += s.Report.Compared()
		t.Equal += s.Report.Count(Equal)
		t.Differ += s.Report.Count(Differ)
		t.Missing += s.Report.Count(Missing)
	}
	return t
}

// String is the last line of a replay.
func (t Totals) String() string {
	return fmt.Sprintf("states=%d compared=%d equal=%d differ=%d missing=%d", t.States, t.Compared, t.Equal, t.Differ, t.Missing)
}
