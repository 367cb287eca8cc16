package spec

import "net/netip"

// The first two lines of every file.
const (
	APIVersion = "quorate/v1"
	Kind       = "Cluster"
)

// Cluster is the whole of cluster.yaml.
type Cluster struct {
	// APIVersion is the version of this file's format: quorate/v1.
	APIVersion string `yaml:"apiVersion" need:"yes" enum:"quorate/v1"`
	// Kind is always Cluster.
	Kind     string   `yaml:"kind" need:"yes" enum:"Cluster"`
	Metadata Metadata `yaml:"metadata" need:"yes"`
	Spec     Spec     `yaml:"spec" need:"yes"`

	file  string
	where map[string]Position // by path; empty for a Cluster that was not parsed
	notes []string            // what FromFacts left out
}

// Metadata names the cluster.
type Metadata struct {
	// Name becomes corosync's cluster_name: a host name of at most 15 characters. It cannot be changed later.
	Name string `yaml:"name" need:"yes"`
}

// Spec says what the cluster shall be. What is left out is left alone.
type Spec struct {
	PVE PVE `yaml:"pve"`
	// Access says how the nodes are reached, and with which rights.
	Access Access `yaml:"access" need:"yes"`
	// Networks by a name of your choice; nodes refer to it.
	Networks map[string]Network `yaml:"networks" need:"yes"`
	// Nodes in the order in which they join: the first one creates the cluster.
	Nodes      []Node     `yaml:"nodes" need:"yes"`
	Corosync   Corosync   `yaml:"corosync"`
	Ceph       Ceph       `yaml:"ceph"`
	Storage    []Storage  `yaml:"storage"`
	HA         HA         `yaml:"ha"`
	Guests     []Guest    `yaml:"guests"`
	Backup     Backup     `yaml:"backup"`
	Monitoring Monitoring `yaml:"monitoring"`
}

// PVE is the Proxmox VE release and where its packages come from.
type PVE struct {
	// Major release on all nodes: 8 or 9.
	Major int `yaml:"major" min:"8" max:"9"`
	// Repository to configure on the nodes; leave means that repositories are not touched.
	Repository string `yaml:"repository" enum:"no-subscription,enterprise,test,leave"`
	// Upgrade runs a dist-upgrade on each node before it joins.
	Upgrade bool `yaml:"upgrade"`
}

// Access is how the nodes are reached.
type Access struct {
	API APIAccess `yaml:"api"`
	SSH SSHAccess `yaml:"ssh"`
}

// APIAccess is the Proxmox API, port 8006 of each node.
type APIAccess struct {
	// User with its realm. Creating a cluster, joining and creating OSDs need root@pam itself.
	User string `yaml:"user"`
	// Password of the user; not needed when everything goes through SSH.
	Password Secret `yaml:"password"`
	// Token is an API token, USER@REALM!ID=SECRET, used where there is no password. With the role PVEAuditor
	// it does for verify and import; creating a cluster, joining and creating OSDs need root's password.
	Token Secret `yaml:"token"`
	TLS   TLS    `yaml:"tls"`
}

// TLS says which certificates of the API are believed.
type TLS struct {
	// Pin is ca (the cluster's own CA file), fingerprint (that of each node below) or
	// trust-on-first-use (remember what the first connection shows).
	Pin string `yaml:"pin" enum:"ca,fingerprint,trust-on-first-use"`
	// CAFile is the PEM file for pin: ca, a copy of /etc/pve/pve-root-ca.pem.
	CAFile string `yaml:"caFile"`
}

// SSHAccess is SSH to each node. What has no API goes this way.
type SSHAccess struct {
	// User must be root, as pvesh, pveceph and apt need it.
	User string `yaml:"user"`
	// Port of the SSH server.
	Port int `yaml:"port" min:"1" max:"65535"`
	// Agent uses the keys of the running ssh-agent.
	Agent bool `yaml:"agent"`
	// KeyFile is a private key; ~ is your home directory.
	KeyFile string `yaml:"keyFile"`
	// KeyPassphrase opens KeyFile.
	KeyPassphrase Secret `yaml:"keyPassphrase"`
	// Password is used when neither agent nor key is accepted.
	Password Secret `yaml:"password"`
	// KnownHosts holds the host keys that are believed; a node's hostKey is another way.
	KnownHosts string `yaml:"knownHosts"`
	// Command replaces the built-in client, such as [ssh, -J, jump], for jump hosts.
	Command []string `yaml:"command"`
}

