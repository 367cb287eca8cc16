package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"github.com/quorate/quorate/internal/source/corosync"
)

// corosyncSays is a reader that always gives the same answer.
type corosyncSays struct {
	snapshot corosync.Snapshot
	err      error
}

func (r corosyncSays) Quorum(context.Context) (corosync.Snapshot, error) { return r.snapshot, r.err }

// corosyncScrape is the collector as client_golang's test tools want it.
type corosyncScrape struct {
	t     *testing.T
	says  corosyncSays
	fails bool // Collect must return an error
}

func (corosyncScrape) Describe(chan<- *prometheus.Desc) {}

func (s corosyncScrape) Collect(ch chan<- prometheus.Metric) {
	c, err := CorosyncSpec().New(Sources{Corosync: s.says})
	if err != nil {
		s.t.Error(err)
		return
	}
	if err := c.Collect(s.t.Context(), ch); (err != nil) != s.fails || s.fails && !errors.Is(err, s.says.err) {
		s.t.Errorf("Collect returned %v", err)
	}
}

// lines is the exposition text without comments.
func (s corosyncScrape) lines() []string {
	s.t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(s)
	families, err := reg.Gather()
	if err != nil {
		s.t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			s.t.Fatal(err)
		}
	}
	return slices.DeleteFunc(strings.Split(strings.TrimSpace(b.String()), "\n"), func(l string) bool { return strings.HasPrefix(l, "#") })
}

// healthyCorosync is pve1 of three nodes with one link each.
func healthyCorosync() corosync.Snapshot {
	link := func(id uint32, peer string) corosync.Link {
		return corosync.Link{
			PeerID: id, Peer: peer, Link: 0,
			Enabled: corosync.Some(true), Connected: corosync.Some(true),
			UpCount: corosync.Some[uint64](1), DownCount: corosync.Some[uint64](1),
			MTU: corosync.Some[uint64](1397), PingPackets: corosync.Some[uint64](92), PongPackets: corosync.Some[uint64](91),
			SendErrors: corosync.Some[uint64](0), LatencyAverage: 174 * time.Microsecond, HasLatency: true,
		}
	}
	return corosync.Snapshot{
		Quorate: true, ExpectedVotes: 3, HighestExpectedVotes: 3, TotalVotes: 3, QuorumVotes: 2, ConfiguredVotes: 3,
		SelfID: 1, Ring: corosync.Some(corosync.Ring{LeaderID: 1, Sequence: 9}), ConfigVersion: corosync.Some[uint64](4),
		Members: []corosync.Member{
			{ID: 1, Name: "pve1", Up: true, Votes: 1}, {ID: 2, Name: "pve2", Up: true, Votes: 1}, {ID: 3, Name: "pve3", Up: true, Votes: 1},
		},
		Links: []corosync.Link{link(2, "pve2"), link(3, "pve3")},
		Totem: corosync.Totem{
			TokenLost: corosync.Some[uint64](0), ConsensusTimeouts: corosync.Some[uint64](0),
			MembershipChanges: corosync.Some[uint64](2), Retransmits: corosync.Some[uint64](7),
			SinceToken:       corosync.Some(458 * time.Millisecond),
			TokenTimeout:     corosync.Some(3650 * time.Millisecond),
			ConsensusTimeout: corosync.Some(4380 * time.Millisecond),
		},
	}
}

