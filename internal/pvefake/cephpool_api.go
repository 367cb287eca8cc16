package pvefake

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (s *cephState) defaultSize() int    { return numberOr(s.conf["osd_pool_default_size"], 3) }
func (s *cephState) defaultMinSize() int { return numberOr(s.conf["osd_pool_default_min_size"], 2) }

func numberOr(v string, d int) int {
	if n, err := strconv.Atoi(v); err == nil {
		return n
	}
	return d
}

// add gives a pool its number and what was not said of it.
func (s *cephState) add(p *cephPool, now time.Time) {
	p.id, p.since = s.nextPool, now
	s.nextPool++
	setDefault(&p.rule, "replicated_rule")
	setDefault(&p.kind, "replicated")
	setDefault(&p.autoscale, "on")
	setDefault(&p.needs, p.size)
	s.pools = append(s.pools, p)
}

// maxPGs is mon_max_pg_per_osd.
const maxPGs = 250

// make creates a pool unless there is one, as "ceph osd pool create" does.
func (s *cephState) make(p *cephPool, now time.Time) string {
	if s.pool(p.name) != nil {
		return ""
	}
	if n := s.pgsPerOSD(p.pgs * p.size); n > maxPGs {
		return fmt.Sprintf("error with 'osd pool create': mon_command failed - pg_num %d size %d for this pool would result in %d cumulative PGs per OSD (%d total PG replicas on %d 'in' root OSDs by crush rule) which exceeds the mon_max_pg_per_osd value of %d",
			p.pgs, p.size, n, n*len(s.osds), len(s.osds), maxPGs)
	}
	s.add(p, now)
	return ""
}

// setting is one thing that "ceph osd pool set" changes, in the order in which PVE does it.
type setting struct {
	name, value string
	get         func(*cephPool) string
	set         func(*cephPool, string)
}

func poolSettings(values map[string]string) []setting {
	all := []setting{
		{"size", "", func(p *cephPool) string { return strconv.Itoa(p.size) }, func(p *cephPool, v string) { p.size = numberOr(v, p.size); p.needs = p.size }},
		{"application", "", func(p *cephPool) string { return p.app }, func(p *cephPool, v string) { p.app = v }},
		{"crush_rule", "", func(p *cephPool) string { return p.rule }, func(p *cephPool, v string) { p.rule = v }},
		{"min_size", "", func(p *cephPool) string { return strconv.Itoa(p.minSize) }, func(p *cephPool, v string) { p.minSize = numberOr(v, p.minSize) }},
		{"pg_autoscale_mode", "", func(p *cephPool) string { return p.autoscale }, func(p *cephPool, v string) { p.autoscale = v }},
		{"pg_num", "", func(p *cephPool) string { return strconv.Itoa(p.pgs) }, func(p *cephPool, v string) { p.pgs = numberOr(v, p.pgs) }},
		{"pg_num_min", "", func(p *cephPool) string { return p.pgMin }, func(p *cephPool, v string) { p.pgMin = v }},
		{"target_size", "", func(p *cephPool) string { return p.targetSize }, func(p *cephPool, v string) { p.targetSize = v }},
		{"target_size_ratio", "", func(p *cephPool) string { return p.targetRatio }, func(p *cephPool, v string) { p.targetRatio = v }},
	}
	var out []setting
	for _, s := range all {
		if v, ok := values[s.name]; ok {
			s.value = v
			out = append(out, s)
		}
	}
	return out
}

// apply changes a pool and writes of each change into the log; it returns the status of the task.
func (s *cephState) apply(p *cephPool, values map[string]string, t *task) string {
	var failed []string
	for _, st := range poolSettings(values) {
		if st.get(p) == st.value {
			t.log = append(t.log, "skipping '"+st.name+"', did not change")
			continue
		}
		t.log = append(t.log, fmt.Sprintf("pool %s: applying %s = %s", p.name, st.name, st.value))
		if e := s.refuses(p, st); e != "" {
			t.log = append(t.log, "error with 'osd pool set': mon_command failed - "+e)
			failed = append(failed, st.name)
			continue
		}
		st.set(p, st.value)
		if st.name == "size" && values["min_size"] == "" {
			p.minSize = p.size - p.size/2
		}
	}
	if len(failed) > 0 {
		return "Could not set: " + strings.Join(failed, ", ")
	}
	return "OK"
}

func (s *cephState) refuses(p *cephPool, st setting) string {
	n := numberOr(st.value, 0)
	switch {
	case st.name == "min_size" && (n < 1 || n > p.size):
		return fmt.Sprintf("pool min_size must be between 1 and size, which is set to %d", p.size)
	case st.name == "crush_rule" && !slices.Contains(s.rules, st.value):
		return "crush rule " + st.value + " does not exist"
	case st.name == "pg_num" && s.pgsPerOSD((n-p.pgs)*p.size) > maxPGs:
		return fmt.Sprintf("pg_num %d would exceed the mon_max_pg_per_osd value of %d", n, maxPGs)
	case st.name == "size" && p.kind == "erasure":
		return "can not change the size of an erasure-coded pool"
	}
	return ""
}

