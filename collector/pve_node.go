package collector

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorate/quorate/internal/source/pve"
)

// PVENodeReader is what the pve-node collector asks of Proxmox VE's API at each scrape: one request.
type PVENodeReader interface {
	// Replication returns the replication jobs of the node's guests. It must not be asked without
	// quorum: a worker of the node would hang.
	Replication(ctx context.Context, node string) ([]pve.ReplicationJob, error)
}

// PVEFiles is what the pve-node collector reads in the cluster file system.
type PVEFiles interface {
	// Members says who this node is, and whether it has quorum.
	Members(ctx context.Context) (pve.Members, error)
	// GuestConfigs returns what the configurations of a node's guests say.
	GuestConfigs(ctx context.Context, node string) ([]pve.GuestConfig, error)
}

// A PVENodeSource is what the pve-node collector is built from.
type PVENodeSource struct {
	Files PVEFiles
	API   PVENodeReader // nil leaves out replication
	Facts *PVEFacts     // made with this node's name; nil leaves out the subscription
}

// PVENodeSpec is the collector of what prometheus-pve-exporter calls node scope.
func PVENodeSpec() Spec {
	return Spec{
		Name: "pve-node", Scope: Node, On: true,
		Help:     "This node's guests to start, storage replication and subscription, with the names of prometheus-pve-exporter.",
		Families: pveNodeFamilies(),
		New: func(s Sources) (Collector, error) {
			if s.PVENode == nil || s.PVENode.Files == nil {
				return nil, errors.New("no Proxmox VE node: run on one, or switch the collector off")
			}
			return pveNodeCollector{*s.PVENode}, nil
		},
	}
}

type pveNodeCollector struct{ source PVENodeSource }

// Collect sends what could be read. Its error joins those of all parts that could not.
func (c pveNodeCollector) Collect(ctx context.Context, ch chan<- prometheus.Metric) error {
	members, err := c.source.Files.Members(ctx)
	if err != nil {
		return about("members", err)
	}
	node := members.NodeName
	quorate := members.Cluster == nil || members.Cluster.Quorate
	m := pveMaker{sampler: sampler{ch: ch}}

	var guests []pve.GuestConfig
	var guestErr error
	read := pveNodeRead{node: node}
	atOnce(
		func() { guests, guestErr = c.source.Files.GuestConfigs(ctx, node) },
		when(c.source.API != nil, func() { read.jobs(ctx, c.source.API, quorate) }),
	)
	kinds := map[int64]string{}
	for _, g := range guests {
		kinds[g.VMID] = g.Type
		m.ch <- pveOnBoot.metric(boolean(g.OnBoot), g.String(), node, g.Type)
	}
	m.replication(read.replication, kinds)
	err = errors.Join(about("guest configurations", guestErr), read.replicationErr)
	if c.source.Facts == nil || read.silent {
		return err // what an API said that is now silent is old
	}
	facts := c.source.Facts.current().node
	m.subscription(node, facts.subscription)
	return errors.Join(err, facts.subscriptionErr)
}

// pveNodeRead is what the API says of one node.
type pveNodeRead struct {
	node            string
	replication     []pve.ReplicationJob
	replicationErr  error
	silent          bool // the API did not answer that
	subscription    *pve.Subscription
	subscriptionErr error
}

// jobs reads the replication jobs, unless that would hang.
func (r *pveNodeRead) jobs(ctx context.Context, api PVENodeReader, quorate bool) {
	var err error
	if quorate {
		r.replication, err = api.Replication(ctx, r.node)
		r.silent = err != nil
	} else {
		err = errReplicationQuorum
	}
	r.replicationErr = about("replication", err)
}

// errReplicationQuorum says why a call was not made: Proxmox VE takes a lock for it that it does not
// get without quorum, and one of the node's three API workers would wait for it 10 s.
var errReplicationQuorum = noQuorum("not asked: a node without quorum does not answer it")

// noQuorum is an error of reason no_quorum.
type noQuorum string

func (e noQuorum) Error() string { return string(e) }

// Reason is the value of label reason for this error.
func (noQuorum) Reason() string { return string(pve.NoQuorum) }

func (r *pveNodeRead) contract(ctx context.Context, api subscriptionReader) {
	s, err := api.Subscription(ctx, r.node)
	if err == nil {
		r.subscription = &s
	}
	r.subscriptionErr = about("subscription", err)
}

type subscriptionReader interface {
	Subscription(ctx context.Context, node string) (pve.Subscription, error)
}

// replication tells of jobs. kinds says what the guests are, where a job does not.
func (m *pveMaker) replication(jobs []pve.ReplicationJob, kinds map[int64]string) {
	for i := range jobs {
		j := &jobs[i]
		guest := digits(j.Guest)
		if kind := kinds[j.Guest.V]; j.Guest.Known && kind != "" {
			guest = kind + "/" + guest
		}
		m.ch <- pveReplicationInfo.metric(1, j.ID, j.Type, "node/"+j.Source, "node/"+j.Target, guest)
		if j.Duration.Known {
			m.one(pveReplicationDuration, j.ID, j.Duration.V)
		}
		m.number(pveReplicationLastSync, j.ID, j.LastSync)
		m.number(pveReplicationLastTry, j.ID, j.LastTry)
		m.number(pveReplicationNextSync, j.ID, j.NextSync)
		m.number(pveReplicationFailed, j.ID, j.FailCount)
	}
}

func (m *pveMaker) number(f *Family, id string, v pve.Int) {
	if v.Known {
		m.one(f, id, float64(v.V))
	}
}

func (m *pveMaker) subscription(node string, s *pve.Subscription) {
	if s == nil {
		return
	}
	id, level := "node/"+node, string(s.Level)
	if level == "" {
		level = "unknown"
	}
	m.ch <- pveSubscriptionInfo.metric(1, id, level)
	m.stateSet(pveSubscriptionStatus, id, s.Status, pveSubscriptionStatuses())
	// The date has no zone: it is one of the place where the node stands, as the exporter does.
	if due, err := time.ParseInLocation(time.DateOnly, string(s.NextDueDate), time.Local); err == nil {
		m.one(pveSubscriptionDue, id, float64(due.Unix()))
	}
}
