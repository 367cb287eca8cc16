package steps

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/transport"
)

// storageStep is storage.cfg.
type storageStep struct{ *Env }

// storageSeen are the entries of storage.cfg, all values as text.
type storageSeen map[string]map[string]string

func (*storageStep) ID() engine.ID      { return idStorage }
func (*storageStep) Title() string      { return "storages" }
func (*storageStep) Needs() []engine.ID { return []engine.ID{idPools, idFS, idOptions} }

func (s *storageStep) Observe(ctx context.Context) (engine.Observed, error) {
	seen := storageSeen{}
	if len(s.want().Storage) == 0 {
		return seen, nil
	}
	m, err := s.member(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := s.texts(ctx, m.Node, "/storage")
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		seen[r["storage"]] = r
	}
	return seen, nil
}

// texts reads a list of objects whose values are compared as text.
func (e *Env) texts(ctx context.Context, node, path string) ([]map[string]string, error) {
	var rows []map[string]any
	if err := e.Nodes.API(node).Get(ctx, path, &rows); err != nil {
		return nil, err
	}
	var out []map[string]string
	for _, r := range rows {
		out = append(out, asTexts(r))
	}
	return out, nil
}

// asTexts writes numbers without a point and objects as property strings.
func asTexts(r map[string]any) map[string]string {
	out := map[string]string{}
	for k, v := range r {
		switch t := v.(type) {
		case nil:
		case string:
			out[k] = t
		case bool:
			out[k] = "0"
			if t {
				out[k] = "1"
			}
		case float64:
			out[k] = strings.TrimSuffix(fmt.Sprintf("%.6f", t), ".000000")
		case map[string]any:
			out[k] = propertyString(asTexts(t))
		default:
			out[k] = fmt.Sprint(t)
		}
	}
	return out
}

// fixed are fields that PVE::Storage does not let anybody change after creation.
var fixed = []string{"type", "server", "datastore", "export", "path", "pool", "data-pool", "fs-name"}

// lists are fields whose order means nothing.
var lists = []string{"content", "nodes"}

// fields are those that the file declares, without the secret.
func (s *storageStep) fields(st spec.Storage) map[string]string {
	f := map[string]string{"type": st.Type}
	set := func(k, v string) {
		if v != "" {
			f[k] = v
		}
	}
	set("content", strings.Join(st.Content, ","))
	set("nodes", strings.Join(st.Nodes, ","))
	switch st.Type {
	case spec.StorageRBD:
		set("pool", st.Pool)
		if s.erasure(st.Pool) {
			f["pool"], f["data-pool"] = st.Pool+"-metadata", st.Pool+"-data"
		}
		f["krbd"] = bit(st.KRBD)
	case spec.StorageCephFS:
		set("fs-name", st.Filesystem)
	case spec.StorageDir:
		f["shared"] = bit(st.Shared)
	}
	set("server", st.Server)
	set("datastore", st.Datastore)
	set("namespace", st.Namespace)
	set("username", st.Username)
	set("fingerprint", st.Fingerprint)
	set("export", st.Export)
	set("options", st.Options)
	set("path", st.Path)
	set("prune-backups", pruneText(st.Prune))
	return f
}

func (s *storageStep) erasure(pool string) bool {
	return slices.ContainsFunc(s.want().Ceph.Pools, func(p spec.Pool) bool { return p.Name == pool && p.Erasure != nil })
}

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// pruneText is a retention as a property string, "" for all backups.
func pruneText(p spec.Prune) string {
	out := map[string]string{}
	for k, n := range map[string]int{
		"keep-last": p.Last, "keep-hourly": p.Hourly, "keep-daily": p.Daily, "keep-weekly": p.Weekly, "keep-monthly": p.Monthly, "keep-yearly": p.Yearly,
	} {
		if n > 0 {
			out[k] = fmt.Sprint(n)
		}
	}
	return propertyString(out)
}

