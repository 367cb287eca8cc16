package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/collector"
	"github.com/quorate/quorate/internal/source"
	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/internal/source/qmp"
)

// qmpFlags say where the monitors of this node's VMs are.
type qmpFlags struct {
	dir      *string
	dirGiven bool
}

func (f *qmpFlags) add(c *kingpin.CmdClause) {
	f.dir = c.Flag("qmp.dir", "Directory of the VMs' monitor sockets, VMID.qmp; without the default directory and without Proxmox VE this machine has no VMs.").
		Default(qmp.DefaultDir).IsSetByUser(&f.dirGiven).String()
}

// openMigration samples the VMs of this machine, if it is to have any.
func (f *sourceFlags) openMigration(s *sources, log *slog.Logger) error {
	node := isDir(*f.pve.etc)
	if !f.qmp.dirGiven && !node && !isDir(*f.qmp.dir) {
		return nil
	}
	meter := collector.NewQMPMeter()
	client := qmp.New(qmp.Options{Observer: meter, Log: log})
	cfg := qmp.SamplerConfig{Dir: *f.qmp.dir, Querier: client, Log: log}
	if node {
		name, err := f.pve.nodeName()
		if err != nil {
			return err
		}
		tasks := &qmp.TaskLog{Node: name, Source: pve.TaskFiles{Root: os.DirFS("/")}, Began: time.Now()}
		cfg.Ended = tasks.Ended
		// Of its own: a file system that hangs must not cost the samples.
		cfg.Locked = qmp.MigrateLocks(pve.NewFiles(*f.pve.etc, time.Now), name)
	}
	sampler := qmp.NewSampler(cfg)
	s.Migration = &collector.MigrationSource{Sampler: sampler, Meter: meter}
	s.statuses["migration"] = []func() source.Status{sampler.Status}
	s.loops = append(s.loops, func(ctx context.Context) error {
		sampler.Run(ctx)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := client.Close(end); err != nil {
			log.Warn("closing", "err", err)
		}
		return nil
	})
	return nil
}

// nodeName is the name that Proxmox VE has for this machine.
func (f *pveFlags) nodeName() (string, error) {
	if *f.node != "" {
		return *f.node, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("the name of this node (give it by --pve.node): %w", err)
	}
	name, _, _ := strings.Cut(host, ".")
	return name, nil
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}
