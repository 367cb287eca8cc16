package session

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/quorate/quorate/provision/facts"
	"github.com/quorate/quorate/provision/preflight"
	"github.com/quorate/quorate/provision/program"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/steps"
	"github.com/quorate/quorate/provision/transport"
)

// Here is the machine that this runs on: what the nodes get from it.
type Here struct {
	Program program.Source
	Files   steps.Files
}

// facts are those that the file makes a difference of.
func (h Here) facts(c *spec.Cluster) (out facts.Here) {
	exporter := c.Spec.Monitoring.Exporter
	switch {
	case !exporter.Install:
	case exporter.Package != "":
		b, err := h.Files.Read(exporter.Package)
		if out.Package = facts.Is(program.IsDeb(b)); err != nil {
			out.Package = facts.Unknown[bool](err)
		}
	default:
		p, err := h.Program()
		if out.Program = facts.Is(facts.Program{Built: p.OS + "/" + p.Arch, Cgo: p.Cgo, Machine: p.Machine()}); err != nil {
			out.Program = facts.Unknown[facts.Program](err)
		}
	}
	return out
}

// Checks is a Session's Preflight: all checks of the file against the facts of the machines. Findings go
// to w, except those that only inform.
func Checks(c *spec.Cluster, here Here, w io.Writer, now func() time.Time, parallel int, ignore []string) func(context.Context, transport.Set) error {
	return func(ctx context.Context, nodes transport.Set) error {
		var names []string
		for _, n := range c.Spec.Nodes {
			names = append(names, n.Name)
		}
		seen := facts.Gather(ctx, Targets(names, nodes), facts.Want{Probes: preflight.Probes(c), Parallel: parallel, Now: now})
		seen.Here = here.facts(c)
		report, err := preflight.Run(preflight.Input{Spec: c, Facts: &seen, Now: now()}, ignore)
		if err != nil {
			return err
		}
		failed := &PreflightError{}
		for _, f := range report.Findings {
			if f.Level == preflight.Info {
				continue
			}
			if _, err := fmt.Fprintln(w, f); err != nil {
				return err
			}
			if f.Level == preflight.Error {
				failed.Names = append(failed.Names, f.Check)
			}
		}
		if len(failed.Names) > 0 {
			return failed
		}
		return nil
	}
}
