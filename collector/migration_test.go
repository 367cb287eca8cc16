package collector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/quorate/quorate/internal/source/qmp"
)

// migrationsAre is a MigrationReader that always gives the same answer.
type migrationsAre struct {
	view qmp.View
	err  error
}

func (m *migrationsAre) Migrations() (qmp.View, error) { return m.view, m.err }

func newMigrationTest(t testing.TB, r MigrationReader) (Collector, *QMPMeter) {
	t.Helper()
	meter := NewQMPMeter()
	c, err := MigrationSpec().New(Sources{Migration: &MigrationSource{Sampler: r, Meter: meter}})
	if err != nil {
		t.Fatal(err)
	}
	return c, meter
}

// noMigrations is what a fresh tracker says.
func noMigrations() qmp.View { return qmp.NewTracker(qmp.TrackerConfig{}).View(time.Unix(0, 0)) }

func f64(v float64) *float64 { return &v }

func migrationExample() qmp.View {
	v := noMigrations()
	no := false
	v.Running = []qmp.Running{
		{
			VMID: 100, Status: "active", RAMTotal: f64(268967936), RAMTransferred: f64(13667266), RAMRemaining: f64(251277312),
			DirtyRate: f64(24e6), Throughput: f64(25e6), ExpectedDowntime: f64(.3), Elapsed: f64(5.5), Iterations: f64(2), CPUThrottle: f64(.2),
			Converging: &no,
		},
		{VMID: 101, Status: qmp.StatusOther},
	}
	v.Results = maps.Clone(v.Results)
	v.Results[qmp.Outcome{Direction: qmp.Outgoing, Result: qmp.Completed}] = 3
	v.Results[qmp.Outcome{Direction: qmp.Incoming, Result: qmp.Failed}] = 1
	v.TransferredBytes = 5e8
	v.Durations = []time.Duration{2 * time.Second, 20 * time.Second}
	v.Downtimes = []time.Duration{20 * time.Millisecond}
	v.Pauses = []time.Duration{900 * time.Millisecond}
	v.Stopped[103] = 90 * time.Second
	v.SourceStopped[104] = time.UnixMilli(1795223668500)
	v.DestinationRunning[105] = time.UnixMilli(1795223669250)
	return v
}

const migrationExampleText = `
qemu_migration_active{vmid="100"} 1
qemu_migration_active{vmid="101"} 1
qemu_migration_converging{vmid="100"} 0
qemu_migration_cpu_throttle_ratio{vmid="100"} 0.2
qemu_migration_destination_running_timestamp_seconds{vmid="105"} 1.79522366925e+09
qemu_migration_dirty_bytes_per_second{vmid="100"} 2.4e+07
qemu_migration_downtime_seconds_count 1
qemu_migration_downtime_seconds_sum 0.02
qemu_migration_duration_seconds_count 2
qemu_migration_duration_seconds_sum 22
qemu_migration_elapsed_seconds{vmid="100"} 5.5
qemu_migration_expected_downtime_seconds{vmid="100"} 0.3
qemu_migration_guest_pause_seconds_count 1
qemu_migration_guest_pause_seconds_sum 0.9
qemu_migration_iterations{vmid="100"} 2
qemu_migration_ram_remaining_bytes{vmid="100"} 2.51277312e+08
qemu_migration_ram_total_bytes{vmid="100"} 2.68967936e+08
qemu_migration_ram_transferred_bytes{vmid="100"} 1.3667266e+07
qemu_migration_source_stopped_timestamp_seconds{vmid="104"} 1.7952236685e+09
qemu_migration_throughput_bytes_per_second{vmid="100"} 2.5e+07
qemu_migration_transferred_bytes_total 5e+08
qemu_migrations_total{direction="incoming",result="completed"} 0
qemu_migrations_total{direction="incoming",result="failed"} 1
qemu_migrations_total{direction="outgoing",result="cancelled"} 0
qemu_migrations_total{direction="outgoing",result="completed"} 3
qemu_migrations_total{direction="outgoing",result="failed"} 0
qemu_migrations_total{direction="outgoing",result="unknown"} 0
qemu_paused_after_migration_seconds{vmid="103"} 90
quorate_qmp_busy_total 1
quorate_qmp_sample_duration_seconds_count 1
quorate_qmp_sample_duration_seconds_sum 0.001
quorate_qmp_timeouts_total 2
`

