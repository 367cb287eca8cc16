package lab

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

const (
	cephMaxMons     = 3
	cephMaxMgrs     = 2
	cephOSDsPerNode = 2
	cephDefaultPGs  = 32
	cephECPGs       = 8

	cephRBDPool = "rbd"
	cephECPool  = "ecpool"
	cephClient  = "client.quorate"

	// A Unix socket's path must fit into sockaddr_un, with its final NUL.
	maxSocketPath = 107
)

// cephPlan says which Ceph daemons a lab has, and where. It is pure: nothing here looks at a process.
type cephPlan struct {
	nodes []int
	pgs   int                   // of the rbd pool
	addr  func(node int) string // in the storage network
	dir   string                // shared by all nodes
	node  func(node int) string // a node's own directory
	bare  bool                  // the daemons are those that were made, not those of a usual lab
	made  []cephDaemon
}

func (l *Lab) cephPlan() cephPlan {
	pgs := l.o.CephPGs
	if pgs <= 0 {
		pgs = cephDefaultPGs
	}
	p := cephPlan{
		nodes: l.Nodes(), pgs: pgs,
		addr: func(node int) string { return l.Addr(node, Storage).String() },
		dir:  filepath.Join(l.Dir(), "ceph"),
		node: func(node int) string { return filepath.Join(l.NodeDir(node), "ceph") },
	}
	if l.o.Bare {
		p.bare, p.made = true, l.madeDaemons()
		p.addr = func(node int) string { return l.Addr(node, Link1).String() }
	}
	return p
}

// cephDaemon is one daemon of the plan. Its name, "osd.3", is also its name as a Daemon of the lab.
type cephDaemon struct {
	kind, id string // "mon", "pve1"
	node     int
}

func (d cephDaemon) name() string { return d.kind + "." + d.id }

// mons are the monitors, on the first nodes, as hyperconverged clusters have them.
func (p cephPlan) mons() []cephDaemon { return p.perNode("mon", cephMaxMons) }

// mgrs are the managers: the first to start is active, the others stand by.
func (p cephPlan) mgrs() []cephDaemon { return p.perNode("mgr", cephMaxMgrs) }

func (p cephPlan) perNode(kind string, limit int) []cephDaemon {
	if p.bare {
		return p.madeOf(kind)
	}
	var daemons []cephDaemon
	for _, node := range p.nodes[:min(limit, len(p.nodes))] {
		daemons = append(daemons, cephDaemon{kind: kind, id: NodeName(node), node: node})
	}
	return daemons
}

// osds are numbered node by node: 0 and 1 on pve1, 2 and 3 on pve2.
func (p cephPlan) osds() []cephDaemon {
	if p.bare {
		return p.madeOf("osd")
	}
	var daemons []cephDaemon
	for i, node := range p.nodes {
		for k := range cephOSDsPerNode {
			daemons = append(daemons, cephDaemon{kind: "osd", id: fmt.Sprint(i*cephOSDsPerNode + k), node: node})
		}
	}
	return daemons
}

// madeOf are the daemons of a kind in a bare lab.
func (p cephPlan) madeOf(kind string) []cephDaemon {
	return chosen(slices.Clone(p.made), func(d cephDaemon) bool { return d.kind == kind })
}

// all lists every daemon in the order they are started.
func (p cephPlan) all() []cephDaemon { return slices.Concat(p.mons(), p.mgrs(), p.osds()) }

// onNode keeps those of daemons that run on one node.
func onNode(daemons []cephDaemon, node int) []cephDaemon {
	return slices.DeleteFunc(slices.Clone(daemons), func(d cephDaemon) bool { return d.node != node })
}

// hosts is whether replicas are spread over hosts. With less than three nodes they cannot be, and
// are spread over OSDs.
func (p cephPlan) hosts() bool { return len(p.nodes) >= 3 }

// replicas is the size of a replicated pool.
func (p cephPlan) replicas() int {
	if p.bare {
		return 3 // its OSDs are still to come
	}
	return min(3, len(p.osds()))
}

// domains is how many copies CRUSH can place at most.
func (p cephPlan) domains() int {
	if p.hosts() {
		return len(p.nodes)
	}
	return len(p.osds())
}

func (p cephPlan) failureDomain() string {
	if p.hosts() {
		return "host"
	}
	return "osd"
}

