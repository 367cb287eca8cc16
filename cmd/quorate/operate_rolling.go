package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/operate"
	"github.com/quorate/quorate/provision/session"
	"github.com/quorate/quorate/provision/transport"
)

// newRollingUpdateCommand is `quorate rolling-update`.
func newRollingUpdateCommand(app *kingpin.Application) subcommand {
	c := app.Command("rolling-update", "Brings the nodes up to date, one after the other, each emptied first and booted if it has a new kernel. Stops at the first that fails; run again it goes on.")
	f := newOperateFlags(c, session.FormatText, session.FormatJSON, session.FormatJSONL)
	c.GetFlag("timeout").Default("12h")
	nodes := c.Flag("nodes", "Only these, separated by commas.").PlaceHolder("NODE,…").String()
	reboot := c.Flag("reboot", "auto: if another kernel would run then; always; never.").Default(operate.RebootAuto).Enum(operate.RebootAuto, operate.RebootAlways, operate.RebootNever)
	leave := c.Flag("leave", "Guests that cannot move, and may stop with their node.").PlaceHolder("VMID,…").String()
	accept := acceptFlag(c)
	plan := c.Flag("plan", "Only say what would be done, by what apt knows now. Only reads; ends with 6 if it would be refused now.").Bool()
	yes := c.Flag("yes", "Do not ask.").Short('y').Bool()
	return subcommand{c, func(stdout, stderr io.Writer) (int, error) {
		ids, err := vmids("--leave", *leave)
		if err != nil {
			return exitSyntax, err
		}
		u := operate.RollingUpdate{Nodes: list(*nodes), Reboot: *reboot, Leave: ids, Accept: list(*accept)}
		if !*yes && !*plan {
			u.Confirm = confirmUpdate(stderr)
		}
		return f.with(stdout, stderr, func(ctx context.Context, cluster *operate.Cluster) (operate.Report, error) {
			run := cluster.RollingUpdate
			if *plan {
				cluster.Nodes, run = transport.ReadOnly(cluster.Nodes), cluster.PlanRollingUpdate
			}
			r, err := run(ctx, u)
			if r == nil {
				return nil, err // an interface that holds a nil pointer is not nil
			}
			return r, err
		})
	}}
}

// confirmUpdate shows the plan and asks.
func confirmUpdate(stderr io.Writer) func(*operate.RollingReport) (bool, error) {
	return func(plan *operate.RollingReport) (bool, error) {
		var text strings.Builder
		if err := plan.WriteText(&text); err != nil {
			return false, err
		}
		fmt.Fprint(stderr, text.String())
		if !session.IsTerminal(os.Stdin) {
			return false, errors.New("nobody is there to confirm; give --yes")
		}
		return confirm(stderr)("Update these nodes?")
	}
}
