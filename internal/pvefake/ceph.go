package pvefake

import (
	"fmt"
	"strconv"
)

// cephState is the small Ceph of Options.Ceph: one monitor and manager, an OSD a node, the pools given.
type cephState struct {
	fsid   string
	pools  []cephPool
	health string // HEALTH_OK, HEALTH_WARN, HEALTH_ERR
	checks map[string]string
	flags  map[string]bool
}

type cephPool struct {
	id, size, minSize, pgs int
	name, rule, kind       string
}

const (
	cephOSDBytes = 2 << 30
	cephVersion  = "19.2.3"
	cephLong     = "ceph version 19.2.3 (c92aebb279828e9c3c1f5d24613efca272649e62) squid (stable)"
)

func (c *Cluster) enableCeph() {
	c.ceph = &cephState{
		fsid: c.newUUID(), health: "HEALTH_OK", checks: map[string]string{}, flags: map[string]bool{},
		pools: []cephPool{
			{1, 3, 2, 32, "rbd", "replicated_rule", "replicated"}, {2, 3, 2, 8, "ecpool", "ecpool", "erasure"},
			{3, 3, 2, 32, "vmpool", "replicated_rule", "replicated"},
		},
	}
}

// SetCephHealth sets the health and its checks (code to message).
func (c *Cluster) SetCephHealth(status string, checks map[string]string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ceph == nil {
		return fmt.Errorf("pvefake: this cluster has no Ceph (Options.Ceph)")
	}
	c.ceph.health, c.ceph.checks = status, checks
	return nil
}

// cephGuard is what every method says before Ceph was set up (pve-manager PVE/Ceph/Tools.pm).
func cephGuard(f func(*call) any) handler {
	return func(q *call) (any, error) {
		if q.c.ceph == nil {
			return nil, fail(500, "pveceph configuration not initialized - missing '/etc/pve/ceph.conf', missing '/etc/pve/ceph'")
		}
		return f(q), nil
	}
}

func cephHandlers() map[string]handler {
	const base = "GET /nodes/{node}/ceph/"
	empty := func(*call) any { return list{} }
	return map[string]handler{
		"GET /cluster/ceph/status":    cephGuard(cephStatus),
		"GET /cluster/ceph/metadata":  cephGuard(cephMetadata),
		"GET /cluster/ceph/flags":     cephGuard(cephFlags),
		base + "status":               cephGuard(cephStatus),
		base + "osd":                  cephGuard(cephOSDs),
		base + "osd/{osdid}/metadata": cephOSDMetadata,
		base + "mon": cephGuard(func(q *call) any {
			return list{obj{"name": "a", "rank": 0, "quorum": 1, "state": "running", "addr": q.cephAddr(6789)}}
		}),
		base + "mgr":                cephGuard(func(*call) any { return list{obj{"name": "x", "state": "active"}} }),
		base + "mds":                cephGuard(empty),
		base + "fs":                 cephGuard(empty),
		base + "pool":               cephGuard(cephPools),
		base + "pool/{name}/status": cephPoolStatus,
		base + "rules":              cephGuard(func(*call) any { return list{obj{"name": "replicated_rule"}, obj{"name": "ecpool"}} }),
		base + "cfg/db":             cephGuard(cephConfig),
	}
}

func (q *call) cephAddr(port int) string { return fmt.Sprintf("%s:%d/0", q.c.nodes[0].addr.IP, port) }

func (q *call) cephVec(port int) obj {
	ip := q.c.nodes[0].addr.IP.String()
	return obj{"addrvec": list{
		obj{"type": "v2", "addr": fmt.Sprintf("%s:%d", ip, port), "nonce": 0}, obj{"type": "v1", "addr": fmt.Sprintf("%s:%d", ip, port+1), "nonce": 0},
	}}
}

// osdsUp counts the OSDs on running nodes.
func (c *Cluster) osdsUp() int {
	up := 0
	for _, n := range c.nodes {
		up += bit(n.up)
	}
	return up
}

