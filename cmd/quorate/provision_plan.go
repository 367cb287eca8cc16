package main

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/alecthomas/kingpin/v2"
)

// newProvisionPlan is `quorate provision plan`.
func newProvisionPlan(parent *kingpin.CmdClause) subcommand {
	c := parent.Command("plan", "Show what apply would do. Only reads.")
	f := newProvisionFlags(c, "text", "json")
	out := c.Flag("out", "Write the plan to this file as well, for apply --plan.").PlaceHolder("PLAN.json").String()
	detailed := c.Flag("detailed-exitcode", "End with 2 if there is something to do.").Bool()
	run := func(stdout, stderr io.Writer) (int, error) {
		return f.with(stdout, stderr, func(ctx context.Context, s *provisionSession) (int, error) {
			if *out == "" {
				return s.Plan(ctx, nil, *detailed)
			}
			file, err := os.OpenFile(*out, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
			if err != nil {
				return exitFailed, err
			}
			code, err := s.Plan(ctx, file, *detailed)
			if cerr := file.Close(); cerr != nil {
				return exitFailed, errors.Join(err, cerr)
			}
			return code, err
		})
	}
	return subcommand{c, run}
}
