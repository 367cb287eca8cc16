package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

const (
	madeFile = "made.json"

	joinedTimeout  = 30 * time.Second // from a daemon's start until its cluster knows it
	joinedInterval = 100 * time.Millisecond
)

// made is what has been made so far of a bare lab (Options.Bare).
type made struct {
	Cluster string // its name
	Members int    // nodes 1 to Members are in corosync's cluster
	FSID    string
	Daemons []madeDaemon // of Ceph, in the order they were made
}

type madeDaemon struct {
	Kind, ID string
	Node     int
}

func (l *Lab) made() (made, error) {
	var m made
	err := readJSON(filepath.Join(l.o.Dir, madeFile), &m)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return m, err
}

func (l *Lab) saveMade(m made) error { return writeJSON(filepath.Join(l.o.Dir, madeFile), m) }

// madeDaemons are Ceph's; none while nothing was made.
func (l *Lab) madeDaemons() []cephDaemon {
	m, _ := l.made() // a damaged file shows at the next change
	var all []cephDaemon
	for _, d := range m.Daemons {
		all = append(all, cephDaemon{kind: d.Kind, id: d.ID, node: d.Node})
	}
	return all
}

// change runs one maker at a time.
func (l *Lab) change(ctx context.Context, node int, do func(made) error) error {
	if !l.o.Bare {
		return errors.New("a lab that was not started bare has all it is to have (set Options.Bare)")
	}
	if err := l.Has(node); err != nil {
		return err
	}
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	m, err := l.made()
	if err != nil {
		return err
	}
	return do(m)
}

// MakeCluster starts corosync on node 1 as the only member of a new cluster. It returns when that is
// quorate.
func (l *Lab) MakeCluster(ctx context.Context, name string) error {
	return l.change(ctx, 1, func(m made) error {
		if m.Members > 0 {
			return fmt.Errorf("%s is in cluster %s already", NodeName(1), m.Cluster)
		}
		m.Cluster = name
		return l.grow(ctx, m)
	})
}

// JoinCluster adds a node to the configuration of all members, which reload it, and starts its corosync.
// It returns when all of them are quorate with one vote more and every link is connected. Nodes join in
// the order of their numbers, which are their ids.
func (l *Lab) JoinCluster(ctx context.Context, node int) error {
	return l.change(ctx, node, func(m made) error {
		switch {
		case m.Members == 0:
			return errors.New("there is no cluster to join (make one first)")
		case node != m.Members+1:
			return fmt.Errorf("%s cannot join: the next is %s", NodeName(node), NodeName(m.Members+1))
		}
		return l.grow(ctx, m)
	})
}

// grow makes the next node a member.
func (l *Lab) grow(ctx context.Context, m made) error {
	m.Members++
	part := *l // the lab as its members see it
	part.o.Nodes = m.Members
	if err := part.writeConfigs(corosyncSettings{Name: m.Cluster}); err != nil {
		return err
	}
	if m.Members > 1 {
		if _, err := l.Run(ctx, 1, "corosync-cfgtool", "-R"); err != nil {
			return err
		}
	}
	err := part.startCorosync(ctx, m.Members)
	if err == nil {
		err = part.settle(ctx)
	}
	if err != nil {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), downTimeout)
		defer cancel()
		return errors.Join(err, l.stopCorosync(clean, m.Members, syscall.SIGTERM))
	}
	return l.saveMade(m)
}

// MakeMon makes a Ceph monitor. It returns when that is in quorum.
func (l *Lab) MakeMon(ctx context.Context, node int) error {
	d := cephDaemon{kind: "mon", id: NodeName(node), node: node}
	return l.change(ctx, node, func(m made) error {
		if m.FSID == "" {
			m.FSID = newUUID()
		}
		first := len(l.cephPlan().mons()) == 0
		monmap := filepath.Join(l.cephPlan().dir, "monmap")
		if !first { // asked for while all monitors that are known run
			if _, err := l.CephCLI(ctx, "mon", "getmap", "-o", monmap); err != nil {
				return err
			}
		}
		return l.makeCeph(ctx, m, d, func(plan cephPlan) error {
			if first {
				return l.firstMon(ctx, plan, m.FSID)
			}
			if _, err := l.Run(ctx, node, plan.program(d, "--mkfs", "--monmap", monmap, "--keyring", plan.keyring("initial"))...); err != nil {
				return err
			}
			return l.startAndWait(ctx, d, func() error {
				state, err := l.monState(ctx, d)
				if err == nil && state != "leader" && state != "peon" {
					err = fmt.Errorf("%s is %s", d.name(), state)
				}
				return err
			})
		})
	})
}

// firstMon makes a Ceph cluster of one monitor.
func (l *Lab) firstMon(ctx context.Context, plan cephPlan, fsid string) error {
	if err := l.cephFiles(plan, fsid); err != nil {
		return err
	}
	if err := l.firstQuorum(ctx, plan, fsid); err != nil {
		return err
	}
	_, err := l.cephBatch(ctx, registration(plan, nil)...)
	return err
}

