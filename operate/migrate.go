package operate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/transport"
)

// What a Move can have a budget for: QEMU's own downtime, the longest gap of the probe, and how long it takes
// from the request until the guest runs on the target.
const (
	BudgetDowntime = "downtime"
	BudgetGap      = "gap"
	BudgetDuration = "duration"
)

// A Move is a guest that shall go to another node.
type Move struct {
	VMID   int
	Target string
	Probe  Prober // asks the guest meanwhile; nil: nobody does
	Budget Budget
}

// moveLimit is longer than any migration takes.
const moveLimit = 24 * time.Hour

// The ways to move a guest.
const (
	MoveLive    = "live"
	MoveOffline = "offline" // it does not run
	MoveRestart = "restart" // containers cannot move while they run
)

// A MoveReport is what came of a Move.
type MoveReport struct {
	Cluster string `json:"cluster"`
	Guest   string `json:"guest"` // vm:100
	Name    string `json:"name"`
	Source  string `json:"source"`
	Target  string `json:"target"`
	Moved   bool   `json:"moved"` // false: it was there already
	Way     string `json:"way,omitempty"`
	HA      bool   `json:"ha"`
	UPID    string `json:"upid,omitempty"`
	// Duration is from the request until the guest was on its target; under HA the manager's rounds are part of it.
	Duration    *Seconds `json:"durationSeconds,omitempty"`
	Transferred int64    `json:"transferredBytes,omitempty"`
	// Downtime is QEMU's own word for how long it stopped the guest. The pause that the guest feels is longer.
	Downtime *Seconds `json:"qemuDowntimeSeconds,omitempty"`
	// Gap is the longest time without an answer to our own probe.
	Gap      *Seconds `json:"probeGapSeconds,omitempty"`
	Probe    string   `json:"probe,omitempty"`
	Answers  int      `json:"probeAnswers,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	Over     []string `json:"overBudget,omitempty"`
}

// OK implements Report.
func (r *MoveReport) OK() bool { return len(r.Over) == 0 }

// WriteText implements Report.
func (r *MoveReport) WriteText(w io.Writer) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-16s %s\n", name, fmt.Sprintf(format, args...))
	}
	who := r.Guest
	if r.Name != "" {
		who += " (" + r.Name + ")"
	}
	if !r.Moved {
		fmt.Fprintf(&b, "%s is on %s already; nothing was done\n", who, r.Target)
		_, err := io.WriteString(w, b.String())
		return err
	}
	fmt.Fprintf(&b, "%s moved from %s to %s, %s\n", who, r.Source, r.Target, r.Way)
	line("duration", "%s", r.Duration)
	if r.Transferred > 0 {
		line("memory sent", "%s", bytesText(r.Transferred))
	}
	switch {
	case r.Downtime != nil:
		line("downtime", "%s, as QEMU counts it", r.Downtime)
	case r.Way == MoveLive:
		line("downtime", "not known: the task's log has none")
	}
	switch {
	case r.Gap != nil:
		line("longest gap", "%s without an answer from %s (asked every %s from this machine, %d answers)", r.Gap, r.Probe, probeEvery, r.Answers)
	case r.Way != MoveOffline:
		line("longest gap", "not measured (--probe ADDRESS asks the guest meanwhile)")
	}
	for _, t := range r.Warnings {
		line("warning", "%s", t)
	}
	for _, t := range r.Over {
		line("OVER BUDGET", "%s", t)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Migrate moves a guest. The error is a *RefusedError if nothing was begun, an *UnfinishedError if the guest may
// not be where it should.
func (c *Cluster) Migrate(ctx context.Context, m Move) (*MoveReport, error) {
	if c.Limit <= 0 { // memory may be large and a link slow: the caller's context is what ends it
		patient := *c
		patient.Limit = moveLimit
		c = &patient
	}
	what := fmt.Sprintf("migrate %d to %s", m.VMID, m.Target)
	s, err := c.Look(ctx)
	if errors.Is(err, ErrNoQuorum) {
		return nil, &RefusedError{what, []string{err.Error()}}
	}
	if err != nil {
		return nil, err
	}
	g, ok := s.Guest(m.VMID)
	if !ok {
		return nil, &RefusedError{what, []string{fmt.Sprintf("the cluster has no guest %d", m.VMID)}}
	}
	r := &MoveReport{Cluster: c.Name, Guest: g.SID(), Name: g.Name, Source: g.Node, Target: m.Target, HA: s.underHA(g)}
	if g.Node == m.Target {
		return r, nil
	}
	if n, ok := s.Node(g.Node); ok && n.Online {
		// The list of resources is told by each node every 10 s: only the guest's own node knows how it is now.
		is, err := c.where(ctx, s.Members.Node, g)
		if err != nil {
			return nil, err
		}
		g, r.Name = is.Guest, is.Name
	}
	reasons, err := c.mayMove(ctx, s, g, m)
	if err != nil {
		return nil, err
	}
	if err := refuse(what, reasons); err != nil {
		return nil, err
	}
	r.Moved, r.Way = true, wayOf(g)
	return r, c.move(ctx, s, g, m, r)
}

func wayOf(g Guest) string {
	switch {
	case g.Status == "stopped":
		return MoveOffline
	case g.Kind == "lxc":
		return MoveRestart
	}
	return MoveLive
}

// moving is a guest on its way.
type moving struct {
	c      *Cluster
	g      Guest // as it was before
	target string
	by     string          // the node that is asked
	old    map[string]bool // UPIDs of its migrations before
	tell   *teller
	report *MoveReport
}

func (c *Cluster) move(ctx context.Context, s State, g Guest, m Move, r *MoveReport) error {
	v := &moving{c: c, g: g, target: m.Target, by: s.Members.Node, tell: c.teller("migrate"), report: r}
	before, err := v.tasks(ctx)
	if err != nil {
		return err
	}
	v.old = before
	stop := func() {}
	if m.Probe != nil {
		ended := m.Probe.Watch(context.WithoutCancel(ctx)) // an interrupt ends it below
		stop = func() {
			seen := ended()
			r.Gap, r.Probe, r.Answers = seconds(seen.Longest), m.Probe.String(), seen.Answers
			stop = func() {}
		}
		defer func() { stop() }()
	}
	v.tell.Change(g.Node, fmt.Sprintf("%s goes to %s (%s)", g.SID(), m.Target, r.Way))
	began := c.Clock.Now()
	if err := v.begin(ctx); err != nil {
		return v.failed(ctx, err)
	}
	if err := v.arrived(ctx); err != nil {
		return v.failed(ctx, err)
	}
	r.Duration = seconds(c.Clock.Now().Sub(began))
	if m.Probe != nil { // what the guest's pause hides from a probe that stops with it
		if err := answersAgain(ctx, m.Probe, answerLimit); err != nil {
			v.tell.Progress(m.Target, fmt.Sprintf("%s has not answered since: %v", m.Probe, err))
		}
	}
	stop()
	v.measure(ctx)
	r.Over = m.Budget.over(map[string]*Seconds{BudgetDowntime: r.Downtime, BudgetGap: r.Gap, BudgetDuration: r.Duration})
	return nil
}

// How long a guest is waited for, in the time of the probe: before it moves and after.
const (
	answerFirst = 3 * time.Second
	answerLimit = 15 * time.Second
)

// answersAgain returns when the guest has answered.
func answersAgain(ctx context.Context, p Prober, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := p.Ask(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(probeEvery):
		}
	}
}

// begin asks for the migration and returns when its task has ended, or was left to the HA manager.
func (v *moving) begin(ctx context.Context) error {
	p := transport.Params{"target": v.target}
	switch v.report.Way {
	case MoveLive:
		p["online"] = true
	case MoveRestart:
		p["restart"] = true
	}
	var upid string
	err := v.c.Nodes.API(v.by).Post(ctx, v.path("migrate"), p, &upid)
	if err != nil {
		if upid = v.begun(ctx); upid == "" {
			return err
		}
		v.tell.Progress(v.g.Node, "the reply was lost; the task is there: "+upid)
	}
	v.report.UPID = upid
	v.tell.Task(v.g.Node, upid)
	return v.c.tasks().Wait(ctx, upid, v.tell)
}

// begun is the task of a request whose reply was lost.
func (v *moving) begun(ctx context.Context) string {
	tasks, err := v.tasks(ctx)
	if err != nil {
		return ""
	}
	for upid := range tasks {
		if !v.old[upid] {
			return upid
		}
	}
	return ""
}

func (v *moving) path(what string) string {
	return fmt.Sprintf("/nodes/%s/%s/%d/%s", v.g.Node, v.g.Kind, v.g.VMID, what)
}

// taskType is that of the task that does the work.
func (v *moving) taskType() string {
	if v.g.Kind == "lxc" {
		return "vzmigrate"
	}
	return "qmigrate"
}

// tasks are the UPIDs of the guest's migrations on its source. They tell a new one from those before without a
// clock: that of the node may differ from ours.
func (v *moving) tasks(ctx context.Context) (map[string]bool, error) {
	var rows []struct {
		UPID string `json:"upid"`
	}
	path := fmt.Sprintf("/nodes/%s/tasks?source=all&typefilter=%s&vmid=%d", v.g.Node, v.taskType(), v.g.VMID)
	if err := v.c.Nodes.API(v.by).Get(ctx, path, &rows); err != nil {
		return nil, err
	}
	all := map[string]bool{}
	for _, r := range rows {
		all[r.UPID] = true
	}
	return all, nil
}

// measure takes QEMU's numbers out of the task's log.
func (v *moving) measure(ctx context.Context) {
	r := v.report
	log, err := v.c.tasks().Tail(ctx, r.UPID, 5000)
	if err != nil {
		r.Warnings = append(r.Warnings, "the task's log cannot be read: "+err.Error())
		return
	}
	text := strings.Join(log, "\n")
	if d, ok := pve.ParseTaskDowntime(text); ok {
		r.Downtime = seconds(d)
	}
	r.Transferred = parseTransferred(text)
	if status, err := v.c.tasks().Status(ctx, r.UPID); err == nil && strings.HasPrefix(status.Exit, "WARNINGS:") {
		r.Warnings = append(r.Warnings, "the task ended with "+status.Exit)
		for _, l := range log {
			if _, warning, ok := strings.Cut(l, "WARN: "); ok {
				r.Warnings = append(r.Warnings, warning)
			}
		}
	}
}
