package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	slowWriter       = "ceph-slow-writer"
	slowWriterPeriod = time.Hour // after which it ends even if nobody heals
	slowPGs          = 16
)

// cephStateFaults are the health checks that have nothing to do with a daemon or PG being gone.
func cephStateFaults() []cephFault {
	return []cephFault{
		ratioFault("nearfull", 1),
		ratioFault("backfillfull", 2),
		ratioFault("full", 3),
		{
			name: "flags", args: "NAME…", help: "Set flags of the OSD map, e.g. noout norebalance.", check: checkFlags,
			inject: func(ctx context.Context, l *Lab, args []string) error {
				if _, err := l.cephBatch(ctx, prefixed("osd set ", args)...); err != nil {
					return err
				}
				return l.waitCheck(ctx, "OSDMAP_FLAGS")
			},
			heal: func(ctx context.Context, l *Lab, args []string) error {
				_, err := l.cephBatch(ctx, prefixed("osd unset ", args)...)
				return err
			},
		},
		{name: "slow-ops", help: "Stop an OSD that may not be marked down while a client writes.", inject: injectSlowOps, heal: healSlowOps},
		{name: "crash", help: "Post the crash report of a daemon.", inject: injectCrash, heal: healCrash},
		{name: "pool-quota", help: "Make a pool that is over its quota.", inject: injectQuota, heal: removePool(quotaPool)},
	}
}

// fullRatios are the ratios in the order of what they mean, with Ceph's defaults.
var fullRatios = [...]struct{ name, normal, tiny string }{
	{"nearfull", "0.85", "0.0001"},
	{"backfillfull", "0.90", "0.0002"},
	{"full", "0.95", "0.0003"},
}

// ratioFault lowers the first n ratios below what the empty stores use. They must stay in order,
// else Ceph complains of that instead.
func ratioFault(name string, n int) cephFault {
	return cephFault{
		name: name, help: fmt.Sprintf("Make every OSD %s, by lowering the ratios.", name),
		inject: func(ctx context.Context, l *Lab, _ []string) error {
			var commands []string
			for _, ratio := range fullRatios[:n] {
				commands = append(commands, fmt.Sprintf("osd set-%s-ratio %s", ratio.name, ratio.tiny))
			}
			if _, err := l.cephBatch(ctx, commands...); err != nil {
				return err
			}
			return l.waitFull(ctx, strings.ToUpper(name))
		},
		heal: func(ctx context.Context, l *Lab, _ []string) error {
			var commands []string
			for _, ratio := range slices.Backward(fullRatios[:n]) {
				commands = append(commands, fmt.Sprintf("osd set-%s-ratio %s", ratio.name, ratio.normal))
			}
			_, err := l.cephBatch(ctx, commands...)
			return err
		},
	}
}

// waitFull waits until every OSD and its pools are so. Each OSD looks at the ratios when it gets to
// it, and on the way to "full" it may report "backfillfull".
func (l *Lab) waitFull(ctx context.Context, what string) error {
	all := len(l.answeringOSDs())
	return l.waitCeph(ctx, func(s cephStatus) error {
		if s.Health.Checks["OSD_"+what].Summary.Count < all || !s.check("POOL_"+what) {
			return fmt.Errorf("not all of %d OSDs are %s (%s)", all, what, s.complaints())
		}
		return nil
	})
}

// waitCheck waits until the health shows a check.
func (l *Lab) waitCheck(ctx context.Context, check string) error {
	return l.waitCeph(ctx, func(s cephStatus) error {
		if !s.check(check) {
			return fmt.Errorf("the health does not show %s (%s)", check, s.complaints())
		}
		return nil
	})
}

func prefixed(prefix string, args []string) []string {
	all := make([]string, len(args))
	for i, arg := range args {
		all[i] = prefix + arg
	}
	return all
}

func checkFlags(_ cephPlan, args []string) error {
	known := []string{"nobackfill", "nodeep-scrub", "nodown", "noin", "noout", "norebalance",
		"norecover", "noscrub", "nosnaptrim", "notieragent", "noup", "pause"}
	for i, arg := range args {
		if !slices.Contains(known, arg) {
			return fmt.Errorf("there is no OSD flag %q (one of: %s)", arg, strings.Join(known, ", "))
		}
		if slices.Contains(args[:i], arg) {
			return fmt.Errorf("flag %s is named twice", arg)
		}
	}
	return nil
}