func cephStatus(q *call) any {
	s, c := q.c.ceph, q.c
	osds, up := len(c.nodes), c.osdsUp()
	since := c.started.Unix()
	stamp := c.started.UTC().Format("2006-01-02T15:04:05.000000Z")
	pgs := 0
	for _, p := range s.pools {
		pgs += p.pgs
	}
	total := int64(osds) * cephOSDBytes
	return obj{
		"fsid": s.fsid, "quorum": list{0}, "quorum_names": list{"a"}, "quorum_age": int64(c.since(c.started).Seconds()), "election_epoch": 3,
		"health": s.healthObject(), "progress_events": obj{},
		"monmap": obj{
			"epoch": 1, "fsid": s.fsid, "created": stamp, "modified": stamp, "quorum": list{0}, "min_mon_release": 19, "min_mon_release_name": "squid",
			"election_strategy": 1, "stretch_mode": false, "tiebreaker_mon": "", "disallowed_leaders: ": "", "removed_ranks: ": "",
			"features": obj{"optional": list{}, "persistent": list{"kraken", "luminous"}},
			"mons": list{obj{
				"name": "a", "rank": 0, "addr": q.cephAddr(6789), "public_addr": q.cephAddr(6789), "public_addrs": q.cephVec(3300),
				"priority": 0, "weight": 0, "crush_location": "{}",
			}},
		},
		"osdmap": obj{
			"epoch": 30, "num_osds": osds, "num_up_osds": up, "num_in_osds": osds, "osd_up_since": since, "osd_in_since": since, "num_remapped_pgs": 0,
		},
		"pgmap": obj{
			"num_pgs": pgs, "num_pools": len(s.pools), "num_objects": 10, "data_bytes": 218, "bytes_used": 282245, "bytes_avail": total - 282245,
			"bytes_total": total, "pgs_by_state": list{obj{"state_name": "active+clean", "count": pgs}},
			"read_bytes_sec": 511, "write_bytes_sec": 1023, "read_op_per_sec": 0, "write_op_per_sec": 0,
		},
		"fsmap":      obj{"epoch": 1, "by_rank": list{}, "up:standby": 0},
		"servicemap": obj{"epoch": 2, "modified": stamp, "services": obj{}},
		"mgrmap":     q.cephMgrMap(stamp),
	}
}

func (q *call) cephMgrMap(stamp string) obj {
	option := obj{
		"name": "interval", "type": "secs", "level": "advanced", "flags": 1, "default_value": "60", "min": "", "max": "", "desc": "", "long_desc": "",
		"enum_allowed": list{"60", "300"}, "tags": list{}, "see_also": list{},
	}
	modules := list{"balancer", "crash", "devicehealth", "pg_autoscaler", "progress", "status"}
	return obj{
		"epoch": 4, "available": true, "active_name": "x", "active_gid": 4104, "active_addr": q.cephAddr(6801), "active_addrs": q.cephVec(6800),
		"active_change": stamp, "active_mgr_features": int64(4540138314316775423), "active_clients": list{obj{"name": "volumes", "addrvec": q.cephVec(0)["addrvec"]}},
		"standbys": list{}, "modules": list{"prometheus"}, "services": obj{"prometheus": "http://" + q.c.nodes[0].addr.IP.String() + ":9283/"},
		"always_on_modules": obj{"squid": modules}, "last_failure_osd_epoch": 0,
		"available_modules": list{obj{"name": "alerts", "can_run": true, "error_string": "", "module_options": obj{"interval": option}}},
	}
}

func (s *cephState) healthObject() obj {
	checks := obj{}
	for code, msg := range s.checks {
		checks[code] = obj{"severity": s.health, "muted": false, "summary": obj{"message": msg, "count": 1}, "detail": list{obj{"message": msg}}}
	}
	return obj{"status": s.health, "checks": checks, "mutes": list{}}
}

// daemonMetadata is what every Ceph daemon reports of its machine.
func daemonMetadata(host string) obj {
	return obj{
		"arch": "x86_64", "ceph_release": "squid", "ceph_version": cephLong, "ceph_version_short": cephVersion, "container_name": "", "cpu": "Fake CPU",
		"distro": "debian", "distro_description": "Debian GNU/Linux 13 (trixie)", "distro_version": "13", "hostname": host,
		"kernel_description": "#1 SMP PREEMPT_DYNAMIC", "kernel_version": kernel, "mem_swap_kb": "0", "mem_total_kb": strconv.Itoa(nodeMemory >> 10), "os": "Linux",
	}
}

