package pvefake

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

func haHandlers() map[string]handler {
	return map[string]handler{
		"GET /cluster/ha":                           haIndex,
		"GET /cluster/ha/status/current":            haCurrent,
		"GET /cluster/ha/status/manager_status":     haManagerStatus,
		"POST /cluster/ha/status/arm-ha":            haCommand(func(*call) crmCommand { return crmCommand{verb: "arm"} }),
		"POST /cluster/ha/status/disarm-ha":         haCommand(func(q *call) crmCommand { return crmCommand{verb: "disarm", node: q.str("resource-mode")} }),
		"GET /cluster/ha/resources":                 haResources,
		"POST /cluster/ha/resources":                haResourceCreate,
		"GET /cluster/ha/resources/{sid}":           haResourceRead,
		"PUT /cluster/ha/resources/{sid}":           haResourceUpdate,
		"DELETE /cluster/ha/resources/{sid}":        haResourceDelete,
		"POST /cluster/ha/resources/{sid}/migrate":  haMove("migrate"),
		"POST /cluster/ha/resources/{sid}/relocate": haMove("relocate"),
		"GET /cluster/ha/rules":                     haRules,
		"GET /cluster/ha/rules/{rule}":              haRuleRead,
		"DELETE /cluster/ha/rules/{rule}":           haRuleDelete,
	}
}

func haIndex(q *call) (any, error) {
	rows := list{obj{"id": "status"}, obj{"id": "resources"}, obj{"id": "groups"}}
	if q.c.opt.Version != V84 {
		rows = append(rows, obj{"id": "rules"})
	}
	return rows, nil
}

// haCommand queues a command for the CRM under the HA lock.
func haCommand(make func(*call) crmCommand) handler {
	return func(q *call) (any, error) {
		if err := q.haLock(""); err != nil {
			return nil, err
		}
		q.live().ha.commands = append(q.live().ha.commands, make(q))
		return nil, nil
	}
}

// resourcesText is /etc/pve/ha/resources.cfg.
func (h *haState) resourcesText() string {
	var b strings.Builder
	for _, sid := range sortedKeys(h.resources) {
		r := h.resources[sid]
		typ, id, _ := strings.Cut(sid, ":")
		fmt.Fprintf(&b, "%s: %s\n", typ, id)
		for _, kv := range r.fields() {
			fmt.Fprintf(&b, "\t%s %v\n", kv[0], kv[1])
		}
		b.WriteString("\n")
	}
	return b.String()
}

// fields are the keys of a section in the order of the file.
func (r *haResource) fields() [][2]any {
	var out [][2]any
	if r.comment != "" {
		out = append(out, [2]any{"comment", r.comment})
	}
	if r.failback != nil {
		out = append(out, [2]any{"failback", bit(*r.failback)})
	}
	if r.group != "" {
		out = append(out, [2]any{"group", r.group})
	}
	return append(out, [2]any{"max_relocate", r.maxRelocate}, [2]any{"max_restart", r.maxRestart}, [2]any{"state", r.state})
}

func (r *haResource) row(digest string) obj {
	typ, _, _ := strings.Cut(r.sid, ":")
	row := obj{"sid": r.sid, "type": typ, "digest": digest}
	for _, kv := range r.fields() {
		row[kv[0].(string)] = kv[1]
	}
	return row
}

func (q *call) haDigest() string { return sha1hex(q.view().ha.resourcesText()) }

func haResources(q *call) (any, error) {
	digest := q.haDigest()
	rows := bag{}
	for sid, r := range q.view().ha.resources {
		if q.has("type") && !strings.HasPrefix(sid, q.str("type")+":") {
			continue
		}
		rows = append(rows, r.row(digest))
	}
	return rows, nil
}

// fullSID completes a bare VMID with the type of its guest.
func (q *call) fullSID() (string, error) {
	sid := q.str("sid")
	if strings.Contains(sid, ":") {
		return sid, nil
	}
	id, err := strconv.Atoi(sid)
	if err != nil {
		return sid, nil // the format has let it pass
	}
	if g := q.view().guests[id]; g != nil {
		return g.sid(), nil
	}
	return "", fail(500, "unable to detect SID from VMID - VM/CT "+sid+" does not exist")
}

