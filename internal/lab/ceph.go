package lab

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	cephQuorumTimeout = 60 * time.Second // from the monitors' start to their first quorum

	objectsPerPG = 16  // on average
	maxFilledPGs = 256 // in a pool whose PGs all get objects
)

// cephUp makes a Ceph cluster and returns when it is healthy: a monitor on the first three nodes, a
// manager on the first two, two OSDs on each, a replicated pool with an image and an erasure coded
// pool, both with objects in them.
func (l *Lab) cephUp(ctx context.Context) error {
	if err := cephRequirements(); err != nil {
		return err
	}
	plan := l.cephPlan()
	if err := plan.check(); err != nil {
		return err
	}
	fsid := newUUID()
	if err := l.cephFiles(plan, fsid); err != nil {
		return err
	}
	// The OSDs' disks are formatted while the monitors hold their first election.
	disks := make([]string, len(plan.osds()))
	formatted := make(chan error, 1)
	formatCtx, cancel := context.WithCancel(ctx)
	for i := range disks {
		disks[i] = newUUID()
	}
	defer func() { cancel(); <-formatted }() // the formatting ends before we do
	go func() { defer close(formatted); formatted <- l.formatOSDs(formatCtx, plan, disks) }()
	if err := l.firstQuorum(ctx, plan, fsid); err != nil {
		return err
	}
	if _, err := l.cephBatch(ctx, registration(plan, disks)...); err != nil {
		return err
	}
	if err := l.startCeph(ctx, plan.mgrs()...); err != nil {
		return err
	}
	if err := <-formatted; err != nil {
		return err
	}
	if err := l.startCeph(ctx, plan.osds()...); err != nil {
		return err
	}
	if err := l.makePools(ctx, plan); err != nil {
		return err
	}
	return l.WaitCephHealthy(ctx)
}

// cephRequirements names the missing Debian packages.
func cephRequirements() error {
	var missing []string
	for program, pkg := range map[string]string{"ceph-mon": "ceph-mon", "ceph-mgr": "ceph-mgr",
		"ceph-osd": "ceph-osd", "ceph": "ceph-common", "rados": "ceph-common", "rbd": "ceph-common",
		"monmaptool": "ceph-common"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, pkg)
		}
	}
	if _, err := os.Stat("/usr/share/ceph/mgr/prometheus"); err != nil {
		missing = append(missing, "ceph-mgr-modules-core")
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("a lab with Ceph needs programs that are missing (apt install --no-install-recommends %s)",
		strings.Join(slices.Compact(missing), " "))
}

