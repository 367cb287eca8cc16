package main

import (
	"context"
	"os"

	"github.com/alecthomas/kingpin/v2"
)

// pvefake is what the lab starts to play Proxmox VE.
func (p *program) pvefake(app *kingpin.Application) (*kingpin.CmdClause, run) {
	c := app.Command("pvefake", "Play Proxmox VE on the nodes of the lab.").Hidden()
	return c, func(ctx context.Context) error {
		l, err := p.open()
		if err != nil {
			return err
		}
		return l.ServePVE(ctx, os.Stdout)
	}
}
