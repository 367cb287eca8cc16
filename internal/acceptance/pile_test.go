package acceptance

import (
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
)

// TestLabNothingPilesUp scrapes 500 times while the monitors go away and come back 20 times.
func TestLabNothingPilesUp(t *testing.T) {
	const (
		outages = 20
		scrapes = 500
	)
	l := newLab(t, lab.Options{Nodes: 3, Ceph: true})
	x := startExporters(t, l, l.ExporterArgs()...)[0]
	up, down := claims(t, []string{`pve1: quorate_source_up{source="ceph"} == 1`}), claims(t, []string{
		`pve1: quorate_source_up{source="ceph"} == 0`, `pve1: ceph_* absent`})
	only := []*exporter{x}

	done, slowest := 0, time.Duration(0)
	count := func(now map[string]answer) {
		done += len(now)
		for _, a := range now {
			slowest = max(slowest, a.took)
		}
	}
	outage := func(i int) {
		settle(t, only, up, count, time.Minute)
		monitors := func(sig syscall.Signal) {
			for _, node := range l.Nodes() {
				if err := l.Signal(node, "mon."+lab.NodeName(node), sig); err != nil {
					t.Fatal(err)
				}
			}
		}
		if i%5 != 4 { // hang: no connection breaks, every command times out
			monitors(syscall.SIGSTOP)
			settle(t, only, down, count, time.Minute)
			monitors(syscall.SIGCONT)
			settle(t, only, up, count, time.Minute)
			return
		}
		if err := l.Inject(t.Context(), "mons-down"); err != nil {
			t.Fatal(err)
		}
		settle(t, only, down, count, time.Minute)
		if err := l.Heal(t.Context()); err != nil {
			t.Fatal(err)
		}
		settle(t, only, up, count, time.Minute)
	}

	// What librados and the Go runtime keep for good they take in the first outages.
	outage(0)
	outage(4)
	for range 50 {
		count(scrapeAll(t, only))
	}
	before := x.footprint(t)
	done = 0
	for i := range outages {
		outage(i)
		for range (scrapes-done)/(outages-i) + 1 {
			count(scrapeAll(t, only))
		}
	}
	after := x.footprint(t)
	t.Logf("before %s", before)
	t.Logf("after  %s: %d scrapes, %d outages, slowest scrape %.2f s", after, done, outages, slowest.Seconds())
	if done < scrapes {
		t.Errorf("only %d scrapes", done)
	}
	if slowest > scrapeLimit {
		t.Errorf("a scrape took %s", slowest)
	}
	for _, held := range []struct {
		what          string
		before, after float64
		more          float64 // what the runtime may hold more by chance
	}{
		{"threads", float64(before.threads), float64(after.threads), 3},
		{"goroutines", float64(before.goroutines), float64(after.goroutines), 3},
		{"fds", float64(before.fds), float64(after.fds), 3},
		{"MiB", before.rssMiB, after.rssMiB, 6},
	} {
		if held.after > held.before+held.more {
			t.Errorf("%s grew from %.1f to %.1f", held.what, held.before, held.after)
		}
	}
}