// slowOSD is the OSD that slow-ops stops.
func (p cephPlan) slowOSD() cephDaemon { osds := p.osds(); return osds[len(osds)-1] }

// injectSlowOps needs PGs that stay active: a write to an inactive PG waits at the client, and Ceph
// calls nothing slow. So the stopped OSD must not be marked down, and the operations that wait for
// it wait in the primaries.
func injectSlowOps(ctx context.Context, l *Lab, _ []string) error {
	if err := l.faultPool(ctx, slowPool, slowPGs); err != nil {
		return err
	}
	_, err := l.cephBatch(ctx, "osd set nodown", "config set osd osd_op_complaint_time 1")
	if err != nil {
		return err
	}
	if err := l.waitOSDSetting(ctx, "osd_op_complaint_time", func(v string) bool { return strings.HasPrefix(v, "1.") || v == "1" }); err != nil {
		return err
	}
	plan := l.cephPlan()
	victim := plan.slowOSD()
	if err := l.Signal(victim.node, victim.name(), syscall.SIGSTOP); err != nil {
		return err
	}
	err = l.StartDaemon(ctx, Daemon{
		Node: plan.mons()[0].node, Name: slowWriter, Env: []string{"CEPH_ARGS="},
		Argv: []string{"rados", "-c", plan.conf(), "bench", strconv.Itoa(int(slowWriterPeriod / time.Second)), "write",
			"-p", slowPool, "-b", "4096", "-t", "16", "--no-cleanup"},
		Log: filepath.Join(plan.dir, slowWriter+".log"),
	})
	if err != nil {
		return err
	}
	return l.waitCheck(ctx, "SLOW_OPS")
}

// healSlowOps lifts nodown last: until the OSD's heartbeats are back the others would report it.
func healSlowOps(ctx context.Context, l *Lab, _ []string) error {
	plan := l.cephPlan()
	if err := l.revive(ctx, plan.slowOSD()); err != nil {
		return err
	}
	if err := l.StopDaemon(ctx, plan.mons()[0].node, slowWriter, syscall.SIGKILL); err != nil {
		return err
	}
	err := l.waitCeph(ctx, func(s cephStatus) error {
		if s.check("SLOW_OPS") {
			return errors.New(s.complaints())
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := l.removePool(ctx, slowPool); err != nil {
		return err
	}
	_, err = l.cephBatch(ctx, "config rm osd osd_op_complaint_time", "osd unset nodown")
	return err
}

// injectCrash posts what ceph-crash would find in /var/lib/ceph/crash.
func injectCrash(ctx context.Context, l *Lab, _ []string) error {
	plan := l.cephPlan()
	stamp := time.Now().UTC().Format("2006-01-02T15:04:05.000000Z")
	osd := plan.osds()[0]
	report, err := json.Marshal(map[string]any{
		"crash_id": stamp + "_" + newUUID(), "timestamp": stamp,
		"process_name": "ceph-osd", "entity_name": osd.name(), "ceph_version": "16.2.15",
		"utsname_hostname": NodeName(osd.node), "utsname_sysname": "Linux", "utsname_release": "lab",
		"utsname_version": "lab", "utsname_machine": "x86_64",
		"os_name": "Debian GNU/Linux", "os_id": "12", "os_version_id": "12", "os_version": "12 (bookworm)",
		"backtrace": []string{"(made by the lab)"},
	})
	if err != nil {
		return err
	}
	path := filepath.Join(plan.dir, "crash.json")
	if err := writeFile(path, report, 0o644); err != nil {
		return err
	}
	if _, err := l.CephCLI(ctx, "crash", "post", "-i", path); err != nil {
		return err
	}
	return l.waitCheck(ctx, "RECENT_CRASH")
}

func healCrash(ctx context.Context, l *Lab, _ []string) error {
	_, err := l.CephCLI(ctx, "crash", "archive-all")
	return err
}

func injectQuota(ctx context.Context, l *Lab, _ []string) error {
	if err := l.faultPool(ctx, quotaPool, 4); err != nil {
		return err
	}
	if err := l.writeObjects(ctx, quotaPool, 20); err != nil {
		return err
	}
	if _, err := l.CephCLI(ctx, "osd", "pool", "set-quota", quotaPool, "max_objects", "5"); err != nil {
		return err
	}
	return l.waitCheck(ctx, "POOL_FULL")
}
