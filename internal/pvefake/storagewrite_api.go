package pvefake

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

func storageWriteHandlers() map[string]handler {
	return map[string]handler{
		"POST /storage":                               storageCreate,
		"PUT /storage/{storage}":                      storageUpdate,
		"DELETE /storage/{storage}":                   storageDelete,
		"GET /nodes/{node}/storage/{storage}/content": storageContent,
	}
}

// storageType is what a plugin of pve-storage (src/PVE/Storage/*Plugin.pm) knows.
type storageType struct {
	content  string // what it can hold; the first is the default
	required []string
	options  string // further keys
	shared   bool
	mounted  bool // below /mnt/pve
	server   bool // reached through the network
}

const commonStorageKeys = " nodes disable content shared "

var storageTypes = map[string]storageType{
	"dir": {"images rootdir vztmpl iso backup snippets none import", []string{"path"},
		" prune-backups maxfiles max-protected-backups format mkdir create-base-path create-subdirs is_mountpoint bwlimit preallocation content-dirs snapshot-as-volume-chain ", false, false, false},
	"nfs": {"images rootdir vztmpl iso backup snippets import", []string{"server", "export"},
		" path options prune-backups maxfiles max-protected-backups format mkdir create-base-path create-subdirs bwlimit preallocation content-dirs snapshot-as-volume-chain ", true, true, true},
	"cifs": {"images rootdir vztmpl iso backup snippets import", []string{"server", "share"},
		" path subdir username password domain smbversion options prune-backups maxfiles max-protected-backups format mkdir create-base-path create-subdirs bwlimit preallocation content-dirs ", true, true, true},
	"pbs": {"backup none", []string{"server", "datastore"},
		" port username password encryption-key master-pubkey fingerprint namespace prune-backups maxfiles max-protected-backups ", true, false, true},
	"rbd":     {"images rootdir", nil, " monhost pool data-pool namespace username krbd keyring bwlimit ", true, false, false},
	"cephfs":  {"vztmpl iso backup snippets import", nil, " path monhost username fs-name subdir fuse options keyring secret prune-backups maxfiles max-protected-backups mkdir create-base-path create-subdirs bwlimit content-dirs ", true, true, false},
	"lvm":     {"images rootdir", []string{"vgname"}, " base saferemove saferemove_throughput tagged_only bwlimit snapshot-as-volume-chain ", false, false, false},
	"lvmthin": {"images rootdir", []string{"thinpool", "vgname"}, " bwlimit ", false, false, false},
	"zfspool": {"images rootdir", []string{"pool"}, " blocksize sparse mountpoint bwlimit ", false, false, false},
}

// has says whether the plugin knows a key.
func (t storageType) has(key string) bool {
	return slices.Contains(t.required, key) || strings.Contains(t.options+commonStorageKeys, " "+key+" ")
}

