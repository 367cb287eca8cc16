package pvefake

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// schemaNode is the part of the published API schema that the tests compare.
type schemaNode struct {
	Type        any                    `json:"type"`
	Optional    any                    `json:"optional"`
	Format      any                    `json:"format"`
	Enum        []string               `json:"enum"`
	Minimum     any                    `json:"minimum"`
	Maximum     any                    `json:"maximum"`
	MaxLength   int                    `json:"maxLength"`
	Pattern     string                 `json:"pattern"`
	MinLength   int                    `json:"minLength"`
	Requires    string                 `json:"requires"`
	DefaultKey  any                    `json:"default_key"`
	Alias       string                 `json:"alias"`
	KeyAlias    string                 `json:"keyAlias"`
	AllOf       []*schemaNode          `json:"allOf"`
	OneOf       []*schemaNode          `json:"oneOf"`
	Instance    string                 `json:"instance-type"`
	TypeSchema  *schemaNode            `json:"type-property-schema"`
	Properties  map[string]*schemaNode `json:"properties"`
	Items       *schemaNode            `json:"items"`
	Description string                 `json:"description"`
}

type schemaMethod struct {
	AllowToken  *int        `json:"allowtoken"`
	ProxyTo     string      `json:"proxyto"`
	Parameters  *schemaNode `json:"parameters"`
	Returns     *schemaNode `json:"returns"`
	Permissions *struct {
		User  string `json:"user"`
		Check []any  `json:"check"`
	} `json:"permissions"`
}

