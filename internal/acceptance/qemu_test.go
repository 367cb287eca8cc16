package acceptance

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
)

// The guests of these tests: one that writes little, and one that writes faster than the slower
// transfers below send.
var (
	quietVM = lab.VMOptions{ID: 130, Name: "quiet", WorkingSetPages: 4096}
	busyVM  = lab.VMOptions{ID: 131, Name: "busy", MemoryMiB: 96, WorkingSetPages: 16384, DirtyPagesPerMs: 4}
)

const pveSampling = 200 * time.Millisecond // between two samples of a migration that runs

// vmLab starts a lab with a played Proxmox VE and virtual machines on the first node.
func vmLab(t *testing.T, vms ...lab.VMOptions) *lab.Lab {
	t.Helper()
	needVMs(t)
	l := newLab(t, lab.Options{Nodes: 3, PVE: true, Token: time.Second})
	for _, o := range vms {
		if err := l.StartVM(t.Context(), 1, o); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// needVMs skips the test where no virtual machine can run.
func needVMs(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real virtual machines: not under -short")
	}
	if err := lab.VMRequirements(); err != nil {
		if os.Getenv("QUORATE_LAB") == "required" {
			t.Fatalf("QUORATE_LAB=required: %v", err)
		}
		t.Skip(err)
	}
	if !benching() { // a measurement means little beside others
		t.Parallel()
	}
}

// benching says that this is make bench: figures count, and there is time to make many.
func benching() bool { return os.Getenv("QUORATE_BENCH") != "" }

// startWatchers starts exporters on all nodes, and returns when each VM has been looked at: what one
// had done before is history.
func startWatchers(t *testing.T, l *lab.Lab, args ...string) []*exporter {
	t.Helper()
	vms, err := l.VMs()
	if err != nil {
		t.Fatal(err)
	}
	all := startExporters(t, l, append(l.ExporterArgs(), args...)...)
	looks := func() (sum float64) {
		for _, x := range all {
			a, err := x.scrape(t.Context(), "/metrics?collect[]=migration")
			if err != nil {
				t.Fatal(err)
			}
			sum += a.series["quorate_qmp_sample_duration_seconds_count{}"]
		}
		return sum
	}
	for deadline := time.Now().Add(30 * time.Second); looks() < float64(3*len(vms)); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d VMs were not looked at in 30 s", len(vms))
		}
	}
	return all
}

// benchOr is how many to make: many under make bench, else few.
func benchOr(many, few int) int {
	if benching() {
		return many
	}
	return few
}

// whereabouts is the node that a VM is on.
func whereabouts(t *testing.T, l *lab.Lab, id int) int {
	t.Helper()
	vms, err := l.VMs()
	if err != nil {
		t.Fatal(err)
	}
	for _, vm := range vms {
		if vm.ID == id {
			return vm.Node
		}
	}
	t.Fatalf("no VM %d", id)
	return 0
}

// counters is the sum over all exporters of every series of the migration collector; of a moment it
// is the latest.
type counters map[string]float64

func isMoment(series string) bool { return strings.Contains(series, "_timestamp_seconds{") }

func readCounters(t *testing.T, all []*exporter) counters {
	t.Helper()
	sum := counters{}
	for _, x := range all {
		a, err := x.scrape(t.Context(), "/metrics?collect[]=migration")
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range a.series {
			switch {
			case isMoment(k):
				sum[k] = max(sum[k], v)
			case strings.HasPrefix(k, "qemu_"):
				sum[k] += v
			}
		}
	}
	return sum
}

// less is what was added since before, and the moments that are later.
func (c counters) less(before counters) counters {
	out := counters{}
	for k, v := range c {
		switch {
		case !isMoment(k):
			out[k] = v - before[k]
		case v > before[k]:
			out[k] = v
		}
	}
	return out
}

// bothEnds is a VM's pause as both nodes together tell it: from when it ceased to run on the one
// until it began to on the other.
func (c counters) bothEnds(vmid int) (pause time.Duration, ok bool) {
	stopped := c[fmt.Sprintf(`qemu_migration_source_stopped_timestamp_seconds{vmid="%d"}`, vmid)]
	running := c[fmt.Sprintf(`qemu_migration_destination_running_timestamp_seconds{vmid="%d"}`, vmid)]
	// With postcopy each of the moments is the middle of two samples: they may come out the other way round.
	return max(0, time.Duration((running-stopped)*float64(time.Second))), stopped > 0 && running > 0
}

// outgoing is what was counted where migrations began, by result, without zeros.
func (c counters) outgoing() map[string]int {
	out := map[string]int{}
	for k, v := range c {
		if rest, is := strings.CutPrefix(k, `qemu_migrations_total{direction="outgoing",result="`); is && v != 0 {
			out[strings.TrimSuffix(rest, `"}`)] = int(v)
		}
	}
	return out
}

// mean is a histogram's growth, and by how many it grew.
func (c counters) mean(name string) (value time.Duration, count int) {
	n := c[name+"_count{}"]
	if n == 0 {
		return 0, 0
	}
	return time.Duration(c[name+"_sum{}"] / n * float64(time.Second)), int(n)
}

// resultOf is how a migration is to be counted.
func resultOf(r lab.MigrationResult) string {
	switch {
	case r.OK():
		return "completed"
	case r.Stats.Status == "cancelled":
		return "cancelled"
	}
	return "failed"
}

// arrivals is how many guests were counted that came.
func (c counters) arrivals() int {
	return int(c[`qemu_migrations_total{direction="incoming",result="completed"}`])
}

// awaitCounters waits until the exporters say that so many migrations were made, and returns what they say.
func awaitCounters(t *testing.T, all []*exporter, before counters, made map[string]int) counters {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // the task log is read every few seconds
	defer cancel()
	for {
		now := readCounters(t, all).less(before)
		if maps.Equal(now.outgoing(), made) && now.arrivals() == made["completed"] {
			return now
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			for _, x := range all {
				t.Logf("%s says:\n%s", x.name(), x.logTail())
			}
			t.Fatalf("counted %v and %d arrivals, made %v", now.outgoing(), now.arrivals(), made)
		}
	}
}

// quantile is of sorted values.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// spread is how values lie: "median 12ms, p95 40ms (n 7)".
func spread(values []time.Duration) string {
	values = slices.Sorted(slices.Values(values))
	return fmt.Sprintf("median %s, p95 %s (n %d)", quantile(values, .5).Round(time.Millisecond), quantile(values, .95).Round(time.Millisecond), len(values))
}
