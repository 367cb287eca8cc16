package steps

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/transport"
)

// haStep puts guests under the HA manager. Where they prefer to run is an HA group on PVE 8 and a
// node-affinity rule on PVE 9, which no longer takes groups; failback moved from the group to the
// resource.
type haStep struct{ *Env }

type haSeen struct {
	major     int
	resources map[string]map[string]string
	groups    map[string]map[string]string // or rules
}

func (*haStep) ID() engine.ID      { return idHA }
func (*haStep) Title() string      { return "high availability" }
func (*haStep) Needs() []engine.ID { return []engine.ID{idGuests, idOptions} }

// managed are the guests that the file puts under HA.
func (s *haStep) managed() []spec.Guest {
	var out []spec.Guest
	for _, g := range s.want().Guests {
		if g.HA != nil {
			out = append(out, g)
		}
	}
	return out
}

func (s *haStep) Observe(ctx context.Context) (engine.Observed, error) {
	seen := haSeen{resources: map[string]map[string]string{}, groups: map[string]map[string]string{}}
	if len(s.managed()) == 0 && len(s.want().HA.Groups) == 0 {
		return seen, nil
	}
	m, err := s.member(ctx)
	if err != nil {
		return nil, err
	}
	if seen.major, _, err = s.release(ctx, m.Node); err != nil {
		return nil, err
	}
	rows, err := s.texts(ctx, m.Node, "/cluster/ha/resources")
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		seen.resources[r["sid"]] = r
	}
	path, key := "/cluster/ha/rules", "rule"
	if seen.major < 9 {
		path, key = "/cluster/ha/groups", "group"
	}
	if rows, err = s.texts(ctx, m.Node, path); err != nil {
		return nil, err
	}
	for _, r := range rows {
		seen.groups[r[key]] = r
	}
	return seen, nil
}

// haWork is a call that makes or changes one thing.
type haWork struct {
	path   string
	create transport.Params // nil: update
	update transport.Params
}

func (s *haStep) Diff(have engine.Observed) []engine.Change {
	seen := have.(haSeen)
	var groups, resources []engine.Change
	for _, g := range s.want().HA.Groups {
		groups = append(groups, s.diffGroup(seen, g)...)
	}
	for _, g := range s.managed() {
		resources = append(resources, s.diffResource(seen, g)...)
	}
	if seen.major < 9 {
		return append(groups, resources...) // a resource names its group
	}
	return append(resources, groups...) // a rule names its resources
}

// change makes a Change of the fields that differ.
func haChange(path, api string, is, want map[string]string, id transport.Params, same func(k, have, want string) bool) []engine.Change {
	p := transport.Params{}
	var from, to []string
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if is != nil && same(k, is[k], want[k]) {
			continue
		}
		p[k] = want[k]
		from, to = append(from, k+" "+is[k]), append(to, k+" "+want[k])
	}
	c := engine.Change{Path: path, To: strings.Join(to, ", "), Action: engine.Create, Risk: engine.Low, Do: haWork{path: api, create: merge(id, p)}}
	switch {
	case is == nil:
		return []engine.Change{c}
	case len(to) == 0:
		return nil
	}
	c.From, c.Action, c.Do = strings.Join(from, ", "), engine.Update, haWork{path: api, update: p}
	return []engine.Change{c}
}

