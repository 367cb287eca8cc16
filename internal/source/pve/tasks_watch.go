package pve

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/internal/source"
)

// A TaskSource lists the tasks of one node.
type TaskSource interface {
	// List returns at least the tasks that ended after since, and those that run, as far as the node
	// still has them.
	List(ctx context.Context, since time.Time) ([]NodeTask, error)
	// Log returns the log of a task.
	Log(ctx context.Context, upid string) (string, error)
	// Replications returns the replication jobs whose source is the node. ok is false if they cannot
	// be known from here.
	Replications(ctx context.Context) (jobs []Replication, ok bool, err error)
}

// TaskFiles reads the task lists of the node that it runs on.
type TaskFiles struct {
	Root fs.FS // the file system, from "/"
}

const taskFolder = "var/log/pve/tasks"

// List reads the files active, index and index.1.
func (f TaskFiles) List(context.Context, time.Time) ([]NodeTask, error) {
	var all []NodeTask
	for _, file := range []struct {
		name  string
		parse func(string) []NodeTask
	}{{"active", ParseTaskActive}, {"index.1", ParseTaskIndex}, {"index", ParseTaskIndex}} {
		b, err := haReadIfThere(f.Root, path.Join(taskFolder, file.name))
		if err != nil {
			return nil, fmt.Errorf("read the task list: %w", err)
		}
		all = append(all, file.parse(string(b))...)
	}
	if len(all) == 0 { // a fresh node has the folder and no files
		if _, err := fs.Stat(f.Root, taskFolder); err != nil {
			return nil, fmt.Errorf("read the task list: is this a Proxmox VE node? %w", err)
		}
	}
	return all, nil
}

// Log reads the file of the task: the last digit of its start time is its folder.
func (f TaskFiles) Log(_ context.Context, upid string) (string, error) {
	if _, err := ParseUPID(upid); err != nil || strings.Contains(upid, "/") {
		return "", fmt.Errorf("%q is no UPID", shorten(upid, 120))
	}
	start := strings.SplitN(upid, ":", 6)[4]
	b, err := haRead(f.Root, path.Join(taskFolder, start[len(start)-1:], upid))
	if err != nil {
		return "", fmt.Errorf("read the log of %s: %w", upid, err)
	}
	return string(b), nil
}

// Replications reads pve-replication-state.json.
func (f TaskFiles) Replications(context.Context) ([]Replication, bool, error) {
	b, err := haReadIfThere(f.Root, "var/lib/pve-manager/pve-replication-state.json")
	if err != nil {
		return nil, true, fmt.Errorf("read the replication state: %w", err)
	}
	jobs, err := ParseReplicationState(b)
	return jobs, true, err
}

// ParseReplicationState reads pve-replication-state.json: by guest, by target, what the last run did.
// A job that runs has the pid of its process.
func ParseReplicationState(b []byte) ([]Replication, error) {
	var guests map[string]map[string]struct {
		LastTry   Int             `json:"last_try"`
		FailCount Int             `json:"fail_count"`
		PID       json.RawMessage `json:"pid"`
	}
	if err := haUnmarshal(b, &guests); err != nil {
		return nil, fmt.Errorf("read the replication state: %w", err)
	}
	var jobs []Replication
	for _, guest := range slices.Sorted(maps.Keys(guests)) {
		for _, target := range slices.Sorted(maps.Keys(guests[guest])) {
			j := guests[guest][target]
			jobs = append(jobs, Replication{
				Key: guest + " " + target, LastTry: haTime(j.LastTry),
				Failed: j.FailCount.V > 0, Running: len(j.PID) > 0 && string(j.PID) != "null",
			})
		}
	}
	return jobs, nil
}

// TaskAPI reads the task lists of Node through the API. A node that is down does not answer.
type TaskAPI struct {
	Node string
	Get  func(ctx context.Context, path string, out any) error // Client.Get
}

