package collector

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorate/quorate/internal/source/pve"
)

// PVEReader is what the pve collector asks of Proxmox VE's API at each scrape: two requests.
type PVEReader interface {
	// ClusterStatus returns membership and quorum as the answering node sees them. Beside an error
	// there may be the rows that could be read.
	ClusterStatus(ctx context.Context) (pve.ClusterStatus, error)
	// Resources returns all nodes, guests and storages. Beside an error there may be the rows that
	// could be read.
	Resources(ctx context.Context) ([]pve.Resource, error)
}

// A PVESource is what the pve collector is built from.
type PVESource struct {
	API   PVEReader
	Facts *PVEFacts // what a scrape's few requests have no room for; nil leaves it out

	// FullStateSets gives each guest all series of pve_lock_state, as prometheus-pve-exporter does.
	FullStateSets bool
}

// PVESpec is the collector of Proxmox VE's nodes, guests and storages.
func PVESpec() Spec {
	return Spec{
		Name: "pve", Scope: Cluster, On: true,
		Help:     "Nodes, guests and storages of Proxmox VE, with the names of prometheus-pve-exporter.",
		Families: pveClusterFamilies(),
		New: func(s Sources) (Collector, error) {
			if s.PVE == nil || s.PVE.API == nil {
				return nil, errors.New("no Proxmox VE API: name an endpoint and a token, or switch the collector off")
			}
			return pveCollector{*s.PVE}, nil
		},
	}
}

type pveCollector struct{ source PVESource }

// Collect sends what could be read. Its error joins those of all parts that could not.
func (c pveCollector) Collect(ctx context.Context, ch chan<- prometheus.Metric) error {
	m := pveMaker{sampler: sampler{ch: ch}, fullStateSets: c.source.FullStateSets}
	read := readPVE(ctx, c.source.API)
	m.status(read.status)
	m.resources(read.resources)
	if c.source.Facts == nil || !read.answered() {
		return read.err // what an API said that is now silent is old
	}
	facts := c.source.Facts.current()
	m.facts(facts, read.status)
	if !facts.at.IsZero() {
		ch <- pveFactsRead.metric(float64(facts.at.Unix()))
	}
	return errors.Join(read.err, facts.err)
}

// pveRead is what the two requests of a scrape gave. A part that failed is empty, or has the rows
// that could be read.
type pveRead struct {
	status    pve.ClusterStatus
	resources []pve.Resource
	err       error
}

// answered says whether anything was read.
func (r pveRead) answered() bool {
	return r.status.Cluster != nil || len(r.status.Nodes) > 0 || len(r.resources) > 0
}

// readPVE makes both requests at once, so that one that hangs takes no time of the other.
func readPVE(ctx context.Context, api PVEReader) (r pveRead) {
	var status, resources error
	atOnce(
		func() { r.status, status = api.ClusterStatus(ctx) },
		func() { r.resources, resources = api.Resources(ctx) },
	)
	r.err = errors.Join(about("cluster status", status), about("cluster resources", resources))
	return r
}

// atOnce runs all of parts and waits for them. They end with their context.
func atOnce(parts ...func()) {
	var wg sync.WaitGroup
	for _, p := range parts {
		wg.Go(p)
	}
	wg.Wait()
}

// about says in err what was being read.
func about(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("read %s: %w", what, err)
}
