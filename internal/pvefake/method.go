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
	oneOf      map[string]map[string]*param // by value of the parameter type
	handle     handler
}

// handler answers a call under Cluster.mu.
type handler func(*call) (any, error)

type param struct {
	name, typ, format string
	optional          bool
	enum              []string
	min, max          *float64
	minLength         int
	maxLength         int
	requires          string
	pattern           *regexp.Regexp
	defaultKey        bool            // of a property string: "x" means "name=x"
	alias, keyAlias   string          // of a property string: another name of alias, and what its key says
	inline            *propertyString // the format, where it is one
}

type methodTable struct {
	byVerb  map[string][]*method
	paths   [][]string
	formats map[string]*propertyString
}

// propertyString is the schema of a value such as "type=secure,network=10.0.0.0/24".
type propertyString struct{ props map[string]*param }

// parseMethods reads the notation of facts.go for one major version and joins it with the handlers.
// It fails when a method has no handler or a handler no facts.
func parseMethods(text string, major int, handle map[string]handler) (*methodTable, error) {
	r := &factsReader{major: major, groups: map[string][]string{}, t: &methodTable{byVerb: map[string][]*method{}, formats: map[string]*propertyString{}}}
	left := map[string]bool{}
	for k := range handle {
		left[k] = true
	}
	for _, e := range joinLines(text) {
		m, err := r.entry(e)
		if err != nil {
			return nil, err
		}
		if m == nil {
			continue
		}
		key := m.verb + " " + m.path
		if m.handle = handle[key]; m.handle == nil {
			return nil, fmt.Errorf("pvefake: no handler for %s", key)
		}
		delete(left, key)
	}
	for k := range left {
		return nil, fmt.Errorf("pvefake: no facts for handler %s", k)
	}
	r.bindFormats()
	return r.t, nil
}

// joinLines returns the fields of each entry: what is indented belongs to the line above.
func joinLines(text string) [][]string {
	var out [][]string
	for _, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case strings.HasPrefix(line, "\t"):
			out[len(out)-1] = append(out[len(out)-1], fields...)
		default:
			out = append(out, fields)
		}
	}
	return out
}

type factsReader struct {
	major  int
	t      *methodTable
	groups map[string][]string
}

// entry reads a method, or with nil a group or format.
func (r *factsReader) entry(f []string) (*method, error) {
	if len(f) < 3 {
		return nil, fmt.Errorf("pvefake: bad facts line %q", strings.Join(f, " "))
	}
	switch f[0] {
	case "GROUP":
		r.groups[f[1]] = f[2:]
		return nil, nil
	case "FORMAT":
		ps := &method{path: f[1], params: map[string]*param{}}
		r.t.formats[f[1]] = &propertyString{props: ps.params}
		return nil, ps.addParams(f[2:], r.major)
	}
	m, keep, rest, err := parseHead(f, r.major)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 && strings.HasPrefix(rest[0], "+") {
		group, ok := r.groups[rest[0][1:]]
		if !ok {
			return nil, fmt.Errorf("pvefake: %s: no group %s above it", m.path, rest[0])
		}
		rest = append(append([]string(nil), group...), rest[1:]...)
	}
	if err := m.addParams(rest, r.major); err != nil {
		return nil, err
	}
	if keep {
		r.t.byVerb[m.verb] = append(r.t.byVerb[m.verb], m)
		r.t.paths = append(r.t.paths, m.segments)
	}
	return m, nil
}

func (r *factsReader) bindFormats() {
	bind := func(params map[string]*param) {
		for _, p := range params {
			name := p.format
			if name == "pve-qm-ide" { // cdrom is a drive under a name of its own
				name = "qm-drive-ide"
			}
			p.inline = r.t.formats[name]
		}
	}
	for _, ms := range r.t.byVerb {
		for _, m := range ms {
			bind(m.params)
			for _, params := range m.oneOf {
				bind(params)
			}
		}
	}
}

