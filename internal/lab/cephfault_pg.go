package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxFaultPGs = 128

	// An OSD moves one object in this time while it backfills, so a dozen a PG last for an hour.
	backfillSleep = time.Minute
)

// cephPGFaults bring PGs into a state, an exact number of them: each makes a pool of that many PGs
// and touches nothing else. A PG count need not be a power of two.
func cephPGFaults() []cephFault {
	faults := []cephFault{
		{
			name: "osd-out-backfill", args: "ID", help: "Take an OSD out and slow down the backfill that follows, so that it lasts.", check: checkOSDOut,
			inject: injectBackfill, heal: healBackfill,
		},
		{
			name: "pgs-undersized", args: "N", help: "Make N PGs active+undersized+degraded.", check: checkPGs,
			inject: func(ctx context.Context, l *Lab, args []string) error {
				return injectUndersized(ctx, l, undersizedPool, args)
			},
			heal: removePool(undersizedPool),
		},
		{
			name: "pgs-inactive", args: "N", help: "Make N PGs undersized+degraded+peered, which serve nobody.", check: checkPGs,
			inject: injectInactive, heal: removePool(inactivePool),
		},
		{
			name: "pgs-misplaced", args: "N", help: "Make N PGs active+clean+remapped with misplaced objects, by upmap and the flag nobackfill.", check: checkPGs,
			inject: injectMisplaced, heal: healMisplaced,
		},
		{
			name: "pgs-inconsistent", args: "N", help: "Damage a replica of one object in N PGs and let deep scrubs find it.", check: checkPGs,
			inject: injectInconsistent, heal: healInconsistent,
		},
	}
	for i, f := range faults {
		// What the manager knows already is not yet in "ceph status".
		faults[i].inject = func(ctx context.Context, l *Lab, args []string) error {
			if err := f.inject(ctx, l, args); err != nil {
				return err
			}
			return l.flushUpOSDs(ctx)
		}
	}
	return faults
}

// The pools of the faults.
const (
	undersizedPool   = "fault-undersized"
	inactivePool     = "fault-inactive"
	misplacedPool    = "fault-misplaced"
	inconsistentPool = "fault-inconsistent"
	quotaPool        = "fault-quota"
	slowPool         = "fault-slow-ops"
)

func checkPGs(p cephPlan, args []string) error {
	for _, arg := range args {
		n, err := strconv.Atoi(arg)
		if err != nil || n < 1 || n > maxFaultPGs {
			return fmt.Errorf("%q is no number of PGs from 1 to %d", arg, maxFaultPGs)
		}
	}
	if !p.hosts() {
		return errors.New("faults of single PGs need a lab of at least 3 nodes")
	}
	return nil
}

func checkOSDOut(p cephPlan, args []string) error {
	if !p.hosts() {
		return errors.New("a backfill needs a lab of at least 3 nodes")
	}
	return checkOSD(p, args)
}

// faultPool makes a replicated pool with its PGs clean.
func (l *Lab) faultPool(ctx context.Context, pool string, pgs int) error {
	_, err := l.cephBatch(ctx,
		fmt.Sprintf("osd pool create %s %d %[2]d replicated", pool, pgs),
		fmt.Sprintf("osd pool application enable %s lab", pool))
	if err != nil {
		return err
	}
	return l.waitPool(ctx, pool, pgs, func(row pgRow) bool { return row.State.clean() })
}

// waitPool waits until all PGs of a pool are so.
func (l *Lab) waitPool(ctx context.Context, pool string, pgs int, is func(pgRow) bool) error {
	return poll(ctx, cephHealthyTimeout, cephPollInterval, func() error {
		l.hurryPGStats(ctx)
		rows, err := l.poolPGs(ctx, pool)
		if err != nil {
			return err
		}
		ready := len(rows) - len(slices.DeleteFunc(slices.Clone(rows), is))
		if len(rows) != pgs || ready != pgs {
			return fmt.Errorf("pool %s: %d of %d PGs are as they should be (states: %s)", pool, ready, pgs, states(rows))
		}
		return nil
	})
}

