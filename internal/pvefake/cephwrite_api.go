package pvefake

import (
	"net"
	"slices"
	"strings"
	"time"
)

func cephWriteHandlers() map[string]handler {
	const n = "/nodes/{node}/ceph/"
	return map[string]handler{
		"GET " + n + "cfg/raw":           cephRaw,
		"GET " + n + "cfg/value":         cephGuard(cephValue),
		"POST " + n + "init":             cephInit,
		"POST " + n + "mon/{monid}":      cephMonCreate,
		"DELETE " + n + "mon/{monid}":    cephMonDelete,
		"POST " + n + "mgr/{id}":         cephMgrCreate,
		"DELETE " + n + "mgr/{id}":       cephMgrDelete,
		"POST " + n + "mds/{name}":       cephMDSCreate,
		"DELETE " + n + "mds/{name}":     cephMDSDelete,
		"POST " + n + "fs/{name}":        cephFSCreate,
		"POST " + n + "osd":              cephOSDCreate,
		"DELETE " + n + "osd/{osdid}":    cephOSDDelete,
		"POST " + n + "osd/{osdid}/in":   cephOSDMark(true),
		"POST " + n + "osd/{osdid}/out":  cephOSDMark(false),
		"POST " + n + "pool":             cephPoolCreate,
		"PUT " + n + "pool/{name}":       cephPoolSet,
		"DELETE " + n + "pool/{name}":    cephPoolDelete,
		"PUT /cluster/ceph/flags":        cephFlagsSet,
		"GET /cluster/ceph/flags/{flag}": cephFlagRead,
		"PUT /cluster/ceph/flags/{flag}": cephFlagSet,
	}
}

// needCeph refuses while Ceph is not there; running says whether monitors must answer too.
func (q *call) needCeph(running bool) (*cephState, error) {
	if text := q.n.cephMissing(); text != "" {
		return nil, fail(500, text)
	}
	if running && q.c.ceph.quorum() == nil {
		if len(q.c.ceph.mons) == 0 {
			return nil, fail(500, "Could not connect to ceph cluster despite configured monitors")
		}
		return nil, fail(500, "got timeout")
	}
	return q.c.ceph, nil
}

func cephRaw(q *call) (any, error) {
	s, err := q.needCeph(false)
	if err != nil {
		return nil, err
	}
	return s.confText(), nil
}

// cephValue answers the keys it finds and is silent on others.
func cephValue(q *call) any {
	out := obj{}
	for _, key := range listSepRE.Split(q.str("config-keys"), -1) {
		section, name, _ := strings.Cut(key, ":")
		v, ok := q.c.ceph.db[section][name]
		if !ok && section == "global" {
			v, ok = q.c.ceph.conf[name]
		}
		if !ok {
			continue
		}
		if out[section] == nil {
			out[section] = obj{}
		}
		out[section].(obj)[name] = v
	}
	return out
}

// cephInit writes ceph.conf; a second call keeps the fsid and replaces the networks
// (pve-manager PVE/API2/Ceph.pm init).
func cephInit(q *call) (any, error) {
	if !q.n.box.recorded && q.n.box.cephRelease == "" {
		return nil, fail(500, "binary not installed: /usr/bin/ceph-mon")
	}
	if err := q.needQuorum(); err != nil {
		return nil, err
	}
	if q.n.alone != nil {
		return nil, fail(500, "this node is in no cluster")
	}
	c := q.c
	if c.ceph == nil {
		c.ceph = newCeph(c.newUUID())
		c.ceph.made = true
		c.ceph.conf = map[string]string{
			"auth_client_required": "cephx", "auth_cluster_required": "cephx", "auth_service_required": "cephx", "mon_allow_pool_delete": "true",
			"osd_pool_default_min_size": "2", "osd_pool_default_size": "3", "ms_bind_ipv4": "true", "ms_bind_ipv6": "false",
		}
	}
	conf := c.ceph.conf
	if q.flag("disable_cephx") {
		for _, k := range []string{"auth_client_required", "auth_cluster_required", "auth_service_required"} {
			conf[k] = "none"
		}
	}
	setIf(conf, "osd_pool_default_size", q.str("size"))
	setIf(conf, "osd_pool_default_min_size", q.str("min_size"))
	if q.has("network") {
		conf["public_network"], conf["cluster_network"] = q.str("network"), q.str("network")
	}
	setIf(conf, "cluster_network", q.str("cluster-network"))
	return nil, nil
}

// publicAddress is the node's in the public network, "" if it has none there.
func (n *node) publicAddress(network string) string {
	_, wanted, err := net.ParseCIDR(network)
	if err != nil {
		return n.ip.String()
	}
	for _, a := range n.addresses() {
		if ip, _, err := net.ParseCIDR(a); err == nil && wanted.Contains(ip) {
			return ip.String()
		}
	}
	if wanted.Contains(n.ip) {
		return n.ip.String()
	}
	return ""
}

func findDaemon(all []cephDaemon, name string) int {
	return slices.IndexFunc(all, func(d cephDaemon) bool { return d.name == name })
}

