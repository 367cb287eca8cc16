package collector

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorate/quorate/internal/source/pve"
)

// TasksReader is what the tasks collector needs of Proxmox VE.
type TasksReader interface {
	// Tasks returns what ended on this node since the exporter's start. With an error it returns the
	// counts up to the last time that the tasks could be read.
	Tasks(ctx context.Context) (pve.TaskCounts, error)
}

// TasksSpec is the collector of this node's tasks.
func TasksSpec() Spec {
	return Spec{
		Name: "tasks", Scope: Node, On: true,
		Help:     "Tasks of this node that ended: migrations, backups, starts, replication.",
		Families: []*Family{taskMigrations, taskMigrationsFailed, taskMigrationDuration, taskMigrationDowntime, taskTotal, taskFailed},
		New: func(s Sources) (Collector, error) {
			if s.Tasks == nil {
				return nil, errors.New("no Proxmox VE: run on a node, name an API and a node, or switch the collector off")
			}
			return &tasksCollector{
				reader:    s.Tasks,
				durations: newDurations(taskMigrationDuration, []float64{5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600}),
				downtimes: newDurations(taskMigrationDowntime, []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}),
			}, nil
		},
	}
}

type tasksCollector struct {
	reader               TasksReader
	durations, downtimes *durations
}

var (
	taskMigrations = newCounter("pve_vm_migrate_total",
		"Migrations of guests away from this node that ended, whatever became of them, since the exporter's start.", "node")
	taskMigrationsFailed = newCounter("pve_vm_migrate_failed_total",
		"Those of pve_vm_migrate_total that failed.", "node")
	taskMigrationDuration = newHistogram("pve_vm_migrate_duration_seconds",
		"Time from the start of the task to its end, of migrations that succeeded.")
	taskMigrationDowntime = newHistogram("pve_vm_migrate_downtime_seconds",
		"Downtime of live migrations that succeeded, as the task log says. The guest's pause is longer: see qemu_migration_guest_pause_seconds.")
	taskTotal = newCounter("pve_task_total",
		"Tasks of this node that ended since the exporter's start. Starts by HA are of type qmstart or vzstart, hastart is a user's request.", "type")
	taskFailed = newCounter("pve_task_failed_total",
		"Those of pve_task_total that failed. Warnings are no failure.", "type")
)

func (c *tasksCollector) Collect(ctx context.Context, ch chan<- prometheus.Metric) error {
	t, err := c.reader.Tasks(ctx)
	ch <- taskMigrations.metric(float64(t.Migrations), t.Node)
	ch <- taskMigrationsFailed.metric(float64(t.MigrationsFail), t.Node)
	emitCounts(taskTotal, t.Total, ch)
	emitCounts(taskFailed, t.Failed, ch)
	ch <- c.durations.upTo(t.Durations)
	ch <- c.downtimes.upTo(t.Downtimes)
	if err != nil {
		return fmt.Errorf("tasks: %w", err)
	}
	return nil
}
