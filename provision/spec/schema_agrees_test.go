package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// compiled is the schema that the program prints. Compiling checks it against the meta-schema that it names.
func compiled(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("cluster.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("cluster.schema.json")
	if err != nil {
		t.Fatalf("the schema is not valid: %v", err)
	}
	return s
}

// generic is a file as an editor sees it.
func generic(text []byte) (any, error) {
	var v any
	if err := yaml.Unmarshal(text, &v); err != nil {
		return nil, err
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(b))
}

// Fits demands that the schema takes a file that the parser takes.
func Fits(t testing.TB, text []byte) {
	t.Helper()
	v, err := generic(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled(t).Validate(v); err != nil {
		t.Errorf("the schema refuses a good file: %v\n%s", err, text)
	}
}

func TestTheSchemaIsOneOfItsDraft(t *testing.T) {
	s := compiled(t)
	if s.DraftVersion != 2020 {
		t.Errorf("compiled as draft %d", s.DraftVersion)
	}
	broken := bytes.Replace(Schema(), []byte(`"required": [`), []byte(`"required": [7,`), 1)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(broken))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("broken.json", doc); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Compile("broken.json"); err == nil {
		t.Error("a schema that breaks its meta-schema was compiled: this test sees nothing")
	}
}

func TestTheSchemaTakesEveryGoodFile(t *testing.T) {
	examples := regexp.MustCompile(`(?m)^( +)# ( *)(- |[a-zA-Z]+:( |$))`).ReplaceAllString(string(Starter()), "$1$2$3")
	for name, text := range map[string]string{
		"example": read(t, homelab), "starter": string(Starter()), "starter with its examples": examples, "everything": read(t, everything),
		"merge keys":    strings.Replace(read(t, homelab), "- {name: vm-storage, size: 3", "- &p {<<: {minSize: 2}, name: vm-storage, size: 3", 1),
		"left empty":    regexp.MustCompile(`(?s)  backup:\n.*`).ReplaceAllString(read(t, homelab), "  backup:\n  monitoring:\n  corosync: {qdevice:}\n"),
		"numbers again": strings.NewReplacer("name: vm-storage", "name: 012", "pool: vm-storage", "pool: 012", "vmid: 100\n", "vmid: 100\n      template: {}\n").Replace(read(t, homelab)),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse("f", []byte(text)); err != nil {
				t.Fatal(err)
			}
			Fits(t, []byte(text))
		})
	}
}

const everything = "testdata/everything.yaml"

// A mistake is a file in which one thing is not what it should be.
type mistake struct {
	at, what string
	root     any
}

// mistakes are made at every place of a file.
type mistakes struct {
	root any
	all  []mistake
	seen map[string]bool // Type.Field that the file has
}

// add puts bad in the place of good, for one mistake.
func (m *mistakes) add(at, what string, set func(any), good, bad any) {
	set(bad)
	m.all = append(m.all, mistake{at, what, clone(m.root)})
	set(good)
}

// clone copies by way of JSON.
func clone(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	out, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		panic(err)
	}
	return out
}

// walk makes the mistakes of a value of type t.
func (m *mistakes) walk(at string, t reflect.Type, r rules, v any, set func(any)) {
	wrong := func(what string, bad ...any) {
		for _, b := range bad {
			m.add(at, fmt.Sprintf("%s: %v", what, b), set, v, b)
		}
	}
	if r.need {
		wrong("nothing", nil)
	} else {
		m.add(at, "left empty", set, v, nil)
	}
	number := func() {
		if r.min != nil {
			wrong("too small", *r.min-1)
		}
		if r.max != nil {
			wrong("too large", *r.max+1)
		}
	}
	lists, mappings := []any{[]any{"x"}}, []any{map[string]any{"x": "y"}}
	switch t {
	case reflect.TypeFor[Secret]():
		wrong("no secret", "hunter2", map[string]any{}, map[string]any{"vault": "x"}, map[string]any{"env": ""}, map[string]any{"env": 7}, map[string]any{"env": "A", "file": "b"}, []any{})
		return
	case reflect.TypeFor[netip.Addr](), reflect.TypeFor[netip.Prefix]():
		wrong("no address", append(append(lists, mappings...), "here", 7, true)...)
		return
	case reflect.TypeFor[Bytes](), reflect.TypeFor[MiB]():
		wrong("no size", append(append(lists, mappings...), "big", "8X", -1, true)...)
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		m.walk(at, t.Elem(), r, v, set)
	case reflect.Struct:
		wrong("no mapping", append(lists, "x", 7, true)...)
		m.object(at, t, v.(map[string]any))
	case reflect.Map:
		wrong("no mapping", append(lists, "x", 7, true)...)
		for k, e := range v.(map[string]any) {
			m.walk(join(at, k), t.Elem(), rules{need: true, min: r.min, max: r.max, enum: r.enum}, e, func(n any) { v.(map[string]any)[k] = n })
		}
	case reflect.Slice:
		wrong("no list", append(mappings, "x", 7, true)...)
		for i, e := range v.([]any) {
			m.walk(fmt.Sprintf("%s[%d]", at, i), t.Elem(), rules{need: true, min: r.min, max: r.max, enum: r.enum}, e, func(n any) { v.([]any)[i] = n })
		}
	case reflect.Bool:
		wrong("no truth value", append(append(lists, mappings...), "maybe", 7)...)
	case reflect.Int:
		wrong("no number", append(append(lists, mappings...), "7", "x", 1.5, true)...)
		number()
	case reflect.String:
		wrong("no text", append(lists, mappings...)...)
		if len(r.enum) > 0 {
			wrong("none of them", "nonsense", 7, true)
		}
		if r.need {
			wrong("empty", "")
		}
	}
}

