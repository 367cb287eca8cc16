package pvefake

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// storageConf is a section of storage.cfg.
type storageConf struct {
	id, typ, content string
	shared           bool
	conf             map[string]string // further keys as written
	total, used      int64
}

// backupJob is a vzdump section of jobs.cfg.
type backupJob struct {
	id, schedule, storage string
	all, enabled          bool
	vmids                 []int
	conf                  map[string]string // as written
}

func localStorage() *storageConf {
	return &storageConf{
		id: "local", typ: "dir", content: "images,snippets,rootdir,backup,iso,vztmpl",
		conf:  map[string]string{"path": "/var/lib/vz", "prune-backups": "keep-all=1"},
		total: rootfsBytes,
	}
}

// AddStorage adds an RBD storage on a pool, or with type "dir" a shared directory.
func (c *Cluster) AddStorage(id, typ string, total, used int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.live.storage {
		if s.id == id {
			return fmt.Errorf("pvefake: storage %q exists", id)
		}
	}
	s := &storageConf{id: id, typ: typ, shared: true, total: total, used: used}
	switch typ {
	case "rbd":
		s.content, s.conf = "images,rootdir", map[string]string{"pool": id, "krbd": "0"}
	case "dir":
		s.content, s.conf = "images,backup", map[string]string{"path": "/mnt/" + id, "shared": "1"}
	default:
		return fmt.Errorf("pvefake: storage type %q (known: rbd, dir)", typ)
	}
	c.live.storage = append(c.live.storage, s)
	return nil
}

// AddBackupJob schedules a backup; no vmids means all guests.
func (c *Cluster) AddBackupJob(id, schedule, storage string, enabled bool, vmids ...int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := &backupJob{id: id, conf: map[string]string{"schedule": schedule, "storage": storage, "mode": "snapshot", "enabled": strconv.Itoa(bit(enabled))}}
	if len(vmids) == 0 {
		j.conf["all"] = "1"
	} else {
		j.conf["vmid"] = strings.Trim(strings.ReplaceAll(fmt.Sprint(vmids), " ", ","), "[]")
	}
	j.settle()
	c.live.jobs = append(c.live.jobs, j)
}

func (s *storageConf) numbers(n *node) storageNumbers {
	if s.id == "local" {
		return storageNumbers{used: n.numbers().disk, total: s.total}
	}
	return storageNumbers{used: s.used, total: s.total}
}

// storageText is storage.cfg.
func (f *cfs) storageText() string {
	var b strings.Builder
	for _, s := range f.storage {
		fmt.Fprintf(&b, "%s: %s\n\tcontent %s\n", s.typ, s.id, s.content)
		for _, k := range slices.Sorted(maps.Keys(s.conf)) {
			fmt.Fprintf(&b, "\t%s %s\n", k, s.conf[k])
		}
		b.WriteString("\n")
	}
	return b.String()
}

func storageHandlers() map[string]handler {
	return map[string]handler{
		"GET /storage":                               storageIndex,
		"GET /storage/{storage}":                     storageRead,
		"GET /nodes/{node}/storage":                  nodeStorage,
		"GET /nodes/{node}/storage/{storage}/status": storageStatus,
		"GET /cluster/backup":                        backupJobs,
		"GET /cluster/backup/{id}":                   backupJobRead,
		"GET /cluster/backup-info/not-backed-up":     notBackedUp,
	}
}

func (s *storageConf) row(digest string) obj {
	row := obj{"storage": s.id, "type": s.typ, "content": s.content, "digest": digest}
	for k, v := range s.conf {
		row[k] = v
		if k == "krbd" || k == "shared" || k == "disable" {
			row[k] = bit(truth(v))
		}
	}
	if s.shared {
		row["shared"] = 1
	}
	if s.id == "local" {
		row["priority"] = 0
	}
	return row
}

func (q *call) storages() []*storageConf {
	var out []*storageConf
	for _, s := range q.view().storage {
		if q.may("/storage/"+s.id, "Datastore.Audit", "Datastore.AllocateSpace") {
			out = append(out, s)
		}
	}
	return out
}

func storageIndex(q *call) (any, error) {
	digest := sha1hex(q.view().storageText())
	rows := bag{}
	for _, s := range q.storages() {
		if q.has("type") && s.typ != q.str("type") {
			continue
		}
		row := s.row(digest)
		// Only a storage.cfg that nobody wrote shows the priority of the built-in entry.
		if len(q.view().storage) > 1 {
			delete(row, "priority")
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (q *call) findStorage() (*storageConf, error) {
	for _, s := range q.view().storage {
		if s.id == q.str("storage") {
			return s, nil
		}
	}
	return nil, fail(500, "storage '"+q.str("storage")+"' does not exist")
}

func storageRead(q *call) (any, error) {
	s, err := q.findStorage()
	if err != nil {
		return nil, err
	}
	return s.row(sha1hex(q.view().storageText())), nil
}

func (s *storageConf) status(n *node) obj {
	row := obj{"type": s.typ, "content": s.content, "shared": bit(s.shared), "enabled": bit(!truth(s.conf["disable"])), "active": 0, "total": 0, "used": 0, "avail": 0}
	if s.usable(n) {
		u := s.numbers(n)
		row["active"], row["total"], row["used"], row["avail"] = 1, u.total, u.used, u.total-u.used
	}
	return row
}

func nodeStorage(q *call) (any, error) {
	rows := bag{}
	for _, s := range q.storages() {
		if q.has("storage") && s.id != q.str("storage") || q.has("content") && !sharesContent(s.content, q.str("content")) {
			continue
		}
		row := s.status(q.n)
		u := s.numbers(q.n)
		row["storage"] = s.id
		if u.total > 0 {
			row["used_fraction"] = float64(u.used) / float64(u.total)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func sharesContent(have, want string) bool {
	for _, w := range listSepRE.Split(want, -1) {
		if slices.Contains(strings.Split(have, ","), w) {
			return true
		}
	}
	return false
}

func storageStatus(q *call) (any, error) {
	s, err := q.findStorage()
	if err != nil {
		return nil, err
	}
	return s.status(q.n), nil
}

func backupJobs(q *call) (any, error) {
	rows := bag{}
	for _, j := range q.view().jobs {
		rows = append(rows, j.row(q.c.now, true))
	}
	return rows, nil
}

func backupJobRead(q *call) (any, error) {
	for _, j := range q.view().jobs {
		if j.id == q.str("id") {
			return j.row(q.c.now, false), nil
		}
	}
	return nil, invalid(map[string]string{"id": "No such job '" + q.str("id") + "'"})
}

// notBackedUp lists the guests that no enabled job covers (pve-manager PVE/API2/BackupInfo.pm).
func notBackedUp(q *call) (any, error) {
	rows := bag{}
	for _, g := range q.view().sortedGuests() {
		if !q.may(fmt.Sprintf("/vms/%d", g.vmid), "VM.Audit") || q.view().backedUp(g.vmid) {
			continue
		}
		rows = append(rows, obj{"vmid": g.vmid, "type": g.typ(), "name": g.name()})
	}
	return rows, nil
}

func (f *cfs) backedUp(vmid int) bool {
	for _, j := range f.jobs {
		if j.enabled && (j.all || slices.Contains(j.vmids, vmid)) {
			return true
		}
	}
	return false
}
