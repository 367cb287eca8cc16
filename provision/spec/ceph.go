package spec

// Ceph is the storage cluster on the nodes.
type Ceph struct {
	// Release by name: squid, tentacle.
	Release string `yaml:"release"`
	// Monitors are names of nodes: 3 or 5.
	Monitors []string `yaml:"monitors"`
	// Managers are names of nodes.
	Managers []string `yaml:"managers"`
	// MDS are names of nodes with a metadata server, for CephFS.
	MDS []string `yaml:"mds"`
	// Config is `ceph config set WHO KEY VALUE`, by who and key.
	Config map[string]map[string]Value `yaml:"config"`
	Pools  []Pool                      `yaml:"pools"`
	// Filesystems are CephFS.
	Filesystems []Filesystem `yaml:"filesystems"`
}

// Declared is true if the file says anything about Ceph.
func (c Ceph) Declared() bool {
	return c.Release != "" || len(c.Monitors) > 0 || len(c.Managers) > 0 || len(c.Pools) > 0 || len(c.Config) > 0
}

// Pool is one Ceph pool.
type Pool struct {
	// Name of the pool.
	Name string `yaml:"name" need:"yes"`
	// Size is the number of copies. For an erasure-coded pool it is that of its metadata pool.
	Size int `yaml:"size" min:"1" max:"7"`
	// MinSize is the number of copies below which the pool stops taking writes.
	MinSize int `yaml:"minSize" min:"1" max:"7"`
	// PGNum is a power of two.
	PGNum int `yaml:"pgNum" min:"1" max:"32768"`
	// Autoscale is pg_autoscale_mode: on changes pgNum by itself, warn raises a warning while the pool holds
	// less than pgNum is meant for, off keeps pgNum.
	Autoscale string `yaml:"autoscale" enum:"on,warn,off"`
	// Application that uses the pool.
	Application string `yaml:"application" enum:"rbd,cephfs,rgw"`
	// FailureDomain is where no two copies stand together.
	FailureDomain string `yaml:"failureDomain" enum:"osd,host,rack"`
	// DeviceClass confines the pool to hdd, ssd or nvme.
	DeviceClass string `yaml:"deviceClass"`
	// Erasure makes the pool erasure-coded. Proxmox then creates NAME-data and NAME-metadata.
	Erasure *Erasure `yaml:"erasure"`
}

// Erasure is an erasure code: K chunks of data and M that may be lost.
type Erasure struct {
	// K is the number of chunks of data.
	K int `yaml:"k" need:"yes" min:"2" max:"32"`
	// M is the number of chunks that may be lost.
	M int `yaml:"m" need:"yes" min:"1" max:"32"`
}

// MinSize is the min_size Ceph gives to a pool of this code.
func (e Erasure) MinSize() int {
	if e.M == 1 {
		return e.K
	}
	return e.K + 1
}

// Filesystem is one CephFS.
type Filesystem struct {
	// Name of the filesystem; its pools are called NAME_data and NAME_metadata.
	Name string `yaml:"name" need:"yes"`
	// PGNum of its data pool; the metadata pool gets a quarter.
	PGNum int `yaml:"pgNum" min:"8" max:"32768"`
}

// The types of storage.
const (
	StorageRBD    = "rbd"
	StorageCephFS = "cephfs"
	StoragePBS    = "pbs"
	StorageNFS    = "nfs"
	StorageDir    = "dir"
)

// Storage is one entry of storage.cfg.
type Storage struct {
	// ID is its name in Proxmox VE.
	ID string `yaml:"id" need:"yes"`
	// Type cannot be changed later.
	Type string `yaml:"type" need:"yes" enum:"rbd,cephfs,pbs,nfs,dir"`
	// Content is what may be stored: images, rootdir, iso, vztmpl, backup, snippets, import.
	Content []string `yaml:"content"`
	// Nodes that have it; none means all.
	Nodes []string `yaml:"nodes"`

	// Pool is the Ceph pool of an rbd storage. For an erasure-coded pool it is the name given in ceph.pools.
	Pool string `yaml:"pool"`
	// KRBD maps images with the kernel's driver.
	KRBD bool `yaml:"krbd"`
	// Filesystem is the CephFS of a cephfs storage.
	Filesystem string `yaml:"filesystem"`

	// Server of pbs and nfs.
	Server string `yaml:"server"`
	// Datastore of pbs.
	Datastore string `yaml:"datastore"`
	// Namespace of pbs.
	Namespace string `yaml:"namespace"`
	// Username of pbs, user@realm or user@realm!token.
	Username string `yaml:"username"`
	// Password of pbs.
	Password Secret `yaml:"password"`
	// Fingerprint of the certificate of pbs, 32 bytes AA:BB:….
	Fingerprint string `yaml:"fingerprint"`
	// Export of nfs, such as /srv/nfs.
	Export string `yaml:"export"`
	// Options of the nfs mount.
	Options string `yaml:"options"`
	// Path of a dir storage.
	Path string `yaml:"path"`
	// Shared says that a dir storage shows the same files on all nodes.
	Shared bool `yaml:"shared"`
	// Prune says which backups on it are kept.
	Prune Prune `yaml:"prune"`
}

// Prune says how many backups are kept. All zero: all of them.
type Prune struct {
	// Last backups kept, however old.
	Last int `yaml:"last" min:"0"`
	// Hourly is for how many hours the last backup of each is kept.
	Hourly int `yaml:"hourly" min:"0"`
	// Daily is for how many days.
	Daily int `yaml:"daily" min:"0"`
	// Weekly is for how many weeks.
	Weekly int `yaml:"weekly" min:"0"`
	// Monthly is for how many months.
	Monthly int `yaml:"monthly" min:"0"`
	// Yearly is for how many years.
	Yearly int `yaml:"yearly" min:"0"`
}
