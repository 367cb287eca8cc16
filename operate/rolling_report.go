package operate

import (
	"fmt"
	"io"
	"strings"
)

// A RollingReport is what a RollingUpdate did, or would do.
type RollingReport struct {
	Cluster  string       `json:"cluster"`
	Planned  bool         `json:"planned"` // nothing was done
	Nodes    []NodeUpdate `json:"nodes"`   // in the order of their turns
	Duration *Seconds     `json:"durationSeconds,omitempty"`
}

// A NodeUpdate is what was done to one node, or would be.
type NodeUpdate struct {
	Node string `json:"node"`
	Host        // before
	// Resumed: an earlier run has left it in maintenance.
	Resumed  bool     `json:"resumed,omitempty"`
	Skipped  bool     `json:"skipped"` // there was nothing to do
	Reboot   bool     `json:"reboot"`
	Done     bool     `json:"done"`
	Against  []string `json:"against,omitempty"` // of a plan: why it would be refused now
	Notes    []string `json:"notes,omitempty"`
	Duration *Seconds `json:"durationSeconds,omitempty"`
}

// OK implements Report: a plan is, if its first step would not be refused.
func (r *RollingReport) OK() bool {
	for _, n := range r.Nodes {
		if !n.Skipped {
			return len(n.Against) == 0
		}
	}
	return true
}

// shownPackages is how many updates of a node the text names; JSON has all.
const shownPackages = 8

// WriteText implements Report.
func (r *RollingReport) WriteText(w io.Writer) error {
	var b strings.Builder
	switch {
	case r.Planned:
		fmt.Fprintf(&b, "Rolling update of %s, by what apt knows now:\n", r.Cluster)
	case r.idle():
		fmt.Fprintf(&b, "%s is up to date; nothing was done\n", r.Cluster)
	case r.Duration != nil:
		fmt.Fprintf(&b, "%s is up to date, in %s\n", r.Cluster, r.Duration)
	default:
		fmt.Fprintf(&b, "%s: stopped on the way\n", r.Cluster)
	}
	for i, n := range r.Nodes {
		fmt.Fprintf(&b, "%d. %s: %s\n", i+1, n.Node, n.text(r.Planned))
		for _, p := range n.Updates[:min(len(n.Updates), shownPackages)] {
			fmt.Fprintf(&b, "     %s %s\n", p.Name, strings.TrimPrefix(p.From+" → "+p.To, " → "))
		}
		if more := len(n.Updates) - shownPackages; more > 0 {
			fmt.Fprintf(&b, "     and %d more\n", more)
		}
		if len(n.Removes) > 0 {
			fmt.Fprintf(&b, "     removes %s\n", strings.Join(n.Removes, ", "))
		}
		for _, note := range n.Notes {
			fmt.Fprintf(&b, "     note: %s\n", note)
		}
		for _, a := range n.Against {
			fmt.Fprintf(&b, "     would be refused now: %s\n", a)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (n NodeUpdate) text(planned bool) string {
	if n.Skipped {
		return "nothing to do"
	}
	words := []string{fmt.Sprintf("%d updates", len(n.Updates))}
	if n.Resumed {
		words = append([]string{"left in maintenance by an earlier run"}, words...)
	}
	switch {
	case n.Reboot && planned && n.Kernel == n.Boots && n.bringsKernel():
		words = append(words, "reboot into the new kernel")
	case n.Reboot && n.Kernel != n.Boots:
		words = append(words, fmt.Sprintf("reboot from %s into %s", n.Kernel, n.Boots))
	case n.Reboot:
		words = append(words, "reboot")
	default:
		words = append(words, "no reboot")
	}
	switch {
	case n.Done && n.Duration != nil:
		words = append(words, "done in "+n.Duration.String())
	case !planned:
		words = append(words, "not finished")
	}
	return strings.Join(words, ", ")
}