func (m *mistakes) object(at string, t reflect.Type, v map[string]any) {
	v["nonsense"] = 1
	m.all = append(m.all, mistake{at, "unknown key", clone(m.root)})
	delete(v, "nonsense")
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("yaml")
		good, given := v[name]
		if name == "" || !given || m.seen[t.Name()+"."+f.Name] {
			continue // at one place of a type is enough
		}
		m.seen[t.Name()+"."+f.Name] = true
		delete(v, name)
		m.all = append(m.all, mistake{join(at, name), "left out", clone(m.root)})
		v[name] = good
		m.walk(join(at, name), f.Type, rulesOf(f), good, func(n any) { v[name] = n })
	}
}

// decoded is what the parser says of the types alone: references and names are no matter of a schema.
func decoded(text []byte) Errors {
	body, err := document("f", text)
	if err != nil {
		return Errors{*err}
	}
	d := decoder{file: "f", where: map[string]Position{}, anchors: anchors{}, budget: maxValues}
	d.value("", body, reflect.ValueOf(&Cluster{}).Elem(), rules{need: true})
	return d.errs
}

// TestSchemaAndParserRefuseTheSame makes every mistake of a kind that a schema can see at every place of
// a file that has every field: what is left out, empty, of the wrong kind, too large, or known to nobody.
func TestSchemaAndParserRefuseTheSame(t *testing.T) {
	text := []byte(read(t, everything))
	root, err := generic(text)
	if err != nil {
		t.Fatal(err)
	}
	m := &mistakes{root: root, seen: map[string]bool{}}
	m.walk("", reflect.TypeFor[Cluster](), rules{need: true}, root, func(n any) { m.root = n })
	s := compiled(t)
	refused, taken := 0, 0
	for _, x := range m.all {
		b, err := json.Marshal(x.root)
		if err != nil {
			t.Fatal(err)
		}
		parser, schema := decoded(b), s.Validate(x.root)
		if (len(parser) > 0) != (schema != nil) {
			t.Errorf("%s: %s: the parser says %v, the schema %v", x.at, x.what, parser, schema)
		}
		if schema != nil {
			refused++
		} else {
			taken++
		}
	}
	t.Logf("%d mistakes refused by both, %d changes taken by both", refused, taken)
	if refused < 500 || taken < 80 {
		t.Errorf("%d refused, %d taken: the file is not what it was", refused, taken)
	}
	if missing := missingFields(m.seen); len(missing) > 0 {
		t.Errorf("%s has not %v", everything, missing)
	}
}

// missingFields are those of the types that were not seen.
func missingFields(seen map[string]bool) []string {
	all := map[string]bool{}
	var walk func(reflect.Type)
	walk = func(t reflect.Type) {
		for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct || t == reflect.TypeFor[Secret]() {
			return
		}
		for i := range t.NumField() {
			f := t.Field(i)
			if f.Tag.Get("yaml") == "" || all[t.Name()+"."+f.Name] {
				continue
			}
			all[t.Name()+"."+f.Name] = true
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[Cluster]())
	return slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool { return seen[name] })
}
