package spec

import (
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Names as Proxmox and DNS want them.
var (
	hostName  = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$`)
	configID  = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_-]+$`)
	jobID     = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]*$`)
	storageID = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_.-]*[a-zA-Z0-9]$`)
	poolName  = regexp.MustCompile(`^[^:/\s]+$`)
	userID    = regexp.MustCompile(`^[^\s:/@]+@[a-zA-Z][a-zA-Z0-9._-]+$`)
	certPrint = regexp.MustCompile(`^([0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}$`)
	hostKey   = regexp.MustCompile(`^SHA256:[A-Za-z0-9+/]{43}$`)
	hostPort  = regexp.MustCompile(`^\S+:[0-9]{1,5}$`)
	ifaceName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9_.]{1,14}$`)
	cephWho   = regexp.MustCompile(`^(global|mon|mgr|osd|mds|client)(\.[A-Za-z0-9_.-]+)?(/[a-z]+:[A-Za-z0-9_.-]+)?$`)
	cephKey   = regexp.MustCompile(`^[a-z][a-z0-9_/]+$`)
	diskBus   = regexp.MustCompile(`^(ide[0-3]|sata[0-5]|scsi(\d|[12]\d|30)|virtio(\d|1[0-5]))$`)
	macAddr   = regexp.MustCompile(`^[0-9A-Fa-f][02468aceACE](:[0-9A-Fa-f]{2}){5}$`)
)

// A validator notes what is wrong with a Cluster.
type validator struct {
	c    *Cluster
	errs Errors
}

// Validate checks what the types cannot: names, references and what excludes each other. Whether the
// cluster described is a good one is asked by provision/preflight.
func (c *Cluster) Validate() Errors {
	v := &validator{c: c}
	v.require(c.APIVersion == APIVersion, "apiVersion", "write "+APIVersion, "is %q", c.APIVersion)
	v.require(c.Kind == Kind, "kind", "write "+Kind, "is %q", c.Kind)
	v.name(hostName, "metadata.name", c.Metadata.Name)
	v.access()
	v.networks()
	v.nodes()
	v.ceph()
	v.storages()
	v.ha()
	v.guests()
	v.backup()
	v.monitoring()
	return v.errs.sorted()
}

// require notes an error unless ok.
func (v *validator) require(ok bool, path, fix, format string, args ...any) {
	if ok {
		return
	}
	p := v.c.Where(path)
	v.errs = append(v.errs, Error{File: v.c.file, Line: p.Line, Column: p.Column, Path: path, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// name demands a form of name.
func (v *validator) name(form *regexp.Regexp, path, name string) {
	v.require(form.MatchString(name), path, "letters, digits and - do; it begins with a letter or digit", "%q is no valid name", name)
}

// unique demands that no two items have the same key. Empty keys do not count.
func unique[T any](v *validator, list string, items []T, field string, key func(T) string) {
	first := map[string]int{}
	for i, item := range items {
		k := key(item)
		if j, dup := first[k]; dup && k != "" {
			v.require(false, join(fmt.Sprintf("%s[%d]", list, i), field), "", "%s is that of %s[%d] already", k, list, j)
			continue
		}
		first[k] = i
	}
}

// isNode demands that each name is that of a node, and stands there once.
func (v *validator) areNodes(path string, names []string) {
	for i, name := range names {
		at := fmt.Sprintf("%s[%d]", path, i)
		v.isNode(at, name)
		v.require(!slices.Contains(names[:i], name), at, "", "%s is named twice", name)
	}
}

func (v *validator) isNode(path, name string) {
	_, ok := v.c.Node(name)
	v.require(ok, path, suggest(name, v.nodeNames()), "no node is called %q", name)
}

func (v *validator) nodeNames() []string {
	var names []string
	for _, n := range v.c.Spec.Nodes {
		names = append(names, n.Name)
	}
	return names
}

func (v *validator) access() {
	a := v.c.Spec.Access
	v.require(userID.MatchString(a.API.User), "spec.access.api.user", "such as root@pam", "%q is no user with a realm", a.API.User)
	v.require(a.API.TLS.Pin != "ca" || a.API.TLS.CAFile != "", "spec.access.api.tls.pin", "add caFile:, a copy of /etc/pve/pve-root-ca.pem", "pin: ca needs the CA's file")
	v.require(a.SSH.User == "root", "spec.access.ssh.user", "write root", "pvesh, pveceph and apt need root, not %q", a.SSH.User)
	v.require(a.SSH.KeyPassphrase.IsZero() || a.SSH.KeyFile != "", "spec.access.ssh.keyPassphrase", "add keyFile:", "there is no key to open")
}

func (v *validator) networks() {
	links := map[int]string{}
	uses := map[string]string{}
	once := func(use, name, at string, used bool) {
		if !used {
			return
		}
		other, dup := uses[use]
		v.require(!dup, at, "remove one of them", "%s and %s both have %s", other, name, use)
		uses[use] = name
	}
	for _, name := range v.c.NetworkNames() {
		n, at := v.c.Spec.Networks[name], "spec.networks."+name
		v.name(configID, at, name)
		v.require(n.CIDR.IsValid() && n.CIDR == n.CIDR.Masked(), at+".cidr", "write "+n.CIDR.Masked().String(), "%s is an address in a network, not a network", n.CIDR)
		v.require(!n.Gateway.IsValid() || n.CIDR.Contains(n.Gateway), at+".gateway", "", "%s is not in %s", n.Gateway, n.CIDR)
		v.require(n.Bridge == "" || ifaceName.MatchString(n.Bridge), at+".bridge", "such as vmbr0", "%q is no name of an interface", n.Bridge)
		once("the gateway", name, at+".gateway", n.Gateway.IsValid())
		once("migration", name, at+".migration", n.Migration)
		once("Ceph's public network", name, at+".ceph", strings.Contains(n.Ceph, "public"))
		once("Ceph's cluster network", name, at+".ceph", strings.Contains(n.Ceph, "cluster"))
		if n.CorosyncLink != nil {
			other, dup := links[*n.CorosyncLink]
			v.require(!dup, at+".corosyncLink", "number the links 0, 1, …", "link %d is on %s already", *n.CorosyncLink, other)
			links[*n.CorosyncLink] = name
		}
	}
	if v.c.Spec.Ceph.Declared() {
		public, _ := v.c.CephNetworks()
		v.require(public.IsValid(), "spec.networks", "add ceph: public+cluster to one", "no network is Ceph's public one")
	}
}

func (v *validator) nodes() {
	nodes := v.c.Spec.Nodes
	v.require(len(nodes) > 0, "spec.nodes", "list the nodes", "there are none")
	unique(v, "spec.nodes", nodes, "name", func(n Node) string { return n.Name })
	unique(v, "spec.nodes", nodes, "management", func(n Node) string { return n.Management.String() })
	owner := map[netip.Addr]string{}
	for i, n := range nodes {
		at := fmt.Sprintf("spec.nodes[%d]", i)
		v.name(hostName, at+".name", n.Name)
		v.require(n.Fingerprint == "" || certPrint.MatchString(n.Fingerprint), at+".fingerprint", "openssl x509 -fingerprint -sha256 prints it", "is no SHA-256 fingerprint AA:BB:…")
		v.require(n.Fingerprint != "" || v.c.Spec.Access.API.TLS.Pin != "fingerprint", at, "add fingerprint:", "pin: fingerprint needs the one of %s", n.Name)
		v.require(n.HostKey == "" || hostKey.MatchString(n.HostKey), at+".hostKey", "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub prints it", "is no SHA256:… fingerprint")
		v.require(n.Endpoint.API == "" || hostPort.MatchString(n.Endpoint.API), at+".endpoint.api", "", "%q is not host:port", n.Endpoint.API)
		v.require(n.Endpoint.SSH == "" || hostPort.MatchString(n.Endpoint.SSH), at+".endpoint.ssh", "", "%q is not host:port", n.Endpoint.SSH)
		for _, name := range sortedKeys(n.NICs) {
			v.nic(n, n.NICs[name], name, at+".nics."+name, owner)
		}
		v.osds(n, at+".osds")
	}
}

func (v *validator) nic(n Node, nic NIC, network, at string, owner map[netip.Addr]string) {
	net, ok := v.c.Spec.Networks[network]
	v.require(ok, at, suggest(network, v.c.NetworkNames()), "no network is called %q", network)
	v.require(!ok || net.CIDR.Contains(nic.Address), at+".address", "", "%s is not in %s", nic.Address, net.CIDR)
	v.require(nic.Port == "" || ifaceName.MatchString(nic.Port), at+".port", "such as eno1", "%q is no name of an interface", nic.Port)
	other, dup := owner[nic.Address]
	v.require(!dup, at+".address", "", "%s belongs to %s already", nic.Address, other)
	owner[nic.Address] = n.Name
}

func (v *validator) osds(n Node, list string) {
	seen := map[string]bool{}
	for i, o := range n.OSDs {
		at := fmt.Sprintf("%s[%d]", list, i)
		given := 0
		for _, disk := range []string{o.Dev, o.ByID} {
			if disk == "" {
				continue
			}
			given++
			v.require(!seen[disk], at, "", "%s stands there twice", disk)
			seen[disk] = true
		}
		if o.Match != nil {
			given++
			m := o.Match
			v.require(m.MaxSize == 0 || m.MinSize <= m.MaxSize, at+".match.maxSize", "", "%s is less than minSize %s", m.MaxSize, m.MinSize)
		}
		v.require(given == 1, at, "write dev:, byId: or match:", "one OSD is given by exactly one of dev, byId and match")
		v.require(o.Dev == "" || strings.HasPrefix(o.Dev, "/dev/") && path.Clean(o.Dev) == o.Dev, at+".dev", "such as /dev/sdb", "%q is no device", o.Dev)
		v.require(o.DBSize == 0 || o.DB != "", at+".dbSize", "add db:", "there is no disk for it")
	}
	v.require(len(n.OSDs) == 0 || v.c.Spec.Ceph.Declared(), list, "add spec.ceph", "OSDs need Ceph")
}