func haResourceRead(q *call) (any, error) {
	sid, err := q.fullSID()
	if err != nil {
		return nil, err
	}
	r := q.view().ha.resources[sid]
	if r == nil {
		return nil, fail(500, "no such resource '"+sid+"'")
	}
	return r.row(q.haDigest()), nil
}

// haResourceCreate is pve-ha-manager src/PVE/API2/HA/Resources.pm.
func haResourceCreate(q *call) (any, error) {
	if err := q.needQuorum(); err != nil {
		return nil, err
	}
	sid, err := q.fullSID()
	if err != nil {
		return nil, err
	}
	typ, _, _ := strings.Cut(sid, ":")
	h := &q.live().ha
	switch {
	case q.has("type") && q.str("type") != typ:
		return nil, fail(500, "types does not match")
	case q.has("group") && q.c.opt.Version != V84:
		return nil, fail(500, "invalid parameter 'group': ha groups have been migrated to rules")
	case q.has("group") && !q.hasGroup(q.str("group")):
		return nil, fail(500, "invalid parameter 'group': ha group '"+q.str("group")+"' does not exist")
	case q.c.guestBySID(q.live(), sid) == nil:
		return nil, fail(500, "resource '"+sid+"' does not exist in cluster")
	case h.resources[sid] != nil:
		return nil, fail(500, "create resource failed: resource ID '"+sid+"' already defined")
	}
	r := &haResource{sid: sid, state: "started", maxRestart: defaultRestarts, maxRelocate: defaultRestarts}
	q.applyResource(r)
	h.resources[sid] = r
	q.c.wantsHA = true
	return nil, nil
}

func (q *call) hasGroup(id string) bool {
	return slices.ContainsFunc(q.live().ha.groups, func(g haGroup) bool { return g.id == id })
}

func (q *call) applyResource(r *haResource) {
	if q.has("state") {
		r.state = q.str("state")
	}
	if q.has("comment") {
		r.comment = q.str("comment")
	}
	if q.has("group") {
		r.group = q.str("group")
	}
	r.maxRestart = int(q.num("max_restart", int64(r.maxRestart)))
	r.maxRelocate = int(q.num("max_relocate", int64(r.maxRelocate)))
	if q.has("failback") {
		v := q.flag("failback")
		r.failback = &v
	}
}

func haResourceUpdate(q *call) (any, error) {
	const prefix = "update resources config failed: "
	if err := q.haLock(prefix); err != nil {
		return nil, err
	}
	sid, err := q.fullSID()
	if err != nil {
		return nil, err
	}
	h := &q.live().ha
	r, s := h.resources[sid], h.manager.services[sid]
	switch {
	case q.has("group") && q.c.opt.Version != V84:
		return nil, fail(500, "invalid parameter 'group': ha groups have been migrated to rules")
	case r == nil:
		return nil, fail(500, prefix+"no such resource '"+sid+"'")
	case q.has("digest") && q.str("digest") != q.haDigest():
		return nil, fail(500, prefix+"detected modified configuration - file changed by other user? Try again.")
	case s != nil && s.state == "error" && (q.str("state") == "started" || q.str("state") == "enabled"):
		return nil, inError(sid)
	}
	q.applyResource(r)
	for _, key := range listSepRE.Split(q.str("delete"), -1) {
		r.unset(key)
	}
	return nil, nil
}

func inError(sid string) *apiError {
	return fail(500, "service '"+sid+"' in error state, must be disabled and fixed first")
}

func (r *haResource) unset(key string) {
	switch key {
	case "comment":
		r.comment = ""
	case "group":
		r.group = ""
	case "state":
		r.state = "started"
	case "failback":
		r.failback = nil
	case "max_restart":
		r.maxRestart = defaultRestarts
	case "max_relocate":
		r.maxRelocate = defaultRestarts
	}
}