func readSchema(t *testing.T, v Version) map[string]map[string]*schemaMethod {
	t.Helper()
	f, err := os.Open(needData(t, "pve-api-schema-"+string(v)+".json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Paths map[string]map[string]*schemaMethod `json:"paths"`
	}
	if err := json.NewDecoder(z).Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all.Paths
}

func TestFactsEqualThePublishedSchemas(t *testing.T) {
	for _, v := range []Version{V84, V92} {
		t.Run(string(v), func(t *testing.T) {
			schema := readSchema(t, v)
			table, err := parseMethods(methodFacts, v.major(), handlers())
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for verb, ms := range table.byVerb {
				for _, m := range ms {
					n++
					s := schema[m.path][verb]
					if s == nil {
						t.Errorf("%s %s is not in the schema of %s", verb, m.path, v)
						continue
					}
					compareMethod(t, m, s)
				}
			}
			t.Logf("version=%s methods=%d", v, n)
		})
	}
}

func compareMethod(t *testing.T, m *method, s *schemaMethod) {
	t.Helper()
	key := m.verb + " " + m.path
	if got := permExpr(s); got != m.perm {
		t.Errorf("%s: permission %q, schema %q", key, m.perm, got)
	}
	if (s.ProxyTo == "node") != m.onNode {
		t.Errorf("%s: proxied to %q, onNode=%v", key, s.ProxyTo, m.onNode)
	}
	if (s.AllowToken != nil && *s.AllowToken == 0) != m.noToken {
		t.Errorf("%s: noToken=%v", key, m.noToken)
	}
	var want map[string]*schemaNode
	if s.Parameters != nil {
		want = s.Parameters.Properties
		if s.Parameters.AllOf != nil {
			want = mergeAllOf(t, m, s.Parameters.AllOf)
		}
	}
	compareParams(t, key, m.params, want)
}

// mergeAllOf returns the properties that do not depend on the type, and compares those that do.
func mergeAllOf(t *testing.T, m *method, parts []*schemaNode) map[string]*schemaNode {
	t.Helper()
	all := map[string]*schemaNode{}
	for _, part := range parts {
		for name, p := range part.Properties {
			all[name] = p
		}
		for _, o := range part.OneOf {
			compareParams(t, m.verb+" "+m.path+" "+o.Instance, m.oneOf[o.Instance], o.Properties)
		}
		if part.TypeSchema != nil {
			all["type"] = part.TypeSchema
		}
	}
	return all
}

func compareParams(t *testing.T, key string, have map[string]*param, want map[string]*schemaNode) {
	t.Helper()
	for name, p := range want {
		if have[name] == nil {
			t.Errorf("%s: parameter %s is missing", key, name)
			continue
		}
		compareParam(t, key+" "+name, have[name], p)
	}
	for name := range have {
		if want[name] == nil {
			t.Errorf("%s: parameter %s is not in the schema", key, name)
		}
	}
}

// property is an inline format: a schema in the place of a name.
func property(t *testing.T, v any) map[string]*schemaNode {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]*schemaNode
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func compareParam(t *testing.T, key string, have *param, want *schemaNode) {
	t.Helper()
	if want.Alias != "" {
		if have.alias != want.Alias || have.keyAlias != want.KeyAlias {
			t.Errorf("%s: another name of %q (%q), schema %q (%q)", key, have.alias, have.keyAlias, want.Alias, want.KeyAlias)
		}
		return
	}
	format, isText := want.Format.(string)
	switch {
	case want.Format == nil || isText:
	case have.inline != nil:
		format = have.format // a name of ours stands for the schema
		compareParams(t, key, have.inline.props, property(t, want.Format))
	default: // nothing passes it
		format = have.format
		if checkFormat(format, "", "x") == "" {
			t.Errorf("%s: an inline format must fail closed", key)
		}
	}
	got := []any{have.typ, have.optional, have.format, strings.Join(have.enum, "|"), have.maxLength, have.minLength, have.requires, bound(have.min), bound(have.max), have.pattern != nil, have.defaultKey}
	exp := []any{text(want.Type), isOne(want.Optional), format, strings.Join(want.Enum, "|"), want.MaxLength, want.MinLength, want.Requires, num(want.Minimum), num(want.Maximum), want.Pattern != "", isOne(want.DefaultKey)}
	if !reflect.DeepEqual(got, exp) {
		t.Errorf("%s: have %v, schema %v", key, got, exp)
	}
	if want.Pattern != "" && have.pattern != nil {
		exp, err := compilePattern(strings.NewReplacer("(?^:", "(?:", "(?^i:", "(?i:", " ", `\x20`).Replace(want.Pattern))
		if err != nil || exp.String() != have.pattern.String() {
			t.Errorf("%s: pattern %s, schema %s (%v)", key, have.pattern, exp, err)
		}
	}
}

func text(v any) string {
	if v == nil {
		return "string"
	}
	return fmt.Sprint(v)
}

func isOne(v any) bool { return v != nil && fmt.Sprint(v) == "1" }

func bound(v *float64) string {
	if v == nil {
		return ""
	}
	return num(*v)
}

func num(v any) string {
	if v == nil {
		return ""
	}
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

func permExpr(s *schemaMethod) string {
	if s.Permissions == nil {
		return "root"
	}
	if s.Permissions.User != "" {
		return s.Permissions.User
	}
	return checkExpr(s.Permissions.Check)
}

func checkExpr(c []any) string {
	switch c[0] {
	case "or", "and":
		var parts []string
		for _, e := range c[1:] {
			parts = append(parts, checkExpr(e.([]any)))
		}
		return strings.Join(parts, map[any]string{"or": "||", "and": "&&"}[c[0]])
	case "userid-param", "perm-modify":
		return c[0].(string) + "," + c[1].(string)
	case "userid-group":
		var privs []string
		for _, p := range c[1].([]any) {
			privs = append(privs, p.(string))
		}
		return "userid-group," + strings.Join(privs, "|")
	}
	var privs []string
	for _, p := range c[2].([]any) {
		privs = append(privs, p.(string))
	}
	sep := "&"
	if len(c) > 3 {
		sep = "|"
	}
	return c[1].(string) + "," + strings.Join(privs, sep)
}

// untypedReturns are replies of the real server that break its own schema, as recorded.
var untypedReturns = map[string]string{
	"GET /nodes/{node}/subscription serverid": "null while there is no key",
}

func TestEveryReplyObeysTheSchemasReturns(t *testing.T) {
	for _, v := range []Version{V84, V92} {
		t.Run(string(v), func(t *testing.T) {
			schema := readSchema(t, v)
			c := newCluster(t, Options{Version: v, Ceph: true, Guests: []Guest{
				{VMID: 101, Node: 1, Name: "vm101", Tags: "a;b", DiskBytes: 1 << 30, OnBoot: ptr(true)}, {VMID: 102, Node: 2, Lock: "backup"},
				{VMID: 201, Node: 1, Name: "ct201", Container: true, DiskBytes: 1 << 30},
			}})
			if err := c.AddHAResource(HAResource{SID: "vm:101"}); err != nil {
				t.Fatal(err)
			}
			c.AddNodeAffinity("prefer", map[string]int{"pve1": 2}, true, "vm:101")
			c.AddBackupJob("nightly", "02:00", "local", true, 101)
			c.AddUser("auditor@pve", "")
			if _, err := c.AddToken("auditor@pve", "exporter", false); err != nil {
				t.Fatal(err)
			}
			upid := c.AddTask(1, "qmstart", "101", "root@pam", "OK", time.Minute, time.Second)
			c.Advance(time.Minute)
			cl := root(t, c)
			n := 0
			for _, m := range c.methods.byVerb["GET"] {
				path := strings.NewReplacer("{node}", "pve1", "{upid}", upid, "{sid}", "vm:101", "{group}", "prefer", "{rule}", "prefer",
					"{storage}", "local", "{id}", "nightly", "{osdid}", "0", "{name}", "vmpool", "{iface}", "vmbr0", "{userid}", "auditor@pve",
					"{tokenid}", "exporter", "{roleid}", "PVEAuditor", "{flag}", "noout").Replace(m.path)
				vmid := "101"
				if strings.Contains(path, "/lxc/") {
					vmid = "201"
				}
				path = strings.ReplaceAll(path, "{vmid}", vmid)
				if v == V92 && strings.HasPrefix(m.path, "/cluster/ha/groups") {
					continue // answers 500 for ever
				}
				n++
				path += map[string]string{
					"/cluster/jobs/schedule-analyze": "?schedule=02:00", "/nodes/{node}/ceph/cfg/value": "?config-keys=global:nope",
				}[m.path]
				checkReturn(t, "GET "+m.path, cl.must(path), schema[m.path]["GET"].Returns)
			}
			t.Logf("version=%s replies=%d", v, n)
		})
	}
}

func checkReturn(t *testing.T, at string, v any, s *schemaNode) {
	t.Helper()
	if s == nil || untypedReturns[at] != "" {
		return
	}
	typ, _ := s.Type.(string)
	ok := true
	switch t2 := v.(type) {
	case map[string]any:
		ok = typ == "object" || typ == "" || typ == "any"
		checkObject(t, at, t2, s)
	case []any:
		ok = typ == "array" || typ == "" || typ == "any"
		for _, e := range t2 {
			checkReturn(t, at+"[]", e, s.Items)
		}
	case string:
		ok = typ == "string" || typ == "" || typ == "integer" && integerRE.MatchString(t2) || typ == "any" || typ == "number"
	case float64:
		ok = slices.Contains([]string{"number", "", "string", "any"}, typ) || typ == "integer" && t2 == float64(int64(t2)) || typ == "boolean" && (t2 == 0 || t2 == 1)
	case bool:
		ok = typ == "boolean" || typ == "" || typ == "any"
	case nil:
		ok = typ == "null" || s.Optional != nil
	}
	if !ok {
		t.Errorf("%s: %T %v, schema says %s", at, v, v, typ)
	}
	if str, isText := v.(string); isText && s.Enum != nil && !slices.Contains(s.Enum, str) {
		t.Errorf("%s: %q is none of %v", at, str, s.Enum)
	}
}

func checkObject(t *testing.T, at string, o map[string]any, s *schemaNode) {
	t.Helper()
	for name, p := range s.Properties {
		v, ok := o[name]
		if !ok {
			if p.Optional == nil && !strings.HasPrefix(name, "{") { // "{id}" stands for any key
				t.Errorf("%s: lacks %s, which is not optional", at, name)
			}
			continue
		}
		checkReturn(t, at+" "+name, v, p)
	}
}
