package pvefake

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"
)

func guestHandlers() map[string]handler {
	all := map[string]handler{
		"GET /nodes/{node}/qemu/{vmid}/migrate":  migratePreconditions,
		"POST /nodes/{node}/qemu/{vmid}/migrate": guestMigrate,
		"POST /nodes/{node}/lxc/{vmid}/migrate":  guestMigrate,
	}
	for _, typ := range []string{"qemu", "lxc"} {
		base := "/nodes/{node}/" + typ
		all["GET "+base] = guestList(typ == "lxc")
		all["GET "+base+"/{vmid}/config"] = guestConfig
		all["GET "+base+"/{vmid}/status/current"] = guestCurrent
		all["POST "+base+"/{vmid}/status/start"] = guestStart
		all["POST "+base+"/{vmid}/status/stop"] = guestStop("stop")
		all["POST "+base+"/{vmid}/status/shutdown"] = guestStop("shutdown")
	}
	return all
}

// findGuest resolves the path's vmid on the answering node.
func (q *call) findGuest() (*guestConf, error) {
	id, err := strconv.Atoi(q.str("vmid"))
	if err != nil {
		return nil, fail(500, "bad vmid")
	}
	lxc := q.m.segments[2] == "lxc"
	g := q.view().guests[id]
	if g == nil || g.node != q.n || g.lxc != lxc {
		missing := &guestConf{vmid: id, lxc: lxc, node: q.n}
		return nil, fail(500, "Configuration file '"+missing.configPath()+"' does not exist")
	}
	return g, nil
}

// integerKeys are the configuration keys that the API returns as numbers; memory of a VM is a property
// string since 8.1 and stays text.
var integerKeys = map[string]bool{
	"cores": true, "kvm": true, "onboot": true, "sockets": true, "template": true, "numa": true, "acpi": true, "tablet": true,
	"balloon": true, "swap": true, "unprivileged": true, "protection": true, "tdf": true, "vcpus": true,
}

func guestConfig(q *call) (any, error) {
	g, err := q.findGuest()
	if err != nil {
		return nil, err
	}
	row := obj{"digest": sha1hex(g.text())}
	conf := maps.Clone(g.conf)
	for k, v := range g.pending {
		if q.flag("current") {
			break
		}
		delete(conf, k)
		setIf(conf, k, v)
	}
	for k, v := range conf {
		n, err := strconv.Atoi(v)
		switch {
		case strings.HasPrefix(k, "#"):
		case err == nil && (integerKeys[k] || g.lxc && k == "memory"):
			row[k] = n
		default:
			row[k] = v
		}
	}
	return row, nil
}

// liveRow is a guest's entry as its own node knows it.
func (q *call) liveRow(g *guestConf) obj {
	n := q.c.numbers(g)
	row := obj{
		"vmid": g.vmid, "name": g.name(), "status": "stopped", "uptime": n.uptime, "cpu": n.cpu, "cpus": g.cores(),
		"mem": n.mem, "maxmem": g.maxMem(), "disk": 0, "maxdisk": g.disk, "netin": n.netin, "netout": n.netout,
	}
	if g.lxc {
		row["type"], row["swap"], row["maxswap"] = "lxc", 0, int64(512<<20)
		row["diskread"], row["diskwrite"] = n.diskread, n.diskwr
	} else if q.c.opt.Version != V84 {
		row["memhost"] = n.mem
	}
	if r := q.c.run[g.vmid]; r != nil && r.node == q.n {
		row["status"], row["pid"] = "running", r.pid
		if q.c.opt.Version != V84 {
			for _, k := range []string{"cpusome", "cpufull", "iosome", "iofull", "memorysome", "memoryfull"} {
				row["pressure"+k] = 0
			}
		}
	}
	for _, k := range []string{"lock", "tags"} {
		if v := g.conf[k]; v != "" {
			row[k] = v
		}
	}
	if g.conf["template"] == "1" {
		row["template"] = 1
	}
	return row
}

func guestList(lxc bool) handler {
	return func(q *call) (any, error) {
		rows := bag{}
		for _, g := range q.view().guests {
			if g.node == q.n && g.lxc == lxc && q.may(fmt.Sprintf("/vms/%d", g.vmid), "VM.Audit") {
				rows = append(rows, q.liveRow(g))
			}
		}
		return rows, nil
	}
}

func guestCurrent(q *call) (any, error) {
	g, err := q.findGuest()
	if err != nil {
		return nil, err
	}
	row := q.liveRow(g)
	ha := obj{"managed": 0}
	if r := q.view().ha.resources[g.sid()]; r != nil {
		ha["managed"], ha["state"] = 1, r.state
	}
	row["ha"] = ha
	if !g.lxc {
		row["qmpstatus"] = row["status"]
	}
	return row, nil
}

// guestStart and its kin fork a worker even for a guest that cannot start: only the task fails
// (qemu-server src/PVE/API2/Qemu.pm). A guest under HA gets a request to the manager instead.
func guestStart(q *call) (any, error) {
	if err := q.rootOnly("skiplock"); err != nil {
		return nil, err
	}
	if err := q.needQuorum(); err != nil {
		return nil, err
	}
	c, id := q.c, q.str("vmid")
	if t := q.forHA("hastart", "started"); t != nil {
		return t.upid(), nil
	}
	g, err := q.findGuest()
	t := q.n.startTask(q.prefix()+"start", id, q.id.name(), time.Second, func(*task) string {
		switch {
		case err != nil:
			return err.Error()
		case c.runsOn(g, q.n):
			return fmt.Sprintf("%s %d already running", g.kind(), g.vmid)
		case c.failing[g.sid()]:
			return "start failed: QEMU exited with code 1"
		}
		return c.startChecked(g)
	})
	return t.upid(), nil
}

