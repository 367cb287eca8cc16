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
	x := startExporters(t, l, l.ExporterArgs()...)[0]
	settle(t, []*exporter{x}, claims(t, []string{`pve1: quorate_source_up == 1`}), nil, time.Minute)

	table := newCostTable(t)
	row := table.row

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

// costTable is what make bench prints: what was measured beside its budget.
type costTable struct {
	strings.Builder
	t *testing.T
}

func newCostTable(t *testing.T) *costTable {
	c := &costTable{t: t}
	fmt.Fprintf(c, "\n%-38s %10s %10s\n", "what", "measured", "budget")
	return c
}

func (c *costTable) row(what string, measured, budget float64, unit string) {
	verdict := ""
	if measured > budget {
		verdict = "over"
		// How many pages of shared libraries a process maps is the kernel's to say.
		if !strings.HasSuffix(what, wholeRSS) {
			c.t.Errorf("%s: %.2f %s, budget %.0f", what, measured, unit, budget)
		}
	}
	fmt.Fprintf(c, "%-38s %7.2f %-3s %6.0f %-3s %s\n", what, measured, unit, budget, unit, verdict)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// cpuPerScrape measures scrapes of one collector: the process's CPU time for them less what it
// uses by itself in the same time (the link probe, librados' keepalives).
func (x *exporter) cpuPerScrape(t *testing.T, collectors ...string) time.Duration {
	t.Helper()
	const n = 200
	query := "/metrics?collect[]=" + strings.Join(collectors, "&collect[]=")
	used := func() time.Duration {
		a, err := x.scrape(t.Context(), "/metrics?exclude[]="+strings.Join(x.collectors(t), "&exclude[]="))
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(a.series["process_cpu_seconds_total{}"] * float64(time.Second))
	}
	from, begun := used(), time.Now()
	for range n {
		if _, err := x.scrape(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	busy, took := used()-from, time.Since(begun)
	from = used()
	time.Sleep(took) // the same span of time without scrapes
	return (busy - (used() - from)) / n
}

// collectors are those that are on.
func (x *exporter) collectors(t *testing.T) (names []string) {
	t.Helper()
	a, err := x.scrape(t.Context(), "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for k := range a.series {
		if rest, is := strings.CutPrefix(k, `quorate_scrape_collector_success{collector="`); is {
			names = append(names, strings.TrimSuffix(rest, `"}`))
		}
	}
	return names
}

// corosyncConnections lists the exporter's connections as corosync counts them.
func corosyncConnections(t *testing.T, x *exporter) string {
	t.Helper()
	out, err := x.lab.Run(t.Context(), x.node, "corosync-cmapctl", "-m", "stats", "stats.ipcs")
	if err != nil {
		t.Fatal(err)
	}
	pid := fmt.Sprintf(".%d.", x.pid())
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
