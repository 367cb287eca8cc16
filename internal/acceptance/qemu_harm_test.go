package acceptance

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
)

// TestLabMigrationsPauseNoLonger compares how long guests stand with exporters on all nodes and
// without, in turns; 50 migrations under make bench. Its figures mean little on a machine that has
// other work.
func TestLabMigrationsPauseNoLonger(t *testing.T) {
	const block = 3
	l := vmLab(t, quietVM)
	blocks := benchOr(50, 6) / block
	paused := map[bool][]time.Duration{}
	for i := range blocks {
		watched := i%2 == 1
		if watched {
			startExporters(t, l, l.ExporterArgs()...)
		}
		for range block {
			r, err := l.Migrate(t.Context(), quietVM.ID, 1+whereabouts(t, l, quietVM.ID)%3, lab.MigrateOptions{Bandwidth: 32 * mibps})
			if err != nil || !r.OK() || r.LostBeats > 0 {
				t.Fatalf("%s, %d beats lost: %v\n%s", r, r.LostBeats, err, strings.Join(r.Log, "\n"))
			}
			paused[watched] = append(paused[watched], r.GuestPause)
		}
		if watched {
			for _, node := range l.Nodes() {
				if err := l.StopDaemon(t.Context(), node, "exporter", syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	without, with := slices.Sorted(slices.Values(paused[false])), slices.Sorted(slices.Values(paused[true]))
	noise := quantile(without, .75) - quantile(without, .25)
	differ := quantile(with, .5) - quantile(without, .5)
	fmt.Fprintf(os.Stderr, "guest pause without exporters: %s; with: %s; medians differ by %s, half of those without lie within %s\n",
		spread(without), spread(with), differ.Round(time.Millisecond), noise.Round(time.Millisecond))
	limit := noise
	if os.Getenv("QUORATE_BENCH") == "" {
		limit = time.Second // few of them, beside other tests: no more than the poll of Proxmox VE itself
	}
	if differ > limit {
		t.Errorf("guests stand %s longer with exporters (allowed: %s)", differ, limit)
	}
}
