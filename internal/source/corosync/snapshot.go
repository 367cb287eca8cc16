package corosync

import "time"

// A Snapshot is one reading of the local corosync daemon: this node's own view, which in a
// partition differs from that of its peers.
type Snapshot struct {
	// Standalone says that this node is in no cluster: it has no corosync.conf. Nothing else is set.
	Standalone bool

	Quorate              bool   // as votequorum says; with wait_for_all the votes do not tell
	ExpectedVotes        uint32 // what the quorum is calculated from; `pvecm expected` lowers it
	HighestExpectedVotes uint32
	TotalVotes           uint32 // present now, the qdevice's included
	QuorumVotes          uint32 // needed to be quorate
	ConfiguredVotes      uint32 // sum of nodelist.node.*.quorum_votes, plus the qdevice's votes
	WaitForAll           bool   // configured: not quorate before all nodes have been seen once

	SelfID        uint32
	Ring          Opt[Ring]
	ConfigVersion Opt[uint64] // totem.config_version of the loaded configuration

	Members []Member // by node id: all configured nodes, up or not
	QDevice QDevice
	Links   []Link // by peer id and link number: all links to other nodes
	Totem   Totem
}

// Opt is a value that the daemon may not have. The zero value is "unknown".
type Opt[T any] struct {
	V     T
	Known bool
}

// Some returns the known value v.
func Some[T any](v T) Opt[T] { return Opt[T]{V: v, Known: true} }

// Ring identifies the ring as all its members know it. Two leaders at one time are two partitions.
type Ring struct {
	LeaderID uint32 // the lowest node id of the ring
	Sequence uint64 // grows with every membership change
}

// A Member is a node of the node list.
type Member struct {
	ID    uint32
	Name  string // nodelist name, else ring0_addr, else the id
	Up    bool   // a member of this node's partition
	Votes uint32 // its votes when it is up; what the configuration gives it when not known
}

// QDevice is the state of the quorum device.
type QDevice struct {
	Configured bool   // quorum.device.model is set
	Votes      uint32 // what it is worth
	Registered bool   // corosync-qdevice runs here and has registered with votequorum
	Alive      bool   // it polls votequorum in time
	CastVote   bool   // the arbitrator (corosync-qnetd) lets it vote for this partition
}

// A Link is one knet link from this node to a peer. Its counters start anew with the daemon.
type Link struct {
	PeerID uint32
	Peer   string // Member.Name of the peer
	Link   int

	Enabled, Connected Opt[bool]
	UpCount, DownCount Opt[uint64] // DownCount is 1 before the link was ever up
	MTU                Opt[uint64] // bytes; known only while connected, knet keeps the last value
	PingPackets        Opt[uint64] // heartbeats sent
	PongPackets        Opt[uint64] // heartbeats answered
	SendErrors         Opt[uint64]
	LatencyAverage     time.Duration // a mean over up to 2048 heartbeats, nearly blind to change
	HasLatency         bool          // connected and at least one sample
}

// Totem is the state of the ring protocol. The counters start anew with the daemon.
type Totem struct {
	// TokenLost counts expired token timeouts in all states of the protocol (operational, gather,
	// commit and recovery). A clean join or leave adds nothing; heavy loss shows first in commit and
	// recovery, which is why operational alone is not enough.
	TokenLost         Opt[uint64]
	ConsensusTimeouts Opt[uint64]
	MembershipChanges Opt[uint64] // times a new ring became operational
	Retransmits       Opt[uint64] // messages sent again: the earliest sign of packet loss

	SinceToken       Opt[time.Duration] // since the token was last received
	TokenTimeout     Opt[time.Duration] // runtime value, grown with the number of nodes
	ConsensusTimeout Opt[time.Duration]

	ScheduleMiss Opt[ScheduleMiss] // the newest; unknown when there was none since the daemon started
}

// ScheduleMiss is a time when corosync was not given the CPU.
type ScheduleMiss struct {
	At    time.Time
	Delay time.Duration
}