func (p cephPlan) conf() string              { return filepath.Join(p.dir, "ceph.conf") }
func (p cephPlan) keyring(who string) string { return filepath.Join(p.dir, "ceph."+who+".keyring") }
func (p cephPlan) data(d cephDaemon) string  { return filepath.Join(p.node(d.node), d.name()) }
func (p cephPlan) socket(d cephDaemon) string {
	return filepath.Join(p.node(d.node), d.name()+".asok")
}

// output is where a daemon's own stdout and stderr go; what it logs is beside it, in NAME.log.
func (p cephPlan) output(d cephDaemon) string {
	return filepath.Join(p.node(d.node), d.name()+".out")
}

// check refuses what could not start. Ceph itself only logs that a socket's path is too long.
func (p cephPlan) check() error {
	for _, d := range p.all() {
		if path := p.socket(d); len(path) > maxSocketPath {
			return fmt.Errorf("admin socket %s: %d characters are more than the %d of a Unix socket (choose a shorter lab directory)",
				path, len(path), maxSocketPath)
		}
	}
	return nil
}

// monAddrs is a monitor's address in both protocols, on the default ports.
func (p cephPlan) monAddrs(node int) string {
	return fmt.Sprintf("[v2:%[1]s:3300,v1:%[1]s:6789]", p.addr(node))
}

// program is the command line that runs a daemon in the foreground.
func (p cephPlan) program(d cephDaemon, more ...string) []string {
	return append([]string{"ceph-" + d.kind, "-i", d.id, "-c", p.conf()}, more...)
}

// render writes ceph.conf. It is shaped like Proxmox VE's, plus what makes a small and busy machine
// show in seconds what a real cluster shows in minutes.
func (p cephPlan) render(fsid string) string {
	var b strings.Builder
	var monHost []string
	for _, d := range p.mons() {
		monHost = append(monHost, p.monAddrs(d.node))
	}
	chooseleaf := 1
	if !p.hosts() {
		chooseleaf = 0
	}
	fmt.Fprintf(&b, cephConfGlobal, fsid, strings.Join(monHost, ","),
		p.addr(0)+"/24", filepath.Join(p.dir, "crash"), p.replicas(), max(1, p.replicas()-1), chooseleaf)
	fmt.Fprintf(&b, "\n[client]\nkeyring = %s\n", filepath.Join(p.dir, "ceph.$name.keyring"))
	fmt.Fprintf(&b, cephConfDaemons, filepath.Join(p.dir, "cluster.log"))
	for _, d := range p.all() {
		log := strings.TrimSuffix(p.socket(d), ".asok") + ".log"
		fmt.Fprintf(&b, "\n[%s]\nhost = %s\npublic_addr = %s\n%s_data = %s\nadmin_socket = %s\nlog_file = %s\n",
			d.name(), NodeName(d.node), p.addr(d.node), d.kind, p.data(d), p.socket(d), log)
	}
	return b.String()
}

// A cephIdentity is a user of cephx.
type cephIdentity struct {
	name, key string
	caps      []string // "mon", "allow r", …
}

// identities are all users with fresh keys. client.quorate has what the exporter's documentation
// asks for, and no more; in a bare lab it is for others to make.
func (p cephPlan) identities() []cephIdentity {
	all := []cephIdentity{
		{name: "mon.", caps: []string{"mon", "allow *"}},
		{name: "client.admin", caps: []string{"mon", "allow *", "mgr", "allow *", "osd", "allow *", "mds", "allow *"}},
	}
	if !p.bare {
		all = append(all, cephIdentity{name: cephClient, caps: []string{"mon", "allow r", "mgr", "allow r"}})
	}
	for _, d := range p.mgrs() {
		all = append(all, cephIdentity{name: d.name(), caps: []string{"mon", "allow profile mgr", "osd", "allow *", "mds", "allow *"}})
	}
	for _, d := range p.osds() {
		all = append(all, cephIdentity{name: d.name(), caps: []string{"mon", "allow profile osd", "mgr", "allow profile osd", "osd", "allow *"}})
	}
	for i := range all {
		all[i].key = newCephKey()
	}
	return all
}

