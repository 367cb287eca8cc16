package pvefake

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

func guestWriteHandlers() map[string]handler {
	const base = "/nodes/{node}/qemu"
	return map[string]handler{
		"POST " + base:                        guestCreate,
		"DELETE " + base + "/{vmid}":          guestDelete,
		"PUT " + base + "/{vmid}/config":      guestConfigure,
		"POST " + base + "/{vmid}/config":     guestConfigureTask,
		"GET " + base + "/{vmid}/pending":     guestPending,
		"PUT " + base + "/{vmid}/resize":      guestResize,
		"POST " + base + "/{vmid}/monitor":    guestMonitor,
		"POST " + base + "/{vmid}/agent/ping": guestPing,
		"POST /nodes/{node}/vzdump":           vzdump,
	}
}

var diskKeyRE = regexp.MustCompile(`^(?:scsi|virtio|sata|ide)\d+$|^(?:efidisk0|tpmstate0|rootfs|mp\d+)$`)

// notGuestKeys are parameters that are no keys of a configuration.
var notGuestKeys = []string{
	"node", "vmid", "digest", "delete", "revert", "skiplock", "force", "background_delete", "background_delay", "storage", "start", "unique", "pool",
	"archive", "bwlimit", "live-restore", "import-working-storage", "ha-managed",
}

func (q *call) guestKeys() map[string]string {
	conf := map[string]string{}
	for k, v := range q.params {
		if !slices.Contains(notGuestKeys, k) {
			conf[k] = v
		}
	}
	return conf
}

// checkDisks refuses storages that do not exist or hold no images.
func (q *call) checkDisks(conf map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(conf)) {
		if !diskKeyRE.MatchString(key) {
			continue
		}
		store, _, ok := strings.Cut(properties(conf[key], "file")["file"], ":")
		if !ok {
			continue // "none" or a path
		}
		s := q.storageByID(store)
		if s == nil {
			return fail(500, "storage '"+store+"' does not exist")
		}
		if !slices.Contains(strings.Split(s.content, ","), "images") && !strings.Contains(conf[key], "media=cdrom") {
			return invalid(map[string]string{"storage": "storage '" + store + "' does not support vm images"})
		}
	}
	return nil
}

func (q *call) storageByID(id string) *storageConf {
	for _, s := range q.live().storage {
		if s.id == id {
			return s
		}
	}
	return nil
}

// guestCreate is qemu-server src/PVE/API2/Qemu.pm create_vm.
func guestCreate(q *call) (any, error) {
	id := int(q.num("vmid", 0))
	if !q.may(fmt.Sprintf("/vms/%d", id), "VM.Allocate") {
		return nil, forbidden("Permission check failed")
	}
	conf := q.guestKeys()
	if err := q.checkDisks(conf); err != nil {
		return nil, err
	}
	if err := q.needQuorum(); err != nil {
		return nil, err
	}
	f := q.live()
	if old := f.guests[id]; old != nil {
		return nil, fail(500, fmt.Sprintf("unable to create VM %d - %s %d already exists on node '%s'", id, old.kind(), id, old.node.name))
	}
	g := &guestConf{vmid: id, node: q.n, cpu: 0.08, conf: map[string]string{"lock": "create"}}
	f.version++
	g.version = f.version
	f.guests[id] = g
	start := q.flag("start")
	t := q.n.perform("qmcreate", strconv.Itoa(id), q, 2*time.Second, func(t *task) string {
		if e := q.allocate(g, conf, t); e != "" {
			delete(f.guests, id)
			return fmt.Sprintf("unable to create VM %d - %s", id, e)
		}
		maps.Copy(conf, map[string]string{
			"meta": fmt.Sprintf("creation-qemu=%s,ctime=%d", q.c.opt.Version.qemu(), q.c.unix()), "smbios1": "uuid=" + q.c.newUUID(), "vmgenid": q.c.newUUID(),
		})
		setDefaultKey(conf, "boot", " ")
		if q.has("pool") {
			conf["#pool"] = q.str("pool")
		}
		g.conf = conf
		if start {
			q.c.startProcess(g)
		}
		return "OK"
	}, q.newImages(g, conf)...)
	t.abort = func(string) { delete(f.guests, id) }
	return t.upid(), nil
}

func setDefaultKey(conf map[string]string, key, v string) {
	if conf[key] == "" {
		conf[key] = v
	}
}

// qemu is the version that meta names.
func (v Version) qemu() string {
	if v == V84 {
		return "9.2.0"
	}
	return "10.1.2"
}