// List makes one request.
func (a TaskAPI) List(ctx context.Context, since time.Time) ([]NodeTask, error) {
	query := url.Values{"source": {"all"}, "limit": {"1000"}, "since": {strconv.FormatInt(since.Add(-24*time.Hour).Unix(), 10)}}
	var rows []taskWire
	// since is compared with the start, and a long task may have begun a day before it ended.
	if err := a.Get(ctx, "/nodes/"+url.PathEscape(a.Node)+"/tasks?"+query.Encode(), &rows); err != nil {
		return nil, err
	}
	tasks := make([]NodeTask, 0, len(rows))
	for _, r := range rows {
		if t, err := r.task(); err == nil {
			tasks = append(tasks, t)
		}
	}
	return tasks, nil
}

// Log makes one request. The line asked for is among the last ones.
func (a TaskAPI) Log(ctx context.Context, upid string) (string, error) {
	var rows []struct {
		Text Text `json:"t"`
	}
	p := "/nodes/" + url.PathEscape(a.Node) + "/tasks/" + url.PathEscape(upid) + "/log?limit=5000"
	if err := a.Get(ctx, p, &rows); err != nil {
		return "", err
	}
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(string(r.Text) + "\n")
	}
	return b.String(), nil
}

// Replications are not read through the API: without quorum the request hangs.
func (TaskAPI) Replications(context.Context) ([]Replication, bool, error) { return nil, false, nil }

// TaskConfig is what a TaskWatch needs.
type TaskConfig struct {
	Node        string // whose own tasks are counted
	Source      TaskSource
	Replication bool // Source knows replication jobs
	Stats       *source.Stats
	Log         *slog.Logger
	Now         func() time.Time
	Every       time.Duration // between two looks in the background; 0 means 30 s
}

// A TaskWatch counts the tasks of a node. It is safe for concurrent use.
type TaskWatch struct {
	cfg    TaskConfig
	flight *source.Flight[TaskCounts]

	mu      sync.Mutex
	tracker *TaskTracker
}

// NewTaskWatch returns a watch that counts what ends from now on.
func NewTaskWatch(c TaskConfig) *TaskWatch {
	if c.Every <= 0 {
		c.Every = 30 * time.Second
	}
	return &TaskWatch{cfg: c, flight: source.NewFlight[TaskCounts](c.Stats), tracker: NewTaskTracker(c.Node, c.Now(), c.Replication)}
}

// Run looks until ctx ends, so that nothing is missed while nobody scrapes. A look that fails is
// made good by the next.
func (w *TaskWatch) Run(ctx context.Context) {
	tick := time.NewTicker(w.cfg.Every)
	defer tick.Stop()
	for {
		look, cancel := context.WithTimeout(ctx, w.cfg.Every/2)
		_, _ = w.Tasks(look)
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Tasks reads the lists now and returns the counts. With an error it returns those up to the last
// time that they could be read.
func (w *TaskWatch) Tasks(ctx context.Context) (TaskCounts, error) {
	c, err := w.flight.Do(ctx, func() (TaskCounts, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		return w.look(ctx)
	})
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.tracker.Counts(), fmt.Errorf("read the tasks: %w", err)
	}
	return c, nil
}

func (w *TaskWatch) look(ctx context.Context) (TaskCounts, error) {
	w.mu.Lock()
	begun := w.tracker.Begun()
	w.mu.Unlock()
	tasks, err := w.cfg.Source.List(ctx, begun)
	if err != nil {
		return TaskCounts{}, err
	}
	var jobs []Replication
	if w.cfg.Replication {
		if jobs, _, err = w.cfg.Source.Replications(ctx); err != nil {
			return TaskCounts{}, err
		}
	}
	w.mu.Lock()
	ended := w.tracker.Observe(tasks)
	w.tracker.Replications(jobs)
	w.mu.Unlock()
	for _, t := range ended {
		log, err := w.cfg.Source.Log(ctx, t.UPID)
		if err != nil { // gone already: its downtime is not known, the migration counts all the same
			w.cfg.Log.Warn("the downtime of a migration is not known", "task", t.UPID, "err", err)
			continue
		}
		w.mu.Lock()
		w.tracker.Log(log)
		w.mu.Unlock()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tracker.Counts(), nil
}
