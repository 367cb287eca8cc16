package main

import (
	"context"
	"os"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/internal/hareplay"
)

// addHA adds the subcommand ha and returns its name and what it does.
func addHA(app *kingpin.Application, verbose *bool) (name string, run func(context.Context) error) {
	ha := app.Command("ha", "Compare with what the index of recorded scenarios of Proxmox's HA manager says.")
	dir := ha.Arg("DIR", "Folder with index.json and a NAME.jsonl.gz for each scenario.").Required().ExistingDir()
	return ha.FullCommand(), func(ctx context.Context) error {
		results, err := hareplay.Run(ctx, *dir)
		if err != nil {
			return err
		}
		return hareplay.Print(os.Stdout, results, *verbose)
	}
}
