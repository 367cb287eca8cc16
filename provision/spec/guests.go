package spec

// HA is high availability: how services move and what fences a node.
type HA struct {
	// ShutdownPolicy is what happens to a node's services when it shuts down; empty leaves it.
	ShutdownPolicy string `yaml:"shutdownPolicy" enum:"freeze,failover,conditional,migrate"`
	// Watchdog is the module that resets a node without quorum; empty leaves it.
	Watchdog string `yaml:"watchdog" enum:"softdog,ipmi_watchdog,iTCO_wdt"`
	// Groups say where services prefer to run: an HA group on PVE 8, a node-affinity rule on PVE 9.
	Groups []HAGroup `yaml:"groups"`
}

// HAGroup is a preference for nodes.
type HAGroup struct {
	// Name of the group or rule.
	Name string `yaml:"name" need:"yes"`
	// Nodes with their priorities; the highest that is online is preferred.
	Nodes map[string]int `yaml:"nodes" need:"yes" min:"0" max:"1000"`
	// Restricted keeps services from running on other nodes, even if these are all that is left.
	Restricted bool `yaml:"restricted"`
	// NoFailback leaves a service where it is when a preferred node comes back.
	NoFailback bool `yaml:"nofailback"`
}

// Guest is one virtual machine.
type Guest struct {
	// VMID is its number in the cluster.
	VMID int `yaml:"vmid" need:"yes" min:"100" max:"999999999"`
	// Name of the guest, as a host name.
	Name string `yaml:"name" need:"yes"`
	// Node it is created on. HA may move it later.
	Node     string   `yaml:"node" need:"yes"`
	Template Template `yaml:"template"`
	CPU      CPU      `yaml:"cpu"`
	// Memory in MiB, or with a unit: 2G.
	Memory MiB         `yaml:"memory"`
	Disks  []Disk      `yaml:"disks"`
	Net    []Interface `yaml:"net"`
	// OnBoot starts it with its node. HA takes no notice of it.
	OnBoot bool `yaml:"onBoot"`
	// Agent says that the guest runs qemu-guest-agent.
	Agent bool `yaml:"agent"`
	// HA puts it under the HA manager.
	HA *GuestHA `yaml:"ha"`
}

// Template is what a new guest starts from. Empty: no operating system.
type Template struct {
	// ISO is a volume such as local:iso/debian.iso.
	ISO string `yaml:"iso"`
	// Import is a disk image that becomes the first disk, such as local:import/debian.qcow2.
	Import string `yaml:"import"`
}

// CPU of a guest.
type CPU struct {
	// Cores of each socket.
	Cores int `yaml:"cores" min:"1" max:"128"`
	// Sockets; more than one is hardly ever useful.
	Sockets int `yaml:"sockets" min:"1" max:"4"`
	// Type of CPU the guest sees; host does not migrate between different machines.
	Type string `yaml:"type"`
}

// Disk of a guest.
type Disk struct {
	// Bus with its number: scsi0, virtio1, sata0.
	Bus string `yaml:"bus" need:"yes"`
	// Storage that holds images.
	Storage string `yaml:"storage" need:"yes"`
	// Size of the disk. It can grow, not shrink.
	Size Bytes `yaml:"size" need:"yes"`
	// Cache mode; with Ceph it is this that decides about librbd's cache, not rbd_cache.
	Cache string `yaml:"cache" enum:"none,writeback,writethrough,directsync,unsafe"`
	// Discard gives blocks that the guest has freed back to the storage.
	Discard bool `yaml:"discard"`
	// SSD shows it to the guest as one.
	SSD bool `yaml:"ssd"`
	// IOThread gives it a thread of its own, on scsi and virtio.
	IOThread bool `yaml:"iothread"`
}

// Interface is a network card of a guest.
type Interface struct {
	// Bridge on the node.
	Bridge string `yaml:"bridge" need:"yes"`
	// Model of the card.
	Model string `yaml:"model" enum:"virtio,e1000,e1000e,rtl8139,vmxnet3"`
	// VLAN tag; 0 is untagged.
	VLAN int `yaml:"vlan" min:"0" max:"4094"`
	// MAC address; empty lets Proxmox choose one.
	MAC string `yaml:"mac"`
}

