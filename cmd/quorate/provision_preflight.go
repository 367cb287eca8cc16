package main

import (
	"context"
	"io"

	"github.com/alecthomas/kingpin/v2"
)

// newProvisionPreflight is `quorate provision preflight`.
func newProvisionPreflight(parent *kingpin.CmdClause) subcommand {
	c := parent.Command("preflight", "Check the file and the machines, as plan and apply do first. Ends with 4 if a check finds an error. Only reads.")
	f := newProvisionFlags(c, "text", "json")
	run := func(stdout, stderr io.Writer) (int, error) {
		return f.with(stdout, stderr, func(ctx context.Context, s *provisionSession) (int, error) {
			report, err := s.Look(ctx, list(*f.ignore))
			if err != nil {
				return exitSyntax, err
			}
			if err := writeReport(stdout, *f.format, *f.file, report); err != nil {
				return exitFailed, err
			}
			if report.Failed() {
				return exitPreflight, nil
			}
			return 0, nil
		})
	}
	return subcommand{c, run}
}
