package pvefake

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func haGroupHandlers() map[string]handler {
	return map[string]handler{
		"GET /cluster/ha/groups":            haGroups,
		"GET /cluster/ha/groups/{group}":    haGroupRead,
		"POST /cluster/ha/groups":           haGroupCreate,
		"PUT /cluster/ha/groups/{group}":    haGroupUpdate,
		"DELETE /cluster/ha/groups/{group}": haGroupDelete,
	}
}

// groupsGone is what every method on groups answers once they became rules
// (pve-ha-manager src/PVE/API2/HA/Groups.pm, 9.x).
func (q *call) groupsGone(doing string) error {
	if q.c.opt.Version == V84 {
		return nil
	}
	return fail(500, "cannot "+doing+": ha groups have been migrated to rules")
}

// groupsText is /etc/pve/ha/groups.cfg.
func (h *haState) groupsText() string {
	var b strings.Builder
	for _, g := range h.groups {
		fmt.Fprintf(&b, "group: %s\n\tnodes %s\n", g.id, priorityList(g.nodes))
		if g.comment != "" {
			fmt.Fprintf(&b, "\tcomment %s\n", g.comment)
		}
		fmt.Fprintf(&b, "\tnofailback %d\n\trestricted %d\n\n", bit(g.nofailback), bit(g.restricted))
	}
	return b.String()
}

func (g haGroup) row(digest string) obj {
	row := obj{"group": g.id, "type": "group", "nodes": priorityList(g.nodes), "digest": digest}
	if g.comment != "" {
		row["comment"] = g.comment
	}
	if g.hasRestricted {
		row["restricted"] = bit(g.restricted)
	}
	if g.hasNoFbk {
		row["nofailback"] = bit(g.nofailback)
	}
	return row
}

func haGroups(q *call) (any, error) {
	if err := q.groupsGone("index groups"); err != nil {
		return nil, err
	}
	rows := bag{}
	for _, g := range q.view().ha.groups {
		rows = append(rows, g.row(sha1hex(q.view().ha.groupsText())))
	}
	return rows, nil
}

func (q *call) findGroup(prefix string) (int, error) {
	i := slices.IndexFunc(q.view().ha.groups, func(g haGroup) bool { return g.id == q.str("group") })
	if i < 0 {
		return 0, fail(500, prefix+"no such ha group '"+q.str("group")+"'")
	}
	return i, nil
}

func haGroupRead(q *call) (any, error) {
	if err := q.groupsGone("read group"); err != nil {
		return nil, err
	}
	i, err := q.findGroup("")
	if err != nil {
		return nil, err
	}
	return q.view().ha.groups[i].row(sha1hex(q.view().ha.groupsText())), nil
}

func (q *call) applyGroup(g *haGroup) {
	if q.has("nodes") {
		g.nodes = map[string]int{}
		for _, part := range listSepRE.Split(q.str("nodes"), -1) {
			name, prio, _ := strings.Cut(part, ":")
			n, err := strconv.Atoi(prio)
			if err != nil {
				n = 0 // no priority given
			}
			g.nodes[name] = n
		}
	}
	if q.has("comment") {
		g.comment = q.str("comment")
	}
	if q.has("restricted") {
		g.restricted, g.hasRestricted = q.flag("restricted"), true
	}
	if q.has("nofailback") {
		g.nofailback, g.hasNoFbk = q.flag("nofailback"), true
	}
}

func haGroupCreate(q *call) (any, error) {
	if err := q.groupsGone("create group"); err != nil {
		return nil, err
	}
	if err := q.needQuorum(); err != nil {
		return nil, err
	}
	if _, err := q.findGroup(""); err == nil {
		return nil, fail(500, "create ha group failed: ha group ID '"+q.str("group")+"' already defined")
	}
	g := haGroup{id: q.str("group")}
	q.applyGroup(&g)
	q.live().ha.groups = append(q.live().ha.groups, g)
	return nil, nil
}

func haGroupUpdate(q *call) (any, error) {
	const prefix = "update ha group failed: "
	if err := q.groupsGone("update group"); err != nil {
		return nil, err
	}
	if !q.n.quorate {
		return nil, quorumLock(prefix, "domain-ha")
	}
	i, err := q.findGroup(prefix)
	if err != nil {
		return nil, err
	}
	q.applyGroup(&q.live().ha.groups[i])
	return nil, nil
}

func haGroupDelete(q *call) (any, error) {
	if err := q.groupsGone("delete group"); err != nil {
		return nil, err
	}
	if !q.n.quorate {
		return nil, quorumLock("delete ha group failed: ", "domain-ha")
	}
	i, err := q.findGroup("delete ha group failed: ")
	if err != nil {
		return nil, err
	}
	for sid, r := range q.live().ha.resources {
		if r.group == q.str("group") {
			return nil, fail(500, "delete ha group failed: ha group is used by service '"+sid+"'")
		}
	}
	q.live().ha.groups = slices.Delete(q.live().ha.groups, i, i+1)
	return nil, nil
}
