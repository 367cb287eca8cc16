package pvedropin

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/quorate/quorate/internal/source/pve"
)

// DefaultConfigFile is where prometheus-pve-exporter looks for pve.yml.
const DefaultConfigFile = "/etc/prometheus/pve.yml"

// Modules are the sections of a pve.yml by name.
type Modules map[string]Module

// A Module says as whom to ask, and whom to believe.
type Module struct {
	Auth pve.Auth
	// Insecure believes any certificate: verify_ssl is false.
	Insecure bool
	CAFile   string // instead of the system's CAs: verify_ssl is a path
	Port     uint16 // of targets that name none; 0 means pve.DefaultPort
	Timeout  time.Duration
}

// Load returns the modules that the environment names, else those of file. As in
// prometheus-pve-exporter the environment wins if it has PVE_USER, even when there is a file.
func Load(file string, env func(string) (string, bool)) (Modules, error) {
	if _, ok := env("PVE_USER"); ok {
		return FromEnv(env)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the modules of /pve: %w", err)
	}
	return Parse(file, b)
}

// FromEnv reads PVE_USER, PVE_PASSWORD, PVE_TOKEN_NAME, PVE_TOKEN_VALUE, PVE_VERIFY_SSL and
// PVE_MODULE.
func FromEnv(env func(string) (string, bool)) (Modules, error) {
	get := func(name string) string {
		v, _ := env(name)
		return v
	}
	r := raw{
		user: get("PVE_USER"), password: get("PVE_PASSWORD"),
		tokenName: get("PVE_TOKEN_NAME"), tokenValue: get("PVE_TOKEN_VALUE"),
	}
	m, err := r.module()
	if err != nil {
		return nil, fmt.Errorf("environment PVE_*: %w", err)
	}
	if v, ok := env("PVE_VERIFY_SSL"); ok {
		switch strings.ToLower(v) {
		case "false", "0":
			m.Insecure = true
		}
	}
	return Modules{cmp.Or(get("PVE_MODULE"), defaultModule): m}, nil
}

const defaultModule = "default"

// raw is a module as it is written.
type raw struct{ user, password, tokenName, tokenValue string }

func (r raw) module() (Module, error) {
	switch {
	case r.user == "":
		return Module{}, errors.New("no user, want USER@REALM")
	case !strings.Contains(r.user, "@"):
		return Module{}, fmt.Errorf("user %q is not of the form USER@REALM", r.user)
	case r.tokenName != "" && r.tokenValue == "":
		return Module{}, errors.New("token_name without token_value")
	case r.tokenName == "" && r.tokenValue != "":
		return Module{}, errors.New("token_value without token_name")
	case r.tokenName != "": // wins over a password
		if strings.ContainsAny(r.user+r.tokenName, "!= \r\n\t") {
			return Module{}, errors.New("user or token_name holds a character that no token id has; token_name is what follows the ! in it")
		}
		return Module{Auth: pve.Auth{TokenID: r.user + "!" + r.tokenName, TokenSecret: pve.NewSecret(r.tokenValue)}}, nil
	case r.password == "":
		return Module{}, errors.New("neither token_name and token_value nor password")
	}
	return Module{Auth: pve.Auth{User: r.user, Password: pve.NewSecret(r.password)}}, nil
}

// maxConfig bounds a pve.yml, in bytes.
const maxConfig = 1 << 20

// Parse reads a pve.yml. Its errors name file and line and show no value that may be a secret.
func Parse(file string, text []byte) (Modules, error) {
	p := &parser{file: file}
	if len(text) > maxConfig {
		return nil, fmt.Errorf("%s: larger than %d bytes", file, maxConfig)
	}
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%s: empty, want a section for each module", file)
	case err != nil:
		return nil, p.syntax(err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: more than one document", file)
	}
	sections, err := p.mapping(doc.Content[0], "a section for each module", 0)
	if err != nil {
		return nil, err
	}
	all := Modules{}
	for _, s := range sections {
		m, err := p.module(s)
		if err != nil {
			return nil, err
		}
		all[s.name] = m
	}
	return all, nil
}

type parser struct {
	file string
	seen int // keys, also those that merge keys bring
}

func (p *parser) at(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", p.file, n.Line, fmt.Sprintf(format, args...))
}

// syntax gives the line of the library's errors in our form. Some of them quote the text.
func (p *parser) syntax(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line, what, ok := strings.Cut(strings.TrimPrefix(text, "line "), ": ")
	if n, e := strconv.Atoi(line); e == nil && ok {
		return fmt.Errorf("%s:%d: no YAML: %s", p.file, n, unquoted(what))
	}
	return fmt.Errorf("%s: no YAML: %s", p.file, unquoted(text))
}

// unquoted cuts what a message quotes of the file: it may be a secret.
func unquoted(s string) string {
	if i := strings.IndexAny(s, "'\"`"); i >= 0 {
		s = s[:i] + "…"
	}
	return s
}

// An entry is a key of a mapping and its value.
type entry struct {
	name  string
	key   *yaml.Node
	value *yaml.Node
}

// maxNesting and maxKeys bound merge keys, which may name their own mapping.
const (
	maxNesting = 8
	maxKeys    = 10_000
)

