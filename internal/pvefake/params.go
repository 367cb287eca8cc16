package pvefake

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

var (
	integerRE = regexp.MustCompile(`^[+-]?\d+$`)
	numberRE  = regexp.MustCompile(`^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$`)
	booleanRE = regexp.MustCompile(`(?i)^(1|on|yes|true|0|off|no|false)$`)
	truthRE   = regexp.MustCompile(`(?i)^(1|on|yes|true)$`)
)

// decodeBody reads a form or JSON body as pveproxy does. What is not JSON is read as a form, which
// turns broken JSON into a strange parameter name. Lists come joined with a zero byte, and bad says
// what is no text: an error unless the parameter is a list.
func decodeBody(contentType, body string) (params, bad map[string]string, err error) {
	bad = map[string]string{}
	out := map[string]string{}
	if strings.HasPrefix(contentType, "application/json") && strings.TrimSpace(body) != "" {
		var v any
		d := json.NewDecoder(strings.NewReader(body))
		d.UseNumber()
		if err := d.Decode(&v); err == nil {
			m, ok := v.(map[string]any)
			if !ok {
				return nil, nil, fail(500, "Not a HASH reference at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line 978.").bare()
			}
			for k, e := range m {
				flatten(k, e, out, bad)
			}
			return out, bad, nil
		}
	}
	form, err := url.ParseQuery(body)
	if err != nil {
		form = url.Values{body: {""}}
	}
	for k, vs := range form {
		out[k] = strings.Join(vs, "\x00")
	}
	return out, bad, nil
}

func flatten(k string, v any, out, bad map[string]string) {
	switch t := v.(type) {
	case string:
		out[k] = t
	case json.Number:
		out[k] = t.String()
	case bool:
		out[k] = "0"
		if t {
			out[k] = "1"
		}
	case nil:
	case map[string]any:
		bad[k] = "type check ('string') failed - got HASH"
	case []any:
		bad[k] = "type check ('string') failed - got ARRAY"
		parts := make([]string, len(t))
		for i, e := range t {
			parts[i] = fmt.Sprint(e)
		}
		out[k] = strings.Join(parts, "\x00")
	}
}

// check holds params against the method's facts as PVE::JSONSchema does: source of the texts is
// pve-common src/PVE/JSONSchema.pm, seen in the refused requests of the recordings.
func (m *method) check(params, bad map[string]string) error {
	errs := checkAll(m.params, m.param, params, bad)
	other := m.checkInstance(params, bad, errs)
	for name := range params {
		if m.param(name) == nil && !m.inPath(name) && !other[name] {
			errs[name] = notInSchema
		}
	}
	if len(errs) > 0 {
		return invalid(errs)
	}
	return nil
}

const notInSchema = "property is not defined in schema and the schema does not allow additional properties"

func checkAll(all map[string]*param, find func(string) *param, params, bad map[string]string) map[string]string {
	errs := map[string]string{}
	for name, p := range all {
		if _, given := params[name]; !given && !p.optional && p.alias == "" && !strings.HasSuffix(name, "[n]") {
			errs[name] = "property is missing and it is not optional"
		}
	}
	for name, v := range params {
		p := find(name)
		if p == nil {
			continue
		}
		e := p.check(name, v)
		if bad[name] != "" && p.typ != "array" {
			e = bad[name]
		}
		if e != "" {
			errs[name] = e
		} else if _, ok := params[p.requires]; p.requires != "" && !ok {
			errs[p.requires] = fmt.Sprintf("missing property - '%s' requires this property", name)
		}
	}
	return errs
}

// checkInstance checks the parameters that depend on the value of type, and returns their names.
func (m *method) checkInstance(params, bad, errs map[string]string) map[string]bool {
	of := m.oneOf[params["type"]]
	names := map[string]bool{}
	for name, e := range checkAll(of, func(n string) *param { return of[n] }, params, bad) {
		errs["oneOf["+params["type"]+"]."+name] = e
	}
	for name := range of {
		names[name] = true
	}
	return names
}

func (m *method) inPath(name string) bool {
	for _, s := range m.segments {
		if s == "{"+name+"}" {
			return true
		}
	}
	return false
}

// check returns what is wrong with v, "" if nothing is. name is that of the parameter in the request.
func (p *param) check(name, v string) string {
	if e := p.checkType(v); e != "" {
		return e
	}
	if e := p.checkFormat(name, v); e != "" {
		return "invalid format - " + e
	}
	switch {
	case p.minLength > 0 && len(v) < p.minLength:
		return fmt.Sprintf("value must be at least %d characters long", p.minLength)
	case p.pattern != nil && !p.pattern.MatchString(v):
		return "value does not match the regex pattern"
	case p.maxLength > 0 && len(v) > p.maxLength:
		return fmt.Sprintf("value may only be %d characters long", p.maxLength)
	case p.enum != nil && !contains(p.enum, v):
		return fmt.Sprintf("value '%s' does not have a value in the enumeration '%s'", v, strings.Join(p.enum, ", "))
	}
	return ""
}

func (p *param) checkFormat(name, v string) string {
	switch {
	case p.inline != nil:
		return p.inline.check(name, v)
	case p.format != "":
		return checkFormat(p.format, name, v)
	}
	return ""
}

func (p *param) checkType(v string) string {
	bad := fmt.Sprintf("type check ('%s') failed - got '%s'", p.typ, v)
	switch p.typ {
	case "string", "array":
		return ""
	case "boolean":
		if !booleanRE.MatchString(v) {
			return bad
		}
		return ""
	case "integer":
		if !integerRE.MatchString(v) {
			return bad
		}
	case "number":
		if !numberRE.MatchString(v) {
			return bad
		}
	default:
		return fmt.Sprintf("type '%s' is not known to this fake", p.typ) // closed, not open
	}
	return p.checkBounds(v)
}

func (p *param) checkBounds(v string) string {
	// A named format speaks first: vmid 99 is "not a valid VM ID", not "below the minimum".
	if p.format != "" && p.checkFormat("", v) != "" {
		return ""
	}
	n, err := strconv.ParseFloat(v, 64)
	switch {
	case err != nil:
		return "value is out of range"
	case p.min != nil && n < *p.min:
		return fmt.Sprintf("value must have a minimum value of %s", strconv.FormatFloat(*p.min, 'f', -1, 64))
	case p.max != nil && n > *p.max:
		return fmt.Sprintf("value must have a maximum value of %s", strconv.FormatFloat(*p.max, 'f', -1, 64))
	}
	return ""
}

func contains(all []string, v string) bool {
	for _, a := range all {
		if a == v {
			return true
		}
	}
	return false
}

func truth(v string) bool { return truthRE.MatchString(v) }
