package pvefake

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// method is one entry of the API: the facts of facts.go and what it does here.
type method struct {
	verb, path string
	segments   []string // of path; "{x}" matches anything
	perm       string   // as written in facts.go
	onNode     bool     // answered by the node in the path
	noToken    bool
	params     map[string]*param
	handle     handler
}

// handler answers a call under Cluster.mu.
type handler func(*call) (any, error)

type param struct {
	name, typ, format string
	optional          bool
	enum              []string
	min, max          *int64
	maxLength         int
	requires          string
	pattern           *regexp.Regexp
}

type methodTable struct {
	byVerb map[string][]*method
	paths  [][]string
}

// parseMethods reads the notation of facts.go for one major version and joins it with the handlers.
// It fails when a method has no handler or a handler no facts.
func parseMethods(text string, major int, handle map[string]handler) (*methodTable, error) {
	t := &methodTable{byVerb: map[string][]*method{}}
	left := map[string]bool{}
	for k := range handle {
		left[k] = true
	}
	var cur *method
	for _, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if !strings.HasPrefix(line, "\t") {
			m, keep, rest, err := parseHead(fields, major)
			if err != nil {
				return nil, err
			}
			key := m.verb + " " + m.path
			if m.handle = handle[key]; m.handle == nil {
				return nil, fmt.Errorf("pvefake: no handler for %s", key)
			}
			delete(left, key)
			if keep {
				t.byVerb[m.verb] = append(t.byVerb[m.verb], m)
				t.paths = append(t.paths, m.segments)
			}
			cur, fields = m, rest
		}
		if err := cur.addParams(fields, major); err != nil {
			return nil, err
		}
	}
	for k := range left {
		return nil, fmt.Errorf("pvefake: no facts for handler %s", k)
	}
	return t, nil
}

func parseHead(f []string, major int) (m *method, keep bool, rest []string, err error) {
	if len(f) < 3 {
		return nil, false, nil, fmt.Errorf("pvefake: bad facts line %q", strings.Join(f, " "))
	}
	m = &method{verb: f[0], path: f[1], perm: f[2], segments: split(f[1]), params: map[string]*param{}}
	keep, rest = true, f[3:]
	for len(rest) > 0 && strings.HasPrefix(rest[0], "@") {
		switch rest[0] {
		case "@node":
			m.onNode = true
		case "@notoken":
			m.noToken = true
		case "@9":
			keep = major >= 9
		default:
			return nil, false, nil, fmt.Errorf("pvefake: unknown flag %q of %s", rest[0], m.path)
		}
		rest = rest[1:]
	}
	return m, keep, rest, nil
}

func (m *method) addParams(fields []string, major int) error {
	for _, f := range fields {
		if v, rest, ok := strings.Cut(f, "!"); ok && (v == "8" || v == "9") {
			if v != strconv.Itoa(major) {
				continue
			}
			f = rest
		}
		p, err := parseParam(f)
		if err != nil {
			return fmt.Errorf("pvefake: %s %s: %w", m.verb, m.path, err)
		}
		m.params[p.name] = p
	}
	return nil
}

// parseParam reads name[?]:type[/format][=a|b][>n][<n][#n][&name][~regex].
func parseParam(s string) (*param, error) {
	p := &param{}
	s, pattern, hasPattern := strings.Cut(s, "~")
	if hasPattern {
		re, err := regexp.Compile(`^(?:` + pattern + `)$`)
		if err != nil {
			return nil, fmt.Errorf("pattern of %q: %w", s, err)
		}
		p.pattern = re
	}
	name, rest, ok := strings.Cut(s, ":")
	if !ok {
		return nil, fmt.Errorf("parameter %q has no type", s)
	}
	p.name, p.optional = strings.TrimSuffix(name, "?"), strings.HasSuffix(name, "?")
	p.typ, rest = token(rest)
	for rest != "" {
		kind := rest[0]
		var value string
		value, rest = token(rest[1:])
		if err := p.set(kind, value); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *param) set(kind byte, value string) error {
	switch kind {
	case '/':
		p.format = value
	case '=':
		p.enum = strings.Split(value, "|")
	case '&':
		p.requires = value
	default:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return fmt.Errorf("bound of %q: %w", p.name, err)
		}
		switch kind {
		case '>':
			p.min = &n
		case '<':
			p.max = &n
		case '#':
			p.maxLength = int(n)
		default:
			return fmt.Errorf("unknown mark %q of %q", kind, p.name)
		}
	}
	return nil
}

func token(s string) (value, rest string) {
	if i := strings.IndexAny(s, "/=><#&"); i >= 0 {
		return s[:i], s[i:]
	}
	return s, ""
}

func split(path string) []string { return strings.Split(strings.Trim(path, "/"), "/") }

// find returns the method and the values of the {x} in its path.
func (t *methodTable) find(verb, path string) (*method, map[string]string) {
	segs := split(path)
	for _, m := range t.byVerb[verb] {
		if vars, ok := match(m.segments, segs); ok {
			return m, vars
		}
	}
	return nil, nil
}

func match(pattern, segs []string) (map[string]string, bool) {
	if len(pattern) != len(segs) {
		return nil, false
	}
	vars := map[string]string{}
	for i, p := range pattern {
		if strings.HasPrefix(p, "{") {
			vars[strings.Trim(p, "{}")] = segs[i]
		} else if p != segs[i] {
			return nil, false
		}
	}
	return vars, true
}