// daemonName is the one asked for, or the node's.
func (q *call) daemonName(key string) string {
	if v := q.str(key); v != "" {
		return v
	}
	return q.n.name
}

func cephMonCreate(q *call) (any, error) {
	s, err := q.needCeph(false)
	if err != nil {
		return nil, err
	}
	name, addr := q.daemonName("monid"), q.str("mon-address")
	if findDaemon(s.mons, name) >= 0 {
		return nil, fail(500, "monitor '"+name+"' already exists")
	}
	if addr == "" {
		network := s.conf["public_network"]
		if addr = q.n.publicAddress(network); addr == "" {
			return nil, fail(500, "No active IP found for the requested ceph public network '"+network+"' on node '"+q.n.name+"'")
		}
	}
	for _, m := range s.mons {
		if m.addr == addr {
			return nil, fail(500, "monitor address '"+addr+"' already in use")
		}
	}
	n := q.n
	t := n.perform("cephcreatemon", "mon."+name, q, 3*time.Second, func(t *task) string {
		if findDaemon(s.mons, name) >= 0 {
			return "monitor '" + name + "' already exists"
		}
		first := len(s.mons) == 0
		s.mons = append(s.mons, cephDaemon{name: name, n: n, addr: addr, since: n.c.now})
		t.log = append(t.log, "Created symlink /etc/systemd/system/ceph-mon.target.wants/ceph-mon@"+name+".service -> /lib/systemd/system/ceph-mon@.service.")
		if first {
			t.log = append(t.log, "creating manager directory '/var/lib/ceph/mgr/ceph-"+name+"'", "creating keys for 'mgr."+name+"'")
			s.mgrs = append(s.mgrs, cephDaemon{name: name, n: n, addr: addr, since: n.c.now})
		}
		return "OK"
	})
	return t.upid(), nil
}

func cephMonDelete(q *call) (any, error) {
	s, err := q.needCeph(true)
	if err != nil {
		return nil, err
	}
	name := q.str("monid")
	i := findDaemon(s.mons, name)
	switch {
	case i < 0:
		return nil, fail(500, "no such monitor id '"+name+"'")
	case len(s.mons) == 1:
		return nil, fail(500, "can't remove last monitor")
	}
	t := q.n.startTask("cephdestroymon", "mon."+name, q.id.name(), 2*time.Second, func(*task) string {
		s.mons = slices.DeleteFunc(s.mons, func(d cephDaemon) bool { return d.name == name })
		return "OK"
	})
	return t.upid(), nil
}

func cephMgrCreate(q *call) (any, error) {
	s, err := q.needCeph(true)
	if err != nil {
		return nil, err
	}
	name, n := q.daemonName("id"), q.n
	if findDaemon(s.mgrs, name) >= 0 {
		return nil, fail(500, "ceph manager directory '/var/lib/ceph/mgr/ceph-"+name+"' already exists")
	}
	t := n.perform("cephcreatemgr", "mgr."+name, q, 2*time.Second, func(t *task) string {
		t.log = append(t.log, "creating manager directory '/var/lib/ceph/mgr/ceph-"+name+"'", "creating keys for 'mgr."+name+"'", "setting owner for directory", "enabling service 'ceph-mgr@"+name+".service'")
		s.mgrs = append(s.mgrs, cephDaemon{name: name, n: n, addr: n.cephIP(), since: n.c.now})
		return "OK"
	})
	return t.upid(), nil
}

func (n *node) cephIP() string {
	if a := n.publicAddress(n.c.ceph.conf["public_network"]); a != "" {
		return a
	}
	return n.ip.String()
}

func cephMgrDelete(q *call) (any, error) {
	s, err := q.needCeph(true)
	if err != nil {
		return nil, err
	}
	name := q.str("id")
	if findDaemon(s.mgrs, name) < 0 {
		return nil, fail(500, "ceph manager directory '/var/lib/ceph/mgr/ceph-"+name+"' not found")
	}
	t := q.n.startTask("cephdestroymgr", "mgr."+name, q.id.name(), time.Second, func(*task) string {
		s.mgrs = slices.DeleteFunc(s.mgrs, func(d cephDaemon) bool { return d.name == name })
		return "OK"
	})
	return t.upid(), nil
}

func cephMDSCreate(q *call) (any, error) {
	s, err := q.needCeph(true)
	if err != nil {
		return nil, err
	}
	name, n := q.daemonName("name"), q.n
	if findDaemon(s.mds, name) >= 0 {
		return nil, fail(500, "directory '/var/lib/ceph/mds/ceph-"+name+"' already exists")
	}
	t := n.perform("cephcreatemds", "mds."+name, q, 2*time.Second, func(*task) string {
		s.mds = append(s.mds, cephDaemon{name: name, n: n, addr: n.cephIP(), since: n.c.now})
		return "OK"
	})
	return t.upid(), nil
}

func cephMDSDelete(q *call) (any, error) {
	s, err := q.needCeph(true)
	if err != nil {
		return nil, err
	}
	name := q.str("name")
	t := q.n.startTask("cephdestroymds", "mds."+name, q.id.name(), time.Second, func(*task) string {
		s.mds = slices.DeleteFunc(s.mds, func(d cephDaemon) bool { return d.name == name })
		return "OK"
	})
	return t.upid(), nil
}

