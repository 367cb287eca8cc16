package spec

import (
	"encoding"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// maxValues bounds what aliases of aliases can blow up to.
const maxValues = 200_000

// A decoder fills in Go values from YAML, and notes every mistake and every position.
type decoder struct {
	file    string
	errs    Errors
	where   map[string]Position
	anchors anchors
	budget  int
}

// rules are what a field's tags demand.
type rules struct {
	need bool
	enum []string
	// min and max are unset when nil.
	min, max *int
}

func rulesOf(f reflect.StructField) rules {
	r := rules{need: f.Tag.Get("need") != ""}
	if e := f.Tag.Get("enum"); e != "" {
		r.enum = strings.Split(e, ",")
	}
	bound := func(tag string) *int {
		n, err := strconv.Atoi(f.Tag.Get(tag))
		if err != nil {
			return nil
		}
		return &n
	}
	r.min, r.max = bound("min"), bound("max")
	return r
}

// anchors are the nodes by the name that aliases use.
type anchors map[string]ast.Node

// Visit implements ast.Visitor.
func (a anchors) Visit(n ast.Node) ast.Visitor {
	if anchor, ok := n.(*ast.AnchorNode); ok {
		a[text(anchor.Name)] = anchor.Value
	}
	return a
}

// text is a scalar as it stands in the file, without quotes.
func text(n ast.Node) string {
	switch n := n.(type) {
	case nil:
		return ""
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return n.Value.Value
	}
	if t := n.GetToken(); t != nil {
		return t.Value
	}
	return ""
}

func (d *decoder) fail(path string, n ast.Node, fix, format string, args ...any) {
	var t *token.Token
	if n != nil {
		t = n.GetToken()
	}
	p := position(t)
	d.errs = append(d.errs, Error{File: d.file, Line: p.Line, Column: p.Column, Path: path, Message: fmt.Sprintf(format, args...), Fix: fix})
}

// plain follows anchors and aliases to the node that has the value. It gives nil if there is none.
func (d *decoder) plain(path string, n ast.Node) ast.Node {
	for range 100 {
		switch a := n.(type) {
		case *ast.AnchorNode:
			n = a.Value
		case *ast.AliasNode:
			target, ok := d.anchors[text(a.Value)]
			if !ok {
				d.fail(path, a, "define it with & further up", "nothing is called *%s", text(a.Value))
				return nil
			}
			n = target
		case *ast.TagNode:
			d.fail(path, a, "leave it out", "tags such as %s have no meaning here", a.Start.Value)
			return nil
		default:
			return n
		}
	}
	d.fail(path, n, "", "this alias stands for itself")
	return nil
}

var (
	secretType    = reflect.TypeFor[Secret]()
	unmarshalType = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// value decodes n into v.
func (d *decoder) value(path string, n ast.Node, v reflect.Value, r rules) {
	if d.budget--; d.budget < 0 {
		if d.budget == -1 {
			d.fail(path, n, "", "the file stands for more than %d values; aliases of aliases?", maxValues)
		}
		return
	}
	if n = d.plain(path, n); n == nil {
		return
	}
	if _, null := n.(*ast.NullNode); null {
		if r.need {
			d.fail(path, n, "", "has no value")
		}
		return // as if it were left out
	}
	switch {
	case v.Type() == secretType:
		d.secret(path, n, v)
	case reflect.PointerTo(v.Type()).Implements(unmarshalType):
		d.unmarshal(path, n, v)
	default:
		d.kind(path, n, v, r)
	}
}

func (d *decoder) kind(path string, n ast.Node, v reflect.Value, r rules) {
	switch v.Kind() {
	case reflect.Pointer:
		target := reflect.New(v.Type().Elem())
		d.value(path, n, target.Elem(), r)
		v.Set(target)
	case reflect.Struct:
		d.object(path, n, v)
	case reflect.Map:
		d.mapping(path, n, v, r)
	case reflect.Slice:
		d.list(path, n, v, r)
	case reflect.String:
		d.string(path, n, v, r)
	case reflect.Int:
		d.int(path, n, v, r)
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			d.fail(path, n, "true or false", "should be true or false, not %s", what(n))
			return
		}
		v.SetBool(b.Value)
	default:
		d.fail(path, n, "", "cannot be read into %s", v.Type()) // a mistake in our types; TestTypesCanBeDecoded
	}
}

func (d *decoder) string(path string, n ast.Node, v reflect.Value, r rules) {
	if !scalar(n) {
		d.fail(path, n, "", "should be text, not %s", what(n))
		return
	}
	s := text(n)
	switch {
	case len(r.enum) > 0 && !slices.Contains(r.enum, s):
		d.fail(path, n, suggest(s, r.enum), "%q is none of %s", s, strings.Join(r.enum, ", "))
	case r.need && s == "":
		d.fail(path, n, "", "is empty")
	}
	v.SetString(s)
}

func (d *decoder) int(path string, n ast.Node, v reflect.Value, r rules) {
	i, err := strconv.Atoi(text(n))
	if _, ok := n.(*ast.IntegerNode); !ok || err != nil {
		d.fail(path, n, "", "should be a whole number, not %s", what(n))
		return
	}
	switch {
	case r.min != nil && i < *r.min:
		d.fail(path, n, "", "%d is less than %d", i, *r.min)
	case r.max != nil && i > *r.max:
		d.fail(path, n, "", "%d is more than %d", i, *r.max)
	}
	v.SetInt(int64(i))
}

func (d *decoder) list(path string, n ast.Node, v reflect.Value, r rules) {
	items, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fail(path, n, "write [a, b] or one \"- \" a line", "should be a list, not %s", what(n))
		return
	}
	for i, item := range items.Values {
		at := fmt.Sprintf("%s[%d]", path, i)
		d.where[at] = position(item.GetToken())
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(at, item, element, rules{need: true, enum: r.enum, min: r.min, max: r.max})
		v.Set(reflect.Append(v, element))
		if d.budget < 0 {
			return
		}
	}
}