func with(o obj, more obj) obj {
	for k, v := range more {
		o[k] = v
	}
	return o
}

func cephMetadata(q *call) any {
	host := q.c.nodes[0].name
	ip := q.c.nodes[0].addr.IP.String()
	osds := list{}
	nodes := obj{}
	for i, n := range q.c.nodes {
		osds = append(osds, q.c.osdMetadata(i))
		nodes[n.name] = obj{"version": obj{"str": cephVersion, "parts": list{"19", "2", "3"}}, "buildcommit": "c92aebb279828e9c3c1f5d24613efca272649e62"}
	}
	return obj{
		"mds": obj{},
		"mgr": obj{"x@" + host: with(daemonMetadata(host), obj{"name": "x", "addr": ip, "addrs": ip + ":0/1"})},
		"mon": obj{"a@" + host: with(daemonMetadata(host), obj{
			"name": "a", "addrs": "[v2:" + ip + ":3300/0,v1:" + ip + ":6789/0]", "compression_algorithms": "none, snappy, zlib, zstd, lz4",
			"device_ids": "", "device_paths": "", "devices": "vda",
		})},
		"node": nodes, "osd": osds,
	}
}

func (c *Cluster) osdMetadata(id int) obj {
	n := c.nodes[id]
	addr := func(port int) string {
		return fmt.Sprintf("[v2:%[1]s:%[2]d/1,v1:%[1]s:%[3]d/1]", n.addr.IP, port, port+1)
	}
	return with(daemonMetadata(n.name), obj{
		"id": id, "osd_data": fmt.Sprintf("/var/lib/ceph/osd/ceph-%d", id), "osd_objectstore": "bluestore", "osdspec_affinity": "",
		"back_addr": addr(6802), "front_addr": addr(6804), "hb_back_addr": addr(6806), "hb_front_addr": addr(6808), "back_iface": "", "front_iface": "",
		"ceph_version_when_created": cephLong, "created_at": "2026-01-01T00:00:00.000000Z", "default_device_class": "ssd", "device_ids": "",
		"device_paths": "", "devices": "", "journal_rotational": "0", "rotational": "0", "network_numa_unknown_ifaces": "back_iface,front_iface",
	})
}

func cephOSDMetadata(q *call) (any, error) {
	id := int(q.num("osdid", -1))
	if q.c.ceph == nil || id+1 != q.n.id {
		return nil, fail(500, fmt.Sprintf("OSD '%s' does not exists on host '%s'", q.str("osdid"), q.n.name))
	}
	m := q.c.osdMetadata(id)
	osd := obj{
		"id": id, "hostname": q.n.name, "version": cephLong, "osd_data": m["osd_data"], "osd_objectstore": "bluestore", "mem_usage": 0, "pid": 0,
		"front_addr": m["front_addr"], "back_addr": m["back_addr"], "hb_front_addr": m["hb_front_addr"], "hb_back_addr": m["hb_back_addr"],
	}
	if q.c.opt.Version != V84 {
		osd["encrypted"] = 0
	}
	return obj{"devices": list{}, "osd": osd}, nil
}

func cephOSDs(q *call) any {
	hosts := bag{}
	for i, n := range q.c.nodes {
		status := "down"
		if n.up {
			status = "up"
		}
		osd := obj{
			"id": strconv.Itoa(i), "name": fmt.Sprintf("osd.%d", i), "type": "osd", "status": status, "in": 1, "host": n.name, "leaf": 1, "osdtype": "bluestore",
			"reweight": 1, "crush_weight": 0.0019989013671875, "total_space": int64(cephOSDBytes), "bytes_used": 94208, "percent_used": 0.00438690185546875,
			"pgs": 72, "apply_latency_ms": 0, "commit_latency_ms": 0, "ceph_version": cephLong, "ceph_version_short": cephVersion,
		}
		hosts = append(hosts, obj{
			"id": strconv.Itoa(-2 - i), "name": n.name, "type": "host", "leaf": 0, "pgs": 0, "reweight": -1, "version": nil, "children": list{osd},
		})
	}
	root := obj{"id": "-1", "name": "default", "type": "root", "pgs": 0, "leaf": 0, "reweight": -1, "children": hosts}
	return obj{"flags": "sortbitwise,recovery_deletes,purged_snapdirs,pglog_hardlimit", "root": obj{"leaf": 0, "children": list{root}}}
}

