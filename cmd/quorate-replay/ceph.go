package main

import (
	"context"
	"os"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/internal/dropin"
)

// addCeph adds the subcommand ceph and returns its name and what it does.
func addCeph(app *kingpin.Application, verbose *bool) (name string, run func(context.Context) error) {
	ceph := app.Command("ceph", "Compare with Ceph's own mgr module.")
	dir := ceph.Arg("DIR", "Folder with a folder for each state: answers as status.json, osd_dump.json, … and metrics.prom.").Required().ExistingDir()
	return ceph.FullCommand(), func(ctx context.Context) error {
		states, err := dropin.ReplayCeph(ctx, *dir)
		if err != nil {
			return err
		}
		return dropin.Print(os.Stdout, states, *verbose)
	}
}
