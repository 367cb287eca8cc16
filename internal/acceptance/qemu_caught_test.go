package acceptance

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
)

// migrationKind is a way in which a VM is migrated.
type migrationKind struct {
	name   string
	vm     lab.VMOptions
	o      lab.MigrateOptions
	result string
	bench  int // how often, of 100
	quick  int // how often in an ordinary run
}

const mibps = int64(1) << 20

// migrationKinds are those of the field and some that Proxmox VE does not make; 0.1 to 20 s long.
func migrationKinds() []migrationKind {
	return []migrationKind{
		{"precopy, 0.1 s", quietVM, lab.MigrateOptions{}, "completed", 20, 1},
		{"precopy, 1 s", quietVM, lab.MigrateOptions{Bandwidth: 14 * mibps}, "completed", 14, 0},
		{"precopy, 4 s", quietVM, lab.MigrateOptions{Bandwidth: 4 * mibps}, "completed", 8, 1},
		{"precopy, 15 s", quietVM, lab.MigrateOptions{Bandwidth: 11 * mibps / 10}, "completed", 3, 0},
		{"precopy of a writer", busyVM, lab.MigrateOptions{}, "completed", 6, 0},
		{"auto-converge", busyVM, lab.MigrateOptions{Bandwidth: 24 * mibps}, "completed", 6, 1},
		{"not converging, cancelled", busyVM, lab.MigrateOptions{Bandwidth: 8 * mibps, NoAutoConverge: true, CancelAfter: 3 * time.Second}, "cancelled", 8, 1},
		{"cancelled at once", quietVM, lab.MigrateOptions{Bandwidth: 4 * mibps, CancelAfter: 200 * time.Millisecond}, "cancelled", 5, 0},
		{"destination killed", quietVM, lab.MigrateOptions{Bandwidth: 4 * mibps, KillDestinationAfter: 1500 * time.Millisecond}, "failed", 6, 1},
		{"destination killed at once", quietVM, lab.MigrateOptions{Bandwidth: 4 * mibps, KillDestinationAfter: 150 * time.Millisecond}, "failed", 4, 0},
		{"destination dead", quietVM, lab.MigrateOptions{Refuse: lab.RefusedByDestination}, "failed", 4, 0},
		{"refused", quietVM, lab.MigrateOptions{Refuse: lab.RefusedByStorage}, "failed", 4, 1},
		{"multifd", quietVM, lab.MigrateOptions{Multifd: true, Bandwidth: 24 * mibps}, "completed", 6, 1},
		{"postcopy", busyVM, lab.MigrateOptions{Postcopy: true, Bandwidth: 24 * mibps}, "completed", 6, 1},
	}
}

// schedule mixes the kinds, the same way each time.
func schedule(kinds []migrationKind) (mixed []migrationKind) {
	left := make([]int, len(kinds))
	for i, k := range kinds {
		left[i] = benchOr(k.bench, k.quick)
	}
	for more := true; more; {
		more = false
		for i := range kinds {
			if left[i] > 0 {
				left[i]--
				mixed, more = append(mixed, kinds[i]), true
			}
		}
	}
	return mixed
}

// TestLabMigrationsCaughtAll makes migrations of every kind and holds what the exporters counted
// against what was made; 100 under make bench. It prints how many were seen to their end, and how far
// the guest's pause as told is from the one that the guest itself felt.
func TestLabMigrationsCaughtAll(t *testing.T) {
	l := vmLab(t, quietVM, busyVM)
	all := startExporters(t, l, l.ExporterArgs()...)
	first := readCounters(t, all)

	var b migrationBook
	b.made = map[string]int{}
	for i, k := range schedule(migrationKinds()) {
		before := readCounters(t, all)
		at := whereabouts(t, l, k.vm.ID)
		r, err := l.Migrate(t.Context(), k.vm.ID, 1+at%3, k.o)
		if err != nil {
			t.Fatal(err)
		}
		if got := resultOf(r); got != k.result {
			t.Errorf("migration %d, %s, ended otherwise: %s\n%s", i, k.name, r, strings.Join(r.Log, "\n"))
		}
		b.add(t, i, k, r, readCounters(t, all).less(before))
	}
	last := awaitCounters(t, all, first, b.made)
	b.report(t, last)
}

// migrationBook holds what was made against what was told.
type migrationBook struct {
	made          map[string]int
	n, long, seen int
	truth         []time.Duration // how long guests stood
	// How far from the truth is what is told: by the destination alone, with QEMU's downtime from the
	// source, by both nodes' moments, and by QEMU's downtime alone.
	oneEnd, bothEnds, downtime []time.Duration
}

// promised is how exactly a pause is told: two samples, and what a busy machine adds.
const promised = 50*time.Millisecond + pveSampling

func (b *migrationBook) add(t *testing.T, i int, k migrationKind, r lab.MigrationResult, told counters) {
	b.n++
	b.made[resultOf(r)]++
	_, finals := told.mean("qemu_migration_duration_seconds")
	atDestination, pauses := told.mean("qemu_migration_guest_pause_seconds")
	between, both := told.bothEnds(r.ID)
	t.Logf("%3d %-26s %s; told: final statistics %t, pause at the destination %s, between both ends %s", i, k.name, r,
		finals > 0, atDestination.Round(time.Millisecond), between.Round(time.Millisecond))
	if !r.OK() {
		return
	}
	if r.Stats.TotalTimeMs >= 1000 {
		b.long++
		if finals > 0 {
			b.seen++
		}
	}
	downtime := time.Duration(r.Stats.DowntimeMs) * time.Millisecond
	b.truth = append(b.truth, r.GuestPause)
	b.downtime = append(b.downtime, (downtime - r.GuestPause).Abs())
	if pauses == 1 {
		b.oneEnd = append(b.oneEnd, (atDestination + downtime - r.GuestPause).Abs())
	}
	if both {
		b.bothEnds = append(b.bothEnds, (between - r.GuestPause).Abs())
	}
}

func (b *migrationBook) report(t *testing.T, told counters) {
	_, finals := told.mean("qemu_migration_duration_seconds")
	fmt.Fprintf(os.Stderr, "migrations: made %d %v, counted %v; final statistics of %d of %d completed, of %d of %d that took 1 s or more\n",
		b.n, b.made, told.outgoing(), finals, b.made["completed"], b.seen, b.long)
	fmt.Fprintf(os.Stderr, "guest pause: %s; told by both ends off by %s; by the destination and QEMU's downtime off by %s; QEMU's downtime alone off by %s\n",
		spread(b.truth), spread(b.bothEnds), spread(b.oneEnd), spread(b.downtime))
	if incoming := int(told[`qemu_migrations_total{direction="incoming",result="completed"}`]); incoming != b.made["completed"] {
		t.Errorf("counted %d arrivals of %d", incoming, b.made["completed"])
	}
	if b.seen*100 < b.long*95 {
		t.Errorf("final statistics of %d of %d migrations that took 1 s or more", b.seen, b.long)
	}
	share := .95
	if os.Getenv("QUORATE_BENCH") == "" {
		share = .5 // of few, beside other tests
	}
	for name, off := range map[string][]time.Duration{"both ends": b.bothEnds, "the destination": b.oneEnd} {
		slices.Sort(off)
		if 10*len(off) < 9*len(b.truth) {
			t.Errorf("%s told %d of %d pauses", name, len(off), len(b.truth))
		} else if got := quantile(off, share); got > promised {
			t.Errorf("%s: %d%% of pauses are told within %s of the truth, want %s", name, int(share*100), got, promised)
		}
	}
}