func (s *storageStep) Diff(have engine.Observed) []engine.Change {
	seen := have.(storageSeen)
	var out []engine.Change
	for _, st := range s.want().Storage {
		want, is := s.fields(st), seen[st.ID]
		path := "storage/" + st.ID
		if is == nil {
			out = append(out, engine.Change{Path: path, To: fieldText(want), Action: engine.Create, Risk: engine.Safe, Do: st})
			continue
		}
		for _, k := range slices.Sorted(maps.Keys(want)) {
			if sameField(k, is[k], want[k]) {
				continue
			}
			c := engine.Change{Path: path + "/" + k, From: is[k], To: want[k], Action: engine.Update, Risk: engine.Low, Key: st.ID, Do: transport.Params{k: want[k]}}
			if slices.Contains(fixed, k) {
				c.Action, c.Note = engine.Forbidden, "this cannot be changed after creation; choose another id, or remove the storage by hand"
			}
			out = append(out, c)
		}
	}
	return out
}

func sameField(key, have, want string) bool {
	switch {
	case have == want, strings.EqualFold(have, want) && key == "fingerprint":
		return true
	case have == "" && want == "0":
		return true
	case slices.Contains(lists, key):
		return sameSet(have, want)
	case strings.HasPrefix(key, "prune"):
		return propertyString(properties([]byte(`"`+have+`"`))) == want
	}
	return false
}

// sameSet compares lists of words.
func sameSet(a, b string) bool {
	words := func(s string) []string {
		return sorted(strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ';' || r == ' ' }))
	}
	return slices.Equal(words(a), words(b))
}

func fieldText(f map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(f)) {
		parts = append(parts, k+" "+f[k])
	}
	return strings.Join(parts, ", ")
}

func (s *storageStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	m, err := s.member(ctx)
	if err != nil {
		return err
	}
	api := s.Nodes.API(m.Node)
	if c.Action == engine.Update {
		report.Keep("storage-"+c.Key, []byte(c.Path+" "+c.From))
		return api.Put(ctx, "/storage/"+c.Key, c.Do.(transport.Params), nil)
	}
	st := c.Do.(spec.Storage)
	p := transport.Params{"storage": st.ID}
	for k, v := range s.fields(st) {
		p[k] = v
	}
	if !st.Password.IsZero() {
		if p["password"], err = s.Secret(ctx, st.Password); err != nil {
			return fmt.Errorf("password of storage %s: %w", st.ID, err)
		}
	}
	return api.Post(ctx, "/storage", p, nil)
}

// Wait implements engine.Step: every storage is active on every node that has it.
func (s *storageStep) Wait(ctx context.Context, report engine.Reporter) error {
	if len(s.want().Storage) == 0 {
		return nil
	}
	p := s.poll("storages active on all nodes", s.Limits.Ceph)
	return p.Until(ctx, func(ctx context.Context) (bool, string, error) {
		out, err := s.Inactive(ctx)
		return err == nil && len(out) == 0, "not active: " + strings.Join(out, ", "), err
	})
}

// Inactive lists the storages of the file that are not active, as STORAGE on NODE.
func (e *Env) Inactive(ctx context.Context) ([]string, error) {
	var out []string
	for _, n := range e.names() {
		var rows []struct {
			Storage string   `json:"storage"`
			Active  pve.Bool `json:"active"`
			Enabled pve.Bool `json:"enabled"`
		}
		if err := e.Nodes.API(n).Get(ctx, "/nodes/"+n+"/storage", &rows); err != nil {
			return nil, err
		}
		for _, st := range e.want().Storage {
			if len(st.Nodes) > 0 && !slices.Contains(st.Nodes, n) {
				continue
			}
			active := false
			for _, r := range rows {
				active = active || r.Storage == st.ID && r.Active.V
			}
			if !active {
				out = append(out, st.ID+" on "+n)
			}
		}
	}
	return out, nil
}
