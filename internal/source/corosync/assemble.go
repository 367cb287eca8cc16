package corosync

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// A daemon is what a corosync with open handles answers. Its methods may block for ever when
// corosync hangs, and are never called by two at once.
type daemon interface {
	// quorum returns the quorum service's view and the ring.
	quorum() (quorumView, error)
	// votes returns what votequorum knows of each of the nodes, in their order.
	votes(nodeIDs []uint32) ([]voteInfo, error)
	// get returns the values of the keys, in their order. A key that is not there is no error: its
	// value has no kind.
	get(m keyMap, keys []string) ([]value, error)
	// close gives the handles back.
	close()
}

// quorumView is what the quorum service notifies of.
type quorumView struct {
	quorate bool
	ring    Opt[Ring]
	members []uint32 // of this partition
}

// voteInfo is votequorum's record of one node; the fields from expected on are the asking node's own
// view, whichever node is asked about.
type voteInfo struct {
	known           bool // false: votequorum has not seen the node since this daemon started
	member          bool
	votes           uint32
	expected        uint32
	highestExpected uint32
	total           uint32
	quorum          uint32
	flags           uint32
	qdeviceVotes    uint32
}

// The flags of votequorum_getinfo (votequorum.h).
const (
	flagWaitForAll        = 4
	flagQDeviceRegistered = 64
	flagQDeviceAlive      = 128
	flagQDeviceCastVote   = 256
)

// keyMap is one of corosync's two key maps.
type keyMap int

const (
	configMap keyMap = iota
	statsMap
)

// A value of a key. Numbers of all widths are widened.
type value struct {
	kind valueKind
	n    uint64
	f    float64
	s    string
}

type valueKind uint8

const (
	missing valueKind = iota
	number
	float
	text
)

// Limits of corosync: nodes of a knet handle (totem's PROCESSOR_COUNT_MAX is larger) and links of
// a node (corosync.conf(5), ringX_addr).
const (
	maxNodes = 128
	maxLinks = 8
)

// readSnapshot asks d for everything in a few batches. Only what the quorum itself needs is required;
// any other key that is missing leaves its field unknown.
func readSnapshot(d daemon) (Snapshot, error) {
	view, err := d.quorum()
	if err != nil {
		return Snapshot{}, fmt.Errorf("read quorum: %w", err)
	}
	s := Snapshot{Quorate: view.quorate, Ring: view.ring}
	if err := s.readConfig(d); err != nil {
		return Snapshot{}, fmt.Errorf("read settings: %w", err)
	}
	nodes, err := readNodes(d)
	if err != nil {
		return Snapshot{}, fmt.Errorf("read node list: %w", err)
	}
	nodes = addUnlisted(nodes, view.members)
	if err := s.readVotes(d, nodes); err != nil {
		return Snapshot{}, fmt.Errorf("read votes: %w", err)
	}
	if err := s.readStats(d, nodes); err != nil {
		return Snapshot{}, fmt.Errorf("read statistics: %w", err)
	}
	return s, nil
}

// configKeys are the single keys of the configuration map and where their values go.
var configKeys = []struct {
	key string
	set func(*Snapshot, value)
}{
	{"runtime.votequorum.this_node_id", func(s *Snapshot, v value) { s.SelfID = v.u32() }},
	{"totem.config_version", func(s *Snapshot, v value) { s.ConfigVersion = v.count() }},
	{"runtime.config.totem.token", func(s *Snapshot, v value) { s.Totem.TokenTimeout = v.millis() }},
	{"runtime.config.totem.consensus", func(s *Snapshot, v value) { s.Totem.ConsensusTimeout = v.millis() }},
	{"quorum.device.model", func(s *Snapshot, v value) { s.QDevice.Configured = v.kind == text && v.s != "" }},
	{"quorum.device.votes", func(s *Snapshot, v value) { s.QDevice.Votes = v.u32() }},
}

var configKeyNames = names(len(configKeys), func(i int) string { return configKeys[i].key })

func (s *Snapshot) readConfig(d daemon) error {
	vals, err := d.get(configMap, configKeyNames)
	if err != nil {
		return err
	}
	for i, k := range configKeys {
		k.set(s, vals[i])
	}
	if s.SelfID == 0 {
		return fmt.Errorf("key %s is missing: quorum provider corosync_votequorum is not configured, see corosync.conf(5)", configKeyNames[0])
	}
	return nil
}

// A node of the node list as corosync has loaded it.
type node struct {
	Member
	index int // its place in nodelist.node, -1 for a member that is not listed
}

