package spec

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

func (v *validator) ceph() {
	c := v.c.Spec.Ceph
	v.areNodes("spec.ceph.monitors", c.Monitors)
	v.areNodes("spec.ceph.managers", c.Managers)
	v.areNodes("spec.ceph.mds", c.MDS)
	for _, who := range sortedKeys(c.Config) {
		at := "spec.ceph.config." + who
		v.require(cephWho.MatchString(who), at, "global, mon, mgr, osd, mds, client or one of them such as osd.3", "%q is no section of Ceph's configuration", who)
		for _, key := range sortedKeys(c.Config[who]) {
			v.require(cephKey.MatchString(key), at+"."+key, "with _ between the words, as ceph config help KEY knows it", "%q is no option of Ceph", key)
		}
	}
	unique(v, "spec.ceph.pools", c.Pools, "name", func(p Pool) string { return p.Name })
	for i, p := range c.Pools {
		at := fmt.Sprintf("spec.ceph.pools[%d].name", i)
		v.require(poolName.MatchString(p.Name) && !strings.HasPrefix(p.Name, "."), at, "", "%q is no name for a pool", p.Name)
	}
	unique(v, "spec.ceph.filesystems", c.Filesystems, "name", func(f Filesystem) string { return f.Name })
	for i, f := range c.Filesystems {
		v.name(configID, fmt.Sprintf("spec.ceph.filesystems[%d].name", i), f.Name)
	}
	v.require(len(c.Filesystems) == 0 || len(c.MDS) > 0, "spec.ceph.filesystems", "add mds: with the names of two nodes", "CephFS needs a metadata server")
	v.qdevice(v.c.Spec.Corosync.QDevice)
}

func (v *validator) qdevice(q string) {
	const at = "spec.corosync.qdevice"
	if q == "none" || q == "" {
		return
	}
	a, err := netip.ParseAddr(q)
	v.require(err == nil, at, "write the address of the host with corosync-qnetd, or none", "%q is no IP address", q)
	for _, n := range v.c.Spec.Nodes {
		v.require(err != nil || n.Management != a, at, "use a machine outside of the cluster", "%s is the node %s, whose loss the qdevice shall decide about", q, n.Name)
	}
}

// storageTypes says which fields a type of storage needs, which it may have, and what it can hold.
var storageTypes = map[string]struct{ need, may, content []string }{
	StorageRBD:    {need: []string{"pool"}, may: []string{"krbd"}, content: []string{"images", "rootdir"}},
	StorageCephFS: {need: []string{"filesystem"}, may: []string{"prune"}, content: []string{"backup", "iso", "vztmpl", "snippets", "import"}},
	StoragePBS:    {need: []string{"server", "datastore", "username", "password"}, may: []string{"namespace", "fingerprint", "prune"}, content: []string{"backup"}},
	StorageNFS:    {need: []string{"server", "export"}, may: []string{"options", "prune"}, content: []string{"images", "rootdir", "backup", "iso", "vztmpl", "snippets", "import"}},
	StorageDir:    {need: []string{"path"}, may: []string{"shared", "prune"}, content: []string{"images", "rootdir", "backup", "iso", "vztmpl", "snippets", "import"}},
}

// fields are the names of those fields of a storage that only some types have, if they have a value.
func (s Storage) fields() map[string]bool {
	return map[string]bool{
		"pool": s.Pool != "", "krbd": s.KRBD, "filesystem": s.Filesystem != "",
		"server": s.Server != "", "datastore": s.Datastore != "", "namespace": s.Namespace != "",
		"username": s.Username != "", "password": !s.Password.IsZero(), "fingerprint": s.Fingerprint != "",
		"export": s.Export != "", "options": s.Options != "", "path": s.Path != "", "shared": s.Shared,
		"prune": s.Prune != Prune{},
	}
}

func (v *validator) storages() {
	unique(v, "spec.storage", v.c.Spec.Storage, "id", func(s Storage) string { return s.ID })
	for i, s := range v.c.Spec.Storage {
		at := fmt.Sprintf("spec.storage[%d]", i)
		v.name(storageID, at+".id", s.ID)
		v.areNodes(at+".nodes", s.Nodes)
		kind, given := storageTypes[s.Type], s.fields()
		for _, f := range kind.need {
			v.require(given[f], at, "add "+f+":", "a storage of type %s needs %s", s.Type, f)
		}
		for _, f := range sortedKeys(given) {
			v.require(!given[f] || slices.Contains(kind.need, f) || slices.Contains(kind.may, f), at+"."+f, "remove it", "a storage of type %s has no %s", s.Type, f)
		}
		v.require(len(s.Content) > 0, at, "add content: ["+strings.Join(kind.content, ", ")+"], or some of it", "says not what it holds")
		for j, content := range s.Content {
			// Backups on RBD are told by preflight, with what to do instead.
			known := slices.Contains(kind.content, content) || s.Type == StorageRBD && content == "backup"
			v.require(known, fmt.Sprintf("%s.content[%d]", at, j), suggest(content, kind.content), "%s holds %s, not %q", s.Type, strings.Join(kind.content, ", "), content)
		}
		v.require(s.Fingerprint == "" || certPrint.MatchString(s.Fingerprint), at+".fingerprint", "proxmox-backup-manager cert info prints it", "is no SHA-256 fingerprint AA:BB:…")
		v.backing(s, at)
	}
}

// backing demands that what is below a storage is in the file as well.
func (v *validator) backing(s Storage, at string) {
	if s.Type == StorageRBD && s.Pool != "" {
		_, ok := v.c.Pool(s.Pool)
		v.require(ok, at+".pool", "add it to spec.ceph.pools", "no pool is called %q", s.Pool)
	}
	if s.Type == StorageCephFS && s.Filesystem != "" {
		ok := slices.ContainsFunc(v.c.Spec.Ceph.Filesystems, func(f Filesystem) bool { return f.Name == s.Filesystem })
		v.require(ok, at+".filesystem", "add it to spec.ceph.filesystems", "no CephFS is called %q", s.Filesystem)
	}
}

// builtin are the storages that Proxmox's installer makes.
var builtin = []string{"local", "local-lvm", "local-zfs"}

// holds demands that a storage exists and may hold content.
func (v *validator) holds(path, id, content string) {
	if slices.Contains(builtin, id) {
		return
	}
	i := slices.IndexFunc(v.c.Spec.Storage, func(s Storage) bool { return s.ID == id })
	if i < 0 {
		v.require(false, path, "add it to spec.storage", "no storage is called %q", id)
		return
	}
	s := v.c.Spec.Storage[i]
	v.require(slices.Contains(s.Content, content), path, "choose one whose content has "+content, "%s is not for %s but for %s", id, content, strings.Join(s.Content, ", "))
}