func (d *decoder) unmarshal(path string, n ast.Node, v reflect.Value) {
	if !scalar(n) {
		d.fail(path, n, "", "should be %s, not %s", example(v.Type()), what(n))
		return
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text(n))); err != nil {
		d.fail(path, n, "", "%q is not %s", text(n), example(v.Type()))
	}
}

// example describes the types that read themselves from text.
func example(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[netip.Addr]():
		return "an IP address such as 10.0.10.11"
	case reflect.TypeFor[netip.Prefix]():
		return "a network such as 10.0.10.0/24"
	case reflect.TypeFor[Bytes]():
		return "a size such as 512M, 8G or 960GB"
	case reflect.TypeFor[MiB]():
		return "an amount of memory such as 2048 (MiB) or 2G"
	}
	return t.String()
}

// secret reads {env: NAME}, {file: PATH} or {prompt: TEXT}. Its messages never quote the file: what
// stands there by mistake is most likely the secret.
func (d *decoder) secret(path string, n ast.Node, v reflect.Value) {
	const fix = "write {env: NAME}, {file: /path} or {prompt: text}"
	fields := d.fields(path, n)
	if len(fields) != 1 {
		d.fail(path, n, fix, "a secret does not stand in this file")
		return
	}
	source := d.plain(path, fields[0].value)
	if source == nil {
		return
	}
	place := text(source)
	if _, ok := source.(*ast.StringNode); !ok || place == "" {
		d.fail(path, source, fix, "says not where the secret is")
		return
	}
	switch fields[0].key {
	case "env":
		v.Set(reflect.ValueOf(SecretEnv(place)))
	case "file":
		v.Set(reflect.ValueOf(SecretFile(place)))
	case "prompt":
		v.Set(reflect.ValueOf(SecretPrompt(place)))
	default:
		d.fail(path, fields[0].node, fix, "a secret is in env, file or prompt")
	}
}

func scalar(n ast.Node) bool {
	switch n.(type) {
	case *ast.StringNode, *ast.LiteralNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return true
	}
	return false
}

// what names a node for messages.
func what(n ast.Node) string {
	switch n.(type) {
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.StringNode, *ast.LiteralNode:
		return strconv.Quote(text(n))
	}
	return text(n)
}