func haResourceDelete(q *call) (any, error) {
	const prefix = "delete resource failed: "
	if err := q.haLock(prefix); err != nil {
		return nil, err
	}
	sid, err := q.fullSID()
	if err != nil {
		return nil, err
	}
	if q.live().ha.resources[sid] == nil {
		return nil, fail(500, "cannot delete service '"+sid+"', not HA managed!")
	}
	delete(q.live().ha.resources, sid)
	for i, r := range q.live().ha.rules {
		q.live().ha.rules[i].resources = slices.DeleteFunc(slices.Clone(r.resources), func(s string) bool { return s == sid })
	}
	return nil, nil
}

// haMove queues a migration; a target that does not exist or is dead is accepted and later ignored.
func haMove(verb string) handler {
	return func(q *call) (any, error) {
		if !q.n.quorate { // its lock waits longer than pveproxy
			return nil, proxyFailure(596, "Connection timed out", 30*time.Second)
		}
		sid, err := q.fullSID()
		if err != nil {
			return nil, err
		}
		h := &q.live().ha
		if h.resources[sid] == nil {
			return nil, fail(500, "resource '"+sid+"' is not HA managed")
		}
		if s := h.manager.services[sid]; s != nil && s.state == "error" {
			return nil, inError(sid)
		}
		h.commands = append(h.commands, crmCommand{verb, sid, q.str("node")})
		if q.c.opt.Version == V84 {
			return nil, nil
		}
		return obj{"sid": sid, "requested-node": q.str("node")}, nil
	}
}

// rulesText is /etc/pve/ha/rules.cfg.
func (h *haState) rulesText() string {
	var b strings.Builder
	for _, r := range h.rules {
		fmt.Fprintf(&b, "%s: %s\n", r.typ, r.id)
		if r.disabled {
			b.WriteString("\tdisable\n")
		}
		if r.comment != "" {
			fmt.Fprintf(&b, "\tcomment %s\n", r.comment)
		}
		if r.typ == "resource-affinity" {
			fmt.Fprintf(&b, "\taffinity %s\n\tresources %s\n\n", r.affinity, strings.Join(r.resources, ","))
			continue
		}
		fmt.Fprintf(&b, "\tnodes %s\n\tresources %s\n\tstrict %d\n\n", priorityList(r.nodes), strings.Join(r.resources, ","), bit(r.strict))
	}
	return b.String()
}

func (r haRule) row(order int, digest string) obj {
	row := obj{"rule": r.id, "type": r.typ, "resources": strings.Join(r.resources, ","), "order": order, "digest": digest}
	if r.typ == "node-affinity" {
		row["nodes"] = priorityList(r.nodes)
		if r.strict || r.hasStrict {
			row["strict"] = bit(r.strict)
		}
	} else {
		row["affinity"] = r.affinity
	}
	if r.disabled {
		row["disable"] = 1
	}
	if r.comment != "" {
		row["comment"] = r.comment
	}
	return row
}

func haRules(q *call) (any, error) {
	h := &q.view().ha
	digest := sha1hex(h.rulesText())
	rows := list{}
	for i, r := range h.rules {
		if q.has("type") && r.typ != q.str("type") || q.has("resource") && !slices.Contains(r.resources, q.str("resource")) {
			continue
		}
		rows = append(rows, r.row(i+1, digest))
	}
	return rows, nil
}

func haRuleRead(q *call) (any, error) {
	h := &q.view().ha
	for i, r := range h.rules {
		if r.id == q.str("rule") {
			return r.row(i+1, sha1hex(h.rulesText())), nil
		}
	}
	return nil, fail(500, "no such ha rule '"+q.str("rule")+"'")
}

// haRuleDelete succeeds for a rule nobody has, as the real one does.
func haRuleDelete(q *call) (any, error) {
	if err := q.haLock("delete ha rule failed: "); err != nil {
		return nil, err
	}
	q.live().ha.rules = slices.DeleteFunc(q.live().ha.rules, func(r haRule) bool { return r.id == q.str("rule") })
	return nil, nil
}