func merge(a, b transport.Params) transport.Params {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func (s *haStep) diffGroup(seen haSeen, g spec.HAGroup) []engine.Change {
	is := seen.groups[g.Name]
	nodes := nodeList(g.Nodes)
	if seen.major < 9 {
		want := map[string]string{"nodes": nodes, "restricted": bit(g.Restricted), "nofailback": bit(g.NoFailback)}
		return haChange("ha-group/"+g.Name, "/cluster/ha/groups", is, want, transport.Params{"group": g.Name}, sameHA)
	}
	var members []string
	for _, m := range s.managed() {
		if m.HA.Group == g.Name {
			members = append(members, sid(m))
		}
	}
	path := "ha-rule/" + g.Name
	switch {
	case len(members) == 0:
		return []engine.Change{{Path: path, Action: engine.Noop, Note: "no guest is in this group, and a rule without guests cannot be made"}}
	case is != nil && is["type"] != "node-affinity":
		return []engine.Change{{Path: path, From: is["type"], To: "node-affinity", Action: engine.Forbidden, Note: "a rule of another type has this name"}}
	}
	want := map[string]string{"nodes": nodes, "strict": bit(g.Restricted), "resources": strings.Join(members, ",")}
	out := haChange(path, "/cluster/ha/rules", is, want, transport.Params{"rule": g.Name, "type": "node-affinity"}, sameHA)
	for i := range out {
		if w := out[i].Do.(haWork); w.update != nil {
			w.update["type"] = "node-affinity" // which a change has to name as well
			out[i].Do = w
		}
	}
	return out
}

func (s *haStep) diffResource(seen haSeen, g spec.Guest) []engine.Change {
	want := map[string]string{"max_restart": strconv.Itoa(g.HA.MaxRestart), "max_relocate": strconv.Itoa(g.HA.MaxRelocate)}
	if g.HA.State != "" {
		want["state"] = g.HA.State
	}
	if g.HA.Group != "" {
		if seen.major < 9 {
			want["group"] = g.HA.Group
		} else {
			want["failback"] = "1"
			for _, h := range s.want().HA.Groups {
				if h.Name == g.HA.Group {
					want["failback"] = bit(!h.NoFailback)
				}
			}
		}
	}
	return haChange("ha-resource/"+sid(g), "/cluster/ha/resources", seen.resources[sid(g)], want, transport.Params{"sid": sid(g)}, sameHA)
}

func sid(g spec.Guest) string { return fmt.Sprintf("vm:%d", g.VMID) }

// haDefaults are what a field means that is not there.
var haDefaults = map[string]string{"max_restart": "1", "max_relocate": "1", "state": "started", "failback": "1", "restricted": "0", "nofailback": "0", "strict": "0"}

func sameHA(key, have, want string) bool {
	if have == "" {
		have = haDefaults[key]
	}
	switch key {
	case "nodes":
		return maps.Equal(parseNodes(have), parseNodes(want))
	case "resources":
		return sameSet(have, want)
	case "state":
		// enabled is an old word for started (PVE::HA::Tools).
		return have == want || have == "enabled" && want == "started"
	}
	return have == want
}

// nodeList is pve1:2,pve2:1: the highest first, as people read it.
func nodeList(nodes map[string]int) string {
	names := slices.SortedFunc(maps.Keys(nodes), func(a, b string) int {
		if nodes[a] != nodes[b] {
			return nodes[b] - nodes[a]
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, n := range names {
		if nodes[n] == 0 {
			parts = append(parts, n)
			continue
		}
		parts = append(parts, fmt.Sprintf("%s:%d", n, nodes[n]))
	}
	return strings.Join(parts, ",")
}

func parseNodes(s string) map[string]string {
	out := map[string]string{}
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ';' || r == ' ' }) {
		name, priority, ok := strings.Cut(part, ":")
		if !ok {
			priority = "0"
		}
		out[name] = priority
	}
	return out
}

func (s *haStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	m, err := s.member(ctx)
	if err != nil {
		return err
	}
	w, api := c.Do.(haWork), s.Nodes.API(m.Node)
	if w.create != nil {
		return api.Post(ctx, w.path, w.create, nil)
	}
	_, id, _ := strings.Cut(c.Path, "/")
	report.Keep(strings.ReplaceAll(c.Path, "/", "-"), []byte(c.From))
	return api.Put(ctx, w.path+"/"+url.PathEscape(id), w.update, nil)
}

// Wait implements engine.Step: the HA manager has started what is to be started.
func (s *haStep) Wait(ctx context.Context, report engine.Reporter) error {
	if len(s.managed()) == 0 {
		return nil
	}
	p := s.poll("HA services started", s.Limits.HA)
	return p.Until(ctx, func(ctx context.Context) (bool, string, error) {
		left, err := s.NotStarted(ctx)
		return err == nil && len(left) == 0, strings.Join(left, ", "), err
	})
}

// NotStarted lists the guests of the file that HA should have started and has not, with their states.
func (e *Env) NotStarted(ctx context.Context) ([]string, error) {
	m, err := e.member(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := e.texts(ctx, m.Node, "/cluster/ha/status/current")
	if err != nil {
		return nil, err
	}
	state := map[string]string{}
	for _, r := range rows {
		if r["type"] == "service" {
			state[r["sid"]] = r["state"]
		}
	}
	var out []string
	for _, g := range (&haStep{e}).managed() {
		if (g.HA.State == "" || g.HA.State == "started") && state[sid(g)] != "started" {
			out = append(out, fmt.Sprintf("%s is %q", sid(g), state[sid(g)]))
		}
	}
	return out, nil
}
