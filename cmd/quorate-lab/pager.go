package main

import (
	"context"
	"os"

	"github.com/alecthomas/kingpin/v2"
)

// pager is the webhook that the lab's Alertmanager tells.
func (p *program) pager(app *kingpin.Application) (*kingpin.CmdClause, run) {
	c := app.Command("pager", "Keep and show what Alertmanager sends.").Hidden()
	listen := c.Flag("listen", "Address to listen on.").Required().String()
	return c, func(ctx context.Context) error {
		l, err := p.open()
		if err != nil {
			return err
		}
		return l.ServePager(ctx, *listen, os.Stdout)
	}
}
