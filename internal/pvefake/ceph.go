package pvefake

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// cephGuard is what every method says before Ceph was set up (pve-manager PVE/Ceph/Tools.pm).
func cephGuard(f func(*call) any) handler {
	return func(q *call) (any, error) {
		if text := q.n.cephMissing(); text != "" {
			return nil, fail(500, text)
		}
		if q.c.ceph.quorum() == nil {
			return nil, fail(500, "got timeout")
		}
		return f(q), nil
	}
}

func cephHandlers() map[string]handler {
	const base = "GET /nodes/{node}/ceph/"
	return map[string]handler{
		"GET /cluster/ceph/status":    cephGuardStatus,
		"GET /cluster/ceph/metadata":  cephGuard(cephMetadata),
		"GET /cluster/ceph/flags":     cephGuard(cephFlags),
		base + "status":               cephGuardStatus,
		base + "osd":                  cephGuard(cephOSDs),
		base + "osd/{osdid}/metadata": cephOSDMetadata,
		base + "mon":                  cephMons,
		base + "mgr":                  cephMgrs,
		base + "mds":                  cephGuard(cephMDSs),
		base + "fs":                   cephGuard(cephFSs),
		base + "pool":                 cephGuard(cephPools),
		base + "pool/{name}/status":   cephPoolStatus,
		base + "rules":                cephGuard(cephRules),
		base + "cfg/db":               cephGuard(cephConfig),
	}
}

func addrPort(ip string, port int) string { return fmt.Sprintf("%s:%d/0", ip, port) }

func (q *call) cephVec(port int) obj { return addrVec(q.c.ceph.mons[0].addr, port) }

func addrVec(ip string, port int) obj {
	return obj{"addrvec": list{
		obj{"type": "v2", "addr": fmt.Sprintf("%s:%d", ip, port), "nonce": 0}, obj{"type": "v1", "addr": fmt.Sprintf("%s:%d", ip, port+1), "nonce": 0},
	}}
}

func cephStatus(q *call) any {
	s, c := q.c.ceph, q.c
	since := c.started.Unix()
	stamp := c.started.UTC().Format("2006-01-02T15:04:05.000000Z")
	quorum, names, mons := list{}, list{}, list{}
	for i, m := range s.mons {
		if m.runs() {
			quorum, names = append(quorum, i), append(names, m.name)
		}
		mons = append(mons, obj{
			"name": m.name, "rank": i, "addr": addrPort(m.addr, 6789), "public_addr": addrPort(m.addr, 6789), "public_addrs": addrVec(m.addr, 3300),
			"priority": 0, "weight": 0, "crush_location": "{}",
		})
	}
	return obj{
		"fsid": s.fsid, "quorum": quorum, "quorum_names": names, "quorum_age": int64(c.since(c.started).Seconds()), "election_epoch": 3,
		"health": c.healthObject(), "progress_events": obj{},
		"monmap": obj{
			"epoch": len(s.mons), "fsid": s.fsid, "created": stamp, "modified": stamp, "quorum": quorum, "min_mon_release": 19, "min_mon_release_name": "squid",
			"election_strategy": 1, "stretch_mode": false, "tiebreaker_mon": "", "disallowed_leaders: ": "", "removed_ranks: ": "",
			"features": obj{"optional": list{}, "persistent": list{"kraken", "luminous"}},
			"mons":     mons,
		},
		"osdmap":     c.osdmapObject(since),
		"pgmap":      c.pgmapObject(),
		"fsmap":      obj{"epoch": 1, "by_rank": list{}, "up:standby": 0},
		"servicemap": obj{"epoch": 2, "modified": stamp, "services": obj{}},
		"mgrmap":     q.cephMgrMap(stamp),
	}
}

func (c *Cluster) osdmapObject(since int64) obj {
	up, in := 0, 0
	for _, o := range c.ceph.osds {
		up += bit(o.up())
		in += bit(o.in)
	}
	return obj{
		"epoch": 30, "num_osds": len(c.ceph.osds), "num_up_osds": up, "num_in_osds": in, "osd_up_since": since, "osd_in_since": since, "num_remapped_pgs": 0,
	}
}

