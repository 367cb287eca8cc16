package collector

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/internal/source/pve"
)

// tasksSay is a TasksReader that always gives the same answer.
type tasksSay struct {
	counts pve.TaskCounts
	err    error
}

func (r *tasksSay) Tasks(context.Context) (pve.TaskCounts, error) { return r.counts, r.err }

func newTasksCollector(t *testing.T, r TasksReader) Collector {
	t.Helper()
	c, err := TasksSpec().New(Sources{Tasks: r})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const tasksExample = `
pve_task_failed_total{type="qmstart"} 0
pve_task_failed_total{type="vzdump"} 1
pve_task_total{type="qmstart"} 9
pve_task_total{type="vzdump"} 4
pve_vm_migrate_downtime_seconds_count 1
pve_vm_migrate_downtime_seconds_sum 0.033
pve_vm_migrate_duration_seconds_count 2
pve_vm_migrate_duration_seconds_sum 55
pve_vm_migrate_failed_total{node="pve1"} 1
pve_vm_migrate_total{node="pve1"} 3
`

func TestTasksExposition(t *testing.T) {
	counts := pve.TaskCounts{
		Node: "pve1", Migrations: 3, MigrationsFail: 1,
		Total: map[string]uint64{"vzdump": 4, "qmstart": 9}, Failed: map[string]uint64{"vzdump": 1, "qmstart": 0},
		Durations: []time.Duration{25 * time.Second, 30 * time.Second}, Downtimes: []time.Duration{33 * time.Millisecond},
	}
	want := strings.Split(strings.TrimSpace(tasksExample), "\n")
	got := haLines(t, haAsMetrics{t: t, c: newTasksCollector(t, &tasksSay{counts: counts})})
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	broken := errors.New("no such file")
	got = haLines(t, haAsMetrics{t: t, c: newTasksCollector(t, &tasksSay{counts, broken}), wantErr: broken})
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("when the list cannot be read: %s", d)
	}
}

func TestMigrationCountersAreZeroFromTheFirstScrape(t *testing.T) {
	counts := pve.NewTaskTracker("pve1", time.Unix(0, 0), true).Counts()
	got := haLines(t, haAsMetrics{t: t, c: newTasksCollector(t, &tasksSay{counts: counts})})
	text := "\n" + strings.Join(got, "\n") + "\n"
	for _, want := range []string{
		`pve_vm_migrate_total{node="pve1"} 0`, `pve_vm_migrate_failed_total{node="pve1"} 0`,
		`pve_task_failed_total{type="vzdump"} 0`, `pve_task_total{type="replication"} 0`, `pve_vm_migrate_duration_seconds_count 0`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("%s is missing in %s", want, text)
		}
	}
}
