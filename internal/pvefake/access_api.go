package pvefake

import (
	"slices"
	"sort"
	"strings"
)

func accessHandlers() map[string]handler {
	return map[string]handler{
		"GET /access":             index("users", "groups", "roles", "acl", "domains", "openid", "tfa", "ticket", "password", "permissions"),
		"POST /access/ticket":     login,
		"GET /access/permissions": permissions,
		"GET /access/users":       users,
		"GET /access/roles":       roles,
		"GET /access/acl":         acl,
	}
}

// index answers a directory of the API.
func index(names ...string) handler {
	return func(*call) (any, error) {
		rows := make(list, len(names))
		for i, n := range names {
			rows[i] = obj{"subdir": n}
		}
		return rows, nil
	}
}

func login(q *call) (any, error) {
	failed := fail(401, "authentication failure")
	failed.after = unauthorizedWait
	name := q.str("username")
	if q.has("realm") && !strings.Contains(name, "@") {
		name += "@" + q.str("realm")
	}
	a := q.n.auth()
	// A ticket is accepted as password: that is how it is renewed.
	renewed, ok := a.checkTicket(q.str("password"))
	if !(ok && renewed == name) && (!a.usable(name) || a.users[name].password == "" || a.users[name].password != q.str("password")) {
		return nil, failed
	}
	ticket, csrf := a.newTicket(name)
	q.n.logLine("pvedaemon", name, "successful auth for user '"+name+"'")
	return obj{
		"username": name, "ticket": ticket, "CSRFPreventionToken": csrf, "clustername": q.c.name(),
		"cap": q.c.capabilities(identity{user: name, in: a}),
	}, nil
}

// capabilities is the summary the GUI reads from a login.
func (c *Cluster) capabilities(id identity) obj {
	out := obj{}
	for area, path := range map[string]string{
		"access": "/access", "dc": "/", "mapping": "/mapping", "nodes": "/nodes", "sdn": "/sdn", "storage": "/storage", "vms": "/vms",
	} {
		caps := obj{}
		for p := range c.rights(id, path) {
			caps[p] = 1
		}
		out[area] = caps
	}
	return out
}

var permissionPaths = []string{"/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"}

func permissions(q *call) (any, error) {
	id := q.id
	if who := q.str("userid"); who != "" && who != id.name() {
		name, token, isToken := strings.Cut(who, "!")
		owned := isToken && name == id.user && id.token == ""
		if !owned && !q.may("/access", "Sys.Audit") {
			return nil, forbidden("Permission check failed (/access, Sys.Audit)")
		}
		u := q.n.auth().users[name]
		if u == nil {
			return nil, fail(500, "no such user ('"+name+"')")
		}
		id = identity{user: name, in: id.in}
		if isToken {
			t := u.tokens[token]
			if t == nil {
				return nil, fail(500, "no such token '"+token+"' for user '"+name+"'")
			}
			id = identity{user: name, token: token, privsep: t.privsep, in: id.in}
		}
	}
	paths := permissionPaths
	if p := q.str("path"); p != "" {
		paths = []string{p}
	} else {
		for _, e := range q.n.auth().acl {
			if !slices.Contains(paths, e.path) {
				paths = append(slices.Clone(paths), e.path)
			}
		}
	}
	out := obj{}
	for _, p := range paths {
		privs := obj{}
		for name, propagate := range q.c.rights(id, p) {
			privs[name] = bit(propagate)
		}
		if len(privs) > 0 || q.has("path") {
			out[p] = privs
		}
	}
	return out, nil
}

// bit is Perl's way to say true and false in a number.
func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func users(q *call) (any, error) {
	rows := bag{}
	for name, u := range q.n.auth().users {
		if name != q.id.user && !q.may("/access/groups", "User.Modify", "Sys.Audit") {
			continue
		}
		if q.has("enabled") && q.flag("enabled") == u.disabled {
			continue
		}
		_, realm, _ := strings.Cut(name, "@")
		row := obj{"userid": name, "enable": bit(!u.disabled), "realm-type": realm}
		for k, v := range map[string]string{"comment": u.comment, "email": u.email, "firstname": u.first, "lastname": u.last} {
			if v != "" {
				row[k] = v
			}
		}
		if name != "root@pam" {
			row["expire"] = u.expire
		}
		if q.flag("full") {
			row["groups"] = ""
			row["tokens"] = tokenRows(u)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func tokenRows(u *user) bag {
	rows := bag{}
	for id, t := range u.tokens {
		rows = append(rows, obj{"tokenid": id, "privsep": bit(t.privsep), "expire": t.expire})
	}
	return rows
}

func roles(q *call) (any, error) {
	builtin := rolesOf(q.c.opt.Version)
	rows := bag{}
	for name, privs := range q.n.auth().roles {
		_, special := builtin[name]
		sorted := strings.Split(privs, ",")
		sort.Strings(sorted)
		rows = append(rows, obj{"roleid": name, "privs": strings.Join(sorted, ","), "special": bit(special)})
	}
	return rows, nil
}

// acl lists what the caller may modify; an auditor sees all (pve-access-control src/PVE/API2/ACL.pm).
func acl(q *call) (any, error) {
	rows := bag{}
	for _, e := range q.n.auth().acl {
		if !q.may("/access", "Sys.Audit", "Permissions.Modify") && !q.may(e.path, "Permissions.Modify") {
			continue
		}
		rows = append(rows, obj{"path": e.path, "type": e.kind, "ugid": e.who, "roleid": e.role, "propagate": bit(e.propagate)})
	}
	return rows, nil
}