const healthyCorosyncLines = `
corosync_config_version 4
corosync_configured_votes 3
corosync_consensus_timeout_seconds 4.38
corosync_consensus_timeouts_total 0
corosync_expected_votes 3
corosync_highest_expected_votes 3
corosync_link_connected{link="0",peer="pve2"} 1
corosync_link_connected{link="0",peer="pve3"} 1
corosync_link_down_total{link="0",peer="pve2"} 1
corosync_link_down_total{link="0",peer="pve3"} 1
corosync_link_enabled{link="0",peer="pve2"} 1
corosync_link_enabled{link="0",peer="pve3"} 1
corosync_link_latency_average_seconds{link="0",peer="pve2"} 0.000174
corosync_link_latency_average_seconds{link="0",peer="pve3"} 0.000174
corosync_link_mtu_bytes{link="0",peer="pve2"} 1397
corosync_link_mtu_bytes{link="0",peer="pve3"} 1397
corosync_link_ping_packets_total{link="0",peer="pve2"} 92
corosync_link_ping_packets_total{link="0",peer="pve3"} 92
corosync_link_pong_packets_total{link="0",peer="pve2"} 91
corosync_link_pong_packets_total{link="0",peer="pve3"} 91
corosync_link_send_errors_total{link="0",peer="pve2"} 0
corosync_link_send_errors_total{link="0",peer="pve3"} 0
corosync_link_up_total{link="0",peer="pve2"} 1
corosync_link_up_total{link="0",peer="pve3"} 1
corosync_member_up{node="pve1",node_id="1"} 1
corosync_member_up{node="pve2",node_id="2"} 1
corosync_member_up{node="pve3",node_id="3"} 1
corosync_member_votes{node="pve1",node_id="1"} 1
corosync_member_votes{node="pve2",node_id="2"} 1
corosync_member_votes{node="pve3",node_id="3"} 1
corosync_membership_changes_total 2
corosync_qdevice_alive 0
corosync_qdevice_cast_vote 0
corosync_qdevice_configured 0
corosync_qdevice_registered 0
corosync_quorate 1
corosync_quorum_votes 2
corosync_retransmits_total 7
corosync_ring_leader_node_id 1
corosync_ring_sequence 9
corosync_token_last_received_seconds 0.458
corosync_token_lost_total 0
corosync_token_timeout_seconds 3.65
corosync_total_votes 3
corosync_wait_for_all 0
pve_cluster_quorum 1`

func TestHealthyCorosync(t *testing.T) {
	got := corosyncScrape{t: t, says: corosyncSays{snapshot: healthyCorosync()}}.lines()
	if d := cmp.Diff(strings.Split(healthyCorosyncLines, "\n")[1:], got); d != "" {
		t.Error(d)
	}
}

