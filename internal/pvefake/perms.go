package pvefake

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
)

type aclEntry struct {
	path, kind, who, role string // kind: user, token, group
	propagate             bool
}

// Privileges of both releases (pve-access-control src/PVE/AccessControl.pm); 9 replaced VM.Monitor by
// the VM.GuestAgent family.
const commonPrivs = "Datastore.Allocate,Datastore.AllocateSpace,Datastore.AllocateTemplate,Datastore.Audit,Group.Allocate," +
	"Mapping.Audit,Mapping.Modify,Mapping.Use,Permissions.Modify,Pool.Allocate,Pool.Audit,Realm.Allocate,Realm.AllocateUser," +
	"SDN.Allocate,SDN.Audit,SDN.Use,Sys.AccessNetwork,Sys.Audit,Sys.Console,Sys.Incoming,Sys.Modify,Sys.PowerMgmt,Sys.Syslog," +
	"User.Modify,VM.Allocate,VM.Audit,VM.Backup,VM.Clone,VM.Config.CDROM,VM.Config.CPU,VM.Config.Cloudinit,VM.Config.Disk," +
	"VM.Config.HWType,VM.Config.Memory,VM.Config.Network,VM.Config.Options,VM.Console,VM.Migrate,VM.PowerMgmt,VM.Snapshot," +
	"VM.Snapshot.Rollback"

const (
	privs8 = "VM.Monitor"
	privs9 = "VM.GuestAgent.Audit,VM.GuestAgent.FileRead,VM.GuestAgent.FileSystemMgmt,VM.GuestAgent.FileWrite,VM.GuestAgent.Unrestricted,VM.Replicate"
)

// rolesOf returns the built-in roles.
func rolesOf(v Version) map[string]string {
	all := commonPrivs + "," + privs9
	if v == V84 {
		all = commonPrivs + "," + privs8
	}
	except := func(pattern string) string {
		return filterPrivs(all, func(p string) bool { return !regexp.MustCompile(pattern).MatchString(p) })
	}
	only := func(pattern string) string {
		return filterPrivs(all, func(p string) bool { return regexp.MustCompile(pattern).MatchString(p) })
	}
	return map[string]string{
		"Administrator":     filterPrivs(all, func(string) bool { return true }),
		"NoAccess":          "",
		"PVEAdmin":          except(`^(Permissions\.Modify|Mapping\.Modify|Realm\.Allocate|Sys\.(AccessNetwork|Incoming|Modify|PowerMgmt))$`),
		"PVEAuditor":        only(`\.Audit$`),
		"PVEDatastoreAdmin": only(`^Datastore\.`),
		"PVEDatastoreUser":  only(`^Datastore\.(AllocateSpace|Audit)$`),
		"PVEMappingAdmin":   only(`^Mapping\.`),
		"PVEMappingUser":    only(`^Mapping\.(Audit|Use)$`),
		"PVEPoolAdmin":      only(`^Pool\.`),
		"PVEPoolUser":       only(`^Pool\.Audit$`),
		"PVESDNAdmin":       only(`^SDN\.`),
		"PVESDNUser":        only(`^SDN\.(Audit|Use)$`),
		"PVESysAdmin":       only(`^Sys\.(Audit|Console|Syslog)$`),
		"PVETemplateUser":   only(`^VM\.(Audit|Clone)$`),
		"PVEUserAdmin":      only(`^(User\.Modify|Group\.Allocate|Realm\.AllocateUser)$`),
		"PVEVMAdmin":        only(`^VM\.`),
		"PVEVMUser": only(`^VM\.(Audit|Backup|Config\.CDROM|Config\.Cloudinit|Console|PowerMgmt|Monitor|` +
			`GuestAgent\.(Audit|FileRead|FileSystemMgmt|FileWrite))$`),
	}
}

func filterPrivs(all string, keep func(string) bool) string {
	var out []string
	for _, p := range strings.Split(all, ",") {
		if keep(p) {
			out = append(out, p)
		}
	}
	sort.Strings(out)
	return strings.Join(out, ",")
}

// Grant gives a role on a path to "user@realm" or "user@realm!token", also below it.
func (c *Cluster) Grant(path, who, role string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.auth.roles[role]; !ok {
		return fmt.Errorf("pvefake: no role %q (AddRole first)", role)
	}
	kind := "user"
	if strings.Contains(who, "!") {
		kind = "token"
	}
	c.auth.acl = append(c.auth.acl, aclEntry{path: path, kind: kind, who: who, role: role, propagate: true})
	return nil
}

// Revoke removes what Grant gave.
func (c *Cluster) Revoke(path, who string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var kept []aclEntry
	for _, e := range c.auth.acl {
		if e.path != path || e.who != who {
			kept = append(kept, e)
		}
	}
	c.auth.acl = kept
}

