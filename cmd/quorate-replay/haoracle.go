package main

import (
	"context"
	"os"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/alerts"
	"github.com/quorate/quorate/internal/haoracle"
)

// addHAOracle adds the subcommand ha-oracle and returns its name and what it does.
func addHAOracle(app *kingpin.Application, verbose *bool) (name string, run func(context.Context) error) {
	oracle := app.Command("ha-oracle", "Hold the alert rules of HA against recorded scenarios of Proxmox's HA manager: who must be woken, and who must not.")
	dir := oracle.Arg("DIR", "Folder with index.json and a NAME.jsonl.gz for each scenario.").Required().ExistingDir()
	rules := oracle.Flag("rules", "Folder with rule files, instead of those that are built in.").ExistingDir()
	promtool := oracle.Flag("promtool", "Prometheus's promtool.").Default("promtool").String()
	return oracle.FullCommand(), func(ctx context.Context) error {
		c := haoracle.Config{Scenarios: *dir, Rules: alerts.Rules(), Promtool: *promtool}
		if *rules != "" {
			c.Rules = os.DirFS(*rules)
		}
		verdicts, err := haoracle.Run(ctx, c)
		if err != nil {
			return err
		}
		return haoracle.Print(os.Stdout, verdicts, *verbose)
	}
}
