package pve

import (
	"maps"
	"slices"
	"time"
)

// migrations are the tasks that move a guest. hamigrate is a request that starts one of them, and
// ends OK whatever becomes of it.
var migrations = map[string]bool{"qmigrate": true, "vzmigrate": true}

// TaskTypes are the types that TaskCounts.Total counts, from 0: backups, the starts of guests, which
// is how the LRM's starts and recoveries appear, and what users ask of HA.
func TaskTypes() []string {
	return []string{"vzdump", "qmstart", "vzstart", "hastart", "hastop", "hamigrate"}
}

// replicationType is the type of replication runs, which are no tasks.
const replicationType = "replication"

// TaskCounts are what a TaskTracker counted of one node's tasks since it began.
type TaskCounts struct {
	Node                       string
	Migrations, MigrationsFail uint64            // ended, whatever became of them; those that failed
	Total, Failed              map[string]uint64 // by type

	// Durations of the migrations that succeeded, from the task's start to its end, to the second,
	// and downtimes of the live ones among them, as the task log says. They only grow.
	Durations, Downtimes []time.Duration
}

// A TaskTracker counts tasks that end after it began, once each, by UPID. It does no I/O and is not
// safe for concurrent use.
//
// Lists may shrink, be rotated or repeated. A task that ended in the second of the start, or earlier,
// is history, unless it was seen running: whoever ran before may have counted it.
type TaskTracker struct {
	begun   time.Time // to the second
	running map[string]bool
	counted map[string]time.Time // end by UPID
	repl    map[string]time.Time // last try counted by job
	counts  TaskCounts
}

// maxTasksKept bounds the memory for identities: ten times what Proxmox keeps in its two index files.
const maxTasksKept = 20000

// NewTaskTracker returns a tracker of node's own tasks that begins at begun. replication says that
// replication runs will be told as well.
func NewTaskTracker(node string, begun time.Time, replication bool) *TaskTracker {
	t := &TaskTracker{
		begun: begun.Truncate(time.Second), running: map[string]bool{},
		counted: map[string]time.Time{}, repl: map[string]time.Time{},
		counts: TaskCounts{Node: node, Total: map[string]uint64{}, Failed: map[string]uint64{}},
	}
	for _, kind := range TaskTypes() {
		t.counts.Total[kind], t.counts.Failed[kind] = 0, 0
	}
	if replication {
		t.counts.Total[replicationType], t.counts.Failed[replicationType] = 0, 0
	}
	return t
}

// Begun is the second up to which ended tasks are history.
func (t *TaskTracker) Begun() time.Time { return t.begun }

// Counts returns a copy; the slices may be shared and must not be changed.
func (t *TaskTracker) Counts() TaskCounts {
	c := t.counts
	c.Total, c.Failed = maps.Clone(c.Total), maps.Clone(c.Failed)
	c.Durations, c.Downtimes = slices.Clip(c.Durations), slices.Clip(c.Downtimes)
	return c
}

// Observe takes a list of the node's tasks. It returns the live migrations that it counted now: give
// their logs to Log.
func (t *TaskTracker) Observe(tasks []NodeTask) (ended []NodeTask) {
	for _, task := range tasks {
		if task.Node != t.counts.Node {
			continue
		}
		if task.End.IsZero() {
			if _, done := t.counted[task.UPID]; !done {
				t.running[task.UPID] = true
			}
			continue
		}
		if t.fresh(task) {
			delete(t.running, task.UPID)
			t.counted[task.UPID] = task.End
			t.count(task)
			if task.Type == "qmigrate" && task.OK() {
				ended = append(ended, task)
			}
		}
	}
	t.forget()
	return ended
}

func (t *TaskTracker) fresh(task NodeTask) bool {
	if _, done := t.counted[task.UPID]; done {
		return false
	}
	return task.End.After(t.begun) || t.running[task.UPID]
}

func (t *TaskTracker) count(task NodeTask) {
	if migrations[task.Type] {
		t.counts.Migrations++
		if !task.OK() {
			t.counts.MigrationsFail++
		} else if d := task.End.Sub(task.Start); d >= 0 {
			t.counts.Durations = append(t.counts.Durations, d)
		}
	}
	if _, listed := t.counts.Total[task.Type]; listed && task.Type != replicationType {
		t.counts.Total[task.Type]++
		if !task.OK() {
			t.counts.Failed[task.Type]++
		}
	}
}

// Log takes the log of a migration that Observe returned.
func (t *TaskTracker) Log(log string) {
	if d, ok := ParseTaskDowntime(log); ok {
		t.counts.Downtimes = append(t.counts.Downtimes, d)
	}
}

// Replications takes the state of all jobs. A run counts once, when it has ended; of runs that
// follow each other between two looks only the last can be seen.
func (t *TaskTracker) Replications(jobs []Replication) {
	for _, j := range jobs {
		if j.Running || j.LastTry.IsZero() || !j.LastTry.After(t.begun) || !j.LastTry.After(t.repl[j.Key]) {
			continue
		}
		t.repl[j.Key] = j.LastTry
		t.counts.Total[replicationType]++
		if j.Failed {
			t.counts.Failed[replicationType]++
		}
	}
}

// forget drops the older half of too many identities. What ended before the oldest one kept is
// history from then on, so that it cannot be counted again.
func (t *TaskTracker) forget() {
	if len(t.counted) <= maxTasksKept {
		return
	}
	ends := slices.SortedFunc(maps.Values(t.counted), time.Time.Compare)
	t.begun = ends[len(ends)/2]
	maps.DeleteFunc(t.counted, func(_ string, end time.Time) bool { return !end.After(t.begun) })
}