// MakeMgr makes a Ceph manager. It returns when that is active or stands by.
func (l *Lab) MakeMgr(ctx context.Context, node int) error {
	d := cephDaemon{kind: "mgr", id: NodeName(node), node: node}
	return l.change(ctx, node, func(m made) error {
		return l.makeCeph(ctx, m, d, func(plan cephPlan) error {
			if err := l.authorize(ctx, plan, d); err != nil {
				return err
			}
			return l.startAndWait(ctx, d, func() error { return l.mgrKnown(ctx, d.id) })
		})
	})
}

func (l *Lab) mgrKnown(ctx context.Context, id string) error {
	var dump struct {
		Available  bool
		ActiveName string `json:"active_name"`
		Standbys   []struct{ Name string }
	}
	if err := l.cephJSON(ctx, &dump, "mgr", "dump"); err != nil {
		return err
	}
	if dump.Available && dump.ActiveName == id {
		return nil
	}
	for _, s := range dump.Standbys {
		if s.Name == id {
			return nil
		}
	}
	return fmt.Errorf("mgr.%s is neither active nor standing by", id)
}

// MakeOSD makes a Ceph OSD with the lowest id that is free. It returns when that is up.
func (l *Lab) MakeOSD(ctx context.Context, node int) (id int, err error) {
	err = l.change(ctx, node, func(m made) error {
		uuid := newUUID()
		var reply struct {
			ID int `json:"osdid"`
		}
		if err := l.cephJSON(ctx, &reply, "osd", "new", uuid); err != nil {
			return err
		}
		id = reply.ID
		d := cephDaemon{kind: "osd", id: fmt.Sprint(id), node: node}
		err := l.makeCeph(ctx, m, d, func(plan cephPlan) error {
			if err := l.authorize(ctx, plan, d); err != nil {
				return err
			}
			if _, err := l.Run(ctx, node, plan.program(d, "--mkfs", "--osd-uuid", uuid, "--no-mon-config")...); err != nil {
				return err
			}
			return l.startAndWait(ctx, d, func() error {
				var status struct{ State string }
				err := l.cephSocket(ctx, d, &status, "status", nil)
				if err == nil && status.State != "active" {
					err = fmt.Errorf("%s is %s", d.name(), status.State)
				}
				return err
			})
		})
		if err != nil {
			_, undo := l.CephCLI(context.WithoutCancel(ctx), "osd", "purge", d.id, "--yes-i-really-mean-it")
			return errors.Join(err, undo)
		}
		return nil
	})
	return id, err
}

// makeCeph adds a daemon to the list of those there are and does what makes it. When that fails the
// daemon is stopped and forgotten, and its data removed, unless it was there before.
func (l *Lab) makeCeph(ctx context.Context, m made, d cephDaemon, do func(cephPlan) error) error {
	if slices.Contains(l.cephPlan().made, d) {
		return fmt.Errorf("%s exists already", d.name())
	}
	before := m
	m.Daemons = append(slices.Clone(m.Daemons), madeDaemon{Kind: d.kind, ID: d.id, Node: d.node})
	if err := l.saveMade(m); err != nil {
		return err
	}
	plan := l.cephPlan()
	_, err := os.Stat(plan.data(d))
	fresh := errors.Is(err, fs.ErrNotExist)
	if err = plan.check(); err == nil {
		err = os.MkdirAll(plan.data(d), 0o755)
	}
	if err == nil {
		err = l.shareConf(plan, m.FSID)
	}
	if err == nil {
		err = do(plan)
	}
	if err == nil {
		return nil
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), downTimeout)
	defer cancel()
	errs := []error{fmt.Errorf("make %s: %w", d.name(), err), l.stopCeph(clean, syscall.SIGTERM, d), l.saveMade(before)}
	if fresh {
		errs = append(errs, os.RemoveAll(plan.data(d)))
	}
	return errors.Join(append(errs, l.shareConf(l.cephPlan(), before.FSID))...)
}

// shareConf writes ceph.conf for the daemons there are.
func (l *Lab) shareConf(plan cephPlan, fsid string) error {
	text := []byte(plan.render(fsid))
	errs := []error{writeFile(plan.conf(), text, 0o644)}
	for _, node := range plan.nodes {
		errs = append(errs, writeFile(filepath.Join(l.NodeDir(node), "ceph-etc/ceph.conf"), text, 0o644))
	}
	return errors.Join(errs...)
}

// authorize gets a daemon's key from the monitors.
func (l *Lab) authorize(ctx context.Context, plan cephPlan, d cephDaemon) error {
	for _, who := range plan.identities() {
		if who.name != d.name() {
			continue
		}
		key, err := l.CephCLI(ctx, append([]string{"auth", "get-or-create", who.name}, who.caps...)...)
		if err != nil {
			return err
		}
		return writeFile(l.cephKeyringPath(plan, who.name), []byte(key), 0o600)
	}
	return fmt.Errorf("%s has no identity", d.name())
}

// startAndWait starts a daemon and returns when it is known, or has ended.
func (l *Lab) startAndWait(ctx context.Context, d cephDaemon, known func() error) error {
	if err := l.startCeph(ctx, d); err != nil {
		return err
	}
	err := poll(ctx, joinedTimeout, joinedInterval, func() error {
		if !l.Running(d.node, d.name()) {
			return permanent(errors.New("it ended"))
		}
		return known()
	})
	if err != nil {
		text, _ := os.ReadFile(l.cephPlan().output(d))
		return fmt.Errorf("%w (its last words: %s)", err, lastLine(string(text)))
	}
	return nil
}