func (c *Cluster) pgmapObject() obj {
	s := c.ceph
	var total int64
	for _, o := range s.osds {
		total += o.bytes
	}
	pgs, byState := 0, map[string]int{}
	for _, p := range s.pools {
		pgs += p.pgs
		byState[s.state(p, c.now)] += p.pgs
	}
	states := list{}
	for _, name := range sortedKeys(byState) {
		states = append(states, obj{"state_name": name, "count": byState[name]})
	}
	return obj{
		"num_pgs": pgs, "num_pools": len(s.pools), "num_objects": 10, "data_bytes": 218, "bytes_used": 282245, "bytes_avail": max(total-282245, 0),
		"bytes_total": total, "pgs_by_state": states,
		"read_bytes_sec": 511, "write_bytes_sec": 1023, "read_op_per_sec": 0, "write_op_per_sec": 0,
	}
}

func (q *call) cephMgrMap(stamp string) obj {
	option := obj{
		"name": "interval", "type": "secs", "level": "advanced", "flags": 1, "default_value": "60", "min": "", "max": "", "desc": "", "long_desc": "",
		"enum_allowed": list{"60", "300"}, "tags": list{}, "see_also": list{},
	}
	active, standbys := cephDaemon{addr: q.c.ceph.mons[0].addr}, list{}
	if m := q.c.ceph.activeMgr(); m != nil {
		active = *m
	}
	for i, m := range q.c.ceph.mgrs {
		if m.runs() && m.name != active.name {
			standbys = append(standbys, obj{"gid": 4200 + i, "name": m.name, "mgr_features": int64(4540138314316775423), "available_modules": list{}})
		}
	}
	modules := list{"balancer", "crash", "devicehealth", "pg_autoscaler", "progress", "status"}
	return obj{
		"epoch": 4, "available": active.name != "", "active_name": active.name, "active_gid": 4104, "active_addr": addrPort(active.addr, 6801), "active_addrs": addrVec(active.addr, 6800),
		"active_change": stamp, "active_mgr_features": int64(4540138314316775423), "active_clients": list{obj{"name": "volumes", "addrvec": q.cephVec(0)["addrvec"]}},
		"standbys": standbys, "modules": list{"prometheus"}, "services": obj{"prometheus": "http://" + active.addr + ":9283/"},
		"always_on_modules": obj{"squid": modules}, "last_failure_osd_epoch": 0,
		"available_modules": list{obj{"name": "alerts", "can_run": true, "error_string": "", "module_options": obj{"interval": option}}},
	}
}

func (c *Cluster) healthObject() obj {
	status, all := c.cephHealth()
	checks := obj{}
	for code, msg := range all {
		checks[code] = obj{"severity": status, "muted": false, "summary": obj{"message": msg, "count": 1}, "detail": list{obj{"message": msg}}}
	}
	return obj{"status": status, "checks": checks, "mutes": list{}}
}

