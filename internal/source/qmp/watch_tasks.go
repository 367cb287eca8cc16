package qmp

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
)

// TaskLog finds the migration tasks of a node that have ended. It is not safe for concurrent use.
type TaskLog struct {
	Node   string
	Source pve.TaskSource
	Began  time.Time // tasks that ended before, or in the same second, are not told

	told map[string]time.Time // end by UPID
}

// Ended returns the tasks that ended since the last call. It fails if the list cannot be read; what
// ended is told by the next call then. A log that cannot be read leaves the rest of its task known.
func (l *TaskLog) Ended(ctx context.Context) ([]Task, error) {
	all, err := l.Source.List(ctx, l.Began)
	if err != nil {
		return nil, fmt.Errorf("look for migrations that ended: %w", err)
	}
	if l.told == nil {
		l.told = map[string]time.Time{}
	}
	var ended []Task
	for _, t := range all {
		vmid, err := strconv.Atoi(t.ID)
		if err != nil || t.Node != l.Node || t.Type != "qmigrate" || t.End.IsZero() || !t.End.After(l.Began.Truncate(time.Second)) {
			continue
		}
		if _, done := l.told[t.UPID]; done {
			continue
		}
		l.told[t.UPID] = t.End
		task := Task{VMID: vmid, Start: t.Start, End: t.End, OK: t.OK()}
		if log, err := l.Source.Log(ctx, t.UPID); err == nil {
			task.read(log)
		}
		ended = append(ended, task)
	}
	l.forget()
	return ended, nil
}

// maxTasksTold bounds the memory for identities: ten times what Proxmox keeps in its index.
const maxTasksTold = 20000

func (l *TaskLog) forget() {
	if len(l.told) <= maxTasksTold {
		return
	}
	last := l.Began
	for _, end := range l.told {
		if end.After(last) {
			last = end
		}
	}
	l.Began = last.Add(-24 * time.Hour)
	for upid, end := range l.told {
		if !end.After(l.Began.Truncate(time.Second)) {
			delete(l.told, upid)
		}
	}
}

// taskMarks are lines of a migration's log, after the date and time, and what follows from them.
var taskMarks = []struct {
	text string
	set  func(*Task)
}{
	{"starting online/live migration on ", func(t *Task) { t.Live = true }},
	{"start migrate command to ", func(t *Task) { t.Live = true }},
	{"migration status error: cancelled", func(t *Task) { t.Cancelled = true }},
	// Of a task that a user stopped; before QEMU began it is a failure like others.
	{"online migrate failure - interrupted by signal", func(t *Task) { t.Cancelled = t.Live }},
}

// read takes what the log of the task says.
func (t *Task) read(log string) {
	t.LogRead = true
	for line := range strings.Lines(log) {
		for _, m := range taskMarks {
			if strings.Contains(line, m.text) {
				m.set(t)
			}
		}
	}
	if d, ok := pve.ParseTaskDowntime(log); ok {
		t.Downtime = &d
	}
}