// Network is one IP network that all nodes are in.
type Network struct {
	// CIDR of the network, such as 10.0.10.0/24.
	CIDR netip.Prefix `yaml:"cidr" need:"yes"`
	// Gateway of the default route; at most one network has one.
	Gateway netip.Addr `yaml:"gateway"`
	// Bridge that carries the address on every node; left out, the port itself carries it.
	Bridge string `yaml:"bridge"`
	// VLAN tag; 0 is untagged.
	VLAN int `yaml:"vlan" min:"0" max:"4094"`
	// MTU in bytes; 9000 if the switch has it as well.
	MTU int `yaml:"mtu" min:"576" max:"65520"`
	// CorosyncLink is the number of the corosync link on this network, 0 to 7; nil: none.
	CorosyncLink *int `yaml:"corosyncLink" min:"0" max:"7"`
	// Priority of that link; corosync uses the highest that works.
	Priority int `yaml:"priority" min:"0" max:"255"`
	// Ceph says what of Ceph uses this network.
	Ceph string `yaml:"ceph" enum:"none,public,cluster,public+cluster"`
	// Migration sends live migrations over this network.
	Migration bool `yaml:"migration"`
}

// Node is one machine with Proxmox VE installed.
type Node struct {
	// Name is the host name. It cannot be changed once the node has joined.
	Name string `yaml:"name" need:"yes"`
	// Management is the address the API and SSH answer at, and the one /etc/hosts gives to the name.
	Management netip.Addr `yaml:"management" need:"yes"`
	// NICs by network name.
	NICs map[string]NIC `yaml:"nics"`
	// OSDs are the disks that become Ceph OSDs.
	OSDs []OSD `yaml:"osds"`
	// HostKey is the SSH host key, SHA256:…, for first contact without known_hosts.
	HostKey string `yaml:"hostKey"`
	// Fingerprint is the SHA-256 of the API's certificate, AA:BB:…, for pin: fingerprint.
	Fingerprint string `yaml:"fingerprint"`
	// Endpoint is where the node is reached from here if not at its management address.
	Endpoint Endpoint `yaml:"endpoint"`
}

// Endpoint is a node behind NAT or a tunnel.
type Endpoint struct {
	// API as host:port.
	API string `yaml:"api"`
	// SSH as host:port.
	SSH string `yaml:"ssh"`
}

// NIC is a node's address in a network.
type NIC struct {
	// Address without the length of the network.
	Address netip.Addr `yaml:"address" need:"yes"`
	// Port is the interface (or bond) below the bridge.
	Port string `yaml:"port"`
}

// OSD is one disk, or several that match, for Ceph. Exactly one of Dev, ByID and Match is given.
type OSD struct {
	// Dev is a kernel name such as /dev/sdb. It may change at a reboot; byId does not.
	Dev string `yaml:"dev"`
	// ByID is a name below /dev/disk/by-id/.
	ByID string `yaml:"byId"`
	// Match takes empty disks that fit.
	Match *Match `yaml:"match"`
	// DB is the disk or partition for RocksDB.
	DB string `yaml:"db"`
	// DBSize of it; 0 leaves it to Ceph.
	DBSize Bytes `yaml:"dbSize"`
	// DeviceClass overrides what Ceph finds: hdd, ssd, nvme.
	DeviceClass string `yaml:"deviceClass"`
	// Encrypted puts dm-crypt below.
	Encrypted bool `yaml:"encrypted"`
	// Wipe allows what is on the disk to be destroyed; --allow-wipe is needed as well.
	Wipe bool `yaml:"wipe"`
}

// Match says which empty disks are taken. What is left out matches everything.
type Match struct {
	// Type as Proxmox tells it.
	Type string `yaml:"type" enum:"hdd,ssd,nvme"`
	// Model is part of the model's name, in any case.
	Model   string `yaml:"model"`
	MinSize Bytes  `yaml:"minSize"`
	MaxSize Bytes  `yaml:"maxSize"`
	// Count is how many disks there must be; more that fit are left alone, by order of their names.
	Count int `yaml:"count" need:"yes" min:"1" max:"64"`
}

// Corosync is what differs from Proxmox's defaults.
type Corosync struct {
	// TokenCoefficient in milliseconds a node, for a new cluster; 0 leaves it. Needs PVE 9.1.
	TokenCoefficient int `yaml:"tokenCoefficient" min:"0" max:"10000"`
	// QDevice is the address of a host with corosync-qnetd, or none.
	QDevice string `yaml:"qdevice"`
}