// AddRole defines a role by its privileges.
func (c *Cluster) AddRole(name string, privs ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.auth.roles[name] = strings.Join(privs, ",")
}

// rights are an identity's privileges on a path, each with its propagate flag. The entries nearest to
// the path win; a separated token has at most what its user has.
func (c *Cluster) rights(id identity, path string) map[string]bool {
	if id.token == "" || !id.privsep {
		return id.in.rightsOf(id.user, path)
	}
	own, users := id.in.rightsOf(id.name(), path), id.in.rightsOf(id.user, path)
	for p := range own {
		if _, ok := users[p]; !ok {
			delete(own, p)
		}
	}
	return own
}

func (a *authState) rightsOf(who, path string) map[string]bool {
	out := map[string]bool{}
	if who == "root@pam" {
		for _, p := range strings.Split(a.roles["Administrator"], ",") {
			out[p] = true
		}
		return out
	}
	for _, level := range levels(path) {
		var here []aclEntry
		for _, e := range a.acl {
			if e.who == who && e.path == level && (e.propagate || level == path) {
				here = append(here, e)
			}
		}
		if len(here) == 0 {
			continue
		}
		out = map[string]bool{}
		for _, e := range here {
			for _, p := range strings.Split(a.roles[e.role], ",") {
				if p != "" {
					out[p] = e.propagate
				}
			}
		}
	}
	return out
}

// levels lists the paths from the root to path.
func levels(path string) []string {
	out := []string{"/"}
	cur := ""
	for _, s := range split(path) {
		if s == "" {
			continue
		}
		cur += "/" + s
		out = append(out, cur)
	}
	return out
}

// may says whether id has any of privs on path.
func (c *Cluster) may(id identity, path string, privs ...string) bool {
	have := c.rights(id, path)
	for _, p := range privs {
		if _, ok := have[p]; ok {
			return true
		}
	}
	return false
}

func (q *call) may(path string, privs ...string) bool { return q.c.may(q.id, path, privs...) }

// permit applies a method's permission expression. The texts are those of
// pve-access-control src/PVE/RPCEnvironment.pm.
func (c *Cluster) permit(m *method, id identity, params map[string]string) error {
	switch m.perm {
	case "all", "world":
		return nil
	case "root":
		if id.name() != "root@pam" {
			return forbidden("Permission check failed (user != root@pam)")
		}
		return nil
	}
	alternatives := strings.Split(m.perm, "||")
	var last string
	for _, a := range alternatives {
		ok := true
		for _, term := range strings.Split(a, "&&") {
			if text := c.permitTerm(term, id, params); text != "" {
				ok, last = false, text
				break
			}
		}
		if ok {
			return nil
		}
	}
	if len(alternatives) > 1 {
		last = "Permission check failed"
	}
	return forbidden(last)
}

// permitTerm returns why one term of a permission refuses, "" if it does not.
func (c *Cluster) permitTerm(term string, id identity, params map[string]string) string {
	path, privs, _ := strings.Cut(term, ",")
	_, realm, _ := strings.Cut(params["userid"], "@")
	switch {
	case path == "userid-param" && privs == "self":
		if id.name() == params["userid"] {
			return ""
		}
		return "Permission check failed"
	case path == "userid-param":
		path = "/access/realm/" + realm
	case path == "userid-group":
		path = "/access/groups"
	case path == "perm-modify":
		path, privs = params["path"], modifyPriv(params["path"])
	}
	for k, v := range params {
		path = strings.ReplaceAll(path, "{"+k+"}", v)
	}
	if c.has(id, path, privs) {
		return ""
	}
	return fmt.Sprintf("Permission check failed (%s, %s)", path, strings.ReplaceAll(privs, "&", ", "))
}

// modifyPriv is what lets change the rights on a path: some parts of the tree have their own
// (pve-access-control src/PVE/RPCEnvironment.pm check_perm_modify).
func modifyPriv(path string) string {
	switch {
	case strings.HasPrefix(path, "/storage"):
		return "Datastore.Allocate|Permissions.Modify"
	case strings.HasPrefix(path, "/vms"):
		return "VM.Allocate|Permissions.Modify"
	case strings.HasPrefix(path, "/pool"):
		return "Pool.Allocate|Permissions.Modify"
	}
	return "Permissions.Modify"
}

func (c *Cluster) has(id identity, path, privs string) bool {
	if strings.Contains(privs, "&") {
		for _, p := range strings.Split(privs, "&") {
			if !c.may(id, path, p) {
				return false
			}
		}
		return true
	}
	return c.may(id, path, strings.Split(privs, "|")...)
}