// cephFiles writes directories, ceph.conf and keyrings, and what a node keeps in /etc/ceph.
func (l *Lab) cephFiles(plan cephPlan, fsid string) error {
	dirs := []string{plan.dir, filepath.Join(plan.dir, "crash", "posted")}
	for _, d := range plan.all() {
		dirs = append(dirs, plan.data(d))
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	files := map[string]string{plan.conf(): plan.render(fsid)}
	var everyone strings.Builder
	identities := plan.identities()
	for _, id := range identities {
		everyone.WriteString(id.render())
		files[l.cephKeyringPath(plan, id.name)] = id.render()
	}
	files[plan.keyring("initial")] = everyone.String()
	for _, node := range plan.nodes {
		etc := filepath.Join(l.NodeDir(node), "ceph-etc")
		files[filepath.Join(etc, "ceph.conf")] = files[plan.conf()]
		for _, id := range identities {
			if path := plan.keyring(id.name); strings.HasPrefix(id.name, "client.") {
				files[filepath.Join(etc, "ceph."+id.name+".keyring")] = files[path]
			}
		}
	}
	for path, text := range files {
		mode := os.FileMode(0o644)
		if strings.HasSuffix(path, "keyring") {
			mode = 0o600
		}
		if err := writeFile(path, []byte(text), mode); err != nil {
			return err
		}
	}
	return nil
}

// cephKeyringPath is where an identity looks for its key: daemons beside their data.
func (l *Lab) cephKeyringPath(plan cephPlan, name string) string {
	for _, d := range plan.all() {
		if d.name() == name {
			return filepath.Join(plan.data(d), "keyring")
		}
	}
	return plan.keyring(name)
}

// firstQuorum makes and starts the monitors and waits until they have elected a leader.
func (l *Lab) firstQuorum(ctx context.Context, plan cephPlan, fsid string) error {
	monmap := filepath.Join(plan.dir, "monmap")
	argv := []string{"monmaptool", "--create", "--clobber", "--fsid", fsid,
		"--set-min-mon-release", "16", "--enable-all-features"}
	for _, mon := range plan.mons() {
		argv = append(argv, "--addv", mon.id, plan.monAddrs(mon.node))
	}
	if _, err := l.Run(ctx, 0, append(argv, monmap)...); err != nil {
		return err
	}
	err := each(plan.mons(), func(mon cephDaemon) error {
		_, err := l.Run(ctx, mon.node, plan.program(mon, "--mkfs", "--monmap", monmap, "--keyring", plan.keyring("initial"))...)
		return err
	})
	if err != nil {
		return err
	}
	if err := l.startCeph(ctx, plan.mons()...); err != nil {
		return err
	}
	return poll(ctx, cephQuorumTimeout, 50*time.Millisecond, func() error {
		_, err := l.answeringMon(ctx)
		return err
	})
}

// formatOSDs makes the OSDs' stores, sparse files. It needs no monitor.
func (l *Lab) formatOSDs(ctx context.Context, plan cephPlan, disks []string) error {
	osds := plan.osds()
	return each(indexes(osds), func(i int) error {
		_, err := l.Run(ctx, osds[i].node, plan.program(osds[i], "--mkfs", "--osd-uuid", disks[i], "--no-mon-config")...)
		return err
	})
}

// The normal values of settings that faults change. The monitors keep them, for ceph.conf would win
// over "ceph config set".
const (
	normalBeaconGrace   = "config set mon mon_mgr_beacon_grace 8"     // 30 s by default
	normalRecoverySlots = "config set osd osd_recovery_max_active 64" // operations that sleep since osd-out-backfill hold up nobody
)

// registration tells the monitors of the OSDs, and switches off what acts by itself: the balancer
// would move PGs, and devicehealth makes a pool.
func registration(plan cephPlan, disks []string) []string {
	commands := []string{
		"config set mgr mgr/devicehealth/enable_monitoring false --force",
		"config set mgr mgr/balancer/active false --force",
		"config set mgr mgr/prometheus/scrape_interval 2 --force",
		normalBeaconGrace, normalRecoverySlots,
	}
	for i, osd := range plan.osds() {
		commands = append(commands, fmt.Sprintf("osd new %s %s", disks[i], osd.id))
	}
	return commands
}

// makePools makes the pools of a healthy lab and writes more into each PG than its log remembers:
// so any lost OSD degrades objects, and one that goes out causes backfills. With very many PGs that
// would take too long, and only some get objects.
func (l *Lab) makePools(ctx context.Context, plan cephPlan) error {
	pools := map[string]int{cephRBDPool: plan.pgs}
	commands := []string{
		fmt.Sprintf("osd pool create %s %d %[2]d replicated", cephRBDPool, plan.pgs),
		fmt.Sprintf("osd pool application enable %s rbd", cephRBDPool),
	}
	if len(plan.osds()) >= 3 {
		pools[cephECPool] = cephECPGs
		commands = append(commands,
			"osd erasure-code-profile set lab-ec k=2 m=1 crush-failure-domain="+plan.failureDomain(),
			fmt.Sprintf("osd pool create %s %d %[2]d erasure lab-ec", cephECPool, cephECPGs),
			fmt.Sprintf("osd pool application enable %s lab", cephECPool))
	}
	if _, err := l.cephBatch(ctx, commands...); err != nil {
		return err
	}
	if _, err := l.cephRun(ctx, "", "rbd", "create", "--size", "256", cephRBDPool+"/vm-100-disk-0"); err != nil {
		return err
	}
	return each(slices.Sorted(maps.Keys(pools)), func(pool string) error {
		if pools[pool] > maxFilledPGs {
			return l.writeObjects(ctx, pool, objectsPerPG*maxFilledPGs)
		}
		return l.fillPool(ctx, pool, pools[pool], hasTrimmedLog)
	})
}

// writeObjects writes about n small objects with names of their own into a pool.
func (l *Lab) writeObjects(ctx context.Context, pool string, n int) error {
	_, err := l.cephRun(ctx, "", "rados", "bench", "20", "write", "-p", pool, "-b", "4096", "-t", "16",
		"--max-objects", strconv.Itoa(n), "--no-cleanup", "--run-name", "lab-"+newUUID())
	return err
}

// startCeph starts those of the daemons that do not run.
func (l *Lab) startCeph(ctx context.Context, daemons ...cephDaemon) error {
	plan := l.cephPlan()
	return each(daemons, func(d cephDaemon) error {
		if l.Running(d.node, d.name()) {
			return nil
		}
		return l.StartDaemon(ctx, Daemon{
			Node: d.node, Name: d.name(), Argv: plan.program(d, "-f"), Env: []string{"CEPH_ARGS="},
			Log: plan.output(d),
		})
	})
}

// cephNodeUp starts the Ceph daemons of a node that was down. It does not wait for them.
func (l *Lab) cephNodeUp(ctx context.Context, node int) error {
	return l.startCeph(ctx, onNode(l.cephPlan().all(), node)...)
}

// stopCeph signals the daemons and waits until they are gone.
func (l *Lab) stopCeph(ctx context.Context, sig syscall.Signal, daemons ...cephDaemon) error {
	return each(daemons, func(d cephDaemon) error { return l.StopDaemon(ctx, d.node, d.name(), sig) })
}