// guestDelete is qemu-server src/PVE/API2/Qemu.pm destroy_vm.
func guestDelete(q *call) (any, error) {
	if err := q.rootOnly("skiplock"); err != nil {
		return nil, err
	}
	g, err := q.findGuest()
	if err != nil {
		return nil, err
	}
	if err := q.needQuorum(); err != nil {
		return nil, err
	}
	f := q.live()
	managed := f.ha.resources[g.sid()] != nil
	switch {
	case truth(g.conf["protection"]):
		return nil, fail(500, fmt.Sprintf("can't remove VM %d - protection mode enabled", g.vmid))
	case managed && !q.flag("purge"):
		return nil, fail(500, fmt.Sprintf("unable to remove VM %d - used in HA resources and purge parameter not set.", g.vmid))
	case q.c.runsOn(g, q.n):
		return nil, fail(500, fmt.Sprintf("VM %d is running - destroy failed", g.vmid))
	}
	purge, unreferenced := q.flag("purge"), q.flag("destroy-unreferenced-disks")
	t := q.n.startTask("qmdestroy", strconv.Itoa(g.vmid), q.id.name(), time.Second, func(*task) string {
		if lock := g.conf["lock"]; lock != "" && !q.flag("skiplock") {
			return lockedText(g, lock)
		}
		if q.c.runsOn(g, q.n) {
			return fmt.Sprintf("VM %d is running - destroy failed", g.vmid)
		}
		if unreferenced {
			for _, s := range f.storage {
				if s.typ == "rbd" && !truth(s.conf["disable"]) && !s.usable(q.n) {
					return listingFailed
				}
			}
		}
		q.dropDisks(g)
		delete(f.guests, g.vmid)
		f.version++
		if purge {
			f.purge(g)
		}
		return "OK"
	})
	return t.upid(), nil
}

// purge removes a guest from HA, its rules and the backup jobs.
func (f *cfs) purge(g *guestConf) {
	delete(f.ha.resources, g.sid())
	for i, r := range f.ha.rules {
		f.ha.rules[i].resources = slices.DeleteFunc(slices.Clone(r.resources), func(s string) bool { return s == g.sid() })
	}
	for _, j := range f.jobs {
		var kept []string
		for _, id := range j.vmids {
			if id != g.vmid {
				kept = append(kept, strconv.Itoa(id))
			}
		}
		if j.conf["vmid"] != "" {
			j.conf["vmid"] = strings.Join(kept, ",")
			j.settle()
		}
	}
}

// hotKeys take effect on a running guest at once; others wait until it was stopped.
var hotKeys = []string{"description", "onboot", "tags", "protection", "lock", "startup", "hookscript", "name", "autostart", "agent", "shares", "cpuunits", "cpulimit"}

func guestConfigure(q *call) (any, error) {
	g, err := q.checkConfigure()
	if err != nil {
		return nil, err
	}
	if e := q.configure(g, &task{}); e != nil {
		return nil, e
	}
	return nil, nil
}

// guestConfigureTask is the same as a task.
func guestConfigureTask(q *call) (any, error) {
	g, err := q.checkConfigure()
	if err != nil {
		return nil, err
	}
	t := q.n.startTask("qmconfig", strconv.Itoa(g.vmid), q.id.name(), time.Second, func(t *task) string {
		var words []string
		for k, v := range q.guestKeys() {
			words = append(words, "-"+k+" "+v)
		}
		slices.Sort(words)
		t.log = append(t.log, fmt.Sprintf("update VM %d: %s", g.vmid, strings.Join(words, " ")))
		if e := q.configure(g, t); e != nil {
			return e.Error()
		}
		return "OK"
	})
	return t.upid(), nil
}

// checkConfigure is what both find out before anything is changed.
func (q *call) checkConfigure() (*guestConf, error) {
	if err := q.rootOnly("skiplock"); err != nil {
		return nil, err
	}
	for _, key := range listSepRE.Split(q.str("delete")+","+q.str("revert"), -1) {
		if key != "" && q.m.param(key) == nil {
			return nil, invalid(map[string]string{"delete": "unknown option '" + key + "'"})
		}
	}
	g, err := q.findGuest()
	if err != nil {
		return nil, err
	}
	if !q.n.quorate { // writing into pmxcfs blocks, and pveproxy gives up
		return nil, proxyFailure(596, "Connection timed out", 30*time.Second)
	}
	if q.has("digest") && q.str("digest") != sha1hex(g.text()) {
		return nil, fail(500, "checksum mismatch (file change by other user?)")
	}
	if lock := g.conf["lock"]; lock != "" && !q.flag("skiplock") {
		return nil, fail(500, lockedText(g, lock))
	}
	return g, q.checkDisks(q.guestKeys())
}

