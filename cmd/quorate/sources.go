package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/collector"
	"github.com/quorate/quorate/internal/source"
	"github.com/quorate/quorate/internal/source/ceph"
	"github.com/quorate/quorate/internal/source/corosync"
	"github.com/quorate/quorate/internal/source/linkprobe"
)

// sourceFlags are the flags that say where the sources are.
type sourceFlags struct {
	corosyncConf *string
	probe        struct {
		authkey  *string
		port     *uint16
		interval *time.Duration
	}
	ceph struct {
		conf, user, keyring *string
		confGiven           bool
	}
	pve pveFlags
	qmp qmpFlags
}

func (f *sourceFlags) add(c *kingpin.CmdClause) {
	f.corosyncConf = c.Flag("corosync.config", "corosync.conf of this node; without it the node is standalone.").
		Default(corosync.DefaultConfFile).String()
	f.probe.authkey = c.Flag("link-probe.authkey", "The cluster's authkey, from which the key of the UDP echo between exporters is derived.").
		Default("/etc/corosync/authkey").String()
	f.probe.port = c.Flag("link-probe.port", "UDP port of the echo, the same on all nodes.").Default(fmt.Sprint(linkprobe.DefaultPort)).Uint16()
	f.probe.interval = c.Flag("link-probe.interval", "Time between two probes of a peer on a link.").Default("1s").Duration()
	f.ceph.conf = c.Flag("ceph.config", "ceph.conf; without the default file this node has no Ceph.").
		Default(ceph.DefaultConf).IsSetByUser(&f.ceph.confGiven).String()
	f.ceph.user = c.Flag("ceph.user", "Ceph user with caps mon 'allow r' mgr 'allow r'.").Default("client.quorate").String()
	f.ceph.keyring = c.Flag("ceph.keyring", "Keyring of the user (default: as ceph.conf says, else the usual places).").String()
	f.pve.add(c)
	f.qmp.add(c)
}

// sources are the open sources of one run.
type sources struct {
	collector.Sources
	statuses map[string][]func() source.Status // by the collector they serve
	loops    []func(context.Context) error     // what runs in the background
	closers  []io.Closer
}

// open checks and opens the sources of the collectors that are on. A daemon that is absent is no
// error, a file that is wrong is.
func (f *sourceFlags) open(on func(collector string) bool, log *slog.Logger) (*sources, error) {
	s := &sources{statuses: map[string][]func() source.Status{}}
	for name, open := range map[string]func(*sources, *slog.Logger) error{
		"corosync":  f.openCorosync,
		"links":     f.openLinks,
		"ceph":      f.openCeph,
		"migration": f.openMigration,
	} {
		if !on(name) {
			continue
		}
		if err := open(s, log.With("component", name)); err != nil {
			s.close(log)
			return nil, err
		}
	}
	if err := f.pve.open(s, on, log.With("component", "pve")); err != nil {
		s.close(log)
		return nil, err
	}
	return s, nil
}

// has says whether the collector's source was opened.
func (s *sources) has(collector string) bool {
	switch collector {
	case "pve":
		return s.PVE != nil
	case "pve-node":
		return s.PVENode != nil
	case "ha":
		return s.HA != nil
	case "tasks":
		return s.Tasks != nil
	case "migration":
		return s.Migration != nil
	}
	return true
}

func (f *sourceFlags) openCorosync(s *sources, log *slog.Logger) error {
	if _, err := corosync.ReadConfig(*f.corosyncConf); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	c := corosync.New(corosync.Options{ConfFile: *f.corosyncConf, Log: log})
	s.Corosync = c
	s.statuses["corosync"] = []func() source.Status{c.Status}
	s.closers = append(s.closers, c)
	return nil
}

func (f *sourceFlags) openLinks(s *sources, log *slog.Logger) error {
	meter := collector.NewLinkMeter()
	p := linkprobe.New(linkprobe.Config{
		Interval: *f.probe.interval,
		Port:     *f.probe.port,
		Peers:    f.topology,
		Observer: meter,
		Log:      log,
	})
	s.Links = meter
	s.statuses["links"] = []func() source.Status{p.Status}
	s.loops = append(s.loops, p.Run)
	return nil
}

// topology reads who is in the cluster. Without corosync.conf the node is standalone; without an
// authkey (secauth off) the probe does with ICMP.
func (f *sourceFlags) topology(ctx context.Context) (linkprobe.Topology, error) {
	conf, err := corosync.ReadConfig(*f.corosyncConf)
	if errors.Is(err, fs.ErrNotExist) {
		return linkprobe.Topology{}, nil
	}
	if err != nil {
		return linkprobe.Topology{}, err
	}
	local, err := linkprobe.LocalAddrs()
	if err != nil {
		return linkprobe.Topology{}, err
	}
	var nodes []linkprobe.Node
	for _, n := range conf.Nodes {
		nodes = append(nodes, linkprobe.Node{ID: n.ID, Name: n.Name, Rings: n.Rings})
	}
	t, err := linkprobe.BuildTopology(ctx, nodes, local, func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	})
	if err != nil {
		return linkprobe.Topology{}, err
	}
	authkey, err := os.ReadFile(*f.probe.authkey)
	switch {
	case err == nil:
		t.Key = linkprobe.DeriveKey(authkey)
	case !errors.Is(err, fs.ErrNotExist):
		return linkprobe.Topology{}, fmt.Errorf("read the cluster's authkey (let this user read it, or name another file by --link-probe.authkey): %w", err)
	}
	return t, nil
}

func (f *sourceFlags) openCeph(s *sources, log *slog.Logger) error {
	o := ceph.Options{ConfFile: *f.ceph.conf, User: *f.ceph.user, Keyring: *f.ceph.keyring, Log: log}
	if err := ceph.Check(o); err != nil && (f.ceph.confGiven || !errors.Is(err, ceph.ErrNotConfigured)) {
		return err
	}
	c := ceph.New(o)
	s.Ceph = c
	for _, stats := range c.Stats() {
		s.statuses["ceph"] = append(s.statuses["ceph"], stats.Status)
	}
	s.loops = append(s.loops, func(ctx context.Context) error {
		select {
		case err := <-c.FirstConnect():
			if ceph.Fatal(err) {
				return err
			}
		case <-ctx.Done():
		}
		return nil
	})
	s.closers = append(s.closers, c)
	return nil
}

// fatalError ends the program: waiting would not mend it.
type fatalError struct{ error }

// start runs the loops until ctx ends and cancels it with a fatalError when one fails. The channel
// it returns is closed when all have ended.
func (s *sources) start(ctx context.Context, cancel context.CancelCauseFunc) <-chan struct{} {
	var wg sync.WaitGroup
	for _, loop := range s.loops {
		wg.Go(func() {
			if err := loop(ctx); err != nil {
				cancel(fatalError{err})
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	return done
}

// close ends the sources at the end of the program; what cannot be ended is only told.
func (s *sources) close(log *slog.Logger) {
	for _, c := range s.closers {
		if err := c.Close(); err != nil {
			log.Warn("closing", "err", err)
		}
	}
}
