package spec

import (
	"bytes"
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// sections are the comments that Marshal puts above parts of the file.
func sections() map[string]string {
	return map[string]string{
		"metadata":        "At most 15 characters; it cannot be changed later.",
		"spec.access":     "How the nodes are reached. A secret is {env: NAME}, {file: PATH} or {prompt: TEXT}.",
		"spec.networks":   "One network a line of business: corosync's links, Ceph, migrations.",
		"spec.nodes":      "The first node creates the cluster, the others join in this order.",
		"spec.ceph":       "Ceph on the nodes.",
		"spec.storage":    "Entries of storage.cfg. RBD holds no backups.",
		"spec.ha":         "Groups are HA groups on PVE 8 and node-affinity rules on PVE 9.",
		"spec.guests":     "Virtual machines. What is not declared is left alone.",
		"spec.backup":     "Schedules are calendar events such as 02:00, not cron lines.",
		"spec.monitoring": "The account of the exporter, and the exporter.",
	}
}

// Marshal writes a cluster as a file that Parse reads back as the same: in the order of the types, with
// comments, without what is empty. Secrets are written as the place where they are.
func Marshal(c *Cluster) ([]byte, error) {
	e := encoder{comments: sections()}
	node := e.node(reflect.ValueOf(*c), "")
	if e.err != nil {
		return nil, e.err
	}
	if len(c.notes) > 0 {
		node.FootComment = "Left out, as this file has no words for it:\n" + strings.Join(c.notes, "\n")
	}
	var b bytes.Buffer
	w := yaml.NewEncoder(&b)
	w.SetIndent(2)
	if err := w.Encode(node); err != nil {
		return nil, fmt.Errorf("write the cluster as YAML: %w", err)
	}
	return b.Bytes(), w.Close()
}

type encoder struct {
	comments map[string]string
	err      error
}

// node makes YAML of a value.
func (e *encoder) node(v reflect.Value, path string) *yaml.Node {
	switch x := v.Interface().(type) {
	case Secret:
		return secretNode(x)
	case Value:
		return plain(string(x))
	case MiB:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(int64(x), 10)}
	case encoding.TextMarshaler:
		text, err := x.MarshalText()
		if err != nil && e.err == nil {
			e.err = fmt.Errorf("%s: %w", path, err)
		}
		return plain(string(text))
	}
	switch v.Kind() {
	case reflect.Pointer:
		return e.node(v.Elem(), path)
	case reflect.Struct:
		return e.object(v, path)
	case reflect.Map:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, key := range sortedMapKeys(v) {
			n.Content = append(n.Content, text2node(key), e.node(v.MapIndex(reflect.ValueOf(key)), join(path, key)))
		}
		return flowIfSmall(n)
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			n.Content = append(n.Content, e.node(v.Index(i), fmt.Sprintf("%s[%d]", path, i)))
		}
		return flowIfSmall(n)
	case reflect.Int:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(v.Int(), 10)}
	case reflect.Bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v.Bool())}
	}
	return text2node(v.String())
}

func (e *encoder) object(v reflect.Value, path string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("yaml")
		if name == "" || f.Tag.Get("keep") == "" && !rulesOf(f).need && isEmpty(v.Field(i)) {
			continue
		}
		at := join(path, name)
		key, value := text2node(name), e.node(v.Field(i), at)
		key.HeadComment = e.comments[at]
		n.Content = append(n.Content, key, value)
	}
	return flowIfSmall(n)
}

// isEmpty is true for what a reader would take for left out.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() == 0
	case reflect.Struct:
		if v.Type().PkgPath() == reflect.TypeFor[Cluster]().PkgPath() && v.Type() != secretType {
			// A section whose fields are all left out. Those that are kept in any case do not make it one.
			for i := range v.NumField() {
				if !isEmpty(v.Field(i)) {
					return false
				}
			}
			return true
		}
	}
	return v.IsZero()
}

func secretNode(s Secret) *yaml.Node {
	kind, place := "prompt", s.prompt
	switch {
	case s.env != "":
		kind, place = "env", s.env
	case s.file != "":
		kind, place = "file", s.file
	}
	return &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle, Content: []*yaml.Node{text2node(kind), text2node(place)}}
}

// text2node is a string, quoted if it looks like something else.
func text2node(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

// plain is text that needs no quotes if it is a number or truth value, as it is read as text anyway.
func plain(s string) *yaml.Node {
	if _, err := strconv.Atoi(s); err == nil {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: s}
	}
	if s == "true" || s == "false" {
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: s}
	}
	return text2node(s)
}

// flowWidth is how much fits on a line as {a: b, c: d}.
const flowWidth = 100

// flowIfSmall writes what is short and not nested deep on one line.
func flowIfSmall(n *yaml.Node) *yaml.Node {
	if width, ok := flat(n, 2); ok && width <= flowWidth && len(n.Content) > 0 {
		n.Style = yaml.FlowStyle
	}
	if len(n.Content) == 0 {
		n.Style = yaml.FlowStyle // {} and []
	}
	return n
}

// flat is the width of a node on one line; ok is false if it holds more levels or a comment.
func flat(n *yaml.Node, levels int) (width int, ok bool) {
	if n.HeadComment != "" {
		return 0, false
	}
	if n.Kind == yaml.ScalarNode {
		return len(n.Value) + 2, !strings.Contains(n.Value, "\n")
	}
	if levels == 0 {
		return 0, false
	}
	for _, c := range n.Content {
		w, ok := flat(c, levels-1)
		if !ok {
			return 0, false
		}
		width += w + 2
	}
	return width, true
}

func sortedMapKeys(v reflect.Value) []string {
	m := make(map[string]bool, v.Len())
	for _, key := range v.MapKeys() {
		m[key.String()] = true
	}
	return sortedKeys(m)
}
