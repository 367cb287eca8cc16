package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// cephLab starts a lab with Ceph, or skips the test where that is impossible.
func cephLab(t *testing.T, o Options) *Lab {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a real Ceph cluster")
	}
	if os.Getenv("QUORATE_SOAK") == "" {
		t.Skip("the acceptance tests make these faults too: run make soak")
	}
	if os.Geteuid() != 0 {
		t.Skip("a lab needs root, for network and mount namespaces")
	}
	if err := errors.Join(requirements(o), cephRequirements()); err != nil {
		t.Skip(err)
	}
	o.Dir, o.Ceph = t.TempDir()+"/lab", true
	o.Log = slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	began := time.Now()
	l, err := Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Logf("up in %v", time.Since(began).Round(100*time.Millisecond))
	return l
}

type testLog struct{ t *testing.T }

func (w testLog) Write(line []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(line)))
	return len(line), nil
}

// cephFact is a claim about the cluster while a fault is in effect.
type cephFact func(ctx context.Context, l *Lab) error

// status turns a claim about "ceph status" into a cephFact.
func status(claims ...func(s cephStatus) error) cephFact {
	return func(ctx context.Context, l *Lab) error {
		s, err := l.cephStatus(ctx)
		if err != nil {
			return err
		}
		for _, claim := range claims {
			err = errors.Join(err, claim(s))
		}
		return err
	}
}

func exactly(what string, want int, have func(s cephStatus) int) func(s cephStatus) error {
	return func(s cephStatus) error {
		if n := have(s); n != want {
			return fmt.Errorf("%d %s, want %d (%+v)", n, what, want, s.PGMap.ByState)
		}
		return nil
	}
}

// pgs claims that so many PGs have a state, among others.
func pgs(state string, want int) func(s cephStatus) error {
	return exactly("PGs "+state, want, func(s cephStatus) int { return s.pgsWith(state) })
}

func inactive(want int) func(s cephStatus) error {
	return exactly("PGs not active", want, func(s cephStatus) int {
		return s.pgs(func(state pgState) bool { return !state.has("active") })
	})
}

func clean(want int) func(s cephStatus) error {
	return exactly("PGs active+clean", want, func(s cephStatus) int { return s.pgs(pgState.clean) })
}

func osdsUp(want int) func(s cephStatus) error {
	return exactly("OSDs up", want, func(s cephStatus) int { return s.OSDMap.Up })
}

func osdsIn(want int) func(s cephStatus) error {
	return exactly("OSDs in", want, func(s cephStatus) int { return s.OSDMap.In })
}

func inQuorum(want int) func(s cephStatus) error {
	return exactly("monitors in quorum", want, func(s cephStatus) int { return len(s.QuorumNames) })
}

func mgrs(available bool, standbys int) func(s cephStatus) error {
	return func(s cephStatus) error {
		if s.MgrMap.Available != available || s.MgrMap.Standbys != standbys {
			return fmt.Errorf("managers: %+v, want available %v and %d standbys", s.MgrMap, available, standbys)
		}
		return nil
	}
}

// checks claims that the health shows these checks, and only these.
func checks(want ...string) func(s cephStatus) error {
	return func(s cephStatus) error {
		have := slices.Sorted(maps.Keys(s.Health.Checks))
		slices.Sort(want)
		if !slices.Equal(have, want) {
			return fmt.Errorf("health checks %v, want %v", have, want)
		}
		return nil
	}
}

func noQuorum(ctx context.Context, l *Lab) error {
	if _, err := l.CephCLI(ctx, "status"); !errors.Is(err, errNoMon) {
		return fmt.Errorf("ceph status: %v, want %v", err, errNoMon)
	}
	return nil
}

// mgrSilent claims that the monitors call the manager available, and that it does not answer.
func mgrSilent(ctx context.Context, l *Lab) error {
	if err := status(mgrs(true, 1), clean(40))(ctx, l); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // more than the grace of 8 s
	defer cancel()
	if out, err := l.CephCLI(ctx, "pg", "stat"); err == nil {
		return fmt.Errorf("the manager answers: %s", out)
	}
	if err := status(mgrs(true, 1))(context.WithoutCancel(ctx), l); err != nil {
		return fmt.Errorf("after the grace: %w", err)
	}
	return nil
}

