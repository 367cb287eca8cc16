package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/operate"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/session"
)

// newMaintenanceCommands are `quorate maintenance enable` and `disable`.
func newMaintenanceCommands(app *kingpin.Application) subcommands {
	parent := app.Command("maintenance", "Empties a node by HA maintenance, or ends that.")
	enable := parent.Command("enable", "Put a node into HA maintenance, and move what is not under HA, until no guest runs on it.")
	disable := parent.Command("disable", "End the maintenance of a node, until the HA manager has moved its services back.")
	return subcommands{
		newMaintenance(enable, (*operate.Cluster).EnableMaintenance, acceptFlag(enable),
			enable.Flag("leave", "Guests that may stay, and will stop with the node.").PlaceHolder("VMID,…").String()),
		newMaintenance(disable, (*operate.Cluster).DisableMaintenance, new(string), new(string)),
	}
}

type maintenanceRun func(*operate.Cluster, context.Context, operate.Maintenance) (*operate.MaintenanceReport, error)

func newMaintenance(c *kingpin.CmdClause, do maintenanceRun, accept, leave *string) subcommand {
	f := newOperateFlags(c, session.FormatText, session.FormatJSON, session.FormatJSONL)
	node := c.Arg("node", "Its name.").Required().String()
	wait := c.Flag("wait", "Wait until the guests have moved.").Default("true").Bool()
	force := c.Flag("force", "Even if the cluster may not bear it.").Bool()
	run := func(stdout, stderr io.Writer) (int, error) {
		ids, err := vmids("--leave", *leave)
		if err != nil {
			return exitSyntax, err
		}
		m := operate.Maintenance{Node: *node, Leave: ids, Accept: list(*accept), Force: *force, NoWait: !*wait}
		return f.with(stdout, stderr, func(ctx context.Context, cluster *operate.Cluster) (operate.Report, error) {
			r, err := do(cluster, ctx, m)
			if r == nil {
				return nil, err // an interface that holds a nil pointer is not nil
			}
			return r, err
		})
	}
	return subcommand{c, run}
}

// acceptFlag is --accept, for clusters that live with a warning.
func acceptFlag(c *kingpin.CmdClause) *string {
	return c.Flag("accept", "Health checks of Ceph that are no fault, separated by commas.").PlaceHolder("CODE,…").String()
}

// vmids takes apart the numbers of a flag.
func vmids(flag, text string) ([]int, error) {
	var ids []int
	for _, w := range list(text) {
		id, err := strconv.Atoi(w)
		if err != nil {
			return nil, &engine.UsageError{Text: fmt.Sprintf("quorate: %s %s: want VMIDs, separated by commas", flag, w)}
		}
		ids = append(ids, id)
	}
	return ids, nil
}
