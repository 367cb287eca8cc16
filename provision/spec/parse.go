package spec

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxSize is far above any cluster; what is larger was given by mistake.
const maxSize = 1 << 20

// Parse reads cluster.yaml, fills in the defaults and validates it. name is the file's name for
// messages. The error is an Errors with all that is wrong; Cluster is nil then.
func Parse(name string, data []byte) (*Cluster, error) {
	c, errs := parse(name, data)
	if len(errs) > 0 {
		return nil, errs.sorted()
	}
	return c, nil
}

func parse(name string, data []byte) (*Cluster, Errors) {
	body, err := document(name, data)
	if err != nil {
		return nil, Errors{*err}
	}
	d := decoder{file: name, where: map[string]Position{}, anchors: anchors{}, budget: maxValues}
	ast.Walk(d.anchors, body)
	c := &Cluster{file: name, where: d.where}
	d.value("", body, reflect.ValueOf(c).Elem(), rules{need: true})
	if len(d.errs) > 0 {
		// What could not be read would be reported a second time as missing.
		return nil, d.errs
	}
	c.applyDefaults()
	return c, c.Validate()
}

// document is the one YAML document in data.
func document(name string, data []byte) (ast.Node, *Error) {
	fail := func(p Position, message, fix string) (ast.Node, *Error) {
		return nil, &Error{File: name, Line: p.Line, Column: p.Column, Message: message, Fix: fix}
	}
	start := Position{Line: 1, Column: 1}
	if len(data) > maxSize {
		return fail(start, fmt.Sprintf("the file has %d bytes, more than %d", len(data), maxSize), "")
	}
	if depth(data) > maxDepth {
		return fail(start, fmt.Sprintf("more than %d brackets are open or levels are nested", maxDepth), "")
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		// Error() of the library quotes lines of the file, where a secret may stand.
		var syntax yaml.Error
		if errors.As(err, &syntax) {
			return fail(position(syntax.GetToken()), syntax.GetMessage(), "")
		}
		return fail(start, "not YAML", "")
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc == nil || doc.Body == nil {
			continue
		}
		if body != nil {
			return fail(position(doc.Body.GetToken()), "a second document begins here", "one file describes one cluster")
		}
		body = doc.Body
	}
	if body == nil {
		return fail(start, "the file is empty", "quorate provision init writes one to start from")
	}
	return body, nil
}

// maxDepth is far above what our types nest. The parser's time grows with the square of the depth.
const maxDepth = 200

// depth is at least how deep the text nests: open brackets, and dashes at the beginning of a line.
func depth(data []byte) int {
	most, open, dashes, begins := 0, 0, 0, true
	for _, c := range data {
		switch c {
		case '[', '{':
			open++
		case ']', '}':
			open = max(open-1, 0)
		case '\n':
			dashes, begins = 0, true
			continue
		}
		if begins = begins && (c == '-' || c == ' ' || c == '?'); begins && c != ' ' {
			dashes++
		}
		most = max(most, open, dashes)
	}
	return most
}

// position is where a token stands; the library leaves some without one.
func position(t *token.Token) Position {
	if t == nil || t.Position == nil || t.Position.Line < 1 {
		return Position{Line: 1, Column: 1}
	}
	return Position{Line: t.Position.Line, Column: max(t.Position.Column, 1)}
}

// Where is the place of a field, such as spec.nodes[1].name, in the file the cluster was read from,
// or that of the nearest field around it. It is zero if there was no file.
func (c *Cluster) Where(path string) Position {
	for {
		if p, ok := c.where[path]; ok {
			return p
		}
		if path == "" {
			return Position{}
		}
		path = parent(path)
	}
}

// File is the name of the file the cluster was read from; empty if there was none.
func (c *Cluster) File() string { return c.file }

// has is true if the file itself gives the field.
func (c *Cluster) has(path string) bool {
	_, ok := c.where[path]
	return ok
}

// parent cuts the last .key or [index] from a path.
func parent(path string) string {
	for i := len(path) - 1; i > 0; i-- {
		if path[i] == '.' || path[i] == '[' {
			return path[:i]
		}
	}
	return ""
}
