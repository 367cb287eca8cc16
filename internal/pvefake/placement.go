package pvefake

import (
	"slices"
)

// selectNode picks where a service should run: the allowed online nodes of the highest priority, the
// present one if it is among them, else the one with the fewest services (the "basic" scheduler).
// It returns "" when there is none.
func (c *Cluster) selectNode(sid string, s *service, r *haResource, except []string) string {
	ms := &c.live.ha.manager
	var online []string
	for name, state := range ms.nodes {
		if state == "online" && !slices.Contains(except, name) {
			online = append(online, name)
		}
	}
	slices.Sort(online)
	online = c.obeyNodeAffinity(sid, r, online)
	online = c.obeyResourceAffinity(sid, online)
	if slices.Contains(online, s.node) {
		return s.node
	}
	best, fewest := "", 0
	for _, name := range online {
		n := 0
		for _, o := range ms.services {
			if c.newHA() && o.state == "stopped" {
				continue // uses nothing
			}
			if o.node == name || o.target == name {
				n++
			}
		}
		if best == "" || n < fewest {
			best, fewest = name, n
		}
	}
	return best
}

// obeyNodeAffinity keeps the nodes of the highest priority that are online; a rule that is not strict
// falls back to all.
func (c *Cluster) obeyNodeAffinity(sid string, r *haResource, online []string) []string {
	prio, strict := c.nodeAffinity(sid, r)
	if prio == nil {
		return online
	}
	var best []string
	top := 0
	for _, name := range online {
		p, ok := prio[name]
		switch {
		case !ok:
		case best == nil || p > top:
			best, top = []string{name}, p
		case p == top:
			best = append(best, name)
		}
	}
	if best == nil && !strict {
		return online
	}
	return best
}

func (c *Cluster) nodeAffinity(sid string, r *haResource) (map[string]int, bool) {
	for _, rule := range c.live.ha.rules {
		if rule.typ == "node-affinity" && !rule.disabled && slices.Contains(rule.resources, sid) {
			return rule.nodes, rule.strict
		}
	}
	for _, g := range c.live.ha.groups {
		if g.id == r.group {
			return g.nodes, g.restricted
		}
	}
	return nil, false
}

// obeyResourceAffinity removes nodes that hold a service to stay away from; with a positive rule only
// the node of the others is left, once they have one.
func (c *Cluster) obeyResourceAffinity(sid string, online []string) []string {
	for _, rule := range c.live.ha.rules {
		if rule.typ != "resource-affinity" || rule.disabled || !slices.Contains(rule.resources, sid) {
			continue
		}
		held := c.nodesOf(rule.resources, sid)
		online = slices.DeleteFunc(slices.Clone(online), func(n string) bool {
			together := rule.affinity == "positive"
			if together && !anyOf(held, online) {
				return false
			}
			return held[n] != together
		})
	}
	return online
}

func (c *Cluster) nodesOf(sids []string, except string) map[string]bool {
	held := map[string]bool{}
	for _, other := range sids {
		if s := c.live.ha.manager.services[other]; s != nil && other != except {
			held[s.node] = true
			if s.target != "" {
				held[s.target] = true
			}
		}
	}
	return held
}

func anyOf(set map[string]bool, names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return set[n] })
}
