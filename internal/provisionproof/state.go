package provisionproof

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/quorate/quorate/provision/transport"
)

// State is what a cluster is in the end, without what differs between two runs that are both right:
// times, digests, identifiers by chance. One line a thing, sorted.
type State []string

// stateReads are what State is made of, each with the key of its rows and the fields that count.
var stateReads = []struct {
	path, key string
	fields    []string
}{
	{"/cluster/status", "name", []string{"type", "quorate", "online", "nodes", "ip"}},
	{"/cluster/config/nodes", "name", []string{"ring0_addr", "ring1_addr", "quorum_votes"}},
	{"/storage", "storage", []string{"type", "content", "pool", "server", "datastore", "username", "krbd"}},
	{"/access/users", "userid", []string{"enable", "comment"}},
	{"/access/users/monitoring@pve/token", "tokenid", []string{"privsep"}},
	{"/access/acl", "ugid", []string{"path", "roleid", "propagate", "type"}},
	{"/cluster/ha/resources", "sid", []string{"state", "max_restart", "max_relocate", "group", "failback"}},
	{"/cluster/ha/groups", "group", []string{"nodes", "restricted", "nofailback"}},
	{"/cluster/ha/rules", "rule", []string{"nodes", "resources", "strict", "type"}},
	{"/cluster/backup", "id", []string{"schedule", "storage", "all", "enabled", "mode", "compress", "prune-backups"}},
	{"/cluster/resources?type=vm", "id", []string{"name", "status", "node", "tags"}},
	{"/nodes/NODE/ceph/mon", "name", []string{"quorum", "host"}},
	{"/nodes/NODE/ceph/mgr", "name", []string{"host"}},
	{"/nodes/NODE/ceph/pool", "pool_name", []string{"size", "min_size", "pg_num", "pg_autoscale_mode"}},
	{"/nodes/NODE/ceph/cfg/db", "name", []string{"section", "value"}},
}

// State reads it through the first node.
func (w *World) State(ctx context.Context, nodes transport.Set) (State, error) {
	first := w.Spec.Spec.Nodes[0].Name
	var out State
	for _, r := range stateReads {
		if strings.HasSuffix(r.path, "/ha/groups") && w.Spec.Spec.PVE.Major >= 9 || strings.HasSuffix(r.path, "/ha/rules") && w.Spec.Spec.PVE.Major < 9 {
			continue
		}
		var rows []map[string]any
		if err := nodes.API(first).Get(ctx, strings.Replace(r.path, "NODE", first, 1), &rows); err != nil {
			return nil, fmt.Errorf("state: %w", err)
		}
		for _, row := range rows {
			line := fmt.Sprintf("%s %v", r.path, row[r.key])
			for _, f := range r.fields {
				line += fmt.Sprintf(" %s=%s", f, flat(row[f]))
			}
			out = append(out, line)
		}
	}
	var options map[string]any
	if err := nodes.API(first).Get(ctx, "/cluster/options", &options); err != nil {
		return nil, err
	}
	out = append(out, "options migration="+flat(options["migration"])+" ha="+flat(options["ha"]))
	for _, n := range w.Spec.Spec.Nodes {
		more, err := w.nodeState(ctx, nodes, n.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	slices.Sort(out)
	return out, nil
}

func (w *World) nodeState(ctx context.Context, nodes transport.Set, name string) (State, error) {
	var out State
	var disks []map[string]any
	if err := nodes.API(name).Get(ctx, "/nodes/"+name+"/disks/list", &disks); err != nil {
		return nil, err
	}
	for _, d := range disks {
		// Which number an OSD gets depends on the order.
		out = append(out, fmt.Sprintf("%s disk %v osd=%t", name, d["devpath"], flat(d["osdid"]) != "-1"))
	}
	var hosts struct{ Data string }
	if err := nodes.API(name).Get(ctx, "/nodes/"+name+"/hosts", &hosts); err != nil {
		return nil, err
	}
	return append(out, name+" hosts "+hosts.Data), nil
}

// flat is a value as text, lists and objects in order.
func flat(v any) string {
	switch t := v.(type) {
	case nil:
		return ""
	case string:
		if strings.Contains(t, ",") {
			parts := strings.Split(t, ",")
			slices.Sort(parts)
			return strings.Join(parts, ",")
		}
		return t
	case map[string]any:
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(t)) {
			parts = append(parts, k+"="+flat(t[k]))
		}
		return strings.Join(parts, ",")
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return strings.Trim(string(b), `"`)
}

// Diff lists the lines that only one of two states has.
func (s State) Diff(other State) []string {
	var out []string
	for _, l := range s {
		if !slices.Contains(other, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range other {
		if !slices.Contains(s, l) {
			out = append(out, "+ "+l)
		}
	}
	return out
}