func (q *call) prefix() string {
	if q.m.segments[2] == "lxc" {
		return "vz"
	}
	return "qm"
}

// forHA turns a request on a managed guest into a change of its request state.
func (q *call) forHA(typ, state string) *task {
	g, err := q.findGuest()
	if err != nil {
		return nil
	}
	r := q.live().ha.resources[g.sid()]
	if r == nil || r.state == "ignored" {
		return nil
	}
	return q.n.startTask(typ, q.str("vmid"), q.id.name(), time.Second, func(*task) string {
		r.state = state
		return "OK"
	})
}

// guestStop works without quorum: the process is local.
func guestStop(how string) handler {
	return func(q *call) (any, error) {
		if err := q.rootOnly("skiplock"); err != nil {
			return nil, err
		}
		if q.n.quorate {
			if t := q.forHA("hastop", "stopped"); t != nil {
				return t.upid(), nil
			}
		}
		g, err := q.findGuest()
		t := q.n.startTask(q.prefix()+how, q.str("vmid"), q.id.name(), 2*time.Second, func(*task) string {
			if err != nil {
				return err.Error()
			}
			if lock := g.conf["lock"]; lock != "" && q.c.runsOn(g, q.n) {
				return lockedText(g, lock)
			}
			if q.c.runsOn(g, q.n) {
				delete(q.c.run, g.vmid)
			}
			return "OK"
		})
		return t.upid(), nil
	}
}

// rootOnly refuses parameters that take root's ticket, also from root's token.
func (q *call) rootOnly(names ...string) error {
	errs := map[string]string{}
	for _, n := range names {
		if q.has(n) && q.id.name() != "root@pam" {
			errs[n] = "Only root may use this option."
		}
	}
	if len(errs) > 0 {
		return invalid(errs)
	}
	return nil
}

func guestMigrate(q *call) (any, error) {
	if err := q.rootOnly("force", "migration_type", "migration_network"); err != nil {
		return nil, err
	}
	c, target := q.c, q.str("target")
	to := q.n.mate(target)
	if target == q.n.name {
		return nil, invalid(map[string]string{"target": "target is local node."})
	}
	if err := q.needQuorum(); err != nil {
		return nil, err
	}
	if to == nil {
		return nil, fail(500, "no such cluster node '"+target+"'")
	}
	g, err := q.findGuest()
	if err != nil {
		return nil, err
	}
	if r := q.live().ha.resources[g.sid()]; r != nil && r.state != "ignored" {
		return q.haMigrate(g, to).upid(), nil
	}
	for _, pair := range listSepRE.Split(q.str("targetstorage"), -1) {
		for _, id := range strings.Split(pair, ":") {
			if id != "" && id != "1" && q.storageByID(id) == nil {
				return nil, fail(500, "storage '"+id+"' does not exist")
			}
		}
	}
	if lock := g.conf["lock"]; lock != "" {
		return nil, fail(500, lockedText(g, lock))
	}
	if c.runsOn(g, q.n) && !g.lxc && !q.flag("online") {
		return nil, fail(500, "can't migrate running VM without --online")
	}
	if c.runsOn(g, q.n) && g.lxc && !q.flag("restart") && !q.flag("online") {
		return nil, fail(500, "can't migrate running container without --online or --restart")
	}
	if network := q.migrationNetwork(); !to.running() || network != "" && !(to.hasNetwork(network) && q.n.hasNetwork(network)) {
		// The worker finds out: HTTP says 200.
		return c.migrateToDead(q, g, to).upid(), nil
	}
	return c.migrate(q.n, to, g, q.id.name(), nil).upid(), nil
}

func (c *Cluster) migrateToDead(q *call, g *guestConf, to *node) *task {
	typ := "qmigrate"
	if g.lxc {
		typ = "vzmigrate"
	}
	return q.n.startTask(typ, q.str("vmid"), q.id.name(), time.Second, func(t *task) string {
		return noTunnel(to, q.migrationNetwork())
	})
}

// migrationNetwork is that of the request, or of datacenter.cfg.
func (q *call) migrationNetwork() string {
	if q.has("migration_network") {
		return q.str("migration_network")
	}
	return properties(q.live().options["migration"], "type")["network"]
}

// haMigrate only queues; its task ends OK whatever the manager makes of it.
func (q *call) haMigrate(g *guestConf, to *node) *task {
	return q.n.startTask("hamigrate", q.str("vmid"), q.id.name(), time.Second, func(t *task) string {
		t.log = append(t.log, fmt.Sprintf("Requesting HA migration for VM %d to node %s", g.vmid, to.name))
		q.live().ha.commands = append(q.live().ha.commands, crmCommand{"migrate", g.sid(), to.name})
		return "OK"
	})
}

// migratePreconditions lists every other node as allowed, dead ones too: the real one asks only
// storages and mapped devices (qemu-server src/PVE/API2/Qemu.pm).
func migratePreconditions(q *call) (any, error) {
	g, err := q.findGuest()
	if err != nil {
		return nil, err
	}
	allowed, not := bag{}, obj{}
	for _, n := range q.mates() {
		if n != q.n {
			allowed = append(allowed, n.name)
			not[n.name] = obj{}
		}
	}
	row := obj{
		"running": bit(q.c.runsOn(g, q.n)), "allowed_nodes": allowed, "not_allowed_nodes": not, "local_disks": list{}, "local_resources": list{},
		"mapped-resources": list{}, "mapped-resource-info": obj{},
	}
	if q.c.opt.Version != V84 {
		row["has-dbus-vmstate"] = 1
	}
	return row, nil
}
