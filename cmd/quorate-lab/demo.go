package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/alerts"
	"github.com/quorate/quorate/dashboards"
	"github.com/quorate/quorate/internal/lab"
	"github.com/quorate/quorate/packaging"
)

func (p *program) demo(app *kingpin.Application) (*kingpin.CmdClause, run) {
	c := app.Command("demo", "Start a lab with Ceph and a played Proxmox VE, an exporter in every node, Prometheus and Alertmanager; say which pages to open.")
	binary := c.Flag("exporter", "The quorate program (default: the one beside this program).").String()
	port := c.Flag("port", "First of the ports on loopback: Prometheus, the exporters, Alertmanager, what was paged.").Default("19920").Int()
	pace := c.Flag("pace", "How many times faster than shipped alerts fire and are sent: divides all durations of rules and routes.").Default("1").Float64()
	return c, func(ctx context.Context) error {
		if *binary == "" {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			*binary = filepath.Join(filepath.Dir(self), "quorate")
		}
		routes, err := fs.ReadFile(packaging.Examples(), packaging.Alertmanager)
		if err != nil {
			return err
		}
		scrapes, err := fs.ReadFile(packaging.Examples(), packaging.Prometheus)
		if err != nil {
			return err
		}
		o := lab.DemoOptions{Options: lab.Options{Dir: *p.dir, Log: p.log()}, Exporter: *binary, Port: *port,
			Rules: alerts.Rules(), Prometheus: scrapes, Alertmanager: routes, Pace: lab.Pace(*pace),
			Dashboards: dashboards.Files(), Provisioning: dashboards.Provisioning()}
		return lab.Demo(ctx, o, os.Stdout)
	}
}
