package acceptance

import (
	"regexp"
	"testing"
	"time"

	"github.com/quorate/quorate/dashboards"
)

var labelValues = regexp.MustCompile(`^label_values\((.+), (\w+)\)$`)

// shownWithin is for a fault to be noticed by daemons, exporters, Prometheus and rules at the tests'
// pace, on a machine that is busy with other tests.
const shownWithin = 45 * time.Second

// What follows from a lost quorum or from lost monitors is not known any more.
var (
	withoutQuorum = []string{"pve_ha_quorate", "corosync_quorate"}
	withoutCeph   = []string{"ceph_*", "quorate_ceph_*"}
)

// boardStates are walked in this order by one lab.
var boardStates = []boardState{
	{name: "healthy", sound: true, says: map[string]string{
		"Cluster / Quorum": "1", "Cluster / Lose a node": "2", "Cluster / Nodes down": "0", "Cluster / HA guests": "0", "Cluster / Ceph": "0",
		"Cluster / PGs inactive": "0", "Cluster / OSDs down": "0", "Cluster / Pages": "0", "Cluster / Blind spots": "0",
		"Quorum and links / Votes": "3", "Quorum and links / Partitions": "1", "Quorum and links / Links down": "0", "Ceph / PGs clean": "1",
		"Live migration / Running": "0", "Quorate itself / Exporters": "3", "Quorate itself / Sources down": "0"}},
	{name: "migration, OSD out", begin: []func(*testing.T, *boards){rebalance, migrate}, shows: []dashboards.When{dashboards.WhileMigrating},
		says: map[string]string{"Cluster / Migrations": "1", "Ceph / Out": "1"}, stays: true, passes: true},
	{name: "migrated", choose: true, shows: []dashboards.When{dashboards.AfterMigration, dashboards.WhileRecovering},
		says: map[string]string{"Cluster / Migrations": "0", "Live migration / Still paused": "0"}},
	{name: "link, OSD, HA, tasks", enter: []string{"backup-fail 2", "ha-error 102", "link-down 3 1", "osd-down 0"},
		shows: []dashboards.When{dashboards.WhilePaging, dashboards.WhileAlerting, dashboards.WhileWarned, dashboards.WhileLinkDown, dashboards.AfterTaskFailure},
		says:  map[string]string{"Quorum and links / Links down": "1", "Cluster / OSDs down": "1", "Cluster / HA guests": "6", "HA and failover / In error": "1"}},
	{name: "monitors down", enter: []string{"mon-quorum-lost"}, gone: withoutCeph, shows: []dashboards.When{dashboards.AfterErrors},
		says: map[string]string{"Cluster / Ceph": "3", "Cluster / PGs inactive": "", "Cluster / OSDs down": "", "Ceph / Used": ""}},
	{name: "node down", enter: []string{"node-down 3"}, shows: []dashboards.When{dashboards.WhileFailingOver}, stays: true,
		says: map[string]string{"Cluster / Nodes down": "1", "Cluster / Lose a node": "0", "Cluster / Quorum": "1"}},
	{name: "failed over", shows: []dashboards.When{dashboards.AfterFailover},
		says: map[string]string{"Cluster / HA guests": "0", "Cluster / Blind spots": "1"}},
	{name: "quorum lost", enter: []string{"partition-links 1 2 3"}, gone: withoutQuorum, shows: []dashboards.When{dashboards.AfterQuorumChange},
		says: map[string]string{"Cluster / Quorum": "0", "Cluster / Lose a node": "0", "Cluster / Nodes down": "", "Cluster / HA guests": ""}},
	{name: "corosync hung", enter: []string{"corosync-hang 2", `until pve1: corosync_member_up{node="pve2"} == 0`},
		says: map[string]string{"Cluster / Nodes down": "1", "Cluster / Quorum": "1"}},
	{name: "corosync back", shows: []dashboards.When{dashboards.AfterStarvation}, says: map[string]string{"Cluster / Nodes down": "0"}},
}
