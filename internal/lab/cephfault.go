package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cephFault is a Fault of Ceph. inject returns when Ceph itself shows the fault. heal undoes it; the
// wait for a healthy cluster that follows is the same for all.
type cephFault struct {
	name, args, help string
	check            func(p cephPlan, args []string) error // nil: the framework's checks are enough
	inject, heal     func(ctx context.Context, l *Lab, args []string) error
}

// cephFaults are all faults of Ceph.
func cephFaults() []Fault {
	var faults []Fault
	for _, f := range slices.Concat(cephDaemonFaults(), cephPGFaults(), cephStateFaults()) {
		faults = append(faults, f.framework())
	}
	return faults
}

func (f cephFault) framework() Fault {
	usable := func(l *Lab, args []string) error {
		if !l.o.Ceph {
			return errors.New("this lab has no Ceph (start one with it)")
		}
		if f.check == nil {
			return nil
		}
		return f.check(l.cephPlan(), args)
	}
	return Fault{
		Name: f.name, Args: f.args, Help: f.help,
		Inject: func(ctx context.Context, l *Lab, args []string) error {
			if err := usable(l, args); err != nil {
				return err
			}
			return f.inject(ctx, l, args)
		},
		Heal: func(ctx context.Context, l *Lab, args []string) error {
			if usable(l, args) != nil {
				return nil // nothing was injected
			}
			if err := f.heal(ctx, l, args); err != nil {
				return err
			}
			return l.cephHealed(ctx)
		},
	}
}

// cephHealed waits for a healthy cluster, unless another fault keeps it from getting healthy.
func (l *Lab) cephHealed(ctx context.Context) error {
	if len(l.inEffect()) > 0 {
		return nil
	}
	return l.WaitCephHealthy(ctx)
}

// cephDaemonFaults kill and stop daemons.
func cephDaemonFaults() []cephFault {
	return []cephFault{
		{
			name: "osd-down", args: "ID", help: "Kill an OSD.", check: checkOSD,
			inject: func(ctx context.Context, l *Lab, args []string) error { return l.killOSDs(ctx, osdsNamed(args)) },
			heal:   func(ctx context.Context, l *Lab, args []string) error { return l.startOSDs(ctx, osdsNamed(args)) },
		},
		{
			name: "host-down", args: "NODE", help: "Kill all OSDs of a node.", check: checkHosts,
			inject: func(ctx context.Context, l *Lab, args []string) error { return l.killOSDs(ctx, osdsOnNodes(args)) },
			heal:   func(ctx context.Context, l *Lab, args []string) error { return l.startOSDs(ctx, osdsOnNodes(args)) },
		},
		{
			name: "hosts-down", args: "NODE NODE", help: "Kill all OSDs of two nodes; with three nodes every PG becomes inactive.", check: checkHosts,
			inject: func(ctx context.Context, l *Lab, args []string) error { return l.killOSDs(ctx, osdsOnNodes(args)) },
			heal:   func(ctx context.Context, l *Lab, args []string) error { return l.startOSDs(ctx, osdsOnNodes(args)) },
		},
		{
			name: "mon-down", args: "NODE", help: "Kill a node's monitor; the others keep quorum.", check: checkSpareMon,
			inject: injectMonDown(syscall.SIGKILL), heal: healMon,
		},
		{
			name: "mon-hang", args: "NODE", help: "Stop a node's monitor with SIGSTOP; the others keep quorum.", check: checkSpareMon,
			inject: injectMonDown(syscall.SIGSTOP), heal: healMon,
		},
		{
			name: "mon-quorum-lost", help: "Kill so many monitors that the rest has no quorum.",
			inject: func(ctx context.Context, l *Lab, _ []string) error {
				mons := l.cephPlan().mons()
				return l.killMons(ctx, mons[len(mons)/2:])
			},
			heal: healMons,
		},
		{
			name: "mons-down", help: "Kill all monitors.",
			inject: func(ctx context.Context, l *Lab, _ []string) error { return l.killMons(ctx, l.cephPlan().mons()) },
			heal:   healMons,
		},
		{name: "mgr-down", help: "Kill all managers.", inject: injectMgrDown, heal: healMgrs},
		{name: "mgr-failover", help: "Kill the active manager and let a standby take over.", inject: injectMgrFailover, heal: healMgrs},
		{name: "mgr-hang", help: "Stop the active manager with SIGSTOP and keep it active.", inject: injectMgrHang, heal: healMgrHang},
	}
}