func states(rows []pgRow) string {
	var all []string
	for _, row := range rows {
		all = append(all, string(row.State))
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

// fillPool writes objects until every PG has enough. Where an object goes is a hash of its name, so
// it takes a few rounds at most.
func (l *Lab) fillPool(ctx context.Context, pool string, pgs int, enough func(pgRow) bool) error {
	return poll(ctx, cephHealthyTimeout, cephPollInterval, func() error {
		if err := l.writeObjects(ctx, pool, objectsPerPG*pgs); err != nil {
			return err
		}
		l.hurryPGStats(ctx)
		rows, err := l.poolPGs(ctx, pool)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(rows, func(row pgRow) bool { return !enough(row) }); i >= 0 || len(rows) != pgs {
			return fmt.Errorf("pool %s: a PG of %d has not enough objects", pool, len(rows))
		}
		return nil
	})
}

func hasObjects(row pgRow) bool { return row.Stats.Objects > 0 }

// hasTrimmedLog is true when an OSD that is new to the PG has to backfill: the log no longer
// reaches back to the first write.
func hasTrimmedLog(row pgRow) bool { return row.LogStart != "0'0" }

func removePool(pool string) func(context.Context, *Lab, []string) error {
	return func(ctx context.Context, l *Lab, _ []string) error { return l.removePool(ctx, pool) }
}

// removePool is no error when there is no such pool.
func (l *Lab) removePool(ctx context.Context, pool string) error {
	_, err := l.CephCLI(ctx, "osd", "pool", "rm", pool, pool, "--yes-i-really-really-mean-it")
	return err
}

// injectUndersized asks for one copy more than there are hosts.
func injectUndersized(ctx context.Context, l *Lab, pool string, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if err := l.faultPool(ctx, pool, n); err != nil {
		return err
	}
	if err := l.fillPool(ctx, pool, n, hasObjects); err != nil {
		return err
	}
	if _, err := l.CephCLI(ctx, "osd", "pool", "set", pool, "size", strconv.Itoa(l.cephPlan().domains()+1)); err != nil {
		return err
	}
	return l.waitPool(ctx, pool, n, func(row pgRow) bool {
		return row.State.has("active") && row.State.has("undersized") && row.State.has("degraded")
	})
}

// injectInactive asks for one copy more than there are hosts, and serves nobody with less.
func injectInactive(ctx context.Context, l *Lab, args []string) error {
	if err := injectUndersized(ctx, l, inactivePool, args); err != nil {
		return err
	}
	size := strconv.Itoa(l.cephPlan().domains() + 1)
	if _, err := l.CephCLI(ctx, "osd", "pool", "set", inactivePool, "min_size", size); err != nil {
		return err
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	return l.waitPool(ctx, inactivePool, n, func(row pgRow) bool { return row.State.has("peered") })
}

// injectMisplaced moves a copy of each PG of a pool to the other OSD of its host, while nothing
// may backfill.
func injectMisplaced(ctx context.Context, l *Lab, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if err := l.faultPool(ctx, misplacedPool, n); err != nil {
		return err
	}
	if err := l.fillPool(ctx, misplacedPool, n, hasTrimmedLog); err != nil {
		return err
	}
	rows, err := l.poolPGs(ctx, misplacedPool)
	if err != nil {
		return err
	}
	commands := []string{"osd set nobackfill"}
	for _, row := range rows {
		from := row.Up[len(row.Up)-1]
		to := from ^ 1 // OSD 2k and 2k+1 are on one host
		commands = append(commands, fmt.Sprintf("osd pg-upmap-items %s %d %d", row.ID, from, to))
	}
	if _, err := l.cephBatch(ctx, commands...); err != nil {
		return err
	}
	return l.waitPool(ctx, misplacedPool, n, func(row pgRow) bool {
		return row.State.has("remapped") && row.Stats.Misplaced > 0
	})
}

func healMisplaced(ctx context.Context, l *Lab, _ []string) error {
	if err := l.removePool(ctx, misplacedPool); err != nil {
		return err
	}
	_, err := l.CephCLI(ctx, "osd", "unset", "nobackfill")
	return err
}

// injectInconsistent cuts one object short on an OSD that is not the primary, behind its back.
func injectInconsistent(ctx context.Context, l *Lab, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	if err := l.faultPool(ctx, inconsistentPool, n); err != nil {
		return err
	}
	if err := l.fillPool(ctx, inconsistentPool, n, hasObjects); err != nil {
		return err
	}
	rows, err := l.poolPGs(ctx, inconsistentPool)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := l.damage(ctx, row); err != nil {
			return err
		}
	}
	return l.askPGs(ctx, inconsistentPool, n, "pg deep-scrub", func(row pgRow) bool { return row.State.has("inconsistent") })
}

// damage truncates the first object of a PG on its second OSD.
func (l *Lab) damage(ctx context.Context, row pgRow) error {
	out, err := l.cephRun(ctx, "", "rados", "--pgid", row.ID, "ls")
	if err != nil {
		return err
	}
	object, _, _ := strings.Cut(out, "\n")
	object = strings.TrimSpace(object)
	if object == "" {
		return fmt.Errorf("PG %s has no object", row.ID)
	}
	osds := l.cephPlan().osds()
	if len(row.Acting) < 2 || row.Acting[1] < 0 || row.Acting[1] >= len(osds) {
		return fmt.Errorf("PG %s has no replica (acting set %v)", row.ID, row.Acting)
	}
	replica := osds[row.Acting[1]]
	return l.cephSocket(ctx, replica, nil, "truncobj",
		map[string]any{"pool": inconsistentPool, "objname": object, "len": 1})
}

// askPGs gives a command to every PG of a pool until all are as wanted. A PG may refuse (EAGAIN)
// or forget one while it is busy, so those that are left are asked again every few seconds.
func (l *Lab) askPGs(ctx context.Context, pool string, pgs int, command string, is func(pgRow) bool) error {
	var asked time.Time
	return poll(ctx, cephHealthyTimeout, cephPollInterval, func() error {
		l.hurryPGStats(ctx)
		rows, err := l.poolPGs(ctx, pool)
		if err != nil {
			return err
		}
		var refused error
		rest := slices.DeleteFunc(slices.Clone(rows), is)
		if len(rest) > 0 && time.Since(asked) > 5*time.Second {
			var commands []string
			for _, row := range rest {
				commands = append(commands, command+" "+row.ID)
			}
			_, refused = l.cephBatch(ctx, commands...)
			asked = time.Now()
		}
		if len(rest) > 0 || len(rows) != pgs {
			return errors.Join(fmt.Errorf("pool %s: %d of %d PGs still wait for %s", pool, len(rest), pgs, command), refused)
		}
		return nil
	})
}

func healInconsistent(ctx context.Context, l *Lab, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	rows, err := l.poolPGs(ctx, inconsistentPool)
	if err == nil && len(rows) == n {
		err := l.askPGs(ctx, inconsistentPool, n, "pg repair", func(row pgRow) bool { return row.State.clean() })
		if err != nil {
			return err
		}
	} // else the pool was not finished, and nothing is damaged
	return l.removePool(ctx, inconsistentPool)
}

// injectBackfill returns when PGs backfill, at a pace that never ends.
func injectBackfill(ctx context.Context, l *Lab, args []string) error {
	sleep := strconv.Itoa(int(backfillSleep / time.Second))
	_, err := l.cephBatch(ctx,
		"config set osd osd_recovery_sleep "+sleep,
		"config set osd osd_recovery_max_active 1") // an operation that sleeps holds its slot
	if err != nil {
		return err
	}
	// The monitors send settings when they get round to it; the OSDs must have these first.
	if err := l.waitOSDSetting(ctx, "osd_recovery_sleep", func(v string) bool { return strings.HasPrefix(v, sleep) }); err != nil {
		return err
	}
	if _, err := l.CephCLI(ctx, "osd", "out", args[0]); err != nil {
		return err
	}
	return l.waitCeph(ctx, func(s cephStatus) error {
		if s.OSDMap.In == s.OSDMap.Total || s.pgsWith("backfilling") == 0 {
			return fmt.Errorf("no PG backfills (PGs: %+v)", s.PGMap.ByState)
		}
		return nil
	})
}

// healBackfill takes the OSD in before it lifts the brake: the PGs then find their data where it
// was. Operations that still sleep hold one slot of 64.
func healBackfill(ctx context.Context, l *Lab, args []string) error {
	_, err := l.cephBatch(ctx, "osd in "+args[0],
		"config rm osd osd_recovery_sleep", normalRecoverySlots)
	return err
}

// waitOSDSetting waits until every running OSD uses a setting.
func (l *Lab) waitOSDSetting(ctx context.Context, name string, is func(string) bool) error {
	return poll(ctx, cephCommandTimeout, cephPollInterval, func() error {
		for _, osd := range l.cephPlan().osds() {
			if !l.Running(osd.node, osd.name()) {
				continue
			}
			var got map[string]string
			if err := l.cephSocket(ctx, osd, &got, "config get", map[string]any{"var": name}); err != nil {
				return err
			}
			if !is(got[name]) {
				return fmt.Errorf("%s has %s = %s", osd.name(), name, got[name])
			}
		}
		return nil
	})
}
