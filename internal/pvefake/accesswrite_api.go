package pvefake

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func accessWriteHandlers() map[string]handler {
	const users, tokens, roles = "/access/users", "/access/users/{userid}/token", "/access/roles"
	return map[string]handler{
		"POST " + users:                   userCreate,
		"GET " + users + "/{userid}":      userRead,
		"PUT " + users + "/{userid}":      userUpdate,
		"DELETE " + users + "/{userid}":   userDelete,
		"GET " + tokens:                   tokenList,
		"GET " + tokens + "/{tokenid}":    tokenRead,
		"POST " + tokens + "/{tokenid}":   tokenCreate,
		"PUT " + tokens + "/{tokenid}":    tokenUpdate,
		"DELETE " + tokens + "/{tokenid}": tokenDelete,
		"POST " + roles:                   roleCreate,
		"GET " + roles + "/{roleid}":      roleRead,
		"PUT " + roles + "/{roleid}":      roleUpdate,
		"DELETE " + roles + "/{roleid}":   roleDelete,
		"PUT /access/acl":                 aclUpdate,
		"PUT /access/password":            passwordSet,
	}
}

// userLock is a write of user.cfg: it takes a lock that nobody grants without quorum.
func (q *call) userLock(prefix string) error { return q.fileLock(prefix, "file-user_cfg") }

func (q *call) fileLock(prefix, lock string) error {
	if q.n.quorate || q.n.quorumIsNear() {
		return nil
	}
	return quorumLock(prefix, lock)
}

func userCreate(q *call) (any, error) {
	const prefix = "create user failed: "
	if err := q.userLock(prefix); err != nil {
		return nil, err
	}
	name := q.str("userid")
	_, realm, _ := strings.Cut(name, "@")
	a := q.n.auth()
	switch {
	case a.users[name] != nil:
		return nil, fail(500, prefix+"user '"+name+"' already exists")
	case realm != "pam" && realm != "pve" && q.has("password"):
		return nil, fail(500, prefix+"domain '"+realm+"' does not exist")
	}
	u := &user{tokens: map[string]*apiToken{}, password: q.str("password")}
	q.applyUser(u)
	a.users[name] = u
	return nil, nil
}

func (q *call) applyUser(u *user) {
	for key, to := range map[string]*string{
		"comment": &u.comment, "email": &u.email, "firstname": &u.first, "lastname": &u.last, "keys": &u.keys, "groups": &u.groups,
	} {
		if q.has(key) {
			*to = q.str(key)
		}
	}
	u.expire = q.num("expire", u.expire)
	if q.has("enable") {
		u.disabled = !q.flag("enable")
	}
}

// findUser resolves the path's userid.
func (q *call) findUser(prefix string) (*user, error) {
	if u := q.n.auth().users[q.str("userid")]; u != nil {
		return u, nil
	}
	return nil, fail(500, prefix+"no such user ('"+q.str("userid")+"')")
}

func userRead(q *call) (any, error) {
	u, err := q.findUser("")
	if err != nil {
		return nil, err
	}
	row := obj{"enable": bit(!u.disabled), "expire": u.expire, "email": u.email, "groups": list{}, "tokens": nil}
	for k, v := range map[string]string{"comment": u.comment, "firstname": u.first, "lastname": u.last, "keys": u.keys} {
		if v != "" {
			row[k] = v
		}
	}
	if len(u.tokens) > 0 {
		tokens := obj{}
		for id, t := range u.tokens {
			tokens[id] = t.row()
		}
		row["tokens"] = tokens
	}
	return row, nil
}

func userUpdate(q *call) (any, error) {
	const prefix = "update user failed: "
	if err := q.userLock(prefix); err != nil {
		return nil, err
	}
	u, err := q.findUser(prefix)
	if err == nil {
		q.applyUser(u)
	}
	return nil, err
}

// userDelete succeeds for a user nobody has.
func userDelete(q *call) (any, error) {
	const prefix = "delete user failed: "
	if err := q.userLock(prefix); err != nil {
		return nil, err
	}
	name, a := q.str("userid"), q.n.auth()
	if name == "root@pam" {
		return nil, fail(500, prefix+"cannot delete user root@pam")
	}
	delete(a.users, name)
	a.acl = slices.DeleteFunc(a.acl, func(e aclEntry) bool { return e.who == name || strings.HasPrefix(e.who, name+"!") })
	return nil, nil
}

