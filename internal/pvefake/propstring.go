package pvefake

import (
	"fmt"
	"sort"
	"strings"
)

// check returns what is wrong with a property string (pve-common src/PVE/JSONSchema.pm
// parse_property_string and check_format), each fault on a line of its own.
func (f *propertyString) check(name, v string) string {
	values, fault := f.parse(v)
	if fault != "" {
		return fault + "\n"
	}
	errs := checkAll(f.props, func(n string) *param { return f.props[n] }, values, nil)
	for k := range values {
		if f.props[k] == nil {
			errs[k] = notInSchema
		}
	}
	if len(errs) == 0 {
		return ""
	}
	keys := make([]string, 0, len(errs))
	for k := range errs {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var b strings.Builder
	b.WriteString("format error\n")
	for _, k := range keys {
		fmt.Fprintf(&b, "%s.%s: %s\n", name, k, errs[k])
	}
	return b.String()
}

// parse splits "x,key=value": x belongs to the default key.
func (f *propertyString) parse(v string) (values map[string]string, fault string) {
	values = map[string]string{}
	for _, part := range strings.Split(v, ",") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			if key = f.defaultKey(); key == "" {
				return nil, "value without key, but schema does not define a default key"
			}
			if _, dup := values[key]; dup {
				return nil, "duplicate key in comma-separated list property: " + key
			}
			value = part
		}
		if p := f.props[key]; p != nil && p.alias != "" {
			if p.keyAlias != "" {
				values[p.keyAlias] = key
			}
			key = p.alias
		}
		if _, dup := values[key]; dup {
			return nil, "duplicate key in comma-separated list property: " + key
		}
		values[key] = value
	}
	return values, ""
}

func (f *propertyString) defaultKey() string {
	for name, p := range f.props {
		if p.defaultKey {
			return name
		}
	}
	return ""
}

// properties reads a property string of a known good value: "a,b=c" with a under the key first.
func properties(v, first string) map[string]string {
	out := map[string]string{}
	for _, part := range strings.Split(v, ",") {
		if part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			key, value = first, part
		}
		out[key] = value
	}
	return out
}
