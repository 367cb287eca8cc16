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
// turns broken JSON into a strange parameter name.
func decodeBody(contentType, body string) (map[string]string, map[string]string, error) {
	bad := map[string]string{}
	out := map[string]string{}
	if strings.HasPrefix(contentType, "application/json") && strings.TrimSpace(body) != "" {
		var v any
		d := json.NewDecoder(strings.NewReader(body))
		d.UseNumber()
		if err := d.Decode(&v); err == nil {
			m, ok := v.(map[string]any)
			if !ok {
				return nil, nil, fail(500, "Not a HASH reference at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line 978.")
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
	}
}

// check holds params against the method's facts as PVE::JSONSchema does: source of the texts is
// pve-common src/PVE/JSONSchema.pm, seen in the refused requests of the recordings.
func (m *method) check(params map[string]string) error {
	errs := map[string]string{}
	for name, p := range m.params {
		v, given := params[name]
		if !given {
			if !p.optional {
				errs[name] = "property is missing and it is not optional"
			}
			continue
		}
		if e := p.check(v); e != "" {
			errs[name] = e
		} else if _, ok := params[p.requires]; p.requires != "" && !ok {
			errs[p.requires] = fmt.Sprintf("missing property - '%s' requires this property", name)
		}
	}
	for name := range params {
		if m.params[name] == nil && !m.inPath(name) {
			errs[name] = "property is not defined in schema and the schema does not allow additional properties"
		}
	}
	if len(errs) > 0 {
		return invalid(errs)
	}
	return nil
}

func (m *method) inPath(name string) bool {
	for _, s := range m.segments {
		if s == "{"+name+"}" {
			return true
		}
	}
	return false
}

// check returns what is wrong with v, "" if nothing is.
func (p *param) check(v string) string {
	if e := p.checkType(v); e != "" {
		return e
	}
	if p.format != "" {
		if e := checkFormat(p.format, v); e != "" {
			return "invalid format - " + e
		}
	}
	switch {
	case p.pattern != nil && !p.pattern.MatchString(v):
		return "value does not match the regex pattern"
	case p.maxLength > 0 && len(v) > p.maxLength:
		return fmt.Sprintf("value may only be %d characters long", p.maxLength)
	case p.enum != nil && !contains(p.enum, v):
		return fmt.Sprintf("value '%s' does not have a value in the enumeration '%s'", v, strings.Join(p.enum, ", "))
	}
	return ""
}

func (p *param) checkType(v string) string {
	bad := fmt.Sprintf("type check ('%s') failed - got '%s'", p.typ, v)
	switch p.typ {
	case "string":
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
	if p.format != "" && checkFormat(p.format, v) != "" {
		return ""
	}
	n, err := strconv.ParseFloat(v, 64)
	switch {
	case err != nil:
		return "value is out of range"
	case p.min != nil && n < float64(*p.min):
		return fmt.Sprintf("value must have a minimum value of %d", *p.min)
	case p.max != nil && n > float64(*p.max):
		return fmt.Sprintf("value must have a maximum value of %d", *p.max)
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
