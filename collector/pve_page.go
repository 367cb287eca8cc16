package collector

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/quorate/quorate/internal/source"
	"github.com/quorate/quorate/internal/source/pve"
)

// PVEParts are the parts of prometheus-pve-exporter's page, one for each of its --collector flags.
type PVEParts struct {
	// Of the cluster: URL parameter cluster.
	Status, Version, Node, Cluster, Resources, BackupInfo, QDevice bool
	// Of the answering node: URL parameter node.
	Config, Replication, Subscription bool
}

// AllPVEParts is that exporter's default.
func AllPVEParts() PVEParts {
	return PVEParts{true, true, true, true, true, true, true, true, true, true}
}

// Choose leaves of p the parts of the cluster, of the node, both or none.
func (p PVEParts) Choose(cluster, node bool) PVEParts {
	var of PVEParts
	if cluster {
		of = p
		of.Config, of.Replication, of.Subscription = false, false, false
	}
	if node {
		of.Config, of.Replication, of.Subscription = p.Config, p.Replication, p.Subscription
	}
	return of
}

func (p PVEParts) ofNode() bool { return p.Config || p.Replication || p.Subscription }

// PVEPageReader is what the page asks of Proxmox VE's API.
type PVEPageReader interface {
	PVEReader
	PVEFactReader
	PVENodeReader
	// Guests returns the guests of node.
	Guests(ctx context.Context, node string) ([]pve.GuestRef, error)
	// OnBoot returns what the configurations of guests of node say: those that say nothing are
	// missing. Beside an error there are those that could be read.
	OnBoot(ctx context.Context, node string, guests []pve.GuestRef) (map[pve.GuestRef]bool, error)
}

// NewPVEPage is the collector of the page that replaces prometheus-pve-exporter's: with all of its
// series, pve_ha_state and zeros of state sets included, and all of them asked for at each scrape.
func NewPVEPage(api PVEPageReader, parts PVEParts) Collector { return pvePage{api, parts} }

type pvePage struct {
	api   PVEPageReader
	parts PVEParts
}

// Collect sends what could be read. Its error joins those of all parts that could not.
func (p pvePage) Collect(ctx context.Context, ch chan<- prometheus.Metric) error {
	var (
		status    pve.ClusterStatus
		resources []pve.Resource
		facts     pveFacts
		node      pvePageNode
		errs      [2]error
	)
	want := p.parts
	needsStatus := want.Status || want.Node || want.Cluster || want.BackupInfo || want.QDevice || want.ofNode()
	atOnce(
		when(needsStatus, func() {
			var err error
			status, err = p.api.ClusterStatus(ctx)
			errs[0] = about("cluster status", err)
			if want.ofNode() {
				node = p.readNode(ctx, status)
			}
		}),
		when(want.Status || want.Resources, func() {
			var err error
			resources, err = p.api.Resources(ctx)
			errs[1] = about("cluster resources", err)
		}),
		func() { facts = readPVEFacts(ctx, p.api, want) },
	)
	m := pveMaker{
		sampler:   sampler{ch: ch},
		withoutUp: !want.Status, withoutInfo: !want.Node, withoutCluster: !want.Cluster, withoutNumbers: !want.Resources,
		fullStateSets: true, haStates: true,
	}
	m.status(status)
	m.resources(resources)
	m.facts(facts, status)
	m.pageNode(node)
	return errors.Join(errs[0], errs[1], facts.err, node.err)
}

// pvePageNode is what the answering node says of itself.
type pvePageNode struct {
	pveNodeRead
	onBoot map[pve.GuestRef]bool
	kinds  map[int64]string // of its guests
	err    error
}

// errNoLocalNode means that the rest of the page would be about nobody knows which node.
var errNoLocalNode = errors.New("read node: the cluster status does not say which node answered")

func (p pvePage) readNode(ctx context.Context, status pve.ClusterStatus) (n pvePageNode) {
	local, ok := status.Local()
	if !ok {
		n.err = errNoLocalNode
		return n
	}
	n.node = string(local.Name)
	quorate := status.Cluster == nil || status.Cluster.Quorate.V
	var guests, onBoot error
	atOnce(
		when(p.parts.Config || p.parts.Replication, func() {
			var refs []pve.GuestRef
			refs, guests = p.api.Guests(ctx, n.node)
			n.kinds = make(map[int64]string, len(refs))
			for _, g := range refs {
				n.kinds[g.VMID] = g.Type
			}
			if p.parts.Config && len(refs) > 0 {
				n.onBoot, onBoot = p.api.OnBoot(ctx, n.node, refs)
			}
		}),
		when(p.parts.Replication, func() { n.jobs(ctx, p.api, quorate) }),
		when(p.parts.Subscription, func() { n.contract(ctx, p.api) }),
	)
	n.err = errors.Join(about("guests", guests), about("guest configurations", onBoot), n.replicationErr, n.subscriptionErr)
	return n
}

func (m *pveMaker) pageNode(n pvePageNode) {
	for g, on := range n.onBoot {
		m.ch <- pveOnBoot.metric(boolean(on), g.String(), n.node, g.Type)
	}
	m.replication(n.replication, n.kinds)
	m.subscription(n.node, n.subscription)
}

// GatherPVEPage runs the page once and returns its metrics, and those about the source that status
// tells of. Beside an error there is what could be read.
func GatherPVEPage(ctx context.Context, api PVEPageReader, parts PVEParts, status func() source.Status) ([]*dto.MetricFamily, error) {
	var all buffered
	ch := make(chan prometheus.Metric, samplesAtATime)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m := range ch {
			all = append(all, m)
		}
	}()
	err := func() error {
		defer close(ch) // also when it panics
		return NewPVEPage(api, parts).Collect(ctx, ch)
	}()
	<-done
	reg := prometheus.NewRegistry()
	if err := reg.Register(append(all, emitStatus(status())...)); err != nil {
		return nil, err
	}
	families, dropped := reg.Gather()
	if dropped != nil {
		err = errors.Join(err, droppedError{dropped})
	}
	return families, err
}