func checkOSD(p cephPlan, args []string) error {
	last := len(p.osds()) - 1
	for _, arg := range args {
		id, err := strconv.Atoi(arg)
		if err != nil || id < 0 || id > last || strconv.Itoa(id) != arg {
			return fmt.Errorf("there is no OSD %q (this lab has 0 to %d)", arg, last)
		}
	}
	return nil
}

func checkHosts(p cephPlan, args []string) error {
	seen := map[string]bool{}
	for _, arg := range args {
		node, err := strconv.Atoi(arg)
		if err != nil || !slices.Contains(p.nodes, node) {
			return fmt.Errorf("there is no node %q (this lab has 1 to %d)", arg, len(p.nodes))
		}
		if seen[arg] {
			return fmt.Errorf("node %s is named twice", arg)
		}
		seen[arg] = true
	}
	return nil
}

func checkSpareMon(p cephPlan, args []string) error {
	mons := p.mons()
	if len(mons) < 3 {
		return fmt.Errorf("of %d monitors none can be spared (use mon-quorum-lost)", len(mons))
	}
	for _, arg := range args {
		if !slices.ContainsFunc(mons, func(d cephDaemon) bool { return strconv.Itoa(d.node) == arg }) {
			return fmt.Errorf("node %q has no monitor (the nodes 1 to %d have)", arg, len(mons))
		}
	}
	return nil
}

// osdsNamed selects OSDs by their ids.
func osdsNamed(ids []string) func(cephDaemon) bool {
	return func(d cephDaemon) bool { return slices.Contains(ids, d.id) }
}

// osdsOnNodes selects the OSDs of nodes.
func osdsOnNodes(nodes []string) func(cephDaemon) bool {
	return func(d cephDaemon) bool { return slices.Contains(nodes, strconv.Itoa(d.node)) }
}

func chosen(daemons []cephDaemon, is func(cephDaemon) bool) []cephDaemon {
	return slices.DeleteFunc(daemons, func(d cephDaemon) bool { return !is(d) })
}

