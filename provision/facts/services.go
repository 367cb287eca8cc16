package facts

// Ceph is what the cluster says of Ceph. If it is not set up, everything in it is known and empty.
type Ceph struct {
	// Ready is false if Ceph was not installed or not initialised.
	Ready  Known[bool]
	Status Known[CephStatus]
	// Networks and everything else of [global] in ceph.conf, with _ between words.
	Global Known[map[string]string]
	Mons   Known[[]Daemon]
	Mgrs   Known[[]Daemon]
	MDSs   Known[[]Daemon]
	OSDs   Known[[]OSD]
	Pools  Known[[]Pool]
	// Config is the monitors' configuration database.
	Config      Known[[]Setting]
	Filesystems Known[[]Filesystem]
}

// CephStatus is a part of `ceph status`.
type CephStatus struct {
	FSID   string
	Health string
	Checks []string // codes such as PG_DEGRADED
	Quorum []string // names of monitors
	OSDs   int
	Up, In int
	PGs    int
	// PGStates counts PGs by state.
	PGStates map[string]int
	// Total and Used space in bytes.
	Total, Used int64
}

// Daemon is a monitor, manager or metadata server.
type Daemon struct {
	Name, Host, State, Version string
	// Quorum is true for a monitor in quorum.
	Quorum bool
}

// OSD of the CRUSH tree.
type OSD struct {
	ID      int
	Host    string
	Up, In  bool
	Class   string
	Version string
	Size    int64
}

// Pool is one Ceph pool.
type Pool struct {
	Name         string
	ID           int
	Size         int
	MinSize      int
	PGNum        int
	PGNumFinal   int
	Autoscale    string
	Erasure      bool
	Rule         string
	Applications []string
	// Used space in bytes.
	Used int64
}

// Setting of `ceph config dump`.
type Setting struct{ Section, Mask, Name, Value string }

// Filesystem is one CephFS.
type Filesystem struct{ Name, MetadataPool, DataPool string }

// Storage is an entry of storage.cfg; Fields has everything as text.
type Storage struct {
	ID, Type, Digest string
	Content          []string
	Nodes            []string
	Disabled         bool
	Shared           bool
	Prune            map[string]int // keep-daily: 7
	Fields           map[string]string
}

// HAResource is a service of the HA manager.
type HAResource struct {
	SID, Type, State, Group, Comment string
	MaxRestart, MaxRelocate          int
	// Failback is true unless it is switched off. PVE 9 only.
	Failback bool
}

// HAGroup is an HA group of PVE 8.
type HAGroup struct {
	Name                   string
	Nodes                  map[string]int
	Restricted, NoFailback bool
}

// HARule is an HA rule of PVE 9.
type HARule struct {
	Name, Type string
	Resources  []string
	Nodes      map[string]int // of node-affinity
	Strict     bool
	Affinity   string // of resource-affinity
	Disabled   bool
}

// Guest is a virtual machine or container.
type Guest struct {
	VMID       int
	Name, Node string
	Type       string // qemu, lxc
	Status     string
	Template   bool
	Tags       []string
	MaxMemory  int64 // bytes
	CPUs       int
	HAState    string
}

// GuestConfig is the configuration of a virtual machine as text by key.
type GuestConfig map[string]string

// BackupJob of /cluster/backup.
type BackupJob struct {
	ID, Schedule, Storage, Mode, Compress, Notify, Node string
	All, Enabled                                        bool
	VMIDs, Exclude                                      []int
	Prune                                               map[string]int
}

// User of the access control, with tokens.
type User struct {
	ID, Comment string
	Enabled     bool
	Tokens      []Token
}

// Token of a user.
type Token struct {
	ID      string
	PrivSep bool
}

// ACLEntry grants a role.
type ACLEntry struct {
	Path, Type, Subject, Role string
	Propagate                 bool
}
