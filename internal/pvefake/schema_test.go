package pvefake

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
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
	Requires    string                 `json:"requires"`
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
	}
	for name, p := range want {
		have := m.params[name]
		if have == nil {
			t.Errorf("%s: parameter %s is missing", key, name)
			continue
		}
		compareParam(t, key+" "+name, have, p)
	}
	for name := range m.params {
		if want[name] == nil {
			t.Errorf("%s: parameter %s is not in the schema", key, name)
		}
	}
}

func compareParam(t *testing.T, key string, have *param, want *schemaNode) {
	t.Helper()
	format, isText := want.Format.(string)
	if want.Format != nil && !isText {
		format = have.format // an inline object format; a name of ours stands for it and nothing passes it
		if checkFormat(format, "x") == "" {
			t.Errorf("%s: an inline format must fail closed", key)
		}
	}
	got := []any{have.typ, have.optional, have.format, strings.Join(have.enum, "|"), have.maxLength, have.requires, bound(have.min), bound(have.max), have.pattern != nil}
	exp := []any{want.Type, want.Optional != nil && fmt.Sprint(want.Optional) == "1", format, strings.Join(want.Enum, "|"), want.MaxLength, want.Requires, num(want.Minimum), num(want.Maximum), want.Pattern != ""}
	if !reflect.DeepEqual(got, exp) {
		t.Errorf("%s: have %v, schema %v", key, got, exp)
	}
	if want.Pattern != "" && have.pattern != nil {
		perl := strings.ReplaceAll(want.Pattern, "(?^:", "(?:")
		if exp := regexp.MustCompile(`^(?:` + perl + `)$`); exp.String() != have.pattern.String() {
			t.Errorf("%s: pattern %s, schema %s", key, have.pattern, exp)
		}
	}
}

func bound(v *int64) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(*v)
}

func num(v any) string {
	if v == nil {
		return ""
	}
	if f, ok := v.(float64); ok {
		return fmt.Sprintf("%.0f", f)
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
	if c[0] == "or" {
		var parts []string
		for _, e := range c[1:] {
			parts = append(parts, checkExpr(e.([]any)))
		}
		return strings.Join(parts, "||")
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
			upid := c.AddTask(1, "qmstart", "101", "root@pam", "OK", time.Minute, time.Second)
			c.Advance(time.Minute)
			cl := root(t, c)
			n := 0
			for _, m := range c.methods.byVerb["GET"] {
				path := strings.NewReplacer("{node}", "pve1", "{upid}", upid, "{sid}", "vm:101", "{group}", "prefer", "{rule}", "prefer",
					"{storage}", "local", "{id}", "nightly", "{osdid}", "0", "{name}", "vmpool").Replace(m.path)
				vmid := "101"
				if strings.Contains(path, "/lxc/") {
					vmid = "201"
				}
				path = strings.ReplaceAll(path, "{vmid}", vmid)
				if v == V92 && strings.HasPrefix(m.path, "/cluster/ha/groups") {
					continue // answers 500 for ever
				}
				n++
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