// readNodes reads nodelist.node.0, 1, … up to the first gap. corosync numbers them without gaps
// when it loads its configuration. They are asked for by name, a few nodes at a time, since walking
// the keys would cost twice the round trips.
func readNodes(d daemon) ([]node, error) {
	const batch = 4
	fields := []string{"nodeid", "name", "ring0_addr", "quorum_votes"}
	var nodes []node
	for from := 0; from < maxNodes; from += batch {
		keys := make([]string, 0, batch*len(fields))
		for i := from; i < from+batch; i++ {
			for _, f := range fields {
				keys = append(keys, nodeKey(i, f))
			}
		}
		vals, err := d.get(configMap, keys)
		if err != nil {
			return nil, err
		}
		for i := range batch {
			v := vals[i*len(fields):][:len(fields)]
			if v[0].kind != number {
				return nodes, nil
			}
			n := node{index: from + i, Member: Member{ID: v[0].u32(), Votes: 1}}
			n.Name = cmp.Or(v[1].s, v[2].s, strconv.FormatUint(uint64(n.ID), 10))
			if v[3].kind == number {
				n.Votes = v[3].u32()
			}
			nodes = append(nodes, n)
		}
	}
	return nodes, nil
}

func nodeKey(index int, field string) string {
	return "nodelist.node." + strconv.Itoa(index) + "." + field
}

// addUnlisted adds members that the node list lacks: with transport udp there need not be one.
func addUnlisted(nodes []node, members []uint32) []node {
	for _, id := range members {
		if !slices.ContainsFunc(nodes, func(n node) bool { return n.ID == id }) {
			nodes = append(nodes, node{index: -1, Member: Member{ID: id, Name: strconv.FormatUint(uint64(id), 10)}})
		}
	}
	return nodes
}

