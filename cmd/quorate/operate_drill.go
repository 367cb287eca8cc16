package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/operate"
	"github.com/quorate/quorate/provision/session"
)

// newDrillCommands are the rehearsals of failures.
func newDrillCommands(app *kingpin.Application) []subcommand {
	c := app.Command("drill", "Rehearses a failure on the living cluster: it is made for real, watched, and undone. What the cluster would not bear is refused.")
	return []subcommand{newDrillNodeDown(c), newDrillOSD(c), newDrillNetwork(c)}
}

func newDrillNodeDown(parent *kingpin.CmdClause) subcommand {
	c := parent.Command("node-down", "Takes a node down and measures how the cluster recovers.")
	var d operate.NodeDown
	c.Arg("node", "Its name in the file.").Required().StringVar(&d.Node)
	c.Flag("i-understand", "The node's name once more: this takes it down for real.").Required().PlaceHolder("NODE").StringVar(&d.Understood)
	c.Flag("way", strings.Join(operate.Ways(), ", ")+".").Default(operate.WayHard).EnumVar(&d.Way, operate.Ways()...)
	c.Flag("vm", "Make a small guest under HA for the drill, and remove it at the end; its disk is compared.").BoolVar(&d.VM)
	c.Flag("any", "Go on although no guest under HA runs there.").BoolVar(&d.Any)
	c.Flag("lose-guests", "Go on although guests without HA run there: they are off until the node is back.").BoolVar(&d.LoseGuests)
	probe := probeFlag(c)
	budget := c.Flag("budget", "What may take no longer: recovery (until all services run again), back (until the node is), gap (of the probe).").PlaceHolder("recovery=240s,…").String()
	f := newOperateFlags(c, session.FormatText, session.FormatJSON, session.FormatJUnit)
	return subcommand{c, func(stdout, stderr io.Writer) (int, error) {
		var err error
		if d.Budget, err = operate.ParseBudget(*budget, operate.BudgetRecovery, operate.BudgetBack, operate.BudgetGap); err != nil {
			return exitSyntax, err
		}
		if d.Understood != d.Node {
			return exitSyntax, fmt.Errorf("quorate: this takes %s down for real: say --i-understand %s", d.Node, d.Node)
		}
		d.Probe = prober(*probe)
		return f.with(stdout, stderr, func(ctx context.Context, cluster *operate.Cluster) (operate.Report, error) {
			r, err := cluster.NodeDown(ctx, d)
			if r == nil {
				return nil, err
			}
			return r, err
		})
	}}
}

func probeFlag(c *kingpin.CmdClause) *string {
	return c.Flag("probe", "A guest's address: it is asked every 100 ms meanwhile, by TCP from this machine; default port 22.").PlaceHolder("ADDRESS[:PORT]").String()
}

func prober(address string) operate.Prober {
	if address == "" {
		return nil
	}
	return operate.NewTCPProbe(address)
}

func newDrillOSD(parent *kingpin.CmdClause) subcommand {
	c := parent.Command("osd", "Stops one OSD of Ceph, measures how that is noticed and healed, and starts it again.")
	id := c.Arg("id", "Its number.").Required().Int()
	budget := c.Flag("budget", "What may take no longer: down, up, clean, each since the OSD was stopped.").PlaceHolder("clean=120s,…").String()
	return smallDrill(c, budget, operate.OSDBudgets(), func(ctx context.Context, cluster *operate.Cluster, b operate.Budget) (*operate.DrillReport, error) {
		return cluster.OSDDown(ctx, *id, b)
	})
}

func newDrillNetwork(parent *kingpin.CmdClause) subcommand {
	c := parent.Command("network", "Takes one of corosync's links away from a node, sees that the cluster keeps together over the others, and gives it back.")
	node := c.Arg("node", "Its name in the file.").Required().String()
	link := c.Arg("link", "The link's number: 0, 1, …").Required().Int()
	budget := c.Flag("budget", "What may take no longer: down, up, each since the link was cut.").PlaceHolder("down=5s,…").String()
	return smallDrill(c, budget, operate.NetworkBudgets(), func(ctx context.Context, cluster *operate.Cluster, b operate.Budget) (*operate.DrillReport, error) {
		return cluster.LinkDown(ctx, *node, *link, b)
	})
}

// smallDrill is one that takes no flags but a budget.
func smallDrill(c *kingpin.CmdClause, budget *string, known []string, do func(context.Context, *operate.Cluster, operate.Budget) (*operate.DrillReport, error)) subcommand {
	f := newOperateFlags(c, session.FormatText, session.FormatJSON, session.FormatJUnit)
	return subcommand{c, func(stdout, stderr io.Writer) (int, error) {
		b, err := operate.ParseBudget(*budget, known...)
		if err != nil {
			return exitSyntax, err
		}
		return f.with(stdout, stderr, func(ctx context.Context, cluster *operate.Cluster) (operate.Report, error) {
			r, err := do(ctx, cluster, b)
			if r == nil {
				return nil, err
			}
			return r, err
		})
	}}
}
