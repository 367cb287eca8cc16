package main

import (
	"context"
	"io"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/operate"
	"github.com/quorate/quorate/provision/session"
)

func newMigrateCommand(app *kingpin.Application) subcommand {
	c := app.Command("migrate", "Moves a guest to another node, and says what that took. What would fail is refused.")
	vmid := c.Arg("vmid", "The guest's VMID.").Required().Int()
	target := c.Arg("node", "Where it shall go.").Required().String()
	probe := probeFlag(c)
	budget := c.Flag("budget", "What may take no longer: downtime (QEMU's own), gap (of the probe), duration.").PlaceHolder("downtime=500ms,…").String()
	f := newOperateFlags(c, session.FormatText, session.FormatJSON, session.FormatJSONL)
	return subcommand{c, func(stdout, stderr io.Writer) (int, error) {
		b, err := operate.ParseBudget(*budget, operate.BudgetDowntime, operate.BudgetGap, operate.BudgetDuration)
		if err != nil {
			return exitSyntax, err
		}
		m := operate.Move{VMID: *vmid, Target: *target, Budget: b, Probe: prober(*probe)}
		return f.with(stdout, stderr, func(ctx context.Context, cluster *operate.Cluster) (operate.Report, error) {
			r, err := cluster.Migrate(ctx, m)
			if err != nil {
				return nil, err
			}
			return r, nil
		})
	}}
}
