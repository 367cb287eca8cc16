// Command quorate-replay replays recordings of real clusters through the program's own code and
// compares the outcome with what others export of the same clusters.
package main

import (
	"context"
	"os"

	"github.com/alecthomas/kingpin/v2"
)

func main() {
	app := kingpin.New("quorate-replay", "Replay recordings and compare what Quorate exports with what others do.")
	verbose := app.Flag("verbose", "List each series that is not equal.").Bool()
	commands := map[string]func(context.Context) error{}
	for _, add := range []func(*kingpin.Application, *bool) (string, func(context.Context) error){addCeph, addHA, addHAOracle, addPVEDropin, addQMP, addTranscripts, addProvision} {
		name, run := add(app, verbose)
		commands[name] = run
	}
	app.FatalIfError(commands[kingpin.MustParse(app.Parse(os.Args[1:]))](context.Background()), "replay")
}