// render is the identity's section of a keyring file.
func (i cephIdentity) render() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[%s]\n\tkey = %s\n", i.name, i.key)
	for k := 0; k+1 < len(i.caps); k += 2 {
		fmt.Fprintf(&b, "\tcaps %s = \"%s\"\n", i.caps[k], i.caps[k+1])
	}
	return b.String()
}

// newCephKey makes a cephx secret: type 1 (AES), creation time (left zero), length, 16 random
// bytes, all little-endian.
func newCephKey() string {
	secret := make([]byte, 16)
	_, _ = rand.Read(secret) // crypto/rand.Read never fails
	key := binary.LittleEndian.AppendUint16(nil, 1)
	key = append(key, make([]byte, 8)...)
	key = binary.LittleEndian.AppendUint16(key, uint16(len(secret)))
	return base64.StdEncoding.EncodeToString(append(key, secret...))
}

// newUUID makes a random UUID (version 4).
func newUUID() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // crypto/rand.Read never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

const cephConfGlobal = `[global]
fsid = %s
mon_host = %s
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
public_network = %s
crash_dir = %s
osd_pool_default_size = %d
osd_pool_default_min_size = %d
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = %d
mon_client_hunt_interval = 1
log_to_stderr = false
`

// Some of these want a word:
//   - digest, stats and report intervals: what "ceph status" says of the PGs is 10 s old by default;
//   - pg logs are so short that an OSD that was away backfills. With the default length a small lab
//     only ever recovers from logs;
//   - scrub_backoff_ratio 0: else a scrub that was asked for is put off at random;
//   - a thread of a daemon that SIGSTOP caught must not abort when it goes on;
//   - slow pings: Ceph averages them for 15 minutes, and would complain for as long after a SIGSTOP;
//   - mkfs grace: a cluster younger than it, 2 minutes, never complains of a manager that went then;
//   - insecure global ids, disk space and pool sizes would keep a lab from HEALTH_OK.
const cephConfDaemons = `
[mon]
mon_cluster_log_file = %s
auth_allow_insecure_global_id_reclaim = false
mon_data_avail_warn = 3
mon_data_avail_crit = 1
mon_election_timeout = 2
mon_probe_timeout = 1
mon_lease = 2
mon_lease_renew_interval_factor = 0.5
mon_tick_interval = 1
mon_mgr_digest_period = 1
mon_mgr_mkfs_grace = 1
mon_allow_pool_delete = true
mon_max_pg_per_osd = 4000
mon_warn_on_pool_pg_num_not_power_of_two = false
mon_osd_adjust_heartbeat_grace = false
mon_osd_min_down_reporters = 1
mon_osd_reporter_subtree_level = osd
mon_osd_down_out_interval = 3600
paxos_propose_interval = 0.1
mgr_initial_modules = prometheus

[mgr]
mgr_beacon_period = 1
mgr_tick_period = 1
mgr_stats_period = 2
mon_warn_on_slow_ping_time = 3600000
mgr_disabled_modules = alerts diskprediction_local influx insights iostat localpool mirroring nfs osd_perf_query osd_support restful selftest snap_schedule stats telegraf test_orchestrator zabbix

[osd]
osd_objectstore = bluestore
bluestore_block_size = 2147483648
bluestore_block_create = true
bluestore_block_db_create = false
bluestore_block_wal_create = false
bluestore_fsck_on_mkfs = false
bluestore_cache_autotune = false
bluestore_cache_size = 33554432
bluestore_rocksdb_options_annex = write_buffer_size=8388608
osd_heartbeat_interval = 1
osd_heartbeat_grace = 5
osd_mon_report_interval = 1
osd_min_pg_log_entries = 2
osd_max_pg_log_entries = 4
osd_pg_log_trim_min = 1
osd_pg_log_dups_tracked = 4
osd_max_pg_per_osd_hard_ratio = 10
osd_op_thread_suicide_timeout = 0
osd_op_num_shards = 2
osd_op_num_threads_per_shard = 1
osd_recovery_sleep_hdd = 0
osd_recovery_sleep_hybrid = 0
osd_recovery_sleep_ssd = 0
osd_max_scrubs = 8
osd_scrub_backoff_ratio = 0
osd_scrub_min_interval = 2592000
osd_scrub_max_interval = 2592000
osd_deep_scrub_interval = 2592000
`
