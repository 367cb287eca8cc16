package collector

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorate/quorate/internal/source/corosync"
)

// CorosyncReader is what the corosync collector needs of corosync.
type CorosyncReader interface {
	// Quorum returns this node's own view. It fails with corosync.ErrStopped when the daemon does not
	// run, and with ctx's error when it does not answer in time.
	Quorum(ctx context.Context) (corosync.Snapshot, error)
}

// CorosyncSpec is the collector of quorum, membership, links and the ring.
func CorosyncSpec() Spec {
	return Spec{
		Name: "corosync", Scope: Node, On: true,
		Help:     "Quorum, membership, knet links and ring statistics of the local corosync.",
		Families: corosyncFamilies(),
		New: func(s Sources) (Collector, error) {
			if s.Corosync == nil {
				return nil, errors.New("no corosync reader: switch the collector off, or use a build with cgo")
			}
			return corosyncCollector{s.Corosync}, nil
		},
	}
}

type corosyncCollector struct{ reader CorosyncReader }

// Collect always answers whether this node has quorum: a clustered node whose corosync does not
// answer has none that anybody could count on. Only a build that cannot ask corosync stays silent.
func (c corosyncCollector) Collect(ctx context.Context, ch chan<- prometheus.Metric) error {
	s, err := c.reader.Quorum(ctx)
	if err != nil {
		if !errors.Is(err, corosync.ErrNotBuilt) {
			ch <- clusterQuorum.metric(0)
		}
		return err
	}
	emitCorosync(s, ch)
	return nil
}

var (
	clusterQuorum = newGauge("pve_cluster_quorum",
		"1 if this node's partition has quorum or the node is in no cluster, 0 if not or if corosync does not answer. Always there.")
	corosyncQuorate = newGauge("corosync_quorate",
		"1 if this node's partition has quorum, as votequorum says.")
	corosyncExpectedVotes = newGauge("corosync_expected_votes",
		"Votes from which the quorum is calculated. Below corosync_configured_votes when someone forced it (pvecm expected).")
	corosyncHighestExpectedVotes = newGauge("corosync_highest_expected_votes",
		"Highest expected votes that any member of the partition has.")
	corosyncTotalVotes = newGauge("corosync_total_votes",
		"Votes present in this node's partition, the quorum device's included.")
	corosyncQuorumVotes = newGauge("corosync_quorum_votes",
		"Votes needed for quorum.")
	corosyncConfiguredVotes = newGauge("corosync_configured_votes",
		"Votes that the configuration gives to all nodes and the quorum device.")
	corosyncWaitForAll = newGauge("corosync_wait_for_all",
		"1 if wait_for_all is on: no quorum after a start before all nodes have been seen at once, whatever the votes.")

	corosyncMemberUp = newGauge("corosync_member_up",
		"1 if the configured node is a member of this node's partition.", "node_id", "node")
	corosyncMemberVotes = newGauge("corosync_member_votes",
		"Votes of the node.", "node_id", "node")
	corosyncRingLeader = newGauge("corosync_ring_leader_node_id",
		"Lowest node id of the ring. Two values at one time are two partitions.")
	corosyncRingSequence = newGauge("corosync_ring_sequence",
		"Sequence number of the ring, which grows with each change of membership.")
	corosyncConfigVersion = newGauge("corosync_config_version",
		"config_version of the configuration that corosync has loaded.")

	corosyncQDeviceConfigured = newGauge("corosync_qdevice_configured",
		"1 if a quorum device is configured.")
	corosyncQDeviceRegistered = newGauge("corosync_qdevice_registered",
		"1 if corosync-qdevice has registered with the local votequorum.")
	corosyncQDeviceAlive = newGauge("corosync_qdevice_alive",
		"1 if corosync-qdevice polls the local votequorum in time.")
	corosyncQDeviceCastVote = newGauge("corosync_qdevice_cast_vote",
		"1 if the quorum device votes for this node's partition. 0 while its server does not answer.")
)

