package operate

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// shownTasks is how many tasks of a kind the text shows; JSON has all.
const shownTasks = 5

// WriteText implements Report. It begins with what is wrong, and is one screen in all.
func (s *Status) WriteText(w io.Writer) error {
	var b strings.Builder
	verdict := "all is well"
	if !s.OK() {
		verdict = "NOT WELL"
	}
	fmt.Fprintf(&b, "Cluster %s: %s (%s)\n", s.Cluster, verdict, s.At.Format("2006-01-02 15:04:05 MST"))
	for _, p := range s.Problems {
		fmt.Fprintf(&b, "  ! %s\n", p)
	}
	for _, u := range s.Unknown {
		fmt.Fprintf(&b, "  ? not known: %s\n", u)
	}
	b.WriteString("\n")
	for _, part := range []func(*strings.Builder){s.textQuorum, s.textNodes, s.textHA, s.textCeph, s.textTasks, s.textLosses} {
		part(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// row is a line with its subject; more lines of it have none.
func row(b *strings.Builder, subject, format string, args ...any) {
	fmt.Fprintf(b, "%-9s %s\n", subject, fmt.Sprintf(format, args...))
}

func (s *Status) textQuorum(b *strings.Builder) {
	if v := s.Votes; v != nil {
		device := ""
		if v.QDevice {
			device = ", one of them a quorum device's"
		}
		row(b, "Quorum", "yes, %d of %d votes%s; %d are needed", v.Present, v.Expected, device, v.Majority)
		return
	}
	if s.ToldBy != "" {
		row(b, "Quorum", "yes, as %s says", s.ToldBy)
		return
	}
	quorate := "NO"
	if slices.ContainsFunc(s.Voices, func(v Voice) bool { return v.Quorate != nil && *v.Quorate }) {
		quorate = "no API tells"
	}
	row(b, "Quorum", "%s; what each node says:", quorate)
	for _, v := range s.Voices {
		row(b, "", "%s: %s", v.Node, v.text())
	}
}

func (v Voice) text() string {
	quorate := "does not say whether it sees quorum"
	if v.Quorate != nil {
		quorate = map[bool]string{true: "sees quorum", false: "sees no quorum"}[*v.Quorate]
	}
	switch {
	case v.API:
		guests := ""
		if v.Guests != nil {
			guests = fmt.Sprintf("; %d guests run on it", *v.Guests)
		}
		return fmt.Sprintf("%s; hears %s%s", quorate, strings.Join(v.Hears, ", "), guests)
	case v.SSH:
		return "API does not answer; over SSH it " + quorate
	}
	return "no answer: " + v.Error
}

func (s *Status) textNodes(b *strings.Builder) {
	if len(s.Nodes) == 0 {
		return
	}
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	subject := "Nodes"
	for _, n := range s.Nodes {
		ha := n.HA
		if ha == "" {
			ha = "-"
		}
		if n.Online {
			fmt.Fprintf(t, "%-9s %s\tonline\tHA %s\tup %s\t%s of %s used\t%d of %d guests run\n", subject, n.Name, ha, ago(time.Duration(n.UptimeSeconds)*time.Second), gib(n.MemoryUsed), gib(n.MemoryBytes), n.Running, n.Guests)
		} else {
			fmt.Fprintf(t, "%-9s %s\tOFFLINE\tHA %s\t\t\t%d guests\n", subject, n.Name, ha, n.Guests)
		}
		subject = ""
	}
	_ = t.Flush() // to a strings.Builder, which does not fail
	if len(s.Locked) > 0 {
		row(b, "", "locked: %s", strings.Join(s.Locked, ", "))
	}
}

// ago is a duration as people say it: 12d 4h, 3h 20m, 40s.
func ago(d time.Duration) string {
	switch {
	case d >= 24*time.Hour:
		return fmt.Sprintf("%dd %dh", int(d.Hours())/24, int(d.Hours())%24)
	case d >= time.Hour:
		return fmt.Sprintf("%dh %dm", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm %ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%ds", int(d.Seconds()))
}

func (s *Status) textHA(b *strings.Builder) {
	h := s.HA
	switch {
	case h == nil:
		return
	case h.Services == 0 && h.Master == "":
		row(b, "HA", "not used")
		return
	}
	row(b, "HA", "master %s, %s; %d services, %d not as they should be", h.Master, h.Arming, h.Services, len(h.Amiss))
	for _, a := range h.Amiss {
		row(b, "", "%s", a)
	}
}

func (s *Status) textCeph(b *strings.Builder) {
	c := s.Ceph
	if c == nil {
		return
	}
	row(b, "Ceph", "%s", c.Health)
	for _, k := range c.Checks {
		muted := ""
		if k.Muted {
			muted = " (muted)"
		}
		row(b, "", "%s: %s%s", k.Code, k.Summary, muted)
	}
	row(b, "", "monitors in quorum: %d of %d (%s); OSDs: %d up and %d in of %d", len(c.Quorum), c.Monitors, strings.Join(c.Quorum, ", "), c.Up, c.In, c.OSDs)
	if c.Unclean > 0 {
		row(b, "", "placement groups not clean: %d of %d (%s)", c.Unclean, c.PGs, strings.Join(c.States, ", "))
	} else {
		row(b, "", "placement groups: all %d active and clean", c.PGs)
	}
	if len(c.Flags) > 0 {
		row(b, "", "flags set: %s", strings.Join(c.Flags, ", "))
	}
}

func (s *Status) textTasks(b *strings.Builder) {
	if s.ToldBy == "" {
		return
	}
	row(b, "Tasks", "%d running, %d failed in the last 24 hours", len(s.Running), len(s.Failed))
	for _, t := range s.Running[:min(len(s.Running), shownTasks)] {
		row(b, "", "running: %s on %s for %s", strings.TrimSpace(t.Type+" "+t.ID), t.Node, ago(max(s.At.Sub(t.Start), 0)))
	}
	for _, t := range s.Failed[:min(len(s.Failed), shownTasks)] {
		row(b, "", "failed %s ago: %s on %s: %s", ago(max(s.At.Sub(t.Start), 0)), strings.TrimSpace(t.Type+" "+t.ID), t.Node, t.Status)
	}
}

// textLosses says once what is true of all nodes.
func (s *Status) textLosses(b *strings.Builder) {
	if len(s.Losses) == 0 {
		return
	}
	seen, bad := map[string]int{}, 0
	for _, l := range s.Losses {
		for _, r := range l.Reasons {
			seen[r]++
		}
		if !l.Bearable {
			bad++
		}
	}
	if bad == 0 {
		row(b, "Next loss", "any one node can be lost: yes")
		return
	}
	row(b, "Next loss", "any one node can be lost: no")
	if common := reasons(s.Losses[0], func(r string) bool { return seen[r] == len(s.Losses) }); common != "" {
		row(b, "", "any: no, because %s", common)
	}
	for _, l := range s.Losses {
		own := reasons(l, func(r string) bool { return seen[r] < len(s.Losses) })
		switch {
		case l.Bearable:
			row(b, "", "%s: yes", l.Node)
		case own != "":
			row(b, "", "%s: no, because %s", l.Node, own)
		}
	}
}

// reasons are those that fit, without the advice after the semicolon.
func reasons(l Loss, fits func(string) bool) string {
	var out []string
	for _, r := range l.Reasons {
		if fits(r) {
			what, _, _ := strings.Cut(r, "; ")
			out = append(out, what)
		}
	}
	return strings.Join(out, "; ")
}
