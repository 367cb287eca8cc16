package ceph

import "time"

// A Snapshot is what the cluster said just now. Nothing in it is older than its Taken, except what
// is the same as long as its epoch is (maps, metadata). It is shared: do not change it.
type Snapshot struct {
	Taken time.Time
	// HasMon says that a monitor in quorum answered; without it nothing else is set.
	HasMon bool
	Mon    MonPart
	// HasMgr says that the active manager answered. Without it PGs, pool use, rates and latencies
	// are unknown, whatever the monitors still remember of them.
	HasMgr bool
	Mgr    MgrPart
	// Release is that of the active manager, as the mgr module would go by, else of the monitors.
	Release Release
}

// MonPart is what the monitors know by themselves. A nil part could not be read.
type MonPart struct {
	Status Status
	Health Health // with the checks that were seen earlier and are gone
	MonMap *MonMap
	MgrMap *MgrMap
	OSDMap *OSDMap
	FSMap  *FSMap

	usage *Usage // counted by the manager, so valid only with it
}

// MgrPart is what the manager counts. A nil part could not be read.
type MgrPart struct {
	PGs         PGTotals
	PoolPGs     []PoolPGs // by pool id; nil when unknown
	Usage       *Usage
	Latencies   []OSDLatency
	OSDUse      []OSDUse
	PoolRates   []PoolRates
	PoolRepairs []PoolRepairs
	// Survivable says by failure domain ("host", "osd", "rack", …) how many more of it may fail
	// before a pool falls below min_size; negative when one already has.
	Survivable map[string]int
	// OldestInactive is since when the longest inactive PG has been so; OldestKnown is false where
	// it would be dear to find out.
	OldestInactive time.Duration
	OldestKnown    bool
}

// PoolPGs is how many PGs of a pool have which state.
type PoolPGs struct {
	Pool   int64
	Total  int
	States map[string]int // by state such as "active+clean"
}
