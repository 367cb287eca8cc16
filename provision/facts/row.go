package facts

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/internal/source/pve"
)

// A row is a JSON object as Proxmox VE sends it, where a number may come as text. What cannot be read
// is remembered in err and makes the whole fact unknown.
type row struct {
	fields map[string]json.RawMessage
	err    error
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *row) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &r.fields) }

func (r *row) has(name string) bool {
	raw, ok := r.fields[name]
	return ok && string(raw) != "null"
}

// get decodes a field that may be missing.
func (r *row) get(name string, into any) {
	raw, ok := r.fields[name]
	if !ok || string(raw) == "null" {
		return
	}
	if err := json.Unmarshal(raw, into); err != nil && r.err == nil {
		r.err = fmt.Errorf("field %q: %w", name, err)
	}
}

func (r *row) text(name string) string {
	var t pve.Text
	r.get(name, &t)
	return string(t)
}

func (r *row) int64(name string) int64 {
	var i pve.Int
	r.get(name, &i)
	return i.V
}

func (r *row) int(name string) int { return int(r.int64(name)) }

func (r *row) bool(name string) bool {
	var b pve.Bool
	r.get(name, &b)
	return b.V
}

// boolOr is a truth value with a default.
func (r *row) boolOr(name string, unset bool) bool {
	if !r.has(name) {
		return unset
	}
	return r.bool(name)
}

// object is a nested object; one without fields if it is missing or something else.
func (r *row) object(name string) *row {
	inner := &row{}
	if raw, ok := r.fields[name]; ok && len(raw) > 0 && raw[0] == '{' {
		r.get(name, inner)
	}
	return inner
}

// objects is a nested list of objects.
func (r *row) objects(name string) []*row {
	var list []*row
	r.get(name, &list)
	return list
}

func (r *row) texts(name string) []string {
	var list []pve.Text
	r.get(name, &list)
	out := make([]string, len(list))
	for i, t := range list {
		out[i] = string(t)
	}
	return out
}

// list splits a text at commas, semicolons and spaces, and sorts it: Proxmox keeps no order.
func (r *row) list(name string) []string {
	parts := strings.FieldsFunc(r.text(name), func(c rune) bool { return c == ',' || c == ';' || c == ' ' })
	slices.Sort(parts)
	return parts
}

// numbers is a list of VMIDs.
func (r *row) numbers(name string) []int {
	var out []int
	for _, s := range r.list(name) {
		n, err := strconv.Atoi(s)
		if err != nil && r.err == nil {
			r.err = fmt.Errorf("field %q: %q is no number", name, s)
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// properties is a property string, a=b,c=d, or an object of the same.
func (r *row) properties(name string) map[string]string {
	raw := r.fields[name]
	if len(raw) > 0 && raw[0] == '{' {
		inner := r.object(name)
		out := map[string]string{}
		for _, key := range slices.Sorted(maps.Keys(inner.fields)) {
			out[key] = inner.text(key)
		}
		if r.err == nil {
			r.err = inner.err
		}
		return out
	}
	return ParseProperties(r.text(name))
}

// keep is a prune-backups property: how many of each.
func (r *row) keep(name string) map[string]int {
	out := map[string]int{}
	for key, value := range r.properties(name) {
		if n, err := strconv.Atoi(value); err == nil && n > 0 {
			out[strings.TrimPrefix(key, "keep-")] = n
		}
	}
	delete(out, "all") // it says that nothing is pruned
	return out
}

// ParseProperties splits a property string such as vm-storage:vm-100-disk-0,size=8G,discard=on. The
// part without = has the key "".
func ParseProperties(s string) map[string]string {
	out := map[string]string{}
	for _, part := range strings.Split(s, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case part == "":
		case ok:
			out[key] = value
		default:
			out[""] = key
		}
	}
	return out
}

// priorities reads pve1:2,pve2:1,pve3; a node without a number has priority 0.
func priorities(list []string) map[string]int {
	out := map[string]int{}
	for _, item := range list {
		name, number, _ := strings.Cut(item, ":")
		n, _ := strconv.Atoi(number)
		out[name] = n
	}
	return out
}
