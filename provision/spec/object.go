package spec

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// entry is one key of a mapping with its value.
type entry struct {
	key   string
	node  ast.Node // the key itself
	value ast.Node
}

// fields are the entries of a mapping in their order, with those of << merged in. A node that is no
// mapping has none.
func (d *decoder) fields(path string, n ast.Node) []entry {
	var all []entry
	seen := map[string]bool{}
	d.collect(path, n, 0, func(e entry) {
		if !seen[e.key] {
			seen[e.key] = true
			all = append(all, e)
		}
	})
	return all
}

// collect calls add for each entry of n: its own first, as they win over merged ones.
func (d *decoder) collect(path string, n ast.Node, depth int, add func(entry)) {
	m, ok := n.(ast.MapNode)
	if !ok {
		return
	}
	var merged []ast.Node
	for i := m.MapRange(); i.Next(); {
		key := i.Key()
		if key.IsMergeKey() {
			merged = append(merged, i.Value())
			continue
		}
		add(entry{key: text(d.plain(path, key)), node: key, value: i.Value()})
	}
	for _, n := range merged {
		if depth >= 10 {
			d.fail(path, n, "", "<< is nested too deep")
			return
		}
		target := d.plain(path, n)
		if list, ok := target.(*ast.SequenceNode); ok {
			for _, item := range list.Values {
				d.collect(path, d.plain(path, item), depth+1, add)
			}
			continue
		}
		d.collect(path, target, depth+1, add)
	}
}

// join makes the path of a key.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// object decodes a mapping into a struct. It knows every key by the field's yaml tag.
func (d *decoder) object(path string, n ast.Node, v reflect.Value) {
	if _, ok := n.(ast.MapNode); !ok {
		d.fail(path, n, fmt.Sprintf("its keys are %s", strings.Join(keys(v.Type()), ", ")), "should be a mapping, not %s", what(n))
		return
	}
	given := map[string]bool{}
	for _, e := range d.fields(path, n) {
		at := join(path, e.key)
		f, ok := fieldNamed(v.Type(), e.key)
		if !ok {
			known := keys(v.Type())
			d.fail(at, e.node, suggest(e.key, known), "unknown key; there are %s", strings.Join(known, ", "))
			continue
		}
		given[e.key] = true
		if _, null := e.value.(*ast.NullNode); !null {
			d.where[at] = position(e.node.GetToken())
		}
		d.value(at, e.value, v.FieldByIndex(f.Index), rulesOf(f))
	}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if name := f.Tag.Get("yaml"); rulesOf(f).need && !given[name] {
			d.fail(join(path, name), n, "add "+name+":", "is missing")
		}
	}
}

// mapping decodes into a map, whose keys are free.
func (d *decoder) mapping(path string, n ast.Node, v reflect.Value, r rules) {
	if _, ok := n.(ast.MapNode); !ok {
		d.fail(path, n, "", "should be a mapping, not %s", what(n))
		return
	}
	m := reflect.MakeMap(v.Type())
	for _, e := range d.fields(path, n) {
		at := join(path, e.key)
		d.where[at] = position(e.node.GetToken())
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(at, e.value, element, rules{need: true, enum: r.enum, min: r.min, max: r.max})
		m.SetMapIndex(reflect.ValueOf(e.key), element)
		if d.budget < 0 {
			return
		}
	}
	v.Set(m)
}

// keys are the names of a struct's fields in the file.
func keys(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if name := t.Field(i).Tag.Get("yaml"); name != "" {
			names = append(names, name)
		}
	}
	return names
}

func fieldNamed(t reflect.Type, name string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if f := t.Field(i); name != "" && f.Tag.Get("yaml") == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// suggest gives "did you mean X?" for the nearest of known, or nothing if none is near.
func suggest(word string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if n := edits(strings.ToLower(word), strings.ToLower(k)); n < distance && n < len(k) {
			best, distance = k, n
		}
	}
	if best == "" {
		return ""
	}
	return "did you mean " + best + "?"
}

// edits is the Levenshtein distance, at least as far as suggest looks.
func edits(a, b string) int {
	if len(a) > len(b)+3 || len(b) > len(a)+3 {
		return 3
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
