package main

import (
	"context"
	"io"

	"github.com/alecthomas/kingpin/v2"
)

// newProvisionVerify is `quorate provision verify`.
func newProvisionVerify(parent *kingpin.CmdClause) subcommand {
	c := parent.Command("verify", "Look whether the cluster is well and what the file says. Ends with 6 if not. Only reads.")
	f := newProvisionFlags(c, "text", "json", "junit")
	accept := c.Flag("accept", "Health checks of Ceph that are no fault, separated by commas.").PlaceHolder("CODE,…").String()
	run := func(stdout, stderr io.Writer) (int, error) {
		return f.with(stdout, stderr, func(ctx context.Context, s *provisionSession) (int, error) {
			return s.Verify(ctx, list(*accept))
		})
	}
	return subcommand{c, run}
}
