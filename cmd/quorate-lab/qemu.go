package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/internal/lab"
)

type command = func(*kingpin.Application) (*kingpin.CmdClause, run)

// vm are the commands about virtual machines.
func (p *program) vm(app *kingpin.Application) []command {
	vm := app.Command("vm", "Real virtual machines on the nodes, and their migrations.")
	return []command{p.vmStart(vm), p.vmStop(vm), p.vmList(vm), p.vmMigrate(vm), p.vmWander(vm), p.vmHold(vm)}
}

func (p *program) vmStart(vm *kingpin.CmdClause) command {
	return func(*kingpin.Application) (*kingpin.CmdClause, run) {
		c := vm.Command("start", "Start one; returns when its guest beats.")
		node := c.Arg("node", "Node id.").Required().Int()
		var o lab.VMOptions
		c.Arg("id", "Its id, 100 and up.").Required().IntVar(&o.ID)
		c.Flag("name", "Its name.").StringVar(&o.Name)
		c.Flag("memory", "MiB.").Default("64").IntVar(&o.MemoryMiB)
		c.Flag("pages", "Working set, in pages of 4 KiB.").Default("4096").IntVar(&o.WorkingSetPages)
		c.Flag("dirty", "Pages of it that are written to each millisecond.").Default("0").IntVar(&o.DirtyPagesPerMs)
		c.Flag("local-disk", "A file for a disk even if there is Ceph.").BoolVar(&o.LocalDisk)
		return c, func(ctx context.Context) error {
			l, err := p.open()
			if err != nil {
				return err
			}
			return l.StartVM(ctx, *node, o)
		}
	}
}

func (p *program) vmStop(vm *kingpin.CmdClause) command {
	return func(*kingpin.Application) (*kingpin.CmdClause, run) {
		c := vm.Command("stop", "End its process; disk and configuration stay.")
		id := c.Arg("id", "Its id.").Required().Int()
		return c, func(ctx context.Context) error {
			l, err := p.open()
			if err != nil {
				return err
			}
			return l.StopVM(ctx, *id)
		}
	}
}

func (p *program) vmList(vm *kingpin.CmdClause) command {
	return func(*kingpin.Application) (*kingpin.CmdClause, run) {
		c := vm.Command("list", "Show all, with node and process.")
		return c, func(context.Context) error {
			l, err := p.open()
			if err != nil {
				return err
			}
			vms, err := l.VMs()
			w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
			for _, v := range vms {
				fmt.Fprintf(w, "%d\t%s\t%s\tpid %d\t%d MiB\t%s\n", v.ID, v.Name, lab.NodeName(v.Node), l.VMPid(v.ID), v.MemoryMiB, v.Drive)
			}
			if err != nil {
				return err
			}
			return w.Flush()
		}
	}
}

func (p *program) vmMigrate(vm *kingpin.CmdClause) command {
	return func(*kingpin.Application) (*kingpin.CmdClause, run) {
		c := vm.Command("migrate", "Migrate one live, as Proxmox VE does; says what came of it.")
		id := c.Arg("id", "Its id.").Required().Int()
		to := c.Arg("node", "Node id.").Required().Int()
		var o lab.MigrateOptions
		bandwidth := c.Flag("bandwidth", "MiB a second (0: no limit).").Int64()
		refuse := c.Flag("refuse", "Refused by: storage, destination.").Enum("", string(lab.RefusedByStorage), string(lab.RefusedByDestination))
		c.Flag("downtime-limit", "Downtime that QEMU may plan.").Default("100ms").DurationVar(&o.DowntimeLimit)
		c.Flag("no-auto-converge", "Do not slow down a guest that writes too fast.").BoolVar(&o.NoAutoConverge)
		c.Flag("multifd", "Over several connections.").BoolVar(&o.Multifd)
		c.Flag("postcopy", "The guest first, its memory after it.").BoolVar(&o.Postcopy)
		c.Flag("cancel-after", "Cancel it so long after the transfer began.").DurationVar(&o.CancelAfter)
		c.Flag("kill-destination-after", "Kill the destination so long after the transfer began.").DurationVar(&o.KillDestinationAfter)
		c.Flag("no-resume", "Leave it paused on the destination.").BoolVar(&o.NoResume)
		log := c.Flag("log", "Show the task's log.").Bool()
		return c, func(ctx context.Context) error {
			l, err := p.open()
			if err != nil {
				return err
			}
			o.Bandwidth, o.Refuse = *bandwidth<<20, lab.Refusal(*refuse)
			r, err := l.Migrate(ctx, *id, *to, o)
			if err != nil {
				return err
			}
			for _, line := range r.Log {
				if *log {
					fmt.Println(line)
				}
			}
			fmt.Println(r)
			return nil
		}
	}
}

// vmWander is what the demo starts to have something to look at.
func (p *program) vmWander(vm *kingpin.CmdClause) command {
	return func(*kingpin.Application) (*kingpin.CmdClause, run) {
		c := vm.Command("wander", "Migrate all in turn from node to node until the lab is gone.")
		every := c.Flag("every", "Time between two migrations.").Default("40s").Duration()
		return c, func(ctx context.Context) error {
			l, err := p.open()
			if err != nil {
				return err
			}
			return l.Wander(ctx, *every, os.Stdout)
		}
	}
}

// vmHold is what the lab starts for qmp-held.
func (p *program) vmHold(vm *kingpin.CmdClause) command {
	return func(*kingpin.Application) (*kingpin.CmdClause, run) {
		c := vm.Command("hold", "Hold a socket until killed.").Hidden()
		path := c.Arg("socket", "Its path.").Required().String()
		return c, func(ctx context.Context) error { return lab.HoldSocket(ctx, *path, os.Stdout) }
	}
}
