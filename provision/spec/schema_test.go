package spec

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated files instead of comparing them")

const specDoc = "../../docs/spec.md"

// comments reads the doc comments of the package's types: "Type" and "Type.Field".
func comments(t *testing.T) map[string]string {
	t.Helper()
	docs := map[string]string{}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			decl, ok := n.(*ast.GenDecl)
			if !ok || decl.Tok != token.TYPE {
				return true
			}
			for _, s := range decl.Specs {
				typ := s.(*ast.TypeSpec)
				docs[typ.Name.Name] = sentence(decl.Doc.Text())
				if str, ok := typ.Type.(*ast.StructType); ok {
					for _, field := range str.Fields.List {
						for _, name := range field.Names {
							docs[typ.Name.Name+"."+name.Name] = sentence(field.Doc.Text())
						}
					}
				}
			}
			return true
		})
	}
	return docs
}

func sentence(s string) string { return strings.Join(strings.Fields(s), " ") }

// describe is the comment of a field, or that of its type.
func describe(docs map[string]string, owner reflect.Type, f reflect.StructField) string {
	if d := docs[owner.Name()+"."+f.Name]; d != "" {
		return d
	}
	t := f.Type
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.PkgPath() == owner.PkgPath() {
		return docs[t.Name()]
	}
	return ""
}

// generator makes JSON Schema of Go types.
type generator struct {
	docs map[string]string
	defs map[string]any
}

func (g *generator) of(t reflect.Type, r rules) map[string]any {
	switch t {
	case reflect.TypeFor[netip.Addr]():
		return map[string]any{"type": "string", "anyOf": []any{map[string]any{"format": "ipv4"}, map[string]any{"format": "ipv6"}}}
	case reflect.TypeFor[netip.Prefix]():
		return map[string]any{"type": "string", "pattern": "^[0-9a-fA-F.:]+/[0-9]{1,3}$"}
	case reflect.TypeFor[Bytes](), reflect.TypeFor[MiB]():
		return map[string]any{"type": []any{"string", "number"}, "pattern": "^[0-9.]+ ?([KMGTkmgt](i?[Bb])?|[Bb])?$", "minimum": 0}
	case reflect.TypeFor[Value]():
		return words()
	case reflect.TypeFor[Secret]():
		return g.secret()
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.of(t.Elem(), r)
	case reflect.Slice:
		return map[string]any{"type": "array", "items": g.required(t.Elem(), r)}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": g.required(t.Elem(), r)}
	case reflect.Struct:
		return g.object(t)
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int:
		s := map[string]any{"type": "integer"}
		if r.min != nil {
			s["minimum"] = *r.min
		}
		if r.max != nil {
			s["maximum"] = *r.max
		}
		return s
	}
	if len(r.enum) > 0 {
		return map[string]any{"enum": r.enum}
	}
	return words()
}

// words take whatever is no list and no mapping: 012 and on are text where text is wanted.
func words() map[string]any { return map[string]any{"type": []any{"string", "number", "boolean"}} }

// required is of a value that must be there: it is not null, and no empty text or list.
func (g *generator) required(t reflect.Type, r rules) map[string]any {
	s := g.of(t, r)
	switch {
	case s["$ref"] != nil:
		s["type"] = "object"
	case t.Kind() == reflect.Slice:
		s["minItems"] = 1
	case t.Kind() == reflect.String && len(r.enum) == 0:
		s["minLength"] = 1
	}
	return s
}

func (g *generator) secret() map[string]any {
	place := map[string]any{"type": "string", "minLength": 1}
	g.defs["Secret"] = map[string]any{
		"description": g.docs["Secret"], "type": []any{"object", "null"}, "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
		"properties": map[string]any{"env": place, "file": place, "prompt": place},
	}
	return map[string]any{"$ref": "#/$defs/Secret"}
}

func (g *generator) object(t reflect.Type) map[string]any {
	ref := map[string]any{"$ref": "#/$defs/" + t.Name()}
	if _, done := g.defs[t.Name()]; done {
		return ref
	}
	properties, required := map[string]any{}, []string{}
	g.defs[t.Name()] = nil // types that hold themselves end here
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("yaml")
		if name == "" {
			continue
		}
		r := rulesOf(f)
		s := g.of(f.Type, r)
		if r.need {
			s = g.required(f.Type, r)
			required = append(required, name)
		} else {
			orNull(s)
		}
		if d := describe(g.docs, t, f); d != "" {
			s["description"] = d
		}
		properties[name] = s
	}
	object := map[string]any{"description": g.docs[t.Name()], "type": []any{"object", "null"}, "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		object["required"] = required
	}
	g.defs[t.Name()] = object
	return ref
}

