package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
)

const (
	pveCouple  = 500 * time.Millisecond // between two looks at the lab
	pveWrite   = time.Second            // between two views of /etc/pve
	pveMigrate = 2 * time.Minute        // between two live migrations
	pvePast    = 5 * time.Minute        // how long the cluster has run when it is first seen, so that HA has settled

	pveUser = "quorate@pve"
)

// pveServer plays Proxmox VE for a lab.
type pveServer struct {
	l       *Lab
	c       *pvefake.Cluster
	corosys map[int]*corosyncLog
	said    string // the last error, to be told once

	writing    sync.Mutex     // one at a time writes the files
	migrations sync.WaitGroup // of real VMs, begun by the API or by HA

	struck   map[string]func() error // what ends a fault of Proxmox VE's own that is in effect
	disabled []string                // services to be started again once they are stopped
}

// ServePVE plays Proxmox VE on all nodes of the lab until ctx ends or the lab is gone: the API on
// port 8006, /etc/pve, the task lists, guests and HA. Membership and quorum are corosync's. It says
// on status when all nodes answer.
func (l *Lab) ServePVE(ctx context.Context, status io.Writer) error {
	s := &pveServer{l: l, corosys: map[int]*corosyncLog{}, struck: map[string]func() error{}}
	ctx, cancel := context.WithCancel(ctx)
	defer s.migrations.Wait()
	defer cancel()
	o := l.pveOptions(ctx)
	o.Migrate = s.migrateReal(ctx)
	c, err := pvefake.New(o)
	if err != nil {
		return err
	}
	defer c.Close()
	s.c = c
	for _, node := range l.Nodes() {
		s.corosys[node] = &corosyncLog{path: filepath.Join(l.NodeDir(node), "log/corosync.log")}
	}
	if err := populate(c, l.o); err != nil {
		return err
	}
	c.Advance(pvePast)
	if err := errors.Join(s.couple(), s.writeAccess(), s.writeFiles()); err != nil {
		return err
	}
	stop, err := s.serveControl(ctx)
	if err != nil {
		return err
	}
	defer stop()
	c.Start(ctx)
	fmt.Fprintln(status, pveReady)
	return s.run(ctx)
}

func (l *Lab) pveOptions(ctx context.Context) pvefake.Options {
	var addresses []net.IP
	for _, node := range l.Nodes() {
		addresses = append(addresses, l.Addr(node, Link0).AsSlice())
	}
	return pvefake.Options{
		Nodes: l.o.Nodes, ClusterName: clusterName, Version: pvefake.Version(l.o.PVEVersion),
		Start: time.Now().Add(-pvePast), RootPassword: PVEPassword, DelayScale: 1, Watchdog: true, HAPace: l.o.HAPace,
		Addresses: addresses,
		Listen: func(node int) (net.Listener, error) {
			return l.Listen(ctx, node, "tcp4", "0.0.0.0:"+pvePort) // as pveproxy does
		},
	}
}

// run couples, writes and migrates in turn; one goroutine, so that nothing of it overlaps.
func (s *pveServer) run(ctx context.Context) error {
	couple, write, migrate := time.NewTicker(pveCouple), time.NewTicker(pveWrite), time.NewTicker(pveMigrate)
	defer couple.Stop()
	defer write.Stop()
	defer migrate.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-couple.C:
			err = s.couple()
		case <-write.C:
			err = s.writeFiles()
		case <-migrate.C:
			if !s.l.o.PVEStill {
				err = migrateNext(s.c)
			}
		}
		// Writing without a lab would make its directory again.
		if _, gone := os.Stat(filepath.Join(s.l.o.Dir, stateFile)); gone != nil {
			return fmt.Errorf("%s: %w", s.l.o.Dir, ErrNoLab)
		}
		s.tell(err)
	}
}

// tell logs an error when it is a new one: the next look is half a second away.
func (s *pveServer) tell(err error) {
	if err == nil {
		return
	}
	if text := err.Error(); text != s.said {
		s.said = text
		s.l.log.Warn("Proxmox VE of the lab", "err", err)
	}
}

// writeAccess writes what a client needs.
func (s *pveServer) writeAccess() error {
	s.c.AddUser(pveUser, "")
	token, err := s.c.AddToken(pveUser, "exporter", false)
	if err != nil {
		return err
	}
	if err := s.c.Grant("/", pveUser, "PVEAuditor"); err != nil {
		return err
	}
	errs := []error{
		writeFile(s.l.PVECA(), s.c.CAPEM(), 0o644),
		writeFile(s.l.PVEToken(), []byte(token+"\n"), 0o600),
	}
	for _, node := range s.l.Nodes() {
		errs = append(errs, writeFile(filepath.Join(s.l.PVEDir(node), "pve-root-ca.pem"), s.c.CAPEM(), 0o640))
	}
	return errors.Join(errs...)
}

// writeFiles writes /etc/pve and the task lists of all nodes that have power.
func (s *pveServer) writeFiles() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	conf, err := os.ReadFile(s.l.confPath(1))
	if err != nil {
		return err
	}
	s.c.SetCorosyncConf(string(conf))
	var errs []error
	for _, node := range s.l.withoutDown(s.l.Nodes()) {
		errs = append(errs, s.c.WriteEtcPVE(node, s.l.PVEDir(node)), s.c.WriteTaskFiles(node, s.l.pveTasksDir(node)))
	}
	return errors.Join(errs...)
}