func (q *call) configure(g *guestConf, t *task) error {
	conf := q.guestKeys()
	if e := q.allocate(g, conf, t); e != "" {
		return errors.New(e)
	}
	running := q.c.runsOn(g, q.n)
	for _, key := range listSepRE.Split(q.str("revert"), -1) {
		delete(g.pending, key)
	}
	for _, key := range listSepRE.Split(q.str("delete"), -1) {
		if key == "" {
			continue
		}
		if running && g.conf[key] != "" && !slices.Contains(hotKeys, key) {
			g.wait(key, "")
			continue
		}
		q.c.setConf(g, key, "")
	}
	for k, v := range conf {
		if running && !slices.Contains(hotKeys, k) && (g.conf[k] != v || g.pending[k] != "") {
			g.wait(k, v)
			continue
		}
		q.c.setConf(g, k, v)
	}
	return nil
}

// wait keeps a change until the guest was stopped; "" deletes.
func (g *guestConf) wait(key, v string) {
	if g.pending == nil {
		g.pending = map[string]string{}
	}
	g.pending[key] = v
}

// applyPending is done when a guest starts.
func (c *Cluster) applyPending(g *guestConf) {
	for k, v := range g.pending {
		c.setConf(g, k, v)
	}
	g.pending = nil
}

func guestPending(q *call) (any, error) {
	g, err := q.findGuest()
	if err != nil {
		return nil, err
	}
	rows := list{}
	keys := maps.Clone(g.conf)
	maps.Copy(keys, g.pending)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if strings.HasPrefix(k, "#") {
			continue
		}
		row := obj{"key": k}
		if v, ok := g.conf[k]; ok {
			row["value"] = v
		}
		if v, ok := g.pending[k]; ok && v == "" {
			row["delete"] = 1
		} else if ok {
			row["pending"] = v
		}
		rows = append(rows, row)
	}
	return append(rows, obj{"key": "digest", "value": sha1hex(g.text())}), nil
}

func guestResize(q *call) (any, error) {
	g, err := q.findGuest()
	if err != nil {
		return nil, err
	}
	if err := q.needQuorum(); err != nil {
		return nil, err
	}
	key := q.str("disk")
	if g.conf[key] == "" {
		return nil, invalid(map[string]string{"disk": "disk '" + key + "' does not exist"})
	}
	if lock := g.conf["lock"]; lock != "" {
		return nil, fail(500, lockedText(g, lock))
	}
	old := properties(g.conf[key], "file")["size"]
	want, grow := strings.CutPrefix(q.str("size"), "+")
	size := sizeBytes(want)
	if grow {
		size += sizeBytes(old)
	}
	if size < sizeBytes(old) {
		return nil, fail(500, "shrinking disks is not supported")
	}
	t := q.n.startTask("resize", strconv.Itoa(g.vmid), q.id.name(), time.Second, func(*task) string {
		q.c.setConf(g, key, strings.Replace(g.conf[key], "size="+old, fmt.Sprintf("size=%dG", size>>30), 1))
		g.disk = size
		return "OK"
	})
	return t.upid(), nil
}

func guestMonitor(q *call) (any, error) {
	g, err := q.findGuest()
	if err != nil {
		return nil, err
	}
	if !q.c.runsOn(g, q.n) {
		return nil, fail(500, fmt.Sprintf("VM %d not running", g.vmid))
	}
	command := strings.Fields(q.str("command") + " ?")[0]
	if command != "info" && command != "help" && command != "?" && q.id.name() != "root@pam" {
		return nil, forbidden("Permission check failed (/vms/" + q.str("vmid") + ", Sys.Modify)")
	}
	return "globals:\r\nstore-global-state: on\r\nonly-migratable: off\r\n", nil
}

func guestPing(q *call) (any, error) {
	g, err := q.findGuest()
	if err != nil {
		return nil, err
	}
	if !truth(properties(g.conf["agent"], "enabled")["enabled"]) {
		return nil, fail(500, "No QEMU guest agent configured")
	}
	return nil, fail(500, "QEMU guest agent is not running")
}

// vzdump makes no archive: only what the task would say.
func vzdump(q *call) (any, error) {
	if q.has("storage") && q.storageByID(q.str("storage")) == nil {
		return nil, invalid(map[string]string{"storage": "storage '" + q.str("storage") + "' does not exist"})
	}
	id := q.str("vmid")
	t := q.n.startTask("vzdump", id, q.id.name(), 5*time.Second, func(t *task) string {
		for _, v := range listSepRE.Split(id, -1) {
			vmid := numberOr(v, 0)
			if g := q.live().guests[vmid]; vmid != 0 && (g == nil || g.node != q.n) {
				t.log = append(t.log, "ERROR: Backup of VM "+v+" failed - unable to find VM '"+v+"'")
				return "unable to find VM '" + v + "'"
			}
		}
		return "OK"
	})
	return t.upid(), nil
}