func parseHead(f []string, major int) (m *method, keep bool, rest []string, err error) {
	m = &method{verb: f[0], path: f[1], segments: split(f[1]), params: map[string]*param{}}
	keep, rest = true, f[2:]
	for m.perm == "" && len(rest) > 0 {
		if text, mine := forMajor(rest[0], major); mine {
			m.perm = text
		}
		rest = rest[1:]
	}
	for len(rest) > 0 && (strings.HasPrefix(rest[0], "@") || strings.Contains(rest[0], "!/")) {
		switch rest[0] {
		case "@node":
			m.onNode = true
		case "@notoken":
			m.noToken = true
		case "@9":
			keep = major >= 9
		default:
			if strings.HasPrefix(rest[0], "@") { // what is left is the other release's permission
				return nil, false, nil, fmt.Errorf("pvefake: unknown flag %q of %s", rest[0], m.path)
			}
		}
		rest = rest[1:]
	}
	return m, keep, rest, nil
}

// forMajor removes the mark "9!" or "8!" and says whether the text is for this version.
func forMajor(f string, major int) (string, bool) {
	if v, rest, ok := strings.Cut(f, "!"); ok && (v == "8" || v == "9") {
		return rest, v == strconv.Itoa(major)
	}
	return f, true
}

func (m *method) addParams(fields []string, major int) error {
	for _, f := range fields {
		f, mine := forMajor(f, major)
		if !mine {
			continue
		}
		into := m.params
		if inst, rest, ok := strings.Cut(f, "@"); ok && !strings.ContainsAny(inst, ":~>") {
			if m.oneOf == nil {
				m.oneOf = map[string]map[string]*param{}
			}
			if m.oneOf[inst] == nil {
				m.oneOf[inst] = map[string]*param{}
			}
			into, f = m.oneOf[inst], rest
		}
		p, err := parseParam(f)
		if err != nil {
			return fmt.Errorf("pvefake: %s %s: %w", m.verb, m.path, err)
		}
		into[p.name] = p
	}
	return nil
}

// indexLimits say how many of each indexed parameter there are, from 0; the API viewer does not
// (qemu-server src/PVE/QemuServer.pm and Drive.pm, pve-cluster src/PVE/Corosync.pm).
var indexLimits = map[string]int{
	"link": 8, "net": 32, "scsi": 31, "virtio": 16, "sata": 6, "ide": 4, "hostpci": 16, "ipconfig": 32, "numa": 8,
	"parallel": 3, "serial": 4, "unused": 256, "usb": 14, "virtiofs": 10,
}

// param finds the facts of a parameter; net3 has those of net[n].
func (m *method) param(name string) *param {
	if p := m.params[name]; p != nil {
		return p
	}
	base := strings.TrimRight(name, "0123456789")
	p := m.params[base+"[n]"]
	n, err := strconv.Atoi(name[len(base):])
	if p == nil || err != nil || n >= indexLimits[base] || name != base+strconv.Itoa(n) {
		return nil
	}
	return p
}

// parseParam reads name[?]:type[/format][=a|b][>n][<n][%n][#n][&name][*][~regex] or name->alias[@key].
func parseParam(s string) (*param, error) {
	p := &param{}
	if name, alias, ok := strings.Cut(s, "->"); ok {
		p.name, p.optional = name, true
		p.alias, p.keyAlias, _ = strings.Cut(alias, "@")
		return p, nil
	}
	s, pattern, hasPattern := strings.Cut(s, "~")
	if hasPattern {
		re, err := compilePattern(pattern)
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

// compilePattern anchors a pattern and writes for Go what only Perl understands; of its counts Go takes
// none above 1000.
func compilePattern(pattern string) (*regexp.Regexp, error) {
	return regexp.Compile(`^(?:` + strings.NewReplacer("{,", "{0,", "{0,4096}", "*").Replace(pattern) + `)$`)
}

func (p *param) set(kind byte, value string) error {
	switch kind {
	case '/':
		p.format = value
	case '=':
		p.enum = strings.Split(value, "|")
	case '&':
		p.requires = value
	case '*':
		p.defaultKey = true
	default:
		n, err := strconv.ParseFloat(value, 64)
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
		case '%':
			p.minLength = int(n)
		default:
			return fmt.Errorf("unknown mark %q of %q", kind, p.name)
		}
	}
	return nil
}

func token(s string) (value, rest string) {
	if i := strings.IndexAny(s, "/=><#&%*"); i >= 0 {
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