func corosyncFamilies() []*Family {
	fs := []*Family{clusterQuorum}
	for _, f := range corosyncVoteFamilies {
		fs = append(fs, f.family)
	}
	fs = append(fs, corosyncMemberUp, corosyncMemberVotes, corosyncRingLeader, corosyncRingSequence, corosyncConfigVersion)
	for _, f := range corosyncQDeviceFamilies {
		fs = append(fs, f.family)
	}
	for _, f := range corosyncLinkFamilies {
		fs = append(fs, f.family)
	}
	for _, f := range corosyncTotemFamilies {
		fs = append(fs, f.family)
	}
	return fs
}

// corosyncVoteFamilies are known whenever corosync answers.
var corosyncVoteFamilies = []struct {
	family *Family
	value  func(corosync.Snapshot) float64
}{
	{corosyncQuorate, func(s corosync.Snapshot) float64 { return boolean(s.Quorate) }},
	{corosyncExpectedVotes, func(s corosync.Snapshot) float64 { return float64(s.ExpectedVotes) }},
	{corosyncHighestExpectedVotes, func(s corosync.Snapshot) float64 { return float64(s.HighestExpectedVotes) }},
	{corosyncTotalVotes, func(s corosync.Snapshot) float64 { return float64(s.TotalVotes) }},
	{corosyncQuorumVotes, func(s corosync.Snapshot) float64 { return float64(s.QuorumVotes) }},
	{corosyncConfiguredVotes, func(s corosync.Snapshot) float64 { return float64(s.ConfiguredVotes) }},
	{corosyncWaitForAll, func(s corosync.Snapshot) float64 { return boolean(s.WaitForAll) }},
}

var corosyncQDeviceFamilies = []struct {
	family *Family
	value  func(corosync.QDevice) bool
}{
	{corosyncQDeviceConfigured, func(q corosync.QDevice) bool { return q.Configured }},
	{corosyncQDeviceRegistered, func(q corosync.QDevice) bool { return q.Registered }},
	{corosyncQDeviceAlive, func(q corosync.QDevice) bool { return q.Alive }},
	{corosyncQDeviceCastVote, func(q corosync.QDevice) bool { return q.CastVote }},
}

// emitCorosync is pure: a snapshot in, metrics out. What the snapshot does not know is left out.
func emitCorosync(s corosync.Snapshot, ch chan<- prometheus.Metric) {
	ch <- clusterQuorum.metric(boolean(s.Standalone || s.Quorate))
	if s.Standalone {
		return
	}
	for _, f := range corosyncVoteFamilies {
		ch <- f.family.metric(f.value(s))
	}
	for _, m := range s.Members {
		id := strconv.FormatUint(uint64(m.ID), 10)
		ch <- corosyncMemberUp.metric(boolean(m.Up), id, m.Name)
		ch <- corosyncMemberVotes.metric(float64(m.Votes), id, m.Name)
	}
	if s.Ring.Known {
		ch <- corosyncRingLeader.metric(float64(s.Ring.V.LeaderID))
		ch <- corosyncRingSequence.metric(float64(s.Ring.V.Sequence))
	}
	sendKnown(ch, corosyncConfigVersion, knownCount(s.ConfigVersion))
	for _, f := range corosyncQDeviceFamilies {
		ch <- f.family.metric(boolean(f.value(s.QDevice)))
	}
	for _, l := range s.Links {
		emitCorosyncLink(l, ch)
	}
	for _, f := range corosyncTotemFamilies {
		sendKnown(ch, f.family, f.value(s.Totem))
	}
}

// A corosyncSample is a sample that the source may not know.
type corosyncSample struct {
	value float64
	known bool
}

func sendKnown(ch chan<- prometheus.Metric, f *Family, m corosyncSample, labelValues ...string) {
	if m.known {
		ch <- f.metric(m.value, labelValues...)
	}
}

func knownCount(n corosync.Opt[uint64]) corosyncSample { return corosyncSample{float64(n.V), n.Known} }

func knownFlag(b corosync.Opt[bool]) corosyncSample { return corosyncSample{boolean(b.V), b.Known} }

func knownSeconds(d corosync.Opt[time.Duration]) corosyncSample {
	return corosyncSample{d.V.Seconds(), d.Known}
}
