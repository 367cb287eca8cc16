package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/operate"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/session"
	"github.com/quorate/quorate/provision/transport"
)

// newOperateCommands are the subcommands that work on a living cluster.
func newOperateCommands(app *kingpin.Application) subcommands {
	return slices.Concat(
		subcommands{newStatusCommand(app), newMigrateCommand(app)},
		newMaintenanceCommands(app),
		subcommands{newRollingUpdateCommand(app)},
		newDrillCommands(app),
	)
}

// operateFlags are what they have in common.
type operateFlags struct {
	*connectionFlags
	format *string
}

func newOperateFlags(c *kingpin.CmdClause, formats ...string) *operateFlags {
	return &operateFlags{
		connectionFlags: newConnectionFlags(c),
		format:          c.Flag("output", strings.Join(formats, ", ")+".").Short('o').Default(formats[0]).Enum(formats...),
	}
}

// with runs an operation, shows how far it is, and writes its report. An interrupt ends what it waits for;
// a task of Proxmox VE that runs goes on.
func (f *operateFlags) with(stdout, stderr io.Writer, do func(context.Context, *operate.Cluster) (operate.Report, error)) (int, error) {
	return f.connectionFlags.with(stderr, func(ctx context.Context, l connection) (int, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-l.stop:
				cancel()
			case <-ctx.Done():
			}
		}()
		printer := engine.NewPrinter(stderr, l.redact, isTerminal(stderr))
		printer.Verbose = *f.verbose
		tell := printer.Tell
		if *f.format == session.FormatJSONL {
			tell = engine.NewRecorder(stdout, l.redact).Tell
		}
		report, err := do(ctx, &operate.Cluster{
			Name: l.spec.Metadata.Name, Names: session.Names(l.spec), Nodes: l.fleet, Clock: engine.WallClock{}, Tell: tell,
		})
		printer.Close()
		if report != nil {
			if werr := f.write(stdout, report); werr != nil {
				return exitFailed, errors.Join(err, werr)
			}
		}
		if err != nil {
			return operate.ExitCode(err, transport.Unreachable), fmt.Errorf("quorate: %s", l.redact.Clean(err.Error()))
		}
		if report != nil && !report.OK() {
			return exitVerify, nil
		}
		return 0, nil
	})
}

func (f *operateFlags) write(w io.Writer, r operate.Report) error {
	switch *f.format {
	case session.FormatText:
		return r.WriteText(w)
	case session.FormatJSONL: // after the events, and like them one object a line
		return json.NewEncoder(w).Encode(r)
	case session.FormatJUnit:
		if j, ok := r.(interface{ WriteJUnit(io.Writer) error }); ok {
			return j.WriteJUnit(w)
		}
	}
	return operate.WriteJSON(w, r)
}
