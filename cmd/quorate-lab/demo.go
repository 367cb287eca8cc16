package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/internal/lab"
)

func (p *program) demo(app *kingpin.Application) (*kingpin.CmdClause, run) {
	c := app.Command("demo", "Start a lab with Ceph and a played Proxmox VE, an exporter in every node and Prometheus; say which pages to open.")
	binary := c.Flag("exporter", "The quorate program (default: the one beside this program).").String()
	port := c.Flag("port", "First of the ports on loopback: Prometheus, then the exporters.").Default("19920").Int()
	return c, func(ctx context.Context) error {
		if *binary == "" {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			*binary = filepath.Join(filepath.Dir(self), "quorate")
		}
		o := lab.DemoOptions{Options: lab.Options{Dir: *p.dir, Log: p.log()}, Exporter: *binary, Port: *port}
		return lab.Demo(ctx, o, os.Stdout)
	}
}
