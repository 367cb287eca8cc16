package main

import (
	"fmt"
	"io"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/alerts"
	"github.com/quorate/quorate/dashboards"
	"github.com/quorate/quorate/docs/runbooks"
	"github.com/quorate/quorate/internal/bundle"
	"github.com/quorate/quorate/packaging"
)

// bundleCommand is `quorate bundle write`.
type bundleCommand struct {
	write *kingpin.CmdClause
	dir   *string
	force *bool
}

func newBundleCommand(app *kingpin.Application) *bundleCommand {
	c := app.Command("bundle", "The bundle of alerts and dashboards that is in this program.")
	b := &bundleCommand{write: c.Command("write", "Write or update it: rules, runbooks, dashboards for Grafana, and examples for Prometheus and Alertmanager.")}
	b.dir = b.write.Arg("dir", "Directory to write to, made if need be, such as /etc/prometheus/quorate.").Required().String()
	b.force = b.write.Flag("force", "Overwrite files that were changed since they were written.").Bool()
	return b
}

func (b *bundleCommand) name() string { return b.write.FullCommand() }

func (b *bundleCommand) run(stdout io.Writer) error {
	r, err := bundle.Write(*b.dir, bundleParts(), *b.force)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: %d files new, %d updated, %d as they were, %d removed\n", *b.dir, len(r.New), len(r.Updated), len(r.Same), len(r.Removed))
	for _, name := range r.Kept {
		fmt.Fprintf(stdout, "%s/%s: no longer part of the bundle, left because it was changed\n", *b.dir, name)
	}
	return nil
}

// bundleParts are the directories of the bundle.
func bundleParts() []bundle.Part {
	return []bundle.Part{
		{Dir: "rules", Files: alerts.Rules(), Pattern: "*.yaml"},
		{Dir: "runbooks", Files: runbooks.Pages(), Pattern: "*.md"},
		{Dir: "dashboards", Files: dashboards.Files(), Pattern: "*.json"},
		{Dir: "provisioning/dashboards", Files: dashboards.Provisioning(), Pattern: "dashboards/*.yaml"},
		{Dir: "provisioning/datasources", Files: dashboards.Provisioning(), Pattern: "datasources/*.yaml"},
		{Dir: "examples", Files: packaging.Examples(), Pattern: "*/*.yml"},
	}
}