// GuestHA is how the HA manager keeps a guest.
type GuestHA struct {
	// State the HA manager keeps it in.
	State string `yaml:"state" enum:"started,stopped,disabled,ignored"`
	// Group of spec.ha.groups; empty: any node.
	Group string `yaml:"group"`
	// MaxRestart is how often a start is tried on one node.
	MaxRestart int `yaml:"maxRestart" keep:"yes" min:"0" max:"10"`
	// MaxRelocate is how many nodes are tried.
	MaxRelocate int `yaml:"maxRelocate" keep:"yes" min:"0" max:"10"`
}

// Backup holds the backup jobs.
type Backup struct {
	Jobs []BackupJob `yaml:"jobs"`
}

// BackupJob is one scheduled vzdump job.
type BackupJob struct {
	// ID of the job.
	ID string `yaml:"id" need:"yes"`
	// Schedule is a calendar event such as 02:00 or sun 03:00, not a cron line.
	Schedule string `yaml:"schedule" need:"yes"`
	// Storage that holds backups.
	Storage string `yaml:"storage" need:"yes"`
	// Mode of vzdump; snapshot does not stop the guest.
	Mode string `yaml:"mode" enum:"snapshot,suspend,stop"`
	// Compress is of no effect on a Proxmox Backup Server.
	Compress string `yaml:"compress" enum:"zstd,lzo,gzip,none"`
	// All guests, or those in VMIDs.
	All bool `yaml:"all"`
	// VMIDs of the guests, unless all is true.
	VMIDs []int `yaml:"vmids" min:"100" max:"999999999"`
	// Exclude is left out of all.
	Exclude []int `yaml:"exclude" min:"100" max:"999999999"`
	// Enabled is true unless switched off.
	Enabled bool `yaml:"enabled" keep:"yes"`
	// Notify by mail about every run or about failures only.
	Notify string `yaml:"notify" enum:"always,failure"`
	// Prune is what this job keeps; empty leaves it to the storage.
	Prune Prune `yaml:"prune"`
}

// Monitoring is the account of the exporter, and the exporter itself.
type Monitoring struct {
	// User with its realm, such as monitoring@pve; empty: no monitoring is set up.
	User string `yaml:"user"`
	// Role it gets on /, with what is below.
	Role  string          `yaml:"role"`
	Token MonitoringToken `yaml:"token"`
	Cephx Cephx           `yaml:"cephx"`
	// Exporter is quorate itself on every node.
	Exporter Exporter `yaml:"exporter"`
	// Targets is a file written for Prometheus' file_sd_configs, on this machine; empty: none.
	Targets string `yaml:"targets"`
}

// Declared is true if monitoring is to be set up.
func (m Monitoring) Declared() bool { return m.User != "" }

// MonitoringToken is the API token of the monitoring user.
type MonitoringToken struct {
	// ID of the token, the part behind the !.
	ID string `yaml:"id"`
	// PrivSep gives the token rights of its own instead of all of the user's.
	PrivSep bool `yaml:"privsep" keep:"yes"`
	// SecretOut is the file, on this machine, that gets the secret. Proxmox shows it only once.
	SecretOut string `yaml:"secretOut"`
}

// Cephx is the Ceph client the exporter reads with.
type Cephx struct {
	// Name of the client, such as client.quorate; empty: none is made.
	Name string `yaml:"name"`
	// Keyring is its file on every node.
	Keyring string `yaml:"keyring"`
}

// Exporter is quorate serve on every node.
type Exporter struct {
	// Install it on every node, and start it.
	Install bool `yaml:"install"`
	// Package is a .deb on this machine to install; empty copies the program that is running.
	Package string `yaml:"package"`
	// Port it listens on.
	Port int `yaml:"port" min:"1" max:"65535"`
}