func cephFSCreate(q *call) (any, error) {
	s, err := q.needCeph(true)
	if err != nil {
		return nil, err
	}
	name := q.daemonName("name")
	switch {
	case !slices.ContainsFunc(s.mds, cephDaemon.runs):
		return nil, fail(500, "no running Metadata Server (MDS) found!")
	case slices.ContainsFunc(s.fs, func(f cephFS) bool { return f.name == name }):
		return nil, fail(500, "ceph fs '"+name+"' already exists")
	case s.pool(name+"_data") != nil || s.pool(name+"_metadata") != nil:
		return nil, fail(500, "ceph pools '"+name+"_data' and/or '"+name+"_metadata' already exist")
	}
	pgs := int(q.num("pg_num", 128))
	t := q.n.perform("cephfscreate", name, q, 4*time.Second, func(t *task) string {
		for _, part := range []struct {
			name string
			pgs  int
		}{{"data", pgs}, {"metadata", max(pgs/4, 1)}} {
			t.log = append(t.log, "creating "+part.name+" pool '"+name+"_"+part.name+"'...")
			s.add(&cephPool{name: name + "_" + part.name, pgs: part.pgs, size: s.defaultSize(), minSize: s.defaultMinSize(), app: "cephfs"}, q.c.now)
		}
		s.fs = append(s.fs, cephFS{name, name + "_metadata", name + "_data"})
		if q.flag("add-storage") {
			st := &storageConf{id: name, typ: "cephfs", conf: map[string]string{"fs-name": name}}
			st.take(storageTypes["cephfs"], map[string]string{"content": "backup,iso,vztmpl"})
			q.live().storage = append(q.live().storage, st)
		}
		return "OK"
	})
	return t.upid(), nil
}

func cephFlagRead(q *call) (any, error) {
	s, err := q.needCeph(true)
	if err != nil {
		return nil, err
	}
	return bit(s.flags[q.str("flag")]), nil
}

func cephFlagSet(q *call) (any, error) {
	s, err := q.needCeph(true)
	if err == nil {
		s.flags[q.str("flag")] = q.flag("value")
	}
	return nil, err
}

func cephFlagsSet(q *call) (any, error) {
	s, err := q.needCeph(true)
	if err != nil {
		return nil, err
	}
	t := q.n.startTask("cephsetflags", "", q.id.name(), time.Second, func(*task) string {
		for k, v := range q.params {
			s.flags[k] = truth(v)
		}
		return "OK"
	})
	return t.upid(), nil
}

// daemonRow is a monitor's or manager's entry; of the recordings' lab PVE knew less.
func (q *call) daemonRow(d cephDaemon, port int) obj {
	row := obj{"name": d.name, "state": "stopped"}
	if d.runs() {
		row["state"] = "running"
	}
	if q.c.ceph.made {
		short, long := q.c.versionOf(d.n)
		row = with(row, obj{"addr": addrPort(d.addr, port), "host": d.n.name, "service": 1, "direxists": 1, "ceph_version": long, "ceph_version_short": short})
	}
	return row
}

func cephMons(q *call) (any, error) {
	s, err := q.needCeph(len(q.monsOf()) > 0)
	if err != nil {
		return nil, err
	}
	inQuorum, err := q.c.monQuorum()
	if err != nil {
		return nil, err
	}
	rows := list{}
	for i, m := range s.mons {
		rows = append(rows, with(q.daemonRow(m, 6789), obj{"rank": i, "quorum": bit(inQuorum(m)), "addr": addrPort(m.addr, 6789)}))
	}
	return rows, nil
}

func (q *call) monsOf() []cephDaemon {
	if q.c.ceph == nil {
		return nil
	}
	return q.c.ceph.mons
}

func cephMgrs(q *call) (any, error) {
	s, err := q.needCeph(len(q.monsOf()) > 0)
	if err != nil {
		return nil, err
	}
	rows := list{}
	active := s.activeMgr()
	for _, m := range s.mgrs {
		row := q.daemonRow(m, 6800)
		switch {
		case active != nil && m.name == active.name:
			row["state"] = "active"
		case m.runs():
			row["state"] = "standby"
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func cephMDSs(q *call) any {
	rows := list{}
	for i, m := range q.c.ceph.mds {
		row := q.daemonRow(m, 6800)
		row["state"] = "up:standby"
		if i < len(q.c.ceph.fs) {
			row["state"], row["fs_name"], row["rank"] = "up:active", q.c.ceph.fs[i].name, 0
		}
		rows = append(rows, row)
	}
	return rows
}

func cephFSs(q *call) any {
	rows := list{}
	for _, f := range q.c.ceph.fs {
		rows = append(rows, obj{"name": f.name, "metadata_pool": f.metadata, "data_pool": f.data, "data_pools": list{f.data}, "data_pool_ids": list{q.c.ceph.pool(f.data).id}})
	}
	return rows
}

func cephRules(q *call) any {
	rows := list{}
	for _, r := range q.c.ceph.rules {
		rows = append(rows, obj{"name": r})
	}
	return rows
}
