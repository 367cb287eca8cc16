package acceptance

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
)

// What a scrape may cost the client, and the whole program may hold.
const (
	corosyncBudget = 3 * time.Millisecond
	cephBudget     = 8 * time.Millisecond
	rssBudget      = 40.0 // MiB
	privateBudget  = 25.0 // MiB

	wholeRSS = "whole exporter, RSS"
)

// TestLabCost prints what the exporter costs on a real cluster. It runs under QUORATE_BENCH=1
// only: figures taken beside other tests mean nothing.
func TestLabCost(t *testing.T) {
	if os.Getenv("QUORATE_BENCH") == "" {
		t.Skip("a measurement: run make bench")
	}
	l := newLab(t, lab.Options{Nodes: 3, Ceph: true})
	x := startExporters(t, l, "--ceph.config="+l.CephConf(), "--ceph.keyring="+l.CephKeyring())[0]
	settle(t, []*exporter{x}, claims(t, []string{`pve1: quorate_source_up == 1`}), nil, time.Minute)

	table := &strings.Builder{}
	fmt.Fprintf(table, "\n%-34s %10s %10s\n", "what", "measured", "budget")
	row := func(what string, measured, budget float64, unit string) {
		verdict := ""
		if measured > budget {
			verdict = "over"
			// How many pages of shared libraries a process maps is the kernel's to say.
			if what != wholeRSS {
				t.Errorf("%s: %.2f %s, budget %.0f", what, measured, unit, budget)
			}
		}
		fmt.Fprintf(table, "%-34s %7.2f %-3s %6.0f %-3s %s\n", what, measured, unit, budget, unit, verdict)
	}
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

	ipc := corosyncConnections(t, x)
	row("corosync, CPU a scrape, 3 nodes", ms(x.cpuPerScrape(t, "corosync")), ms(corosyncBudget), "ms")
	if now := corosyncConnections(t, x); now != ipc {
		t.Errorf("corosync's IPC connections changed:\n%s\n%s", ipc, now)
	}
	few := x.cpuPerScrape(t, "ceph")
	row("Ceph, CPU a scrape, 40 PGs", ms(few), ms(cephBudget), "ms")

	for _, args := range []string{
		"osd pool create many 1960 1960 replicated --autoscale-mode=off", "osd pool application enable many rbd",
	} {
		if _, err := l.CephCLI(t.Context(), strings.Fields(args)...); err != nil {
			t.Fatal(err)
		}
	}
	settle(t, []*exporter{x}, claims(t, []string{`pve1: sum ceph_pg_clean == 2000`}), nil, 5*time.Minute)
	many := x.cpuPerScrape(t, "ceph")
	row("Ceph, CPU a scrape, 2,000 PGs", ms(many), ms(cephBudget), "ms")
	held := x.footprint(t)
	row(wholeRSS, held.rssMiB, rssBudget, "MiB")
	row("of it private (heaps, buffers)", held.privateMiB, privateBudget, "MiB")
	t.Log(table.String())
}

// cpuPerScrape measures scrapes of one collector: the process's CPU time for them less what it
// uses by itself in the same time (the link probe, librados' keepalives).
func (x *exporter) cpuPerScrape(t *testing.T, collector string) time.Duration {
	t.Helper()
	const n = 200
	used := func() time.Duration {
		a, err := x.scrape(t.Context(), "/metrics?exclude[]=corosync&exclude[]=ceph&exclude[]=links")
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(a.series["process_cpu_seconds_total{}"] * float64(time.Second))
	}
	from, begun := used(), time.Now()
	for range n {
		if _, err := x.scrape(t.Context(), "/metrics?collect[]="+collector); err != nil {
			t.Fatal(err)
		}
	}
	busy, took := used()-from, time.Since(begun)
	from = used()
	time.Sleep(took) // the same span of time without scrapes
	return (busy - (used() - from)) / n
}

// corosyncConnections lists the exporter's connections as corosync counts them.
func corosyncConnections(t *testing.T, x *exporter) string {
	t.Helper()
	out, err := x.lab.Run(t.Context(), x.node, "corosync-cmapctl", "-m", "stats", "stats.ipcs")
	if err != nil {
		t.Fatal(err)
	}
	pid := fmt.Sprintf(".%d.", x.lab.Pid(x.node, "exporter"))
	var mine []string
	for line := range strings.Lines(out) {
		if key, _, _ := strings.Cut(line, " "); strings.Contains(key, pid) && strings.HasSuffix(key, ".procname") {
			mine = append(mine, key)
		}
	}
	if len(mine) == 0 {
		t.Fatalf("corosync knows no connection of pid%s in\n%s", pid, out)
	}
	return strings.Join(mine, "\n")
}