func passwordSet(q *call) (any, error) {
	u, err := q.findUser("")
	if err == nil {
		u.password = q.str("password")
	}
	return nil, err
}

func (t *apiToken) row() obj {
	row := obj{"privsep": bit(t.privsep), "expire": t.expire}
	if t.comment != "" {
		row["comment"] = t.comment
	}
	return row
}

func tokenList(q *call) (any, error) {
	u, err := q.findUser("")
	if err != nil {
		return nil, err
	}
	rows := bag{}
	for id, t := range u.tokens {
		rows = append(rows, with(t.row(), obj{"tokenid": id}))
	}
	return rows, nil
}

func (q *call) findToken() (*user, *apiToken, error) {
	u, err := q.findUser("")
	if err != nil {
		return nil, nil, err
	}
	if t := u.tokens[q.str("tokenid")]; t != nil {
		return u, t, nil
	}
	return u, nil, fail(500, fmt.Sprintf("no such token '%s' for user '%s'", q.str("tokenid"), q.str("userid")))
}

func tokenRead(q *call) (any, error) {
	_, t, err := q.findToken()
	if err != nil {
		return nil, err
	}
	return t.row(), nil
}

func (q *call) applyToken(t *apiToken) {
	t.expire = q.num("expire", t.expire)
	if q.has("privsep") {
		t.privsep = q.flag("privsep")
	}
	if q.has("comment") {
		t.comment = q.str("comment")
	}
}

// tokenCreate shows the secret once.
func tokenCreate(q *call) (any, error) {
	if err := q.userLock("generating token failed: "); err != nil {
		return nil, err
	}
	u, t, err := q.findToken()
	if u == nil {
		return nil, err
	}
	if t != nil {
		return nil, invalid(map[string]string{"tokenid": "Token already exists."})
	}
	t = &apiToken{secret: q.c.newUUID(), privsep: true}
	q.applyToken(t)
	u.tokens[q.str("tokenid")] = t
	info := obj{"privsep": strconv.Itoa(bit(t.privsep))}
	if q.has("comment") {
		info["comment"] = t.comment
	}
	if q.has("expire") {
		info["expire"] = t.expire
	}
	return obj{"value": t.secret, "full-tokenid": q.str("userid") + "!" + q.str("tokenid"), "info": info}, nil
}

func tokenUpdate(q *call) (any, error) {
	_, t, err := q.findToken()
	if err != nil {
		return nil, err
	}
	q.applyToken(t)
	row := obj{"privsep": strconv.Itoa(bit(t.privsep)), "expire": t.expire, "comment": t.comment}
	if q.flag("regenerate") {
		t.secret = q.c.newUUID()
		row["value"] = t.secret
	}
	return row, nil
}

func tokenDelete(q *call) (any, error) {
	if err := q.userLock("deleting token failed: "); err != nil {
		return nil, err
	}
	u, _, err := q.findToken()
	if err != nil {
		return nil, err
	}
	delete(u.tokens, q.str("tokenid"))
	a, full := q.n.auth(), q.str("userid")+"!"+q.str("tokenid")
	a.acl = slices.DeleteFunc(a.acl, func(e aclEntry) bool { return e.who == full })
	return nil, nil
}

// checkPrivs names the first privilege this release does not have.
func (q *call) checkPrivs() error {
	known := strings.Split(rolesOf(q.c.opt.Version)["Administrator"], ",")
	for _, p := range listSepRE.Split(q.str("privs"), -1) {
		if p != "" && !slices.Contains(known, p) {
			return invalid(map[string]string{"privs": "invalid format - invalid privilege '" + p + "'\n"})
		}
	}
	return nil
}

func cleanPrivs(v string) string {
	return filterPrivs(strings.Join(listSepRE.Split(v, -1), ","), func(p string) bool { return p != "" })
}

func roleCreate(q *call) (any, error) {
	const prefix = "create role failed: "
	if err := q.checkPrivs(); err != nil {
		return nil, err
	}
	if err := q.userLock(prefix); err != nil {
		return nil, err
	}
	id, a := q.str("roleid"), q.n.auth()
	if _, ok := a.roles[id]; ok {
		return nil, fail(500, prefix+"role '"+id+"' already exists")
	}
	if strings.HasPrefix(strings.ToUpper(id), "PVE") {
		return nil, invalid(map[string]string{"roleid": "cannot use role ID starting with the (case-insensitive) 'PVE' namespace"})
	}
	a.roles[id] = cleanPrivs(q.str("privs"))
	return nil, nil
}