// cephPoolCreate is pve-manager PVE/API2/Ceph/Pool.pm createpool: what is wrong is seen by the task.
func cephPoolCreate(q *call) (any, error) {
	s, err := q.needCeph(true)
	if err != nil {
		return nil, err
	}
	name := q.str("name")
	ec := q.has("erasure-coding")
	storages := ec
	if q.has("add_storages") {
		storages = q.flag("add_storages")
	}
	if storages {
		if err := q.needQuorum(); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(q.live().storage, func(st *storageConf) bool { return st.id == name }) {
			return nil, fail(500, "storage '"+name+"' already exists")
		}
		if !storageIDRE.MatchString(name) {
			return nil, invalid(map[string]string{"name": "invalid storage name '" + name + "'"})
		}
	}
	values := map[string]string{"application": "rbd", "min_size": "2", "pg_autoscale_mode": "warn", "pg_num": "128", "size": "3"}
	for k, v := range q.params {
		values[k] = v
	}
	t := q.n.perform("cephcreatepool", name, q, 2*time.Second, func(t *task) string {
		if ec {
			return q.makeErasure(s, t, name, values, storages)
		}
		status := q.makePool(s, t, name, values)
		if status == "OK" && storages {
			q.addPoolStorage(name, map[string]string{"pool": name})
		}
		return status
	})
	return t.upid(), nil
}

func (q *call) makePool(s *cephState, t *task, name string, values map[string]string) string {
	p := &cephPool{
		name: name, size: s.defaultSize(), minSize: s.defaultMinSize(), pgs: numberOr(values["pg_num"], 128),
		autoscale: values["pg_autoscale_mode"], // "ceph osd pool create" is told these
	}
	if e := s.make(p, q.c.now); e != "" {
		return e
	}
	return s.apply(s.pool(name), values, t)
}

// makeErasure makes a profile, the data pool and a replicated pool for what RBD keeps beside the data.
func (q *call) makeErasure(s *cephState, t *task, name string, values map[string]string, storages bool) string {
	ec := properties(values["erasure-coding"], "k")
	k, m := numberOr(ec["k"], 2), numberOr(ec["m"], 1)
	profile := ec["profile"]
	if profile == "" {
		profile = "pve_ec_" + name
		s.profiles[profile] = ec
		t.log = append(t.log, "created new erasure code profile '"+profile+"'")
	} else if s.profiles[profile] == nil {
		return "erasure code profile '" + profile + "' does not exist"
	}
	minSize := k + 1
	if m == 1 {
		minSize = k
	}
	data := &cephPool{
		name: name + "-data", kind: "erasure", size: k + m, minSize: minSize, pgs: numberOr(values["pg_num"], 128), rule: name + "-data", profile: profile,
		autoscale: values["pg_autoscale_mode"],
	}
	if e := s.make(data, q.c.now); e != "" {
		return e
	}
	if !slices.Contains(s.rules, data.rule) {
		s.rules = append(s.rules, data.rule)
	}
	t.log = append(t.log, "pool "+data.name+": applying allow_ec_overwrites = true")
	dataValues := map[string]string{"application": values["application"], "pg_autoscale_mode": values["pg_autoscale_mode"], "pg_num": values["pg_num"]}
	if status := s.apply(s.pool(data.name), dataValues, t); status != "OK" {
		return status
	}
	delete(values, "pg_num") // the metadata needs few
	values["pg_num"] = strconv.Itoa(min(numberOr(dataValues["pg_num"], 32), 32))
	status := q.makePool(s, t, name+"-metadata", values)
	if status == "OK" && storages {
		q.addPoolStorage(name, map[string]string{"pool": name + "-metadata", "data-pool": data.name})
	}
	return status
}

func (q *call) addPoolStorage(id string, conf map[string]string) {
	st := &storageConf{id: id, typ: "rbd", conf: map[string]string{"krbd": "0"}}
	conf["content"] = "images,rootdir"
	st.take(storageTypes["rbd"], conf)
	q.live().storage = append(q.live().storage, st)
}

const unknownPool = "error with 'osd pool get': mon_command failed - unrecognized pool '%s'"

func cephPoolSet(q *call) (any, error) {
	s, err := q.needCeph(true)
	if err != nil {
		return nil, err
	}
	name := q.str("name")
	t := q.n.perform("cephsetpool", name, q, time.Second, func(t *task) string {
		p := s.pool(name)
		if p == nil {
			return fmt.Sprintf(unknownPool, name)
		}
		return s.apply(p, q.params, t)
	})
	return t.upid(), nil
}

func cephPoolDelete(q *call) (any, error) {
	s, err := q.needCeph(true)
	if err != nil {
		return nil, err
	}
	if err := q.needQuorum(); err != nil && q.flag("remove_storages") {
		return nil, err
	}
	name := q.str("name")
	t := q.n.startTask("cephdestroypool", name, q.id.name(), 2*time.Second, func(t *task) string { return q.destroyPool(s, t, name) })
	return t.upid(), nil
}

// destroyPool looks at the storages first: what has images keeps its pool.
func (q *call) destroyPool(s *cephState, t *task, name string) string {
	p := s.pool(name)
	var users []*storageConf
	for _, st := range q.live().storage {
		if st.typ == "rbd" && st.conf["monhost"] == "" && (st.poolName() == name || st.conf["data-pool"] == name) {
			users = append(users, st)
		}
	}
	for _, st := range users {
		if q.flag("force") {
			break
		}
		t.log = append(t.log, "checking storage '"+st.id+"' for RBD images..")
		if s.pool(st.poolName()) == nil {
			return listingFailed
		}
		if len(s.pool(st.poolName()).images) > 0 {
			return "ceph pool '" + name + "' still in use by storage '" + st.id + "'"
		}
	}
	if p == nil {
		return fmt.Sprintf(unknownPool, name)
	}
	if q.flag("remove_storages") {
		q.live().storage = slices.DeleteFunc(q.live().storage, func(st *storageConf) bool { return slices.Contains(users, st) })
	}
	if p.profile != "" && (!q.has("remove_ecprofile") || q.flag("remove_ecprofile")) {
		delete(s.profiles, p.profile)
	}
	s.pools = slices.DeleteFunc(s.pools, func(o *cephPool) bool { return o == p })
	return "OK"
}
