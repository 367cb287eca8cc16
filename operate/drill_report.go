package operate

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/quorate/quorate/provision/verify"
)

// A DrillReport is what a rehearsal showed. Times are since the failure was made, and seen by looking every
// second.
type DrillReport struct {
	Drill    string    `json:"drill"` // node-down, osd, network
	Cluster  string    `json:"cluster"`
	What     string    `json:"what"` // was taken away: pve3, osd.4, link 1 of pve3
	Way      string    `json:"way,omitempty"`
	Observer string    `json:"observer"` // the node that was asked, at the end
	At       time.Time `json:"at"`       // of the failure
	Phases   []Phase   `json:"phases"`
	Services []Service `json:"services,omitempty"`
	// Gap is the longest time in which the probe had no answer.
	Gap     *Seconds `json:"probeGapSeconds,omitempty"`
	Probe   string   `json:"probe,omitempty"`
	Answers int      `json:"probeAnswers,omitempty"`
	// Image is that of the drill's own VM, and Same whether it is as before; nil: there was none.
	Image string `json:"image,omitempty"`
	Same  *bool  `json:"imageSame,omitempty"`
	// Blind is for how long no node answered: what happened then was seen later than it was.
	Blind  *Seconds `json:"blindSeconds,omitempty"`
	Over   []string `json:"overBudget,omitempty"`
	Failed []string `json:"failed,omitempty"` // what did not recover
	Left   []string `json:"left,omitempty"`   // what somebody has to do now, as was to be expected
}

// A Phase is something that a failure is followed by.
type Phase struct {
	Name     string   `json:"name"`
	Says     string   `json:"says"`              // what was seen
	After    *Seconds `json:"seconds,omitempty"` // nil: not seen
	Expected string   `json:"expected,omitempty"`
	Needed   bool     `json:"needed"`        // that it is not seen is a failure
	Bad      bool     `json:"bad,omitempty"` // that it is seen is one
	Slow     bool     `json:"slow,omitempty"`
}

// A Service is a guest under HA that the failure hit.
type Service struct {
	SID     string   `json:"sid"`
	Node    string   `json:"node"`              // where it ran again
	Now     string   `json:"now"`               // where it is at the end
	State   string   `json:"state"`             // at the end, as the HA manager says
	Started *Seconds `json:"seconds,omitempty"` // until it ran again; nil: it does not
}

// OK implements Report.
func (r *DrillReport) OK() bool { return len(r.Over) == 0 && len(r.Failed) == 0 }

func (p Phase) after() string {
	if p.After == nil {
		return "not seen"
	}
	return p.After.String()
}

func (p Phase) failed() bool { return p.Needed && p.After == nil || p.Bad && p.After != nil }

// WriteText implements Report.
func (r *DrillReport) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Drill %s on %s: %s%s at %s, seen from %s\n", r.Drill, r.Cluster, r.What, brackets(r.Way), r.At.UTC().Format(time.DateTime+" MST"), r.Observer)
	for _, p := range r.Phases {
		mark := "ok  "
		switch {
		case p.failed():
			mark = "FAIL"
		case p.After == nil:
			mark = "-   "
		case p.Slow:
			mark = "slow"
		}
		fmt.Fprintf(&b, "%s %-10s %9s  %s", mark, p.Name, p.after(), p.Says)
		if p.Expected != "" {
			fmt.Fprintf(&b, " (expected %s)", p.Expected)
		}
		b.WriteByte('\n')
	}
	for _, s := range r.Services {
		if s.Started == nil {
			fmt.Fprintf(&b, "FAIL %-10s %9s  %s on %s\n", s.SID, "not", s.State, s.Node)
			continue
		}
		fmt.Fprintf(&b, "ok   %-10s %9s  runs on %s", s.SID, s.Started, s.Node)
		if s.Now != s.Node {
			b.WriteString(", now on " + s.Now)
		}
		b.WriteByte('\n')
	}
	if r.Gap != nil {
		fmt.Fprintf(&b, "longest gap %s without an answer from %s (asked every %s from this machine, %d answers)\n", r.Gap, r.Probe, probeEvery, r.Answers)
	}
	if r.Same != nil {
		fmt.Fprintf(&b, "data: image %s is %s\n", r.Image, map[bool]string{true: "the same as before, by its SHA-256", false: "NOT the same as before"}[*r.Same])
	}
	if r.Blind != nil {
		fmt.Fprintf(&b, "blind: for %s no node answered\n", r.Blind)
	}
	for _, bad := range []struct {
		title string
		all   []string
	}{{"OVER BUDGET", r.Over}, {"FAILED", r.Failed}, {"LEFT", r.Left}} {
		for _, t := range bad.all {
			fmt.Fprintf(&b, "%s: %s\n", bad.title, t)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func brackets(name string) string {
	if name == "" {
		return ""
	}
	return " (" + name + ")"
}

// WriteJUnit writes the report for CI systems: a phase or service is a case, and what was needed and not seen,
// what took longer than its budget, and what is left are failures.
func (r *DrillReport) WriteJUnit(w io.Writer) error {
	suite := verify.Report{Title: "quorate drill " + r.Drill + " " + r.What, Cluster: r.Cluster, At: r.At.UTC()}
	add := func(name, found, want string, took *Seconds, good bool) {
		c := verify.Check{Name: name, Result: verify.OK, Found: found, Want: want}
		if took != nil {
			c.Took = float64(*took)
		}
		if !good {
			c.Result = verify.Failed
		}
		suite.Checks = append(suite.Checks, c)
	}
	for _, p := range r.Phases {
		if p.After != nil || p.Needed || p.Bad {
			want := p.Says
			if p.Bad {
				want = "not: " + want
			}
			add(p.Name, p.after(), want, p.After, !p.failed())
		}
	}
	for _, s := range r.Services {
		add(s.SID, s.State+" on "+s.Node, "it runs again", s.Started, s.Started != nil)
	}
	if r.Same != nil {
		add("data", "image "+r.Image, "its SHA-256 is as before", nil, *r.Same)
	}
	for _, t := range r.Over {
		add("budget", t, "the budget is kept", nil, false)
	}
	for _, t := range r.Failed {
		add("as before", t, "all is as before", nil, false)
	}
	return suite.WriteJUnit(w)
}
