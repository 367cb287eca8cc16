package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/internal/pvetranscripts"
)

// addTranscripts adds the subcommand pve-transcripts and returns its name and what it does.
func addTranscripts(app *kingpin.Application, _ *bool) (name string, run func(context.Context) error) {
	c := app.Command("pve-transcripts", "Send recorded requests of a real Proxmox VE to the fake one and compare the answers.")
	files := c.Arg("FILE", "Requests with their answers, one a line of JSON.").Required().ExistingFiles()
	return c.FullCommand(), func(ctx context.Context) error {
		var all []pvetranscripts.Result
		for _, f := range *files {
			results, err := pvetranscripts.Run(ctx, f)
			all = append(all, results...)
			if err != nil {
				return errors.Join(err, fmt.Errorf("%d requests were replayed before", len(all)))
			}
		}
		wrong, err := pvetranscripts.Print(os.Stdout, all)
		if err == nil && wrong > 0 {
			err = fmt.Errorf("%d requests differ without a reason", wrong)
		}
		return err
	}
}
