package collector

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/internal/source"
)

// A ClusterScope says which nodes export cluster-wide facts.
type ClusterScope string

// The choices of --cluster-scope.
const (
	ScopeAll    ClusterScope = "all"    // every node
	ScopeLeader ClusterScope = "leader" // the lowest online node id of the quorate partition
	ScopeNone   ClusterScope = "none"   // no node
)

// Options are what an Exporter needs besides its collectors.
type Options struct {
	Clusters ClusterScope
	// Statuses are asked at the end of each scrape; a key is the name of the collector the source
	// serves, so that a scrape of some collectors shows only their sources.
	Statuses map[string][]func() source.Status
	// Timeout bounds each collector within the deadline of its scrape.
	Timeout time.Duration
	Log     *slog.Logger
	Now     func() time.Time
}

// An Exporter owns the collectors that are switched on. It is safe for concurrent scrapes.
type Exporter struct {
	runners []*runner
	quorum  CorosyncReader // decides who leads under ScopeLeader; may be nil
	opts    Options
	drop    changeLog
}

// NewExporter builds the collectors of specs from src. It fails when one cannot be built or two
// share a name.
func NewExporter(specs []Spec, src Sources, o Options) (*Exporter, error) {
	e := &Exporter{quorum: src.Corosync, opts: o, drop: changeLog{log: o.Log}}
	for _, s := range specs {
		if s.Scope == Cluster && o.Clusters == ScopeNone {
			continue
		}
		if e.runner(s.Name) != nil {
			return nil, fmt.Errorf("collector %s is listed twice", s.Name)
		}
		c, err := s.New(src)
		if err != nil {
			return nil, fmt.Errorf("collector %s: %w", s.Name, err)
		}
		e.runners = append(e.runners, newRunner(s, c, o))
	}
	return e, nil
}

// Names returns the names of the collectors that are on, sorted.
func (e *Exporter) Names() []string {
	var names []string
	for _, r := range e.runners {
		names = append(names, r.spec.Name)
	}
	slices.Sort(names)
	return names
}

func (e *Exporter) runner(name string) *runner {
	i := slices.IndexFunc(e.runners, func(r *runner) bool { return r.spec.Name == name })
	if i < 0 {
		return nil
	}
	return e.runners[i]
}

// A Filter chooses collectors by the names in collect[] and exclude[]. The zero value is all.
type Filter struct{ Collect, Exclude []string }

// Scrape returns a gatherer of the chosen collectors that works under ctx, once. It fails when a
// name is unknown, or when both lists are given.
func (e *Exporter) Scrape(ctx context.Context, f Filter) (*Scrape, error) {
	if len(f.Collect) > 0 && len(f.Exclude) > 0 {
		return nil, fmt.Errorf("collect[] and exclude[] cannot be combined")
	}
	for _, name := range slices.Concat(f.Collect, f.Exclude) {
		if e.runner(name) == nil {
			return nil, fmt.Errorf("no collector %q is on; there are %s", name, strings.Join(e.Names(), ", "))
		}
	}
	s := &Scrape{exporter: e, ctx: ctx}
	for _, r := range e.runners {
		if len(f.Collect) > 0 && !slices.Contains(f.Collect, r.spec.Name) || slices.Contains(f.Exclude, r.spec.Name) {
			continue
		}
		s.runners = append(s.runners, r)
	}
	return s, nil
}

// leads tells whether this node is the one that exports cluster-wide facts under ScopeLeader. A
// node that does not know is not.
func (e *Exporter) leads(ctx context.Context) bool {
	if e.quorum == nil {
		return false
	}
	q, err := e.quorum.Quorum(ctx)
	if err != nil {
		return false
	}
	if q.Standalone {
		return true
	}
	lowest := q.SelfID
	for _, m := range q.Members {
		if m.Up && m.ID < lowest {
			lowest = m.ID
		}
	}
	return q.Quorate && lowest == q.SelfID
}
