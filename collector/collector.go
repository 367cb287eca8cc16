package collector

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// A Collector turns what one source says now into metrics.
type Collector interface {
	// Collect sends metrics until done or ctx ends. What it cannot know it leaves out: metrics sent
	// before an error are still exported, and the error is logged and shown as success 0.
	Collect(ctx context.Context, ch chan<- prometheus.Metric) error
}

// Scope says of what a collector's metrics are facts.
type Scope int

// The scopes.
const (
	Node    Scope = iota // of this machine only
	Cluster              // of the whole cluster: the same from every node
)

// String returns "node" or "cluster".
func (s Scope) String() string {
	if s == Cluster {
		return "cluster"
	}
	return "node"
}

// A Spec says how a collector is named, switched and built.
type Spec struct {
	Name     string // flag --collector.NAME, label collector="NAME"
	Help     string // one line for --help and docs/metrics.md
	Scope    Scope
	On       bool // by default
	Families []*Family
	New      func(Sources) (Collector, error)
}
