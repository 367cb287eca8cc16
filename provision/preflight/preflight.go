package preflight

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/provision/facts"
	"github.com/quorate/quorate/provision/spec"
)

// Level says how bad a finding is.
type Level int

// The levels. An Error stops plan and apply unless its check is ignored.
const (
	Info Level = iota
	Warning
	Error
)

// String gives info, warning or error.
func (l Level) String() string { return [...]string{"info", "warning", "error"}[l] }

// MarshalText gives the same for JSON.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// A Finding is something a check does not like.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	// Node it is about; empty for the whole cluster.
	Node string `json:"node,omitempty"`
	// File, Line and Column of the field; zero if it is not about one.
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
	Path   string `json:"path,omitempty"`
	// Found is a sentence, Fix what to do.
	Found string `json:"found"`
	Fix   string `json:"fix"`
	// Unknown means that the check could not be made.
	Unknown bool `json:"unknown,omitempty"`
	// Ignored means that it would be an error but for --ignore-preflight.
	Ignored bool `json:"ignored,omitempty"`
}

// String is one line: file:line:column: error: Check: node: found (fix).
func (f Finding) String() string {
	var b strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&b, "%s:%d:%d: ", f.File, f.Line, f.Column)
	}
	fmt.Fprintf(&b, "%s: %s: ", f.Level, f.Check)
	if f.Node != "" {
		fmt.Fprintf(&b, "%s: ", f.Node)
	}
	b.WriteString(f.Found)
	if f.Fix != "" {
		fmt.Fprintf(&b, " (%s)", f.Fix)
	}
	if f.Ignored {
		b.WriteString(" [ignored]")
	}
	return b.String()
}

// Input is what checks look at.
type Input struct {
	Spec *spec.Cluster
	// Facts of the machines; nil runs only the checks that need the file alone.
	Facts *facts.Cluster
	// Now decides which Ceph releases are out of support.
	Now time.Time
}

// A Check is one question.
type Check struct {
	Name string
	// Level of its worst finding.
	Level Level
	// Help is what it asks, in one line.
	Help string
	// Facts is true if the file alone is not enough.
	Facts bool

	run func(*run)
}

// Report is the outcome of all checks.
type Report struct {
	Findings []Finding `json:"findings"`
	// Passed are the names of the checks that had nothing to say.
	Passed []string `json:"passed"`
}

// Failed is true if there is an error that was not ignored.
func (r Report) Failed() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Level == Error })
}

// Count returns the number of findings of a level.
func (r Report) Count(l Level) int {
	n := 0
	for _, f := range r.Findings {
		if f.Level == l {
			n++
		}
	}
	return n
}

// All ignores every check.
const All = "all"

// Run makes the checks. The findings of those named in ignore are warnings at most. An unknown name
// there is an error: it would ignore nothing.
func Run(in Input, ignore []string) (Report, error) {
	checks := Checks()
	for _, name := range ignore {
		if name != All && !slices.ContainsFunc(checks, func(c Check) bool { return c.Name == name }) {
			return Report{}, fmt.Errorf("no check is called %q (docs/preflight.md lists them)", name)
		}
	}
	report := Report{Findings: []Finding{}, Passed: []string{}}
	for _, c := range checks {
		if c.Facts && in.Facts == nil {
			continue
		}
		found := c.make(in)
		if len(found) == 0 {
			report.Passed = append(report.Passed, c.Name)
		}
		if slices.Contains(ignore, c.Name) || slices.Contains(ignore, All) {
			for i := range found {
				if found[i].Level == Error {
					found[i].Level, found[i].Ignored = Warning, true
				}
			}
		}
		report.Findings = append(report.Findings, found...)
	}
	slices.SortStableFunc(report.Findings, func(a, b Finding) int { return int(b.Level) - int(a.Level) })
	return report, nil
}

func (c Check) make(in Input) []Finding {
	r := &run{Input: in, check: c, spec: &in.Spec.Spec}
	c.run(r)
	return r.found
}

// run is one check at work.
type run struct {
	Input
	check Check
	spec  *spec.Spec
	found []Finding
}

// say notes a finding about a field.
func (r *run) say(l Level, path, fix, format string, args ...any) {
	f := Finding{Check: r.check.Name, Level: l, Path: path, Found: fmt.Sprintf(format, args...), Fix: fix}
	if p := r.Spec.Where(path); path != "" && p.Line > 0 {
		f.File, f.Line, f.Column = r.Spec.File(), p.Line, p.Column
	}
	r.found = append(r.found, f)
}

// sayOn notes a finding about a node.
func (r *run) sayOn(node string, l Level, fix, format string, args ...any) {
	r.found = append(r.found, Finding{Check: r.check.Name, Level: l, Node: node, Found: fmt.Sprintf(format, args...), Fix: fix})
}

// unknown notes that something could not be read. That is a warning: it may well be right.
func (r *run) unknown(node, what string, why error) {
	// The way to the fact is the news, and facts name it already.
	f := Finding{Check: r.check.Name, Level: Warning, Node: node, Unknown: true, Found: fmt.Sprintf("%s could not be read: %v", what, why)}
	f.Fix = "check it by hand, or give access and run again"
	r.found = append(r.found, f)
}

// known returns a fact, or notes that it is not known.
func known[T any](r *run, node, what string, k facts.Known[T]) (T, bool) {
	v, ok := k.Get()
	if !ok {
		r.unknown(node, what, k.Err())
	}
	return v, ok
}

// running is true if a task of one of the types is at work on the node: what it leaves half done is no
// fault, and apply waits for it.
func (n node) running(types ...string) bool {
	return slices.ContainsFunc(n.facts.Running.Or(nil), func(t string) bool { return slices.Contains(types, t) })
}

// node is a node of the spec with its facts.
type node struct {
	spec.Node
	path  string
	facts facts.Node
}

// nodes are those of the spec that answered; Reachable tells of the others.
func (r *run) nodes() []node {
	var out []node
	for i, n := range r.spec.Nodes {
		if f, ok := r.Facts.Node(n.Name); ok && f.Version.Err() == nil {
			out = append(out, node{n, fmt.Sprintf("spec.nodes[%d]", i), f})
		}
	}
	return out
}

// Names splits a list of names at its commas.
func Names(list string) []string {
	return strings.FieldsFunc(list, func(c rune) bool { return c == ',' || c == ' ' })
}