// daemonMetadata is what every Ceph daemon reports of its machine.
func daemonMetadata(n *node) obj {
	short, long := n.c.versionOf(n)
	return obj{
		"arch": "x86_64", "ceph_release": strings.Fields(long)[4], "ceph_version": long, "ceph_version_short": short, "container_name": "", "cpu": "Fake CPU",
		"distro": "debian", "distro_description": "Debian GNU/Linux 13 (trixie)", "distro_version": "13", "hostname": n.name,
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
	s := q.c.ceph
	osds, nodes, mons, mgrs := list{}, obj{}, obj{}, obj{}
	for _, o := range s.osds {
		osds = append(osds, o.metadata())
	}
	for _, n := range q.c.members() {
		short, _ := q.c.versionOf(n)
		nodes[n.name] = obj{"version": obj{"str": short, "parts": versionParts(short)}, "buildcommit": "c92aebb279828e9c3c1f5d24613efca272649e62"}
	}
	for _, m := range s.mgrs {
		mgrs[m.name+"@"+m.n.name] = with(daemonMetadata(m.n), obj{"name": m.name, "addr": m.addr, "addrs": m.addr + ":0/1"})
	}
	for _, m := range s.mons {
		mons[m.name+"@"+m.n.name] = with(daemonMetadata(m.n), obj{
			"name": m.name, "addrs": "[v2:" + m.addr + ":3300/0,v1:" + m.addr + ":6789/0]", "compression_algorithms": "none, snappy, zlib, zstd, lz4",
			"device_ids": "", "device_paths": "", "devices": "vda",
		})
	}
	return obj{"mds": obj{}, "mgr": mgrs, "mon": mons, "node": nodes, "osd": osds}
}

func versionParts(short string) list {
	out := list{}
	for _, p := range strings.Split(short, ".") {
		out = append(out, p)
	}
	return out
}

func (o *cephOSD) metadata() obj {
	addr := func(port int) string {
		return fmt.Sprintf("[v2:%[1]s:%[2]d/1,v1:%[1]s:%[3]d/1]", o.n.ip, port, port+1)
	}
	_, long := o.n.c.versionOf(o.n)
	return with(daemonMetadata(o.n), obj{
		"id": o.id, "osd_data": fmt.Sprintf("/var/lib/ceph/osd/ceph-%d", o.id), "osd_objectstore": "bluestore", "osdspec_affinity": "",
		"back_addr": addr(6802), "front_addr": addr(6804), "hb_back_addr": addr(6806), "hb_front_addr": addr(6808), "back_iface": "", "front_iface": "",
		"ceph_version_when_created": long, "created_at": "2026-01-01T00:00:00.000000Z", "default_device_class": o.class, "device_ids": "",
		"device_paths": "", "devices": strings.TrimPrefix(o.dev, "/dev/"), "journal_rotational": "0", "rotational": "0",
		"network_numa_unknown_ifaces": "back_iface,front_iface",
	})
}

func cephOSDMetadata(q *call) (any, error) {
	var o *cephOSD
	if q.c.ceph != nil {
		o = q.c.ceph.osd(int(q.num("osdid", -1)))
	}
	if o == nil || o.n != q.n {
		return nil, fail(500, fmt.Sprintf("OSD '%s' does not exists on host '%s'", q.str("osdid"), q.n.name))
	}
	m := o.metadata()
	osd := obj{
		"id": o.id, "hostname": q.n.name, "version": m["ceph_version"], "osd_data": m["osd_data"], "osd_objectstore": "bluestore", "mem_usage": 0, "pid": 0,
		"front_addr": m["front_addr"], "back_addr": m["back_addr"], "hb_front_addr": m["hb_front_addr"], "hb_back_addr": m["hb_back_addr"],
	}
	if q.c.opt.Version != V84 {
		osd["encrypted"] = 0
	}
	return obj{"devices": list{}, "osd": osd}, nil
}

func cephOSDs(q *call) any {
	byNode := map[*node]list{}
	for _, o := range q.c.ceph.osds {
		short, long := q.c.versionOf(o.n)
		status := "down"
		if o.up() {
			status = "up"
		}
		byNode[o.n] = append(byNode[o.n], obj{
			"id": strconv.Itoa(o.id), "name": fmt.Sprintf("osd.%d", o.id), "type": "osd", "status": status, "in": bit(o.in), "host": o.n.name, "leaf": 1,
			"osdtype": "bluestore", "reweight": 1, "crush_weight": 0.0019989013671875, "total_space": o.bytes, "bytes_used": 94208,
			"percent_used": 0.00438690185546875, "pgs": 72, "apply_latency_ms": 0, "commit_latency_ms": 0, "ceph_version": long, "ceph_version_short": short,
		})
	}
	hosts := bag{}
	for i, n := range q.c.members() {
		if byNode[n] == nil {
			continue
		}
		hosts = append(hosts, obj{
			"id": strconv.Itoa(-2 - i), "name": n.name, "type": "host", "leaf": 0, "pgs": 0, "reweight": -1, "version": nil, "children": byNode[n],
		})
	}
	root := obj{"id": "-1", "name": "default", "type": "root", "pgs": 0, "leaf": 0, "reweight": -1, "children": hosts}
	flags := "sortbitwise,recovery_deletes,purged_snapdirs,pglog_hardlimit"
	for _, f := range sortedKeys(q.c.ceph.flags) {
		if q.c.ceph.flags[f] {
			flags = f + "," + flags
		}
	}
	return obj{"flags": flags, "root": obj{"leaf": 0, "children": list{root}}}
}

func (p *cephPool) rowAutoscale(total int64) obj {
	return obj{
		"pool_id": p.id, "pool_name": p.name, "pg_autoscale_mode": p.autoscale, "bias": 1, "bulk": false, "would_adjust": false, "crush_root_id": -1,
		"pg_num_target": p.pgs, "pg_num_final": p.pgs, "pg_num_ideal": 0, "logical_used": 85, "raw_used": 255, "actual_raw_used": 255, "raw_used_rate": float64(p.size),
		"capacity_ratio": 3.9e-08, "actual_capacity_ratio": 3.9e-08, "subtree_capacity": total, "target_bytes": 0, "target_ratio": 0, "effective_target_ratio": 0,
	}
}

func cephPools(q *call) any {
	rows := list{}
	var total int64
	for _, o := range q.c.ceph.osds {
		total += o.bytes
	}
	for _, p := range q.c.ceph.pools {
		app := obj{}
		if p.app != "" {
			app[p.app] = obj{}
		}
		rows = append(rows, obj{
			"pool": p.id, "pool_name": p.name, "type": p.kind, "size": p.size, "min_size": p.minSize, "pg_num": p.pgs, "pg_num_final": p.pgs, "pg_num_min": orNil(p.pgMin),
			"pg_autoscale_mode": p.autoscale, "target_size": orNil(p.targetSize), "target_size_ratio": orNil(p.targetRatio), "crush_rule": slices.Index(q.c.ceph.rules, p.rule), "crush_rule_name": p.rule, "bytes_used": 85,
			"percent_used": 1.3e-08, "application_metadata": app, "autoscale_status": p.rowAutoscale(total),
		})
	}
	return rows
}

func cephPoolStatus(q *call) (any, error) {
	if text := q.n.cephMissing(); text != "" {
		return nil, fail(500, text)
	}
	for _, p := range q.c.ceph.pools {
		if p.name == q.str("name") {
			return obj{
				"id": p.id, "name": p.name, "size": p.size, "min_size": p.minSize, "pg_num": p.pgs, "pgp_num": p.pgs, "pg_num_min": orNil(p.pgMin), "crush_rule": p.rule,
				"pg_autoscale_mode": p.autoscale, "target_size": orNil(p.targetSize), "target_size_ratio": orNil(p.targetRatio), "fast_read": false, "hashpspool": true, "nodeep-scrub": false,
				"nodelete": false, "nopgchange": false, "noscrub": false, "nosizechange": false, "use_gmt_hitset": true, "write_fadvise_dontneed": false,
			}, nil
		}
	}
	return nil, fail(500, "error with 'osd pool get': mon_command failed - unrecognized pool '"+q.str("name")+"'")
}

func orNil(v string) any {
	if v == "" {
		return nil
	}
	if n, err := strconv.Atoi(v); err == nil {
		return n
	}
	return v
}

func cephConfig(q *call) any {
	rows := list{}
	for _, who := range sortedKeys(q.c.ceph.db) {
		for _, key := range sortedKeys(q.c.ceph.db[who]) {
			rows = append(rows, obj{
				"section": who, "name": key, "value": q.c.ceph.db[who][key], "level": "advanced", "mask": "",
				"can_update_at_runtime": bit(!strings.HasSuffix(key, "server_addr")),
			})
		}
	}
	return rows
}

// cephFlagNames are the OSD flags PVE shows, each with what it means.
var cephFlagNames = [][2]string{
	{"nobackfill", "Backfilling of PGs is suspended."}, {"nodeep-scrub", "Deep Scrubbing is disabled."},
	{"nodown", "OSD failure reports are being ignored, such that the monitors will not mark OSDs down."},
	{"noin", "OSDs that were previously marked out will not be marked back in when they start."},
	{"noout", "OSDs will not automatically be marked out after the configured interval."}, {"norebalance", "Rebalancing of PGs is suspended."},
	{"norecover", "Recovery of PGs is suspended."}, {"noscrub", "Scrubbing is disabled."}, {"notieragent", "Cache tiering activity is suspended."},
	{"noup", "OSDs are not allowed to start."}, {"pause", "Pauses reads and writes."},
}

func cephFlags(q *call) any {
	rows := list{}
	for _, f := range cephFlagNames {
		rows = append(rows, obj{"name": f[0], "value": bit(q.c.ceph.flags[f[0]]), "description": f[1]})
	}
	return rows
}
