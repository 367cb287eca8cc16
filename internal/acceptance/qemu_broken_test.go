package acceptance

import (
	"fmt"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
)

// TestLabBrokenMonitorsHurtNobodyElse breaks the monitors of three VMs in three ways, migrates a
// fourth beside them, and looks at what the exporter holds afterwards.
func TestLabBrokenMonitorsHurtNobodyElse(t *testing.T) {
	vms := []lab.VMOptions{{ID: 140, Name: "hung"}, {ID: 141, Name: "held"}, {ID: 142, Name: "killed"}, {ID: 143, Name: "well"}}
	l := vmLab(t, vms...)
	// Without other collectors, which open and close connections of their own.
	all := startWatchers(t, l, onlyMigration...)
	x := all[0]
	first := readCounters(t, all)
	before := x.footprint(t)
	for _, fault := range [][]string{{"qemu-hung", "140"}, {"qmp-held", "141"}, {"qemu-killed", "142"}} {
		if err := l.Inject(t.Context(), fault[0], fault[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	settle(t, all, claims(t, []string{
		`pve1: sum quorate_qmp_timeouts_total >= 1`,
		`pve1: quorate_scrape_collector_success{collector="migration"} == 1`,
	}), nil, 30*time.Second)

	made := map[string]int{}
	for range 2 {
		r, err := l.Migrate(t.Context(), 143, 1+whereabouts(t, l, 143)%2, lab.MigrateOptions{Bandwidth: 16 * mibps})
		if err != nil || !r.OK() {
			t.Fatalf("%s: %v", r, err)
		}
		made["completed"]++
	}
	awaitCounters(t, all, first, made)
	for range 5 {
		a, err := x.scrape(t.Context(), "/metrics?collect[]=migration")
		if err != nil {
			t.Fatal(err)
		}
		if a.took > 2*time.Second { // of the 5 that it may take
			t.Errorf("a scrape took %s", a.took)
		}
	}
	broken := x.footprint(t)
	if err := l.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(time.Minute) // a VM that did not answer is left alone for a while
	after := x.footprint(t)
	for after.goroutines > before.goroutines+2 || after.fds > before.fds+2 {
		if time.Now().After(deadline) {
			t.Fatalf("it held %s, with broken monitors %s, and when they were healed %s", before, broken, after)
		}
		time.Sleep(500 * time.Millisecond)
		after = x.footprint(t)
	}
	t.Logf("it held %s, with broken monitors %s, and when they were healed %s", before, broken, after)
}

// TestLabGuestLeftPausedIsTold migrates a guest that Proxmox VE does not resume.
func TestLabGuestLeftPausedIsTold(t *testing.T) {
	const id = 150
	l := vmLab(t, lab.VMOptions{ID: id})
	all := startWatchers(t, l)
	if err := l.Inject(t.Context(), "vm-paused", fmt.Sprint(id)); err != nil {
		t.Fatal(err)
	}
	settle(t, all, claims(t, []string{
		fmt.Sprintf(`pve2: qemu_paused_after_migration_seconds{vmid="%d"} > 3`, id),
		fmt.Sprintf(`pve3: qemu_paused_after_migration_seconds{vmid="%d"} absent`, id),
	}), nil, 30*time.Second)
	if err := l.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	settle(t, all, claims(t, []string{
		fmt.Sprintf(`pve1,pve2: qemu_paused_after_migration_seconds{vmid="%d"} absent`, id),
	}), nil, 30*time.Second)
}
