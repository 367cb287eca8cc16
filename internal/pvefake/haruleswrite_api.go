package pvefake

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func haRuleHandlers() map[string]handler {
	return map[string]handler{
		"POST /cluster/ha/rules":       haRuleCreate,
		"PUT /cluster/ha/rules/{rule}": haRuleUpdate,
	}
}

// applyRule takes the parameters of a request.
func (q *call) applyRule(r *haRule) {
	for _, key := range listSepRE.Split(q.str("delete"), -1) {
		switch key {
		case "disable":
			r.disabled = false
		case "comment":
			r.comment = ""
		case "strict":
			r.strict, r.hasStrict = false, false
		}
	}
	if q.has("resources") {
		r.resources = slices.DeleteFunc(listSepRE.Split(q.str("resources"), -1), func(s string) bool { return s == "" })
	}
	if q.has("nodes") {
		r.nodes = parsePriorities(q.str("nodes"))
	}
	if q.has("strict") {
		r.strict, r.hasStrict = q.flag("strict"), true
	}
	if q.has("affinity") {
		r.affinity = q.str("affinity")
	}
	if q.has("disable") {
		r.disabled = q.flag("disable")
	}
	if q.has("comment") {
		r.comment = q.str("comment")
	}
}

func parsePriorities(v string) map[string]int {
	nodes := map[string]int{}
	for _, part := range listSepRE.Split(v, -1) {
		name, prio, _ := strings.Cut(part, ":")
		n, err := strconv.Atoi(prio)
		if err != nil {
			n = 0 // no priority given
		}
		nodes[name] = n
	}
	return nodes
}

// haRuleCreate is pve-ha-manager src/PVE/API2/HA/Rules.pm create_rule.
func haRuleCreate(q *call) (any, error) {
	const prefix = "create ha rule failed: "
	if err := q.needQuorum(); err != nil {
		return nil, err
	}
	h := &q.live().ha
	if slices.ContainsFunc(h.rules, func(r haRule) bool { return r.id == q.str("rule") }) {
		return nil, fail(500, prefix+"HA rule '"+q.str("rule")+"' already defined")
	}
	r := haRule{id: q.str("rule"), typ: q.str("type")}
	q.applyRule(&r)
	if err := q.ruleFault(r, h.rules); err != "" {
		return nil, fail(500, prefix+err)
	}
	h.rules = append(h.rules, r)
	return nil, nil
}

func haRuleUpdate(q *call) (any, error) {
	const prefix = "update HA rules failed: "
	if err := q.haLock(prefix); err != nil {
		return nil, err
	}
	h := &q.live().ha
	i := slices.IndexFunc(h.rules, func(r haRule) bool { return r.id == q.str("rule") })
	switch {
	case i < 0:
		return nil, fail(500, prefix+"HA rule '"+q.str("rule")+"' does not exist")
	case q.has("digest") && q.str("digest") != sha1hex(h.rulesText()):
		return nil, fail(500, prefix+modified)
	case h.rules[i].typ != q.str("type"):
		return nil, fail(500, prefix+"unexpected property 'type'")
	}
	r := h.rules[i]
	q.applyRule(&r)
	if err := q.ruleFault(r, slices.Delete(slices.Clone(h.rules), i, i+1)); err != "" {
		return nil, fail(500, prefix+err)
	}
	h.rules[i] = r
	return nil, nil
}

// ruleFault says why a rule is refused, given the others (pve-ha-manager src/PVE/HA/Rules/*.pm).
func (q *call) ruleFault(r haRule, others []haRule) string {
	h := &q.live().ha
	var unknown, unmanaged []string
	for _, name := range sortedKeys(r.nodes) {
		if q.n.mate(name) == nil {
			unknown = append(unknown, name)
		}
	}
	for _, sid := range r.resources {
		if h.resources[sid] == nil {
			unmanaged = append(unmanaged, sid)
		}
	}
	switch {
	case len(unknown) > 0:
		return "cannot use non-existent node(s) " + strings.Join(unknown, ", ") + "."
	case len(unmanaged) > 0:
		return "cannot use unmanaged resource(s) " + strings.Join(unmanaged, ", ") + "."
	case r.disabled:
		return ""
	}
	faults := q.conflicts(r, others)
	if len(faults) == 0 {
		return ""
	}
	return fmt.Sprintf("400 Rule '%s' is invalid.\nresources: %s", r.id, strings.Join(faults, ", "))
}

// conflicts are the checks of rules that are switched on.
func (q *call) conflicts(r haRule, others []haRule) []string {
	var faults []string
	if r.typ == "resource-affinity" {
		if len(r.resources) < 2 {
			faults = append(faults, "rule is ineffective as there are less than two resources")
		}
		if r.affinity == "negative" && len(r.resources) > q.liveNodes() {
			faults = append(faults, "rule defines more resources than available nodes")
		}
	}
	for _, o := range others {
		if o.disabled {
			continue
		}
		shared := 0
		for _, sid := range r.resources {
			if slices.Contains(o.resources, sid) {
				shared++
				if r.typ == "node-affinity" && o.typ == "node-affinity" {
					faults = append(faults, "resource '"+sid+"' is already used in another node affinity rule")
				}
			}
		}
		switch {
		case shared == 0 || r.typ == "node-affinity" && o.typ == "node-affinity":
		case r.typ == "resource-affinity" && o.typ == "resource-affinity" && r.affinity != o.affinity && shared > 1:
			faults = append(faults, "rule shares two or more resources with a rule of the other affinity")
		case r.typ != o.typ && (manyPriorities(r) || manyPriorities(o)):
			faults = append(faults, "resources are in node affinity rules with multiple priorities")
		}
	}
	return slices.Compact(faults)
}

// manyPriorities: a resource affinity rule cannot be combined with a preference among nodes.
func manyPriorities(r haRule) bool {
	first, seen := 0, false
	for _, p := range r.nodes {
		if seen && p != first {
			return true
		}
		first, seen = p, true
	}
	return false
}

// liveNodes are those the HA manager has seen: none before its first round.
func (q *call) liveNodes() int { return len(q.live().ha.manager.nodes) }

// haLock waits for the lock of the HA configuration.
func (q *call) haLock(prefix string) error { return q.fileLock(prefix, "domain-ha") }
