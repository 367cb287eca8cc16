package engine

import (
	"fmt"
	"io"
	"strings"
)

var marks = map[Action]string{Create: "+", Update: "~", Noop: " ", Forbidden: "!"}

var colours = map[Action]string{Create: "\x1b[32m", Update: "\x1b[33m", Noop: "\x1b[2m", Forbidden: "\x1b[31m"}

const plain = "\x1b[0m"

// WriteText writes the plan for people, with colours if asked for.
func (p *Plan) WriteText(w io.Writer, colour bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Plan for %s\n", p.Cluster)
	for _, s := range p.Steps {
		s.text(&b, colour)
	}
	b.WriteString("\n" + p.Summary() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// Summary is the plan in one line.
func (p *Plan) Summary() string {
	create, update, forbidden := len(p.Changes(Create)), len(p.Changes(Update)), len(p.Changes(Forbidden))
	unknown, risky := 0, 0
	for _, s := range p.Steps {
		if s.Unknown != "" {
			unknown++
		}
		for _, c := range writing(s.Changes) {
			if c.Risk == Medium || c.Risk == High {
				risky++
			}
		}
	}
	switch {
	case unknown+forbidden > 0:
		return fmt.Sprintf("%d to create, %d to update; cannot be applied: %d forbidden, %d steps unknown", create, update, forbidden, unknown)
	case create+update == 0:
		return "Nothing to change: the cluster is as the file says."
	}
	line := fmt.Sprintf("%d to create, %d to update", create, update)
	if risky > 0 {
		line += fmt.Sprintf(" (%d with a risk of medium or more)", risky)
	}
	return line
}

func (s StepPlan) text(b *strings.Builder, colour bool) {
	if s.Unknown != "" {
		fmt.Fprintf(b, "\n%s (%s)\n  ? unknown: %s\n", s.ID, s.Title, s.Unknown)
		return
	}
	if len(s.Changes) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s (%s)\n", s.ID, s.Title)
	for _, c := range s.Changes {
		line := "  " + marks[c.Action] + " " + c.describe()
		if colour {
			line = colours[c.Action] + line + plain
		}
		b.WriteString(line + "\n")
	}
}

// describe is a change in one line.
func (c Change) describe() string {
	var b strings.Builder
	b.WriteString(c.Subject())
	switch {
	case c.From != "" && c.To != "":
		fmt.Fprintf(&b, ": %s → %s", oneLine(c.From), oneLine(c.To))
	case c.To != "":
		fmt.Fprintf(&b, ": %s", oneLine(c.To))
	case c.From != "":
		fmt.Fprintf(&b, ": %s → (none)", oneLine(c.From))
	}
	if c.Risk != "" && c.Risk != Safe {
		fmt.Fprintf(&b, "  [risk: %s]", c.Risk)
	}
	if c.Note != "" {
		fmt.Fprintf(&b, "  (%s)", c.Note)
	}
	return b.String()
}

func oneLine(s string) string {
	return strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", " | ")
}