func TestMigrationExposition(t *testing.T) {
	c, meter := newMigrationTest(t, &migrationsAre{view: migrationExample()})
	meter.Busy()
	meter.TimedOut()
	meter.TimedOut()
	meter.Sampled(time.Millisecond)
	m := haAsMetrics{t: t, c: c}
	got := haLines(t, m)
	var states []string
	got = slices.DeleteFunc(got, func(l string) bool {
		is := strings.HasPrefix(l, "qemu_migration_status{")
		if is {
			states = append(states, l)
		}
		return is
	})
	if d := cmp.Diff(strings.Split(strings.TrimSpace(migrationExampleText), "\n"), got); d != "" {
		t.Error(d)
	}
	on := slices.DeleteFunc(slices.Clone(states), func(l string) bool { return strings.HasSuffix(l, " 0") })
	want := []string{`qemu_migration_status{status="active",vmid="100"} 1`, `qemu_migration_status{status="other",vmid="101"} 1`}
	if d := cmp.Diff(want, on); d != "" || len(states) != 2*len(qmp.Statuses()) {
		t.Errorf("%d states, %s", len(states), d)
	}
	problems, err := testutil.CollectAndLint(m)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}

func TestMigrationCountersAndHistogramsBeginAtZero(t *testing.T) {
	c, _ := newMigrationTest(t, &migrationsAre{view: noMigrations()})
	got := haLines(t, haAsMetrics{t: t, c: c})
	for _, l := range got {
		if !strings.HasSuffix(l, " 0") {
			t.Errorf("%s, want 0", l)
		}
	}
	if want := len(qmp.Outcomes()) + 3 + 4*2; len(got) != want {
		t.Errorf("%d series, want %d: %q", len(got), want, got)
	}
}

func TestMigrationGaugesGoWhenVMsCannotBeListed(t *testing.T) {
	broken := errors.New("permission denied")
	c, _ := newMigrationTest(t, &migrationsAre{migrationExample(), broken})
	for _, l := range haLines(t, haAsMetrics{t: t, c: c, wantErr: broken}) {
		if strings.Contains(l, "vmid=") {
			t.Errorf("%s is there although nobody can tell", l)
		}
	}
}

func TestMigrationEachPauseIsObservedOnce(t *testing.T) {
	says := &migrationsAre{view: noMigrations()}
	c, _ := newMigrationTest(t, says)
	for _, n := range []int{1, 1, 3} {
		says.view.Pauses = []time.Duration{time.Second, time.Second, time.Second}[:n]
		if got := haLines(t, haAsMetrics{t: t, c: c}); !slices.Contains(got, fmt.Sprintf("qemu_migration_guest_pause_seconds_count %d", n)) {
			t.Errorf("want %d pauses: %q", n, got)
		}
	}
}

func TestMigrationNeedsItsSource(t *testing.T) {
	if _, err := MigrationSpec().New(Sources{}); err == nil {
		t.Error("it was built from nothing")
	}
}

func BenchmarkMigrationEmit(b *testing.B) {
	for _, running := range []int{0, 20} {
		b.Run(fmt.Sprintf("running=%d", running), func(b *testing.B) {
			v := migrationExample()
			one := v.Running[0]
			v.Running = nil
			for i := range running {
				one.VMID = 1000 + i
				v.Running = append(v.Running, one)
			}
			c, _ := newMigrationTest(b, &migrationsAre{view: v})
			ch := make(chan prometheus.Metric, 64)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for range ch {
				}
			}()
			for b.Loop() {
				if err := c.Collect(context.Background(), ch); err != nil {
					b.Fatal(err)
				}
			}
			close(ch)
			<-done
		})
	}
}