// filterContent drops what the plugin cannot hold, as PVE does without a word.
func (t storageType) filterContent(v string) string {
	var kept []string
	for _, part := range listSepRE.Split(v, -1) {
		if slices.Contains(strings.Fields(t.content), part) {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, ",")
}

// storageParams are the parameters that become keys of the section.
func (q *call) storageParams(t storageType) (map[string]string, error) {
	conf := map[string]string{}
	for k, v := range q.params {
		switch k {
		case "storage", "type", "delete", "digest":
			continue
		}
		if !t.has(k) {
			return nil, fail(500, "unexpected property '"+k+"'")
		}
		conf[k] = v
	}
	if v, ok := conf["content"]; ok {
		if conf["content"] = t.filterContent(v); conf["content"] == "" && !strings.Contains(t.content, "none") {
			return nil, fail(500, "storage does not support content type 'none'")
		}
	}
	return conf, nil
}

// storageCreate is pve-storage src/PVE/API2/Storage/Config.pm create.
func storageCreate(q *call) (any, error) {
	const prefix = "create storage failed: "
	typ, id := q.str("type"), q.str("storage")
	t, known := storageTypes[typ]
	if !known {
		return nil, fail(500, "storage type '"+typ+"' is not modelled")
	}
	conf, err := q.storageParams(t)
	if err != nil {
		return nil, err
	}
	for _, k := range t.required {
		if conf[k] == "" {
			return nil, fail(500, "missing value for required option '"+k+"'")
		}
	}
	if err := q.fileLock(prefix, "file-storage_cfg"); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(q.live().storage, func(s *storageConf) bool { return s.id == id }) {
		return nil, fail(500, prefix+"storage ID '"+id+"' already defined")
	}
	if !truth(conf["disable"]) && t.server && q.c.offline[conf["server"]] {
		text := "storage '" + id + "' is not online"
		if typ == "pbs" {
			text = id + ": error fetching datastores - 500 Can't connect to " + conf["server"] + ":8007 (No route to host)"
		}
		return nil, fail(500, prefix+text)
	}
	s := &storageConf{id: id, typ: typ, conf: map[string]string{}}
	s.take(t, conf)
	q.live().storage = append(q.live().storage, s)
	out := obj{"storage": id, "type": typ}
	if typ == "pbs" {
		out["config"] = obj{}
	}
	return out, nil
}

// secretKeys never reach storage.cfg: they are kept in files that only root reads.
var secretKeys = []string{"password", "encryption-key", "master-pubkey", "keyring", "secret"}

func (s *storageConf) take(t storageType, conf map[string]string) {
	if v, ok := conf["content"]; ok {
		s.content = v
	} else if s.content == "" {
		s.content = strings.Fields(t.content)[0]
		if s.typ == "rbd" {
			s.content = "images"
		}
	}
	for k, v := range conf {
		if k != "content" && !slices.Contains(secretKeys, k) {
			s.conf[k] = v
		}
	}
	if t.mounted && s.conf["path"] == "" {
		s.conf["path"] = "/mnt/pve/" + s.id
	}
	s.shared = t.shared || truth(s.conf["shared"])
	setDefault(&s.total, int64(1)<<40)
}

func storageUpdate(q *call) (any, error) {
	const prefix = "update storage failed: "
	if err := q.fileLock(prefix, "file-storage_cfg"); err != nil {
		return nil, err
	}
	s, err := q.findStorage()
	if err != nil {
		return nil, fail(500, prefix+"storage '"+q.str("storage")+"' does not exist")
	}
	if q.has("digest") && q.str("digest") != sha1hex(q.live().storageText()) {
		return nil, fail(500, prefix+modified)
	}
	t := storageTypes[s.typ]
	conf, err := q.storageParams(t)
	if err != nil {
		return nil, fail(500, prefix+err.Error())
	}
	for k, v := range conf {
		if slices.Contains(t.required, k) && s.conf[k] != v {
			return nil, fail(500, prefix+"can't change value of fixed parameter '"+k+"'")
		}
	}
	for _, key := range listSepRE.Split(q.str("delete"), -1) {
		if slices.Contains(t.required, key) {
			return nil, fail(500, prefix+"unable to delete required option '"+key+"'")
		}
		delete(s.conf, key)
	}
	s.take(t, conf)
	return obj{"storage": s.id, "type": s.typ}, nil
}

// storageDelete does not ask whether a guest has a disk there.
func storageDelete(q *call) (any, error) {
	const prefix = "delete storage failed: "
	if err := q.fileLock(prefix, "file-storage_cfg"); err != nil {
		return nil, err
	}
	if _, err := q.findStorage(); err != nil {
		return nil, fail(500, prefix+"storage '"+q.str("storage")+"' does not exist")
	}
	q.live().storage = slices.DeleteFunc(q.live().storage, func(s *storageConf) bool { return s.id == q.str("storage") })
	return nil, nil
}

// usable says whether a storage is active on a node.
func (s *storageConf) usable(n *node) bool {
	c := n.c
	switch {
	case truth(s.conf["disable"]) || c.offline[s.conf["server"]] && s.conf["server"] != "":
		return false
	case s.conf["nodes"] != "" && !slices.Contains(strings.Split(s.conf["nodes"], ","), n.name):
		return false
	case s.typ == "rbd" && s.conf["monhost"] == "" && !n.box.recorded:
		return c.ceph != nil && c.ceph.pool(s.poolName()) != nil
	case s.typ == "cephfs" && s.conf["monhost"] == "":
		return c.ceph != nil && len(c.ceph.fs) > 0
	}
	return true
}

func (s *storageConf) poolName() string {
	if p := s.conf["pool"]; p != "" {
		return p
	}
	return "rbd"
}

const listingFailed = "rbd error: rbd: listing images failed: (2) No such file or directory"

// storageContent lists volumes: here, the disks of guests.
func storageContent(q *call) (any, error) {
	s, err := q.findStorage()
	if err != nil {
		return nil, err
	}
	if !s.usable(q.n) {
		if s.typ == "rbd" {
			return nil, fail(500, listingFailed)
		}
		return nil, fail(500, "storage '"+s.id+"' is not available on node '"+q.n.name+"'")
	}
	rows := list{}
	for _, g := range q.view().sortedGuests() {
		for _, key := range slices.Sorted(maps.Keys(g.conf)) {
			volume, rest, _ := strings.Cut(g.conf[key], ",")
			store, name, ok := strings.Cut(volume, ":")
			if !ok || store != s.id || !diskKeyRE.MatchString(key) {
				continue
			}
			row := obj{"volid": volume, "vmid": g.vmid, "format": "raw", "content": "images", "size": sizeBytes(properties(rest, "")["size"]), "parent": nil}
			if s.typ == "rbd" {
				row["name"] = name
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// SetServerOnline says whether a server of network storages (an address as in their "server") answers;
// all do until told otherwise.
func (c *Cluster) SetServerOnline(address string, online bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offline[address] = !online
}

// sizeBytes reads "8G".
func sizeBytes(v string) int64 {
	var n float64
	var unit string
	if _, err := fmt.Sscanf(v, "%f%s", &n, &unit); err != nil && unit == "" && n == 0 {
		return 0
	}
	return int64(n * float64(int64(1)<<map[string]int{"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[unit]))
}
