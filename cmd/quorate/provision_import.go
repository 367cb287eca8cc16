package main

import (
	"context"
	"io"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/provision/spec"
)

// newProvisionImport is `quorate provision import`.
func newProvisionImport(parent *kingpin.CmdClause) subcommand {
	c := parent.Command("import", "Write a file about a living cluster to the standard output. The file given says how its nodes are reached. Only reads.")
	f := newProvisionFlags(c, "yaml")
	run := func(stdout, stderr io.Writer) (int, error) {
		return f.with(stdout, stderr, func(ctx context.Context, s *provisionSession) (int, error) {
			cluster, err := s.Import(ctx)
			if err != nil {
				return exitUnreachable, err
			}
			text, err := spec.Marshal(cluster)
			if err == nil {
				_, err = stdout.Write(text)
			}
			return exitOf(err), err
		})
	}
	return subcommand{c, run}
}