// killOSDs returns when the OSD map shows the OSDs as down and the PGs' states are of that map.
func (l *Lab) killOSDs(ctx context.Context, is func(cephDaemon) bool) error {
	victims := chosen(l.cephPlan().osds(), is)
	if err := l.stopCeph(ctx, syscall.SIGKILL, victims...); err != nil {
		return err
	}
	err := poll(ctx, cephHealthyTimeout, cephPollInterval, func() error {
		up, err := l.upOSDs(ctx)
		if err != nil {
			return err
		}
		for _, osd := range victims {
			if slices.Contains(up, osd.id) {
				return fmt.Errorf("%s is still up in the OSD map", osd.name())
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return l.flushUpOSDs(ctx)
}

// upOSDs are the ids of the OSDs that the OSD map calls up.
func (l *Lab) upOSDs(ctx context.Context) ([]string, error) {
	var dump struct{ OSDs []struct{ OSD, Up int } }
	if err := l.cephJSON(ctx, &dump, "osd", "dump"); err != nil {
		return nil, err
	}
	var up []string
	for _, osd := range dump.OSDs {
		if osd.Up == 1 {
			up = append(up, strconv.Itoa(osd.OSD))
		}
	}
	return up, nil
}

func (l *Lab) startOSDs(ctx context.Context, is func(cephDaemon) bool) error {
	return l.startCeph(ctx, chosen(l.cephPlan().osds(), is)...)
}

// injectMonDown returns when the other monitors have a quorum without it and say so.
func injectMonDown(sig syscall.Signal) func(context.Context, *Lab, []string) error {
	return func(ctx context.Context, l *Lab, args []string) error {
		mon := chosen(l.cephPlan().mons(), osdsOnNodes(args))[0]
		if err := l.strike(ctx, mon, sig); err != nil {
			return err
		}
		return l.waitCeph(ctx, func(s cephStatus) error {
			if slices.Contains(s.QuorumNames, mon.id) || !s.check("MON_DOWN") {
				return fmt.Errorf("the monitors have not noticed that %s is gone (quorum: %s)", mon.name(), strings.Join(s.QuorumNames, ", "))
			}
			return nil
		})
	}
}

// strike kills a daemon, or stops it where it stands.
func (l *Lab) strike(ctx context.Context, d cephDaemon, sig syscall.Signal) error {
	if sig == syscall.SIGKILL {
		return l.StopDaemon(ctx, d.node, d.name(), sig)
	}
	return l.Signal(d.node, d.name(), sig)
}

func healMon(ctx context.Context, l *Lab, args []string) error {
	return l.revive(ctx, chosen(l.cephPlan().mons(), osdsOnNodes(args))...)
}

func healMons(ctx context.Context, l *Lab, _ []string) error {
	return l.revive(ctx, l.cephPlan().mons()...)
}

func healMgrs(ctx context.Context, l *Lab, _ []string) error {
	return l.revive(ctx, l.cephPlan().mgrs()...)
}

// revive continues the daemons that are stopped and starts those that are gone.
func (l *Lab) revive(ctx context.Context, daemons ...cephDaemon) error {
	for _, d := range daemons {
		if !l.Running(d.node, d.name()) {
			continue
		}
		if err := l.Signal(d.node, d.name(), syscall.SIGCONT); err != nil {
			return err
		}
	}
	return l.startCeph(ctx, daemons...)
}

// killMons returns when no monitor that is left is in a quorum any more.
func (l *Lab) killMons(ctx context.Context, mons []cephDaemon) error {
	if err := l.stopCeph(ctx, syscall.SIGKILL, mons...); err != nil {
		return err
	}
	return poll(ctx, cephHealthyTimeout, cephPollInterval, func() error {
		node, err := l.answeringMon(ctx)
		if errors.Is(err, errNoMon) && ctx.Err() == nil {
			return nil
		}
		return errors.Join(err, fmt.Errorf("mon.%s still believes in a quorum", NodeName(node)))
	})
}

func injectMgrDown(ctx context.Context, l *Lab, _ []string) error {
	mgrs := l.cephPlan().mgrs()
	if err := l.stopCeph(ctx, syscall.SIGKILL, mgrs...); err != nil {
		return err
	}
	// The monitors would find out by themselves, one manager after the other's grace.
	for _, mgr := range mgrs {
		if _, err := l.CephCLI(ctx, "mgr", "fail", mgr.id); err != nil {
			return err
		}
	}
	return l.waitCeph(ctx, func(s cephStatus) error {
		if s.MgrMap.Available || !s.check("MGR_DOWN") {
			return errors.New("the monitors have not noticed that the managers are gone")
		}
		return nil
	})
}

func injectMgrFailover(ctx context.Context, l *Lab, _ []string) error {
	node, name, err := l.ActiveMgr(ctx)
	if err != nil {
		return err
	}
	if len(l.cephPlan().mgrs()) < 2 {
		return errors.New("there is no standby manager (use mgr-down)")
	}
	if err := l.StopDaemon(ctx, node, name, syscall.SIGKILL); err != nil {
		return err
	}
	if _, err := l.CephCLI(ctx, "mgr", "fail", NodeName(node)); err != nil {
		return err
	}
	return poll(ctx, cephHealthyTimeout, cephPollInterval, func() error {
		_, now, err := l.ActiveMgr(ctx)
		if err == nil && now == name {
			err = fmt.Errorf("%s is still the active manager", name)
		}
		return err
	})
}

// injectMgrHang makes the state that hurts an exporter most: the monitors call the manager
// available, and it answers nobody. By default that lasts until mon_mgr_beacon_grace has passed,
// 30 s in real clusters; here until the fault is healed.
func injectMgrHang(ctx context.Context, l *Lab, _ []string) error {
	node, name, err := l.ActiveMgr(ctx)
	if err != nil {
		return err
	}
	grace, err := longestBeaconGrace()
	if err != nil {
		return err
	}
	if _, err := l.CephCLI(ctx, "config", "set", "mon", "mon_mgr_beacon_grace", strconv.Itoa(int(grace/time.Second))); err != nil {
		return err
	}
	return l.Signal(node, name, syscall.SIGSTOP)
}

// longestBeaconGrace is how long a manager may be silent at most. The monitors subtract the grace
// from the time since boot, and if that is less they take every manager for dead.
func longestBeaconGrace() (time.Duration, error) {
	var now syscall.Sysinfo_t
	if err := syscall.Sysinfo(&now); err != nil {
		return 0, fmt.Errorf("read the machine's uptime: %w", err)
	}
	return min(24*time.Hour, time.Duration(now.Uptime)*time.Second/2), nil
}

// healMgrHang restores the grace only when beacons come again, which is so when statistics do:
// else the monitors would fail the manager over at that moment.
func healMgrHang(ctx context.Context, l *Lab, _ []string) error {
	if err := l.revive(ctx, l.cephPlan().mgrs()...); err != nil {
		return err
	}
	healed := l.cephHealed(ctx)
	_, err := l.cephBatch(ctx, normalBeaconGrace)
	return errors.Join(healed, err)
}
