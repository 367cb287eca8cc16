package pvefake

import (
	"math"
	"time"
)

// sample is what pvestatd of one node sends every ten seconds. Samples are never changed after they
// were sent, so receivers may share them.
type sample struct {
	at      time.Time
	node    nodeNumbers
	guests  map[int]guestSample
	storage map[string]storageNumbers
}

type nodeNumbers struct {
	cpu           float64
	maxcpu        int
	mem, maxmem   int64
	disk, maxdisk int64
	uptime        int64
	load          float64
}

type guestSample struct {
	name    string
	status  string
	numbers guestNumbers
	maxcpu  int
	maxmem  int64
	maxdisk int64
	lxc     bool
}

type storageNumbers struct{ used, total int64 }

// staleAfter is when a node's last sample no longer counts (pve-cluster src/PVE/Cluster.pm: rrd data
// older than five minutes is ignored).
const staleAfter = 300 * time.Second

const (
	nodeCPUs    = 2
	nodeMemory  = 25276502016
	rootfsBytes = 1572864000
)

func (n *node) numbers() nodeNumbers {
	c := n.c
	wave := math.Sin(float64(c.unix()%900)/143 + float64(n.id))
	used := int64(rootfsBytes/32 + n.id*4096)
	return nodeNumbers{
		cpu: 0.25 + 0.1*wave, maxcpu: n.cpus(), mem: int64(float64(n.memory()) * (0.32 + 0.02*wave)), maxmem: n.memory(),
		disk: used, maxdisk: rootfsBytes, uptime: int64(c.since(n.booted) / time.Second), load: 1.2 + 0.4*wave,
	}
}

func (n *node) cpus() int {
	if n.box.spec.CPUs > 0 {
		return n.box.spec.CPUs
	}
	return nodeCPUs
}

func (n *node) memory() int64 {
	if n.box.spec.Memory > 0 {
		return n.box.spec.Memory
	}
	return nodeMemory
}

// sampleNode is pvestatd's round.
func (c *Cluster) sampleNode(n *node) {
	s := &sample{at: c.now, node: n.numbers(), guests: map[int]guestSample{}, storage: map[string]storageNumbers{}}
	for _, g := range n.view().guests {
		if g.node != n {
			continue
		}
		status := "stopped"
		if c.runsOn(g, n) {
			status = "running"
		}
		maxdisk := g.disk
		s.guests[g.vmid] = guestSample{
			name: g.name(), status: status, numbers: c.numbers(g), maxcpu: g.cores(), maxmem: g.maxMem(), maxdisk: maxdisk, lxc: g.lxc,
		}
	}
	for _, st := range n.view().storage {
		s.storage[st.id] = st.numbers(n)
	}
	n.stats = s
	n.seen[n.id] = s
}

// tickReplicaOfSamples carries samples to the nodes that hear the sender.
func (c *Cluster) tickReplicaOfSamples() {
	for _, viewer := range c.nodes {
		if !viewer.up {
			continue
		}
		for _, sender := range c.nodes {
			if viewer.members[sender.id] && sender.up && sender.members[viewer.id] && sender.stats != nil {
				viewer.seen[sender.id] = sender.stats
			}
		}
	}
}

// stat returns what viewer knows of n, nil if that is too old.
func (viewer *node) stat(n *node) *sample {
	s := viewer.seen[n.id]
	if s == nil || viewer.c.since(s.at) > staleAfter {
		return nil
	}
	return s
}
