package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/internal/lab"
)

type run = func(context.Context) error

func (p *program) up(app *kingpin.Application) (*kingpin.CmdClause, run) {
	c := app.Command("up", "Start a lab; returns when corosync is quorate and Ceph healthy.")
	nodes := c.Flag("nodes", "Number of nodes, 1 to 20.").Default("3").Int()
	qdevice := c.Flag("qdevice", "With a qnetd server, and corosync-qdevice on every node.").Bool()
	ceph := c.Flag("ceph", "With Ceph.").Bool()
	pgs := c.Flag("ceph-pgs", "Placement groups of the rbd pool (0: a small default).").Int()
	pve := c.Flag("pve", "With a Proxmox VE that is played: API, /etc/pve, guests and HA, coupled to the lab's corosync.").Bool()
	pveVersion := c.Flag("pve-version", "Its release.").Default("9.2").Enum("8.4", "9.2")
	return c, func(ctx context.Context) error {
		began := time.Now()
		l, err := lab.Up(ctx, lab.Options{Dir: *p.dir, Nodes: *nodes, QDevice: *qdevice, Ceph: *ceph, CephPGs: *pgs,
			PVE: *pve, PVEVersion: *pveVersion, Log: p.log()})
		if err != nil {
			return err
		}
		fmt.Printf("%d nodes up in %s after %s\n", len(l.Nodes()), l.Dir(), time.Since(began).Round(100*time.Millisecond))
		return nil
	}
}

func (p *program) down(app *kingpin.Application) (*kingpin.CmdClause, run) {
	c := app.Command("down", "Kill everything of the lab and remove its directory, whatever state it is in.")
	return c, func(ctx context.Context) error { return lab.Remove(ctx, *p.dir, p.log()) }
}

func (p *program) status(app *kingpin.Application) (*kingpin.CmdClause, run) {
	c := app.Command("status", "Show each node, Ceph's health and the active faults.")
	return c, func(ctx context.Context) error {
		l, err := p.open()
		if err != nil {
			return err
		}
		for _, line := range l.Status(ctx) {
			fmt.Println(line)
		}
		return nil
	}
}

func (p *program) faults(app *kingpin.Application) (*kingpin.CmdClause, run) {
	c := app.Command("faults", "List the faults that can be made.")
	return c, func(context.Context) error {
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		for _, f := range lab.Faults() {
			fmt.Fprintf(w, "%s\t%s\n", strings.TrimSpace(f.Name+" "+f.Args), f.Help)
		}
		return w.Flush()
	}
}

func (p *program) fault(app *kingpin.Application) (*kingpin.CmdClause, run) {
	c := app.Command("fault", "Break something (see faults).")
	name := c.Arg("name", "Name of the fault.").Required().String()
	args := c.Arg("args", "Its arguments.").Strings()
	return c, func(ctx context.Context) error {
		l, err := p.open()
		if err != nil {
			return err
		}
		return l.Inject(ctx, *name, *args...)
	}
}

func (p *program) heal(app *kingpin.Application) (*kingpin.CmdClause, run) {
	c := app.Command("heal", "Undo faults; returns when the lab is as before.")
	names := c.Arg("fault", `Names of faults, or one with its arguments in quotes; none: all.`).Strings()
	return c, func(ctx context.Context) error {
		l, err := p.open()
		if err != nil {
			return err
		}
		return l.Heal(ctx, *names...)
	}
}

func (p *program) exec(app *kingpin.Application) (*kingpin.CmdClause, run) {
	c := app.Command("exec", "Run a command inside a node.")
	node := c.Arg("node", "Node id.").Required().Int()
	argv := c.Arg("command", "Command and its arguments.").Required().Strings()
	return c, func(ctx context.Context) error {
		l, err := p.open()
		if err != nil {
			return err
		}
		if err := l.Has(*node); err != nil {
			return err
		}
		if (*argv)[0] == "--" && len(*argv) > 1 {
			*argv = (*argv)[1:]
		}
		cmd := l.Command(ctx, *node, *argv...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		return cmd.Run()
	}
}

func (p *program) ceph(app *kingpin.Application) (*kingpin.CmdClause, run) {
	c := app.Command("ceph", "Run the ceph command as client.admin.")
	args := c.Arg("args", "Its arguments.").Strings()
	return c, func(ctx context.Context) error {
		l, err := p.open()
		if err != nil {
			return err
		}
		out, err := l.CephCLI(ctx, *args...)
		fmt.Print(out)
		return err
	}
}

func (p *program) exporter(app *kingpin.Application) (*kingpin.CmdClause, run) {
	c := app.Command("exporter", "Run an exporter inside a node, scraped on the machine.")
	node := c.Arg("node", "Node id.").Required().Int()
	binary := c.Flag("binary", "The exporter, started as: BINARY serve --web.systemd-socket ARGS…").Required().ExistingFile()
	listen := c.Flag("listen", "Address on the machine, such as 127.0.0.1:19921.").Required().String()
	args := c.Arg("args", "More arguments for it (flags after --).").Strings()
	return c, func(ctx context.Context) error {
		l, err := p.open()
		if err != nil {
			return err
		}
		if err := l.Has(*node); err != nil {
			return err
		}
		return l.StartExporter(ctx, *node, lab.ExporterOptions{Binary: *binary, Args: *args, Listen: *listen})
	}
}

// linkem is what the lab starts for link-delay and link-loss.
func (p *program) linkem(app *kingpin.Application) (*kingpin.CmdClause, run) {
	c := app.Command("linkem", "Forward frames between two interfaces, late and with losses.").Hidden()
	first := c.Arg("first", "Interface.").Required().String()
	second := c.Arg("second", "Interface.").Required().String()
	delay := c.Flag("delay", "One-way delay.").Duration()
	jitter := c.Flag("jitter", "Random extra delay.").Duration()
	loss := c.Flag("loss", "Percent of frames lost.").Default("0").String()
	return c, func(ctx context.Context) error {
		percent, err := strconv.ParseFloat(*loss, 64)
		if err != nil {
			return fmt.Errorf("--loss: %w", err)
		}
		return lab.Linkem(ctx, *first, *second, lab.LinkOptions{Delay: *delay, Jitter: *jitter, Loss: percent}, os.Stdout)
	}
}

// oneLine joins what errors.Join spread over lines.
func oneLine(err error) string {
	if errors.Is(err, context.Canceled) {
		return "interrupted: " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