// backfillLasts claims that PGs backfill, and still do some seconds later.
func backfillLasts(ctx context.Context, l *Lab) error {
	backfills := status(osdsUp(6), osdsIn(5), inactive(0), func(s cephStatus) error {
		if s.pgsWith("backfilling") == 0 || s.pgsWith("backfill_wait") == 0 {
			return fmt.Errorf("PGs are %+v, want some backfilling and some backfill_wait", s.PGMap.ByState)
		}
		return nil
	})
	for range 10 {
		if err := backfills(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

func TestLabCeph(t *testing.T) {
	l := cephLab(t, Options{})
	t.Run("DaemonsRunOnTheNodesThatOwnThem", func(t *testing.T) { daemonsOnTheirNodes(t, l) })
	t.Run("ClientMayReadAndNotWrite", func(t *testing.T) { clientOnlyReads(t, l) })
	t.Run("ActiveManagerIsScraped", func(t *testing.T) { managerIsScraped(t, l) })
	t.Run("RefusedFaultLeavesNoTrace", func(t *testing.T) { refusedFault(t, l) })
	t.Run("ClusterRestarts", func(t *testing.T) { clusterRestarts(t, l) })
	t.Run("FaultsHealInAnyOrder", func(t *testing.T) { faultsHealInAnyOrder(t, l) })
	t.Run("Fault", func(t *testing.T) { cephFaultsOneByOne(t, l) })
}

func daemonsOnTheirNodes(t *testing.T, l *Lab) {
	for kind, daemons := range map[string][]cephDaemon{
		"mon": l.cephPlan().mons(), "mgr": l.cephPlan().mgrs(), "osd": l.cephPlan().osds(),
	} {
		var metadata []struct {
			ID, Name any // an OSD has a number, the others a name
			Hostname string
			Addr     string // of a manager
			Addrs    string // of a monitor
			Front    string `json:"front_addr"` // of an OSD
		}
		if err := l.cephJSON(t.Context(), &metadata, kind, "metadata"); err != nil {
			t.Fatal(err)
		}
		hosts := map[string]string{}
		for _, m := range metadata {
			id := fmt.Sprint(m.Name)
			if m.Name == nil {
				id = fmt.Sprint(m.ID)
			}
			hosts[id] = m.Hostname
			if address := m.Addr + m.Addrs + m.Front; !strings.Contains(address, "10.77.2."+strings.TrimPrefix(m.Hostname, "pve")) {
				t.Errorf("%s.%s on %s has the addresses %s, want the storage network's", kind, id, m.Hostname, address)
			}
		}
		for _, d := range daemons {
			if hosts[d.id] != NodeName(d.node) {
				t.Errorf("%s runs on %q, want %s", d.name(), hosts[d.id], NodeName(d.node))
			}
		}
	}
}

func clientOnlyReads(t *testing.T, l *Lab) {
	for _, tt := range []struct {
		command string
		want    string // in the error; empty: allowed
	}{
		{"status", ""},
		{"osd df", ""}, // asks the manager
		{"osd set noout", "EACCES"},
		{"auth ls", "EACCES"},
	} {
		_, err := l.Run(t.Context(), 2, append([]string{"ceph", "-c", l.CephConf(), "-n", cephClient,
			"--keyring", l.CephKeyring(), "--connect-timeout", "10"}, strings.Fields(tt.command)...)...)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s as %s: %v, want %q", tt.command, cephClient, err, tt.want)
		}
	}
	// As on a real node, /etc/ceph is enough.
	if _, err := l.Run(t.Context(), 3, "ceph", "--connect-timeout", "10", "health"); err != nil {
		t.Error(err)
	}
}

func managerIsScraped(t *testing.T, l *Lab) {
	err := poll(t.Context(), 10*time.Second, 200*time.Millisecond, func() error {
		text, err := l.MgrMetrics(t.Context())
		if err != nil {
			return err
		}
		for _, want := range []string{"ceph_health_status 0.0", `ceph_osd_up{ceph_daemon="osd.5"} 1.0`, "ceph_pg_clean{pool_id="} {
			if !strings.Contains(string(text), want) {
				return fmt.Errorf("%q is not in the %d bytes of the manager's metrics", want, len(text))
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func refusedFault(t *testing.T, l *Lab) {
	err := l.Inject(t.Context(), "osd-down", "77")
	if err == nil || !strings.Contains(err.Error(), "no OSD") {
		t.Errorf("Inject = %v, want that there is no such OSD", err)
	}
	if active := l.Active(); len(active) != 0 {
		t.Errorf("active faults: %v", active)
	}
}

// cephDown stops every Ceph daemon of the lab, those that write first.
func (l *Lab) cephDown(ctx context.Context) error {
	plan := l.cephPlan()
	var errs []error
	for _, daemons := range [][]cephDaemon{plan.osds(), plan.mgrs(), plan.mons()} {
		errs = append(errs, l.stopCeph(ctx, syscall.SIGTERM, daemons...))
	}
	return errors.Join(errs...)
}

// clusterRestarts stops every daemon and starts all as nodes that come back do.
func clusterRestarts(t *testing.T, l *Lab) {
	if err := l.cephDown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, d := range l.cephPlan().all() {
		if l.Running(d.node, d.name()) {
			t.Errorf("%s still runs", d.name())
		}
	}
	began := time.Now()
	for _, node := range l.Nodes() {
		if err := l.cephNodeUp(t.Context(), node); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.WaitCephHealthy(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("TIME all daemons restarted to healthy %5.1f s", time.Since(began).Seconds())
}

func faultsHealInAnyOrder(t *testing.T, l *Lab) {
	for _, fault := range []string{"flags noout", "osd-down 1"} {
		words := strings.Fields(fault)
		if err := l.Inject(t.Context(), words[0], words[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Heal(t.Context(), "flags"); err != nil {
		t.Fatalf("heal one of two: %v", err)
	}
	if err := status(osdsUp(5), func(s cephStatus) error {
		if s.check("OSDMAP_FLAGS") {
			return errors.New(s.complaints())
		}
		return nil
	})(t.Context(), l); err != nil {
		t.Errorf("with one fault left: %v", err)
	}
	if err := l.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := status(osdsUp(6), checks())(t.Context(), l); err != nil {
		t.Errorf("with no fault left: %v", err)
	}
}

func cephFaultsOneByOne(t *testing.T, l *Lab) {
	const total = cephDefaultPGs + cephECPGs
	for _, fault := range []struct {
		line string
		fact cephFact
	}{
		{"osd-down 0", status(osdsUp(5), osdsIn(6), inactive(0))},
		{"host-down 2", status(osdsUp(4), pgs("undersized", total), pgs("degraded", total), inactive(0))},
		{"hosts-down 1 3", status(osdsUp(2), inactive(total))},
		{"osd-out-backfill 3", backfillLasts},
		{"pgs-undersized 5", status(pgs("undersized", 5), pgs("degraded", 5), inactive(0), clean(total))},
		{"pgs-inactive 3", status(inactive(3), pgs("undersized", 3), clean(total))},
		{"pgs-misplaced 6", status(pgs("remapped", 6), pgs("degraded", 0), clean(total), inactive(0))},
		{"pgs-inconsistent 3", status(pgs("inconsistent", 3), clean(total), checks("OSD_SCRUB_ERRORS", "PG_DAMAGED"))},
		{"mon-down 1", status(inQuorum(2), checks("MON_DOWN"))},
		{"mon-hang 3", status(inQuorum(2), checks("MON_DOWN"))},
		{"mon-quorum-lost", noQuorum},
		{"mons-down", noQuorum},
		{"mgr-failover", status(mgrs(true, 0), clean(total))},
		{"mgr-down", status(mgrs(false, 0), checks("MGR_DOWN"))},
		{"mgr-hang", mgrSilent},
		{"nearfull", status(checks("OSD_NEARFULL", "POOL_NEARFULL"), clean(total))},
		{"backfillfull", status(checks("OSD_BACKFILLFULL", "POOL_BACKFILLFULL"), clean(total))},
		{"full", status(checks("OSD_FULL", "POOL_FULL"), clean(total))},
		{"flags noout norebalance", status(checks("OSDMAP_FLAGS"), clean(total))},
		{"slow-ops", status(checks("OSDMAP_FLAGS", "SLOW_OPS"), osdsUp(6), inactive(0))},
		{"crash", status(checks("RECENT_CRASH"), clean(total))},
		{"pool-quota", status(checks("POOL_FULL"), clean(total+4))},
	} {
		runFault(t, l, fault.line, fault.fact)
	}
}

func runFault(t *testing.T, l *Lab, line string, fact cephFact) {
	t.Run(strings.ReplaceAll(line, " ", "_"), func(t *testing.T) {
		words := strings.Fields(line)
		began := time.Now()
		if err := l.Inject(t.Context(), words[0], words[1:]...); err != nil {
			t.Fatal(err)
		}
		visible := time.Since(began)
		if err := fact(t.Context(), l); err != nil {
			t.Errorf("while %s is in effect: %v", line, err)
		}
		began = time.Now()
		if err := l.Heal(t.Context(), line); err != nil {
			t.Fatal(err)
		}
		t.Logf("TIME %-26s inject to visible %5.1f s, heal to healthy %5.1f s", line, visible.Seconds(), time.Since(began).Seconds())
		s, err := l.cephStatus(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.healthy(l.cephPlan()); err != nil {
			t.Errorf("after the repair: %v", err)
		}
	})
}