func (p cephPool) rowAutoscale(total int64) obj {
	return obj{
		"pool_id": p.id, "pool_name": p.name, "pg_autoscale_mode": "off", "bias": 1, "bulk": false, "would_adjust": false, "crush_root_id": -1,
		"pg_num_target": p.pgs, "pg_num_final": p.pgs, "pg_num_ideal": 0, "logical_used": 85, "raw_used": 255, "actual_raw_used": 255, "raw_used_rate": float64(p.size),
		"capacity_ratio": 3.9e-08, "actual_capacity_ratio": 3.9e-08, "subtree_capacity": total, "target_bytes": 0, "target_ratio": 0, "effective_target_ratio": 0,
	}
}

func cephPools(q *call) any {
	rows := list{}
	for i, p := range q.c.ceph.pools {
		app := obj{"rbd": obj{}}
		rows = append(rows, obj{
			"pool": p.id, "pool_name": p.name, "type": p.kind, "size": p.size, "min_size": p.minSize, "pg_num": p.pgs, "pg_num_final": p.pgs, "pg_num_min": nil,
			"pg_autoscale_mode": "off", "target_size": nil, "target_size_ratio": nil, "crush_rule": i % 2, "crush_rule_name": p.rule, "bytes_used": 85,
			"percent_used": 1.3e-08, "application_metadata": app, "autoscale_status": p.rowAutoscale(int64(len(q.c.nodes)) * cephOSDBytes),
		})
	}
	return rows
}

func cephPoolStatus(q *call) (any, error) {
	if q.c.ceph == nil {
		return cephGuard(nil)(q)
	}
	for _, p := range q.c.ceph.pools {
		if p.name == q.str("name") {
			return obj{
				"id": p.id, "name": p.name, "size": p.size, "min_size": p.minSize, "pg_num": p.pgs, "pgp_num": p.pgs, "pg_num_min": nil, "crush_rule": p.rule,
				"pg_autoscale_mode": "off", "target_size": nil, "target_size_ratio": nil, "fast_read": false, "hashpspool": true, "nodeep-scrub": false,
				"nodelete": false, "nopgchange": false, "noscrub": false, "nosizechange": false, "use_gmt_hitset": true, "write_fadvise_dontneed": false,
			}, nil
		}
	}
	return nil, fail(500, "error with 'osd pool get': mon_command failed - unrecognized pool '"+q.str("name")+"'")
}

func cephConfig(*call) any {
	return list{
		obj{"section": "mgr", "name": "mgr/prometheus/server_port", "value": "9283", "level": "advanced", "mask": "", "can_update_at_runtime": 1},
		obj{"section": "mgr", "name": "mgr/prometheus/server_addr", "value": "::", "level": "advanced", "mask": "", "can_update_at_runtime": 0},
	}
}

// cephFlagNames are the OSD flags PVE shows, each with what it means.
var cephFlagNames = [][2]string{
	{"nobackfill", "no backfill"}, {"nodeep-scrub", "no deep scrub"}, {"nodown", "OSDs are not marked down"}, {"noin", "OSDs are not marked in"},
	{"noout", "OSDs are not marked out"}, {"norebalance", "no rebalancing"}, {"norecover", "no recovery"}, {"noscrub", "no scrub"},
	{"notieragent", "no cache tiering"}, {"noup", "OSDs are not marked up"}, {"pause", "no client I/O"},
}

func cephFlags(q *call) any {
	rows := list{}
	for _, f := range cephFlagNames {
		rows = append(rows, obj{"name": f[0], "value": bit(q.c.ceph.flags[f[0]]), "description": f[1]})
	}
	return rows
}
