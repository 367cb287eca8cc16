// Command quorate-replay replays recordings of real clusters through the program's own code and
// compares the outcome with what others export of the same clusters.
package main

import (
	"context"
	"os"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/internal/dropin"
)

func main() {
	app := kingpin.New("quorate-replay", "Replay recordings and compare what Quorate exports with what others do.")
	verbose := app.Flag("verbose", "List each series that is not equal.").Bool()
	ceph := app.Command("ceph", "Compare with Ceph's own mgr module.")
	dir := ceph.Arg("DIR", "Folder with a folder for each state: answers as status.json, osd_dump.json, … and metrics.prom.").Required().ExistingDir()
	ha, replayHA := addHA(app, verbose)
	pveDropin, replayPVEDropin := addPVEDropin(app, verbose)
	switch kingpin.MustParse(app.Parse(os.Args[1:])) {
	case ha:
		app.FatalIfError(replayHA(context.Background()), "replay")
		return
	case pveDropin:
		app.FatalIfError(replayPVEDropin(context.Background()), "replay")
		return
	}

	states, err := dropin.ReplayCeph(context.Background(), *dir)
	app.FatalIfError(err, "replay")
	app.FatalIfError(dropin.Print(os.Stdout, states, *verbose), "print")
}