func roleRead(q *call) (any, error) {
	privs, ok := q.n.auth().roles[q.str("roleid")]
	if !ok {
		return nil, fail(500, "role '"+q.str("roleid")+"' does not exist")
	}
	row := obj{}
	for _, p := range strings.Split(privs, ",") {
		if p != "" {
			row[p] = 1
		}
	}
	return row, nil
}

func (q *call) builtin(what string) error {
	if _, ok := rolesOf(q.c.opt.Version)[q.str("roleid")]; ok {
		return fail(500, "auto-generated role '"+q.str("roleid")+"' cannot be "+what)
	}
	return nil
}

func roleUpdate(q *call) (any, error) {
	const prefix = "update role failed: "
	if err := q.checkPrivs(); err != nil {
		return nil, err
	}
	if err := q.builtin("modified"); err != nil {
		return nil, err
	}
	if err := q.userLock(prefix); err != nil {
		return nil, err
	}
	id, a := q.str("roleid"), q.n.auth()
	old, ok := a.roles[id]
	if !ok {
		return nil, fail(500, prefix+"role '"+id+"' does not exist")
	}
	if !q.flag("append") {
		old = ""
	}
	a.roles[id] = cleanPrivs(old + "," + q.str("privs"))
	return nil, nil
}

func roleDelete(q *call) (any, error) {
	const prefix = "delete role failed: "
	if err := q.builtin("deleted"); err != nil {
		return nil, err
	}
	if err := q.userLock(prefix); err != nil {
		return nil, err
	}
	a := q.n.auth()
	if _, ok := a.roles[q.str("roleid")]; !ok {
		return nil, fail(500, prefix+"role '"+q.str("roleid")+"' does not exist")
	}
	delete(a.roles, q.str("roleid"))
	return nil, nil
}

// aclRoots are the first parts of a path that rights may be given on.
var aclRoots = []string{"", "access", "mapping", "nodes", "pool", "sdn", "storage", "vms"}

func aclUpdate(q *call) (any, error) {
	const prefix = "ACL update failed: "
	path := "/" + strings.Trim(q.str("path"), "/")
	if !slices.Contains(aclRoots, split(path)[0]) {
		return nil, invalid(map[string]string{"path": "invalid ACL path '" + q.str("path") + "'"})
	}
	if !q.has("users") && !q.has("groups") && !q.has("tokens") {
		text := "either 'users', 'groups' or 'tokens' is required."
		return nil, invalid(map[string]string{"users": text, "groups": text, "tokens": text})
	}
	if err := q.userLock(prefix); err != nil {
		return nil, err
	}
	a := q.n.auth()
	for _, role := range listSepRE.Split(q.str("roles"), -1) {
		if _, ok := a.roles[role]; !ok && !q.flag("delete") {
			return nil, fail(500, prefix+"role '"+role+"' does not exist")
		}
		for _, kind := range []string{"user", "group", "token"} {
			for _, who := range listSepRE.Split(q.str(kind+"s"), -1) {
				if who == "" {
					continue
				}
				if text := a.change(aclEntry{path: path, kind: kind, who: who, role: role, propagate: !q.has("propagate") || q.flag("propagate")}, q.flag("delete")); text != "" {
					return nil, fail(500, prefix+text)
				}
			}
		}
	}
	return nil, nil
}

// change adds or removes one entry; removing what is not there is no fault.
func (a *authState) change(e aclEntry, remove bool) string {
	name, token, isToken := strings.Cut(e.who, "!")
	switch {
	case remove:
	case e.kind == "group":
		return "group '" + e.who + "' does not exist"
	case a.users[name] == nil:
		return "user '" + name + "' does not exist"
	case isToken && a.users[name].tokens[token] == nil:
		return "no such token '" + token + "' for user '" + name + "'"
	}
	a.acl = slices.DeleteFunc(a.acl, func(o aclEntry) bool {
		return o.path == e.path && o.kind == e.kind && o.who == e.who && o.role == e.role
	})
	if !remove {
		a.acl = append(a.acl, e)
	}
	return ""
}