// orNull lets a value be null, as if it were left out. What a $ref stands for lets that already.
func orNull(s map[string]any) {
	switch t := s["type"].(type) {
	case string:
		s["type"] = []any{t, "null"}
	case []any:
		s["type"] = append(t, "null")
	}
	if enum, ok := s["enum"].([]string); ok {
		var values []any
		for _, v := range enum {
			values = append(values, v)
		}
		s["enum"] = append(values, nil)
	}
}

func TestSchemaIsCurrent(t *testing.T) {
	g := &generator{docs: comments(t), defs: map[string]any{}}
	s := g.required(reflect.TypeFor[Cluster](), rules{})
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Quorate cluster.yaml, " + APIVersion
	s["$defs"] = g.defs
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetIndent("", " ")
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		t.Fatal(err)
	}
	current(t, "schema.json", bytes.ReplaceAll(want.Bytes(), []byte("\"description\": null,\n"), nil))
}

func TestSpecDocIsCurrent(t *testing.T) {
	docs := comments(t)
	var want bytes.Buffer
	fmt.Fprint(&want, "# cluster.yaml, field by field\nGenerated from the code by `make docs`; do not edit. [provision.md](provision.md) tells how to use the file.\n\n"+
		"A field in **bold** must be there. Sizes are bytes or have a unit: `8G` is a power of 1024, `960GB` one of 1000.\n"+
		"A secret is `{env: NAME}`, `{file: PATH}` or `{prompt: TEXT}`, never the text itself.\n")
	seen := map[reflect.Type]bool{}
	var section func(t reflect.Type, path string)
	section = func(typ reflect.Type, path string) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
			if typ.Kind() != reflect.Pointer {
				path += map[reflect.Kind]string{reflect.Slice: "[]", reflect.Map: ".NAME"}[typ.Kind()]
			}
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || len(keys(typ)) == 0 || seen[typ] {
			return
		}
		seen[typ] = true
		fmt.Fprintf(&want, "\n## %s\n%s\n\n| field | value | meaning |\n| --- | --- | --- |\n", title(path), docs[typ.Name()])
		for i := range typ.NumField() {
			f := typ.Field(i)
			name := f.Tag.Get("yaml")
			if name == "" {
				continue
			}
			shown := "`" + name + "`"
			if rulesOf(f).need {
				shown = "**" + shown + "**"
			}
			fmt.Fprintf(&want, "| %s | %s | %s |\n", shown, valueOf(f), strings.ReplaceAll(describe(docs, typ, f), "|", "\\|"))
		}
		for i := range typ.NumField() {
			if f := typ.Field(i); f.Tag.Get("yaml") != "" {
				section(f.Type, join(path, f.Tag.Get("yaml")))
			}
		}
	}
	section(reflect.TypeFor[Cluster](), "")
	current(t, specDoc, want.Bytes())
}

func title(path string) string {
	if path == "" {
		return "The file"
	}
	return "`" + path + "`"
}

// valueOf says in a word what may stand in a field.
func valueOf(f reflect.StructField) string {
	r, t := rulesOf(f), f.Type
	switch {
	case len(r.enum) > 0:
		return "`" + strings.Join(r.enum, "` `") + "`"
	case t == reflect.TypeFor[Secret]():
		return "secret"
	case t == reflect.TypeFor[netip.Addr]():
		return "address"
	case t == reflect.TypeFor[netip.Prefix]():
		return "network"
	case t == reflect.TypeFor[Bytes](), t == reflect.TypeFor[MiB]():
		return "size"
	}
	name := map[reflect.Kind]string{reflect.Bool: "true, false", reflect.Int: "number", reflect.String: "text", reflect.Slice: "list", reflect.Map: "mapping", reflect.Struct: "mapping", reflect.Pointer: "mapping"}[t.Kind()]
	if t == reflect.TypeFor[*int]() {
		name = "number"
	}
	if name == "number" && r.min != nil && r.max != nil {
		name = fmt.Sprintf("%d to %d", *r.min, *r.max)
	}
	return name
}

// current compares a committed file with what the code says, or writes it.
func current(t *testing.T, name string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have, err := os.ReadFile(name); err != nil || !bytes.Equal(have, want) {
		t.Errorf("%s is not what the code says (%v); run make docs", name, err)
	}
}

func TestEveryFieldIsDescribed(t *testing.T) {
	docs := comments(t)
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			f := typ.Field(i)
			if f.Tag.Get("yaml") == "" {
				if f.IsExported() && typ.PkgPath() == reflect.TypeFor[Cluster]().PkgPath() {
					t.Errorf("%s.%s has no name in the file", typ.Name(), f.Name)
				}
				continue
			}
			if describe(docs, typ, f) == "" {
				t.Errorf("%s.%s has no description", typ.Name(), f.Name)
			}
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[Cluster]())
}
