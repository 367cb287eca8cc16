package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"
)

// A Pace is how many times faster than written the rules of a lab run, 1 being as written. It divides
// every duration of Prometheus and Alertmanager, so that all of them stay in proportion:
//
//   - for, keep_firing_for and interval of rules, ranges, subqueries and offsets in their expressions;
//   - intervals of scrapes and evaluations, the lookback, the delay after which alerts are sent again;
//   - group_wait, group_interval and repeat_interval of routes.
//
// Numbers are left alone, also those of seconds ("time() - x > 120", "rate(x[5m]) > 1"): they are held
// against what the daemons do, and these keep their own time.
type Pace float64

func (p Pace) factor() float64 {
	if p == 0 {
		return 1
	}
	return float64(p)
}

// Of is how long d lasts at this pace.
func (p Pace) Of(d time.Duration) time.Duration {
	return time.Duration(float64(d) / p.factor()).Round(time.Millisecond)
}

// scale divides a duration as Prometheus writes it. What is more than nothing stays so.
func (p Pace) scale(text string) (string, error) {
	d, err := model.ParseDuration(text)
	if err != nil {
		return "", err
	}
	scaled := p.Of(time.Duration(d))
	if scaled == 0 && d > 0 {
		scaled = time.Millisecond
	}
	return model.Duration(scaled).String(), nil
}

// Rules returns a rule file of Prometheus at this pace.
func (p Pace) Rules(text []byte) ([]byte, error) {
	var file yaml.Node
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	for _, group := range items(value(root(&file), "groups")) {
		if err := p.scaleKeys(group, "interval", "query_offset"); err != nil {
			return nil, err
		}
		for _, rule := range items(value(group, "rules")) {
			if err := p.scaleRule(rule); err != nil {
				return nil, err
			}
		}
	}
	return yaml.Marshal(&file)
}

func (p Pace) scaleRule(rule *yaml.Node) error {
	if err := p.scaleKeys(rule, "for", "keep_firing_for"); err != nil {
		return err
	}
	expr := value(rule, "expr")
	if expr == nil {
		return fmt.Errorf("line %d: a rule without expr", rule.Line)
	}
	scaled, err := p.Expr(expr.Value)
	if err != nil {
		return fmt.Errorf("line %d: %w", expr.Line, err)
	}
	expr.Value = scaled
	return nil
}

// scaleKeys divides the durations that a mapping has under these keys.
func (p Pace) scaleKeys(mapping *yaml.Node, keys ...string) error {
	for _, key := range keys {
		v := value(mapping, key)
		if v == nil {
			continue
		}
		scaled, err := p.scale(v.Value)
		if err != nil {
			return fmt.Errorf("line %d: %s: %w", v.Line, key, err)
		}
		v.Value = scaled
	}
	return nil
}

// Expr returns a PromQL expression with its ranges, subqueries and offsets at this pace.
func (p Pace) Expr(expr string) (string, error) {
	var out strings.Builder
	for rest := expr; rest != ""; {
		n, scaled, err := p.next(rest)
		if err != nil {
			return "", fmt.Errorf("%w in %q", err, expr)
		}
		out.WriteString(scaled)
		rest = rest[n:]
	}
	return out.String(), nil
}

// next reads one piece of an expression: how long it is, and what it becomes.
func (p Pace) next(text string) (n int, scaled string, err error) {
	same := func(n int) (int, string, error) { return n, text[:n], nil }
	switch c := text[0]; {
	case c == '"' || c == '\'' || c == '`':
		n, err := quoted(text)
		if err != nil {
			return 0, "", err
		}
		return same(n)
	case c == '#':
		if end := strings.IndexByte(text, '\n'); end >= 0 {
			return same(end)
		}
		return same(len(text))
	case c == '[':
		return p.scaleRange(text)
	case isWord(c):
		n := len(text) - len(strings.TrimLeftFunc(text, func(r rune) bool { return r < 128 && isWord(byte(r)) }))
		if strings.EqualFold(text[:n], "offset") {
			return p.scaleOffset(text, n)
		}
		return same(n)
	}
	return same(1)
}

// quoted is the length of a string literal with its quotes.
func quoted(text string) (int, error) {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && text[0] != '`':
			i++
		case text[i] == text[0]:
			return i + 1, nil
		}
	}
	return 0, errors.New("a string without its end")
}

// scaleRange reads [RANGE] or [RANGE:STEP], the step of which may be empty.
func (p Pace) scaleRange(text string) (int, string, error) {
	end := strings.IndexByte(text, ']')
	if end < 0 {
		return 0, "", errors.New("a [ without its ]")
	}
	parts := strings.Split(text[1:end], ":")
	for i, part := range parts {
		if part = strings.TrimSpace(part); part == "" && i == 1 {
			continue
		}
		scaled, err := p.scale(part)
		if err != nil {
			return 0, "", err
		}
		parts[i] = scaled
	}
	return end + 1, "[" + strings.Join(parts, ":") + "]", nil
}

// scaleOffset reads a duration after the keyword, which ends at n. A label may have that name too.
func (p Pace) scaleOffset(text string, n int) (int, string, error) {
	rest := strings.TrimLeft(text[n:], " \t\n-")
	from := len(text) - len(rest)
	to := from
	for to < len(text) && isWord(text[to]) {
		to++
	}
	scaled, err := p.scale(text[from:to])
	if err != nil {
		return n, text[:n], nil
	}
	return to, text[:from] + scaled, nil
}

func isWord(c byte) bool {
	return c == '_' || c == ':' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// writeRules writes the rule files of rules, below dir, at the lab's pace and returns their paths.
func (p Pace) writeRules(rules fs.FS, dir string) ([]string, error) {
	var written []string
	err := fs.WalkDir(rules, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".yaml" && path.Ext(name) != ".yml" {
			return err
		}
		text, err := fs.ReadFile(rules, name)
		if err != nil {
			return err
		}
		scaled, err := p.Rules(text)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		target := filepath.Join(dir, filepath.FromSlash(name))
		written = append(written, target)
		return writeFile(target, scaled, 0o644)
	})
	if err == nil && len(written) == 0 {
		err = errors.New("there are no rule files (*.yaml)")
	}
	return written, err
}

// root is the content of a document, nil of an empty one.
func root(document *yaml.Node) *yaml.Node {
	if document.Kind == yaml.DocumentNode && len(document.Content) > 0 {
		return document.Content[0]
	}
	return nil
}

// value is what a mapping has under a key, nil if nothing.
func value(mapping *yaml.Node, key string) *yaml.Node {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// items are the elements of a sequence.
func items(sequence *yaml.Node) []*yaml.Node {
	if sequence == nil || sequence.Kind != yaml.SequenceNode {
		return nil
	}
	return sequence.Content
}
