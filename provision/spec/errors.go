package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in the file. Line and Column count from 1; zero means unknown.
type Position struct{ Line, Column int }

// Error is one thing that is wrong with the file.
type Error struct {
	File         string
	Line, Column int
	// Path is the field, such as spec.nodes[1].management.
	Path    string
	Message string
	// Fix says what to write instead; may be empty.
	Fix string
}

// Error gives file:line:column: path: message (fix).
func (e Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		fmt.Fprintf(&b, "%s:", e.File)
	}
	if e.Line > 0 {
		fmt.Fprintf(&b, "%d:%d:", e.Line, e.Column)
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	if e.Path != "" {
		fmt.Fprintf(&b, "%s: ", e.Path)
	}
	b.WriteString(e.Message)
	if e.Fix != "" {
		fmt.Fprintf(&b, " (%s)", e.Fix)
	}
	return b.String()
}

// Errors is all that is wrong with the file, in the order of its lines.
type Errors []Error

// Error gives one line an error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

func (e Errors) sorted() Errors {
	slices.SortStableFunc(e, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Path, b.Path))
	})
	return e
}