// readVotes fills in what votequorum says: of the cluster from the record of the node itself, and
// of each node whether it is a member.
func (s *Snapshot) readVotes(d daemon, nodes []node) error {
	ids := make([]uint32, 0, len(nodes)+1)
	ids = append(ids, s.SelfID)
	for _, n := range nodes {
		ids = append(ids, n.ID)
	}
	infos, err := d.votes(ids)
	if err != nil {
		return err
	}
	self := infos[0]
	if !self.known {
		return fmt.Errorf("votequorum does not know this node (id %d)", s.SelfID)
	}
	s.ExpectedVotes, s.HighestExpectedVotes = self.expected, self.highestExpected
	s.TotalVotes, s.QuorumVotes = self.total, self.quorum
	s.WaitForAll = self.flags&flagWaitForAll != 0
	s.QDevice.Registered = self.flags&flagQDeviceRegistered != 0
	s.QDevice.Alive = self.flags&flagQDeviceAlive != 0
	s.QDevice.CastVote = self.flags&flagQDeviceCastVote != 0

	for i, n := range nodes {
		if n.index >= 0 {
			s.ConfiguredVotes += n.Votes
		}
		if info := infos[i+1]; info.known {
			n.Up = info.member
			if info.member {
				n.Votes = info.votes
			}
		}
		s.Members = append(s.Members, n.Member)
	}
	slices.SortFunc(s.Members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	s.countQDevice(self)
	return nil
}

// countQDevice settles what the qdevice is worth: the setting, else what votequorum uses, else
// corosync-qdevice(8)'s default, one less than all nodes together.
func (s *Snapshot) countQDevice(self voteInfo) {
	q := &s.QDevice
	if !q.Configured {
		q.Votes = 0
		return
	}
	q.Votes = cmp.Or(q.Votes, self.qdeviceVotes)
	if q.Votes == 0 && s.ConfiguredVotes > 0 {
		q.Votes = s.ConfiguredVotes - 1
	}
	s.ConfiguredVotes += q.Votes
}

// ringKeys are the single keys of the statistics map.
var ringKeys = []struct {
	key string
	set func(*Totem, value)
}{
	{"stats.srp.operational_token_lost", addTokenLost},
	{"stats.srp.gather_token_lost", addTokenLost},
	{"stats.srp.commit_token_lost", addTokenLost},
	{"stats.srp.recovery_token_lost", addTokenLost},
	{"stats.srp.consensus_timeouts", func(t *Totem, v value) { t.ConsensusTimeouts = v.count() }},
	{"stats.srp.operational_entered", func(t *Totem, v value) { t.MembershipChanges = v.count() }},
	{"stats.srp.mcast_retx", func(t *Totem, v value) { t.Retransmits = v.count() }},
	{"stats.srp.time_since_token_last_received", func(t *Totem, v value) { t.SinceToken = v.millis() }},
	// Events are kept newest first, at most ten.
	{"stats.schedmiss.0.timestamp", func(t *Totem, v value) {
		if v.kind == number && v.n <= math.MaxInt64 {
			t.ScheduleMiss = Some(ScheduleMiss{At: time.UnixMilli(int64(v.n))})
		}
	}},
	{"stats.schedmiss.0.delay", func(t *Totem, v value) {
		if v.kind == float {
			t.ScheduleMiss.V.Delay = time.Duration(v.f * float64(time.Millisecond))
		} else {
			t.ScheduleMiss = Opt[ScheduleMiss]{}
		}
	}},
}

func addTokenLost(t *Totem, v value) {
	if c := v.count(); c.Known {
		t.TokenLost = Some(t.TokenLost.V + c.V)
	}
}

// linkKeys are the keys of one link, below stats.knet.nodeN.linkL.
var linkKeys = []struct {
	key string
	set func(*Link, value)
}{
	{"connected", func(l *Link, v value) { l.Connected = v.boolean() }},
	{"enabled", func(l *Link, v value) { l.Enabled = v.boolean() }},
	{"up_count", func(l *Link, v value) { l.UpCount = v.count() }},
	{"down_count", func(l *Link, v value) { l.DownCount = v.count() }},
	{"tx_ping_packets", func(l *Link, v value) { l.PingPackets = v.count() }},
	{"rx_pong_packets", func(l *Link, v value) { l.PongPackets = v.count() }},
	{"tx_total_errors", func(l *Link, v value) { l.SendErrors = v.count() }},
	{"mtu", func(l *Link, v value) {
		if l.Connected.V {
			l.MTU = v.count()
		}
	}},
	{"latency_ave", func(l *Link, v value) {
		l.LatencyAverage = time.Duration(v.n) * time.Microsecond
		l.HasLatency = v.kind == number && l.Connected.V
	}},
	// The minimum starts at the largest number and is the only mark of a link without a sample.
	{"latency_min", func(l *Link, v value) {
		if !l.HasLatency || v.kind != number || v.n == math.MaxUint32 {
			l.LatencyAverage, l.HasLatency = 0, false
		}
	}},
}

// readStats reads the ring's and all links' statistics in one batch.
func (s *Snapshot) readStats(d daemon, nodes []node) error {
	links, err := s.candidates(d, nodes)
	if err != nil {
		return err
	}
	keys := make([]string, 0, len(ringKeys)+len(links)*len(linkKeys))
	for _, k := range ringKeys {
		keys = append(keys, k.key)
	}
	for _, l := range links {
		prefix := "stats.knet.node" + strconv.FormatUint(uint64(l.PeerID), 10) + ".link" + strconv.Itoa(l.Link) + "."
		for _, k := range linkKeys {
			keys = append(keys, prefix+k.key)
		}
	}
	vals, err := d.get(statsMap, keys)
	if err != nil {
		return err
	}
	for i, k := range ringKeys {
		k.set(&s.Totem, vals[i])
	}
	vals = vals[len(ringKeys):]
	for _, l := range links {
		for i, k := range linkKeys {
			k.set(&l, vals[i])
		}
		vals = vals[len(linkKeys):]
		// Not there: the peer has no such link, or has just been taken out of the configuration.
		if l.Connected.Known || l.Enabled.Known {
			s.Links = append(s.Links, l)
		}
	}
	return nil
}

// candidates lists the links that may exist: to each listed peer one for every link of this node.
// The loopback link that corosync keeps to itself is none.
func (s *Snapshot) candidates(d daemon, nodes []node) ([]Link, error) {
	self := slices.IndexFunc(nodes, func(n node) bool { return n.ID == s.SelfID && n.index >= 0 })
	if self < 0 {
		return nil, nil
	}
	rings, err := d.get(configMap, names(maxLinks, func(l int) string {
		return nodeKey(nodes[self].index, "ring"+strconv.Itoa(l)+"_addr")
	}))
	if err != nil {
		return nil, err
	}
	var links []Link
	for _, m := range s.Members {
		for l, v := range rings {
			if m.ID != s.SelfID && v.kind != missing {
				links = append(links, Link{PeerID: m.ID, Peer: m.Name, Link: l})
			}
		}
	}
	return links, nil
}

func names(n int, name func(int) string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = name(i)
	}
	return out
}

func (v value) u32() uint32 { return uint32(min(v.n, math.MaxUint32)) }

func (v value) count() Opt[uint64] { return Opt[uint64]{V: v.n, Known: v.kind == number} }

func (v value) boolean() Opt[bool] { return Opt[bool]{V: v.n != 0, Known: v.kind == number} }

// millis reads a number of milliseconds.
func (v value) millis() Opt[time.Duration] {
	const most = math.MaxInt64 / uint64(time.Millisecond)
	if v.kind != number || v.n > most {
		return Opt[time.Duration]{}
	}
	return Some(time.Duration(v.n) * time.Millisecond)
}
