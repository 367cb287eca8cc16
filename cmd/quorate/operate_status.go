package main

import (
	"context"
	"io"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/operate"
	"github.com/quorate/quorate/provision/session"
	"github.com/quorate/quorate/provision/transport"
)

// newStatusCommand is `quorate status`.
func newStatusCommand(app *kingpin.Application) subcommand {
	c := app.Command("status", "How the cluster is now, on one screen, and whether it can lose a node. Ends with 6 if all is not well. Only reads.")
	f := newOperateFlags(c, session.FormatText, session.FormatJSON)
	accept := acceptFlag(c)
	run := func(stdout, stderr io.Writer) (int, error) {
		return f.with(stdout, stderr, func(ctx context.Context, cluster *operate.Cluster) (operate.Report, error) {
			cluster.Nodes = transport.ReadOnly(cluster.Nodes)
			s, err := cluster.Status(ctx, list(*accept)...)
			if s == nil {
				return nil, err // an interface that holds a nil pointer is not nil
			}
			return s, err
		})
	}
	return subcommand{c, run}
}
