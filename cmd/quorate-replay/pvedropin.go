package main

import (
	"context"
	"os"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"

	"github.com/quorate/quorate/internal/dropin"
	"github.com/quorate/quorate/internal/pvedropin/replay"
)

// addPVEDropin adds the subcommand pve-dropin and returns its name and what it does.
func addPVEDropin(app *kingpin.Application, verbose *bool) (name string, run func(context.Context) error) {
	c := app.Command("pve-dropin", "Compare the page /pve with prometheus-pve-exporter's.")
	dir := c.Arg("DIR", "Folder with a folder for each state: NAME.prom, NAME.calls.jsonl and NAME.meta.json.").Required().ExistingDir()
	return c.FullCommand(), func(ctx context.Context) error {
		log := promslog.NewNopLogger()
		if *verbose {
			log = promslog.New(&promslog.Config{})
		}
		states, err := replay.Run(ctx, *dir, log)
		if err != nil {
			return err
		}
		return dropin.Print(os.Stdout, states, *verbose)
	}
}
