package main

import (
	"context"
	"fmt"
	"os"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/internal/qmpreplay"
)

// addQMP adds the subcommand qmp and returns its name and what it does.
func addQMP(app *kingpin.Application, verbose *bool) (name string, run func(context.Context) error) {
	qmp := app.Command("qmp", "Compare with recorded live migrations of real QEMUs.")
	dir := qmp.Arg("DIR", "Folder with a folder for each migration, or for each version of QEMU: summary.json, events.jsonl, src- and dst-query-migrate.jsonl.").Required().ExistingDir()
	return qmp.FullCommand(), func(ctx context.Context) error {
		results, err := qmpreplay.Run(ctx, *dir)
		if err != nil {
			return err
		}
		differ, err := qmpreplay.Print(os.Stdout, results, *verbose)
		if err == nil && differ > 0 {
			err = fmt.Errorf("%d migrations differ", differ)
		}
		return err
	}
}
