package collector

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorate/quorate/internal/source/corosync"
)

// corosyncLinkFamilies are the metrics of a knet link from this node to a peer.
var corosyncLinkFamilies = []struct {
	family *Family
	value  func(corosync.Link) corosyncSample
}{
	{linkGauge("connected", "1 if the peer answers heartbeats on the link."),
		func(l corosync.Link) corosyncSample { return knownFlag(l.Connected) }},
	{linkGauge("enabled", "1 if the link is in use by configuration."),
		func(l corosync.Link) corosyncSample { return knownFlag(l.Enabled) }},
	{linkCounter("up_total", "Times the link came up since corosync started."),
		func(l corosync.Link) corosyncSample { return knownCount(l.UpCount) }},
	{linkCounter("down_total", "Times the link went down since corosync started. 1 before it ever was up."),
		func(l corosync.Link) corosyncSample { return knownCount(l.DownCount) }},
	{linkGauge("mtu_bytes", "Largest packet that knet found to pass. Absent while the link is down."),
		func(l corosync.Link) corosyncSample { return knownCount(l.MTU) }},
	{linkCounter("ping_packets_total", "Heartbeats sent on the link."),
		func(l corosync.Link) corosyncSample { return knownCount(l.PingPackets) }},
	{linkCounter("pong_packets_total", "Heartbeats that the peer answered."),
		func(l corosync.Link) corosyncSample { return knownCount(l.PongPackets) }},
	{linkCounter("send_errors_total", "Packets that could not be sent on the link."),
		func(l corosync.Link) corosyncSample { return knownCount(l.SendErrors) }},
	{linkGauge("latency_average_seconds", "knet's mean round trip over up to 2048 heartbeats: it follows a change in half an hour or never, "+
		"use corosync_link_probe_rtt_seconds. Absent while the link is down."),
		func(l corosync.Link) corosyncSample { return corosyncSample{l.LatencyAverage.Seconds(), l.HasLatency} }},
}

func linkGauge(name, help string) *Family {
	return newGauge("corosync_link_"+name, help, "peer", "link")
}

func linkCounter(name, help string) *Family {
	return newCounter("corosync_link_"+name, help, "peer", "link")
}

func emitCorosyncLink(l corosync.Link, ch chan<- prometheus.Metric) {
	link := strconv.Itoa(l.Link)
	for _, f := range corosyncLinkFamilies {
		sendKnown(ch, f.family, f.value(l), l.Peer, link)
	}
}

// corosyncTotemFamilies are the metrics of the ring protocol.
var corosyncTotemFamilies = []struct {
	family *Family
	value  func(corosync.Totem) corosyncSample
}{
	{newCounter("corosync_token_lost_total", "Times the ring's token did not arrive in time since corosync started, in any state of the protocol. A clean join or leave adds nothing."),
		func(t corosync.Totem) corosyncSample { return knownCount(t.TokenLost) }},
	{newCounter("corosync_consensus_timeouts_total", "Times the nodes did not agree on a new membership in time since corosync started."),
		func(t corosync.Totem) corosyncSample { return knownCount(t.ConsensusTimeouts) }},
	{newCounter("corosync_membership_changes_total", "Rings formed since corosync started, its own start included."),
		func(t corosync.Totem) corosyncSample { return knownCount(t.MembershipChanges) }},
	{newCounter("corosync_retransmits_total", "Messages sent again since corosync started: the first sign of packet loss, as long as there is traffic."),
		func(t corosync.Totem) corosyncSample { return knownCount(t.Retransmits) }},
	{newGauge("corosync_token_last_received_seconds", "Time since the ring's token was last received."),
		func(t corosync.Totem) corosyncSample { return knownSeconds(t.SinceToken) }},
	{newGauge("corosync_token_timeout_seconds", "Time without the token after which a node gives the ring up. Grows with the number of nodes."),
		func(t corosync.Totem) corosyncSample { return knownSeconds(t.TokenTimeout) }},
	{newGauge("corosync_consensus_timeout_seconds", "Time the nodes have to agree on a new membership. A dead node is out after this and the token timeout."),
		func(t corosync.Totem) corosyncSample { return knownSeconds(t.ConsensusTimeout) }},
	{newGauge("corosync_schedule_miss_last_timestamp_seconds", "When corosync last was not given the CPU in time. Absent if never since it started."),
		func(t corosync.Totem) corosyncSample {
			return corosyncSample{float64(t.ScheduleMiss.V.At.UnixMilli()) / float64(time.Second/time.Millisecond), t.ScheduleMiss.Known}
		}},
	{newGauge("corosync_schedule_miss_last_delay_seconds", "For how long corosync then had to wait for the CPU. Absent if never since it started."),
		func(t corosync.Totem) corosyncSample {
			return corosyncSample{t.ScheduleMiss.V.Delay.Seconds(), t.ScheduleMiss.Known}
		}},
}