// TestCorosyncStates tells each state by what differs from a healthy cluster: lines that are gone
// begin with -, new ones with +.
func TestCorosyncStates(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*corosync.Snapshot)
		want   string
	}{
		"votes are forced after two nodes died": {
			func(s *corosync.Snapshot) {
				s.ExpectedVotes, s.HighestExpectedVotes, s.TotalVotes, s.QuorumVotes = 1, 1, 1, 1
				s.Members[1].Up, s.Members[2].Up = false, false
			}, `
-corosync_expected_votes 3
+corosync_expected_votes 1
-corosync_highest_expected_votes 3
+corosync_highest_expected_votes 1
-corosync_member_up{node="pve2",node_id="2"} 1
+corosync_member_up{node="pve2",node_id="2"} 0
-corosync_member_up{node="pve3",node_id="3"} 1
+corosync_member_up{node="pve3",node_id="3"} 0
-corosync_quorum_votes 2
+corosync_quorum_votes 1
-corosync_total_votes 3
+corosync_total_votes 1`,
		},
		"wait_for_all holds back quorum though the votes suffice": {
			func(s *corosync.Snapshot) {
				s.Quorate, s.WaitForAll, s.TotalVotes, s.Members[2].Up = false, true, 2, false
			}, `
-corosync_member_up{node="pve3",node_id="3"} 1
+corosync_member_up{node="pve3",node_id="3"} 0
-corosync_quorate 1
+corosync_quorate 0
-corosync_total_votes 3
+corosync_total_votes 2
-corosync_wait_for_all 0
+corosync_wait_for_all 1
-pve_cluster_quorum 1
+pve_cluster_quorum 0`,
		},
		"the quorum device lost its server": {
			func(s *corosync.Snapshot) {
				s.QDevice = corosync.QDevice{Configured: true, Votes: 1, Registered: true, Alive: true}
				s.ConfiguredVotes, s.ExpectedVotes = 4, 4
			}, `
-corosync_configured_votes 3
+corosync_configured_votes 4
-corosync_expected_votes 3
+corosync_expected_votes 4
-corosync_qdevice_alive 0
+corosync_qdevice_alive 1
-corosync_qdevice_configured 0
+corosync_qdevice_configured 1
-corosync_qdevice_registered 0
+corosync_qdevice_registered 1`,
		},
		"cut off from the others": {
			func(s *corosync.Snapshot) {
				s.Quorate, s.TotalVotes = false, 1
				s.Members[1].Up, s.Members[2].Up = false, false
				s.Ring.V.Sequence = 30
				s.Totem.TokenLost.V, s.Totem.ConsensusTimeouts.V, s.Totem.MembershipChanges.V = 1, 1, 3
			}, `
-corosync_consensus_timeouts_total 0
+corosync_consensus_timeouts_total 1
-corosync_member_up{node="pve2",node_id="2"} 1
+corosync_member_up{node="pve2",node_id="2"} 0
-corosync_member_up{node="pve3",node_id="3"} 1
+corosync_member_up{node="pve3",node_id="3"} 0
-corosync_membership_changes_total 2
+corosync_membership_changes_total 3
-corosync_quorate 1
+corosync_quorate 0
-corosync_ring_sequence 9
+corosync_ring_sequence 30
-corosync_token_lost_total 0
+corosync_token_lost_total 1
-corosync_total_votes 3
+corosync_total_votes 1
-pve_cluster_quorum 1
+pve_cluster_quorum 0`,
		},
		"a link is down": {
			func(s *corosync.Snapshot) {
				l := &s.Links[1]
				l.Connected.V, l.DownCount.V, l.MTU, l.HasLatency, l.LatencyAverage = false, 2, corosync.Opt[uint64]{}, false, 0
			}, `
-corosync_link_connected{link="0",peer="pve3"} 1
+corosync_link_connected{link="0",peer="pve3"} 0
-corosync_link_down_total{link="0",peer="pve3"} 1
+corosync_link_down_total{link="0",peer="pve3"} 2
-corosync_link_latency_average_seconds{link="0",peer="pve3"} 0.000174
-corosync_link_mtu_bytes{link="0",peer="pve3"} 1397`,
		},
		"corosync was not given the CPU": {
			func(s *corosync.Snapshot) {
				s.Totem.ScheduleMiss = corosync.Some(corosync.ScheduleMiss{At: time.UnixMilli(1795218921720), Delay: 13167850 * time.Microsecond})
			}, `
+corosync_schedule_miss_last_delay_seconds 13.16785
+corosync_schedule_miss_last_timestamp_seconds 1.79521892172e+09`,
		},
		"what corosync does not know is left out": {
			func(s *corosync.Snapshot) {
				s.Ring, s.ConfigVersion = corosync.Opt[corosync.Ring]{}, corosync.Opt[uint64]{}
				s.Totem = corosync.Totem{}
				s.Links = s.Links[:1]
				s.Links[0] = corosync.Link{PeerID: 2, Peer: "pve2", Connected: corosync.Some(true)}
			}, `
-corosync_config_version 4
-corosync_consensus_timeout_seconds 4.38
-corosync_consensus_timeouts_total 0
-corosync_link_connected{link="0",peer="pve3"} 1
-corosync_link_down_total{link="0",peer="pve2"} 1
-corosync_link_down_total{link="0",peer="pve3"} 1
-corosync_link_enabled{link="0",peer="pve2"} 1
-corosync_link_enabled{link="0",peer="pve3"} 1
-corosync_link_latency_average_seconds{link="0",peer="pve2"} 0.000174
-corosync_link_latency_average_seconds{link="0",peer="pve3"} 0.000174
-corosync_link_mtu_bytes{link="0",peer="pve2"} 1397
-corosync_link_mtu_bytes{link="0",peer="pve3"} 1397
-corosync_link_ping_packets_total{link="0",peer="pve2"} 92
-corosync_link_ping_packets_total{link="0",peer="pve3"} 92
-corosync_link_pong_packets_total{link="0",peer="pve2"} 91
-corosync_link_pong_packets_total{link="0",peer="pve3"} 91
-corosync_link_send_errors_total{link="0",peer="pve2"} 0
-corosync_link_send_errors_total{link="0",peer="pve3"} 0
-corosync_link_up_total{link="0",peer="pve2"} 1
-corosync_link_up_total{link="0",peer="pve3"} 1
-corosync_membership_changes_total 2
-corosync_retransmits_total 7
-corosync_ring_leader_node_id 1
-corosync_ring_sequence 9
-corosync_token_last_received_seconds 0.458
-corosync_token_lost_total 0
-corosync_token_timeout_seconds 3.65`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := healthyCorosync()
			tc.change(&s)
			got := corosyncScrape{t: t, says: corosyncSays{snapshot: s}}.lines()
			if d := cmp.Diff(strings.Split(tc.want, "\n")[1:], changedLines(strings.Split(healthyCorosyncLines, "\n")[1:], got)); d != "" {
				t.Error(d)
			}
		})
	}
}