// mapping lists the entries of n. What a merge key (<<) brings stands behind them, unless n has a
// key of that name.
func (p *parser) mapping(n *yaml.Node, want string, depth int) ([]entry, error) {
	n = resolve(n)
	switch {
	case depth > maxNesting:
		return nil, p.at(n, "too many merge keys in each other")
	case n.Kind != yaml.MappingNode:
		return nil, p.at(n, "want %s", want)
	case len(n.Content) == 0:
		return nil, p.at(n, "empty, want %s", want)
	}
	if p.seen += len(n.Content) / 2; p.seen > maxKeys {
		return nil, p.at(n, "more than %d keys", maxKeys)
	}
	var own, merged []entry
	seen := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := resolve(n.Content[i]), n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			return nil, p.at(key, "a key must be a word")
		}
		if key.Value == "<<" && key.ShortTag() == "!!merge" {
			more, err := p.merge(value, want, depth)
			if err != nil {
				return nil, err
			}
			merged = append(merged, more...)
			continue
		}
		if seen[key.Value] {
			return nil, p.at(key, "%q is there twice", shown(key.Value))
		}
		seen[key.Value] = true
		own = append(own, entry{key.Value, key, value})
	}
	for _, e := range merged {
		if !seen[e.name] {
			seen[e.name] = true
			own = append(own, e)
		}
	}
	return own, nil
}

func (p *parser) merge(n *yaml.Node, want string, depth int) ([]entry, error) {
	n = resolve(n)
	if n.Kind != yaml.SequenceNode {
		return p.mapping(n, want, depth+1)
	}
	var all []entry
	for _, c := range n.Content {
		more, err := p.mapping(c, want, depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// shown is a name as an error may print it.
func shown(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// keys are what a module may hold. The rest of what proxmoxer takes has no meaning here.
var keys = map[string]func(p *parser, m *Module, r *raw, v *yaml.Node) error{
	"user":        text(func(r *raw) *string { return &r.user }),
	"password":    text(func(r *raw) *string { return &r.password }),
	"token_name":  text(func(r *raw) *string { return &r.tokenName }),
	"token_value": text(func(r *raw) *string { return &r.tokenValue }),
	"verify_ssl":  (*parser).verify,
	"port":        (*parser).port,
	"timeout":     (*parser).timeout,
	"backend":     only("https"),
	"service":     only("PVE"),
}

func (p *parser) module(section entry) (Module, error) {
	entries, err := p.mapping(section.value, "user with token_name and token_value, or with password", 0)
	if err != nil {
		return Module{}, err
	}
	var m Module
	var r raw
	for _, e := range entries {
		set := keys[e.name]
		if set == nil {
			return Module{}, p.at(e.key, "module %q: unknown key %q", shown(section.name), shown(e.name))
		}
		if err := set(p, &m, &r, resolve(e.value)); err != nil {
			return Module{}, err
		}
	}
	who, err := r.module()
	if err != nil {
		return Module{}, p.at(section.key, "module %q: %v", shown(section.name), err)
	}
	m.Auth = who.Auth
	return m, nil
}

// text reads a string. A number is one only if it is written as it would be printed.
func text(of func(*raw) *string) func(*parser, *Module, *raw, *yaml.Node) error {
	return func(p *parser, _ *Module, r *raw, v *yaml.Node) error {
		_, err := strconv.ParseUint(v.Value, 10, 63)
		number := err == nil && (v.Value == "0" || v.Value[0] != '0')
		if v.Kind != yaml.ScalarNode || v.ShortTag() != "!!str" && !number {
			return p.at(v, "YAML takes this for something else than text: put it into quotes")
		}
		*of(r) = v.Value
		return nil
	}
}

// verify reads a truth value as YAML 1.1 has them, or the path of a file with CAs.
func (p *parser) verify(m *Module, _ *raw, v *yaml.Node) error {
	switch strings.ToLower(v.Value) {
	case "true", "yes", "on", "1":
	case "false", "no", "off", "0":
		m.Insecure = true
	default:
		if v.Kind != yaml.ScalarNode || !strings.HasPrefix(v.Value, "/") {
			return p.at(v, "verify_ssl: want true, false, or the path of a file with CAs")
		}
		m.CAFile = v.Value
	}
	return nil
}

func (p *parser) port(m *Module, _ *raw, v *yaml.Node) error {
	n, err := strconv.ParseUint(v.Value, 10, 16)
	if err != nil || n == 0 {
		return p.at(v, "port: want a number from 1 to 65535")
	}
	m.Port = uint16(n)
	return nil
}

func (p *parser) timeout(m *Module, _ *raw, v *yaml.Node) error {
	s, err := strconv.ParseFloat(v.Value, 64)
	if err != nil || !(s > 0 && s <= 3600) {
		return p.at(v, "timeout: want seconds, at most 3600")
	}
	m.Timeout = time.Duration(s * float64(time.Second))
	return nil
}

// only accepts a key of which one value alone makes sense here.
func only(value string) func(*parser, *Module, *raw, *yaml.Node) error {
	return func(p *parser, _ *Module, _ *raw, v *yaml.Node) error {
		if v.Value != value {
			return p.at(v, "only %s is supported", value)
		}
		return nil
	}
}
