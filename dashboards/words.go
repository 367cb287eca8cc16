package dashboards

// Colours, by what they mean on every page.
const (
	green  = "green"  // as it should be
	blue   = "blue"   // on purpose, or in motion; an alert of severity info
	orange = "orange" // to be looked at by day; warning
	red    = "red"    // to be looked at now; critical
	purple = "purple" // not known
	grey   = "text"   // neither good nor bad
)

// The UIDs.
const (
	uidCluster   = "quorate-cluster"
	uidQuorum    = "quorate-quorum"
	uidCeph      = "quorate-ceph"
	uidHA        = "quorate-ha"
	uidMigration = "quorate-migration"
	uidGuests    = "quorate-guests"
	uidSelf      = "quorate-self"
)

func quorumWords() []Word {
	return []Word{{0, "LOST", red, "ClusterQuorumLost"}, {1, "yes", green, ""}}
}

func spareWords() []Word {
	return []Word{{0, "NO", orange, "ClusterQuorumAtRisk"}, {1, "no, by size", blue, ""}, {2, "yes", green, ""}}
}

func nodeWords() []Word {
	return []Word{{0, "down", red, "NodeDown"}, {1, "member", green, ""}, {2, "away on purpose", blue, "NodeAway"}}
}

func cephWords() []Word {
	return []Word{
		{0, "OK", green, ""}, {1, "WARN", orange, "CephHealthWarning"}, {2, "ERROR", red, "CephHealthError"},
		{3, "NO QUORUM", red, "CephMonitorsUnreachable"},
	}
}

func checkWords() []Word {
	return []Word{{0, "over", green, ""}, {1, "warning", orange, "CephHealthWarning"}, {2, "error", red, "CephHealthError"}}
}

// haWords are the values of haGuests.
func haWords() []Word {
	return []Word{
		{0, "as it should be", green, ""}, {1, "stopped", grey, ""}, {2, "moving", blue, ""}, {3, "frozen", purple, ""},
		{4, "recovery", orange, "HAFailoverSlow"}, {5, "fence", orange, "HAFailoverSlow"}, {6, "ERROR", red, "HAServiceError"},
	}
}

func haNodeWords() []Word {
	return []Word{
		{0, "online", green, ""}, {1, "maintenance", blue, "NodeAway"}, {2, "unknown", purple, ""},
		{3, "fence", red, "HAFenceNotConfirmed"}, {4, "gone", grey, ""},
	}
}

func lrmWords() []Word {
	return []Word{
		{0, "idle", grey, ""}, {1, "active", green, ""}, {2, "maintenance", blue, ""}, {3, "lost its lock", orange, "HALRMDead"},
	}
}

func upWords(text, down, colour, alert string) []Word {
	return []Word{{0, down, colour, alert}, {1, text, green, ""}}
}