// changedLines merges two sorted exposition texts into the lines that only one has.
func changedLines(before, after []string) (changed []string) {
	for _, l := range before {
		if !slices.Contains(after, l) {
			changed = append(changed, "-"+l)
		}
	}
	for _, l := range after {
		if !slices.Contains(before, l) {
			changed = append(changed, "+"+l)
		}
	}
	series := func(l string) string { return l[1:strings.LastIndex(l, " ")] }
	slices.SortStableFunc(changed, func(a, b string) int { return strings.Compare(series(a), series(b)) })
	return changed
}

func TestStandaloneNodeHasQuorumAndNothingElse(t *testing.T) {
	got := corosyncScrape{t: t, says: corosyncSays{snapshot: corosync.Snapshot{Standalone: true}}}.lines()
	if d := cmp.Diff([]string{"pve_cluster_quorum 1"}, got); d != "" {
		t.Error(d)
	}
}

func TestCorosyncThatDoesNotAnswerIsNoQuorum(t *testing.T) {
	for name, err := range map[string]error{
		"stopped":  corosync.ErrStopped,
		"refused":  corosync.ErrAccess,
		"too slow": context.DeadlineExceeded,
	} {
		t.Run(name, func(t *testing.T) {
			got := corosyncScrape{t: t, says: corosyncSays{err: err}, fails: true}.lines()
			if d := cmp.Diff([]string{"pve_cluster_quorum 0"}, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestBuildThatCannotAskCorosyncClaimsNothing(t *testing.T) {
	s := corosyncScrape{t: t, says: corosyncSays{err: corosync.ErrNotBuilt}, fails: true}
	if n := testutil.CollectAndCount(s); n != 0 {
		t.Errorf("%d metrics: %v", n, s.lines())
	}
}

func TestCorosyncWithoutReaderIsRefused(t *testing.T) {
	if _, err := CorosyncSpec().New(Sources{}); err == nil {
		t.Error("a collector without a source was built")
	}
}

func TestCorosyncFamiliesAreThoseExported(t *testing.T) {
	s := healthyCorosync()
	s.Totem.ScheduleMiss = corosync.Some(corosync.ScheduleMiss{At: time.UnixMilli(1), Delay: 1})
	scrape := corosyncScrape{t: t, says: corosyncSays{snapshot: s}}
	exported := map[string]bool{}
	for _, l := range scrape.lines() {
		exported[l[:strings.IndexAny(l, "{ ")]] = true
	}
	for _, f := range CorosyncSpec().Families {
		if !exported[f.Name] {
			t.Errorf("%s is listed and not exported", f.Name)
		}
		delete(exported, f.Name)
	}
	for name := range exported {
		t.Errorf("%s is exported and not listed", name)
	}
	problems, err := testutil.CollectAndLint(scrape)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

func BenchmarkEmitCorosync(b *testing.B) {
	s := healthyCorosync()
	l := s.Links[0]
	s.Members, s.Links = nil, nil
	for id := range uint32(20) {
		name := fmt.Sprintf("pve%d", id+1)
		s.Members = append(s.Members, corosync.Member{ID: id + 1, Name: name, Up: true, Votes: 1})
		for n := range 2 {
			if id > 0 {
				l.PeerID, l.Peer, l.Link = id+1, name, n
				s.Links = append(s.Links, l)
			}
		}
	}
	ch := make(chan prometheus.Metric, 1000)
	sent := 0
	for b.Loop() {
		emitCorosync(s, ch)
		sent = len(ch)
		for range sent {
			<-ch
		}
	}
	b.ReportMetric(float64(sent), "series")
}
