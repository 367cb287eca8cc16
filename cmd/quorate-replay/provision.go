package main

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/internal/provisionproof"
	"github.com/quorate/quorate/internal/pvefake"
)

// addProvision is `quorate-replay provision-proof`.
func addProvision(app *kingpin.Application, _ *bool) (string, func(context.Context) error) {
	c := app.Command("provision-proof", "Kill an apply after every request, on a fake of PVE 8.4 and of 9.2, and show that the next one converges.")
	root := c.Flag("root", "The project's directory, for examples/homelab.yaml.").Default(".").String()
	from := c.Flag("from", "The first of these requests.").Default("1").Int()
	every := c.Flag("every", "Kill after every so many requests.").Default("1").Int()
	return c.FullCommand(), func(ctx context.Context) error {
		var total provisionproof.Result
		for _, v := range []pvefake.Version{pvefake.V84, pvefake.V92} {
			spec, err := provisionproof.Homelab(*root, v)
			if err != nil {
				return err
			}
			r, err := provisionproof.Prove(ctx, spec, v, provisionproof.Options{Every: *every, From: *from, Parallel: runtime.NumCPU(), Tell: func(s string) { fmt.Fprintln(os.Stderr, s) }})
			if err != nil {
				return err
			}
			fmt.Printf("PVE %s: %s\n", v, r)
			total.Add(r)
		}
		fmt.Println(total)
		if total.Converged != total.CrashPoints || total.SecondWrites != 0 {
			return fmt.Errorf("%d of %d crash points converged, %d writes in second runs", total.Converged, total.CrashPoints, total.SecondWrites)
		}
		return nil
	}
}
