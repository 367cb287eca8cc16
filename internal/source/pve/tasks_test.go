package pve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/internal/source"
)

var taskEpoch = time.Unix(0x6B00F000, 0)

// upid makes the id of a task of pve1 that started s seconds after the epoch.
func upid(n, s int, kind, id string) string {
	return fmt.Sprintf("UPID:pve1:%08X:000A0000:%08X:%s:%s:root@pam:", n, taskEpoch.Unix()+int64(s), kind, id)
}

func indexLine(u string, end int, status string) string {
	return fmt.Sprintf("%s %08X %s\n", u, taskEpoch.Unix()+int64(end), status)
}

func TestTaskListsAreReadAsOnDisk(t *testing.T) {
	running, done := upid(1, 10, "qmigrate", "100"), upid(2, 5, "vzdump", "")
	want := []NodeTask{
		{UPID: running, Node: "pve1", Type: "qmigrate", ID: "100", Start: taskEpoch.Add(10 * time.Second)},
		{UPID: done, Node: "pve1", Type: "vzdump", Start: taskEpoch.Add(5 * time.Second), End: taskEpoch.Add(9 * time.Second), Status: "WARNINGS: 2"},
	}
	active := running + " 0\n" + strings.Replace(indexLine(done, 9, "WARNINGS: 2"), " ", " 1 ", 1)
	if d := cmp.Diff(want, ParseTaskActive(active+"junk\n"+upid(3, 1, "x", "")+" 1 00")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(want[1:], ParseTaskIndex("\n"+indexLine(done, 9, "WARNINGS: 2")+"UPID:half")); d != "" {
		t.Error(d)
	}
}

func TestTaskStatusesAreToldApart(t *testing.T) {
	for status, ok := range map[string]bool{
		"OK": true, "WARNINGS: 1": true, "migration aborted": false, "unexpected status": false, "": false, "OK?": false, "interrupted by signal": false,
	} {
		if got := (NodeTask{Status: status}).OK(); got != ok {
			t.Errorf("%q: %t, want %t", status, got, ok)
		}
	}
}

func TestTaskUPIDsThatAreNone(t *testing.T) {
	for _, s := range []string{"", "UPID", "UPID:::::::", "UPID:a:1:2:3:qmigrate:1:u:", "XPID:pve1:00000001:00000002:6B00F000:qmigrate:1:root@pam:", "UPID:pve1:00000001:00000002:6B00F00G:qmigrate:1:root@pam:"} {
		if task, err := ParseUPID(s); err == nil {
			t.Errorf("%q is %+v", s, task)
		}
	}
}

func TestTaskDowntimeIsTheOneOfTheResultLine(t *testing.T) {
	const log = "2026-11-21 01:16:30 migration downtime limit: 100 ms\n2026-11-21 01:16:40 auto-increased downtime to continue migration: 200 ms\n"
	for _, c := range []struct {
		name, log string
		want      time.Duration
		ok        bool
	}{
		{"live", log + "2026-11-21 01:16:48 average migration speed: 4.5 MiB/s - downtime 26 ms\nTASK OK\n", 26 * time.Millisecond, true},
		{"offline", log, 0, false},
		{"not a number", "x - downtime soon ms\n", 0, false},
	} {
		if d, ok := ParseTaskDowntime(c.log); d != c.want || ok != c.ok {
			t.Errorf("%s: %s, %t", c.name, d, ok)
		}
	}
}

// tasksOf lists tasks of the fake index text.
func tasksOf(lines ...string) []NodeTask { return ParseTaskIndex(strings.Join(lines, "")) }

func TestTaskMigrationsAreCountedByUPID(t *testing.T) {
	good := indexLine(upid(1, 10, "qmigrate", "100"), 40, "OK")
	bad := indexLine(upid(2, 50, "vzmigrate", "101"), 60, "migration aborted")
	request := indexLine(upid(3, 50, "hamigrate", "100"), 51, "OK")
	other := strings.ReplaceAll(indexLine(upid(4, 50, "qmigrate", "100"), 60, "OK"), "pve1", "pve2")
	old := indexLine(upid(5, -100, "qmigrate", "100"), -50, "OK")
	same := indexLine(upid(6, -100, "qmigrate", "100"), 0, "OK") // ended in the second of the start
	long := upid(7, -1000, "qmigrate", "107")
	tracker := NewTaskTracker("pve1", taskEpoch.Add(300*time.Millisecond), false)
	for _, step := range []struct {
		name        string
		tasks       []NodeTask
		total, fail uint64
	}{
		{"history", tasksOf(old, same), 0, 0},
		{"one runs that is older than the exporter", ParseTaskActive(long + " 0\n"), 0, 0},
		{"one ends", tasksOf(old, same, good), 1, 0},
		{"the same list", tasksOf(old, same, good), 1, 0},
		{"another fails, a request and another node's do not count", tasksOf(good, bad, request, other), 2, 1},
		{"rotated", nil, 2, 1},
		{"rotated back", tasksOf(bad, good, old), 2, 1},
		{"the old one ends", tasksOf(indexLine(long, 70, "OK")), 3, 1},
		{"all twice in one list", tasksOf(good, good, bad, bad), 3, 1},
	} {
		tracker.Observe(step.tasks)
		if c := tracker.Counts(); c.Migrations != step.total || c.MigrationsFail != step.fail {
			t.Errorf("%s: %d and %d, want %d and %d", step.name, c.Migrations, c.MigrationsFail, step.total, step.fail)
		}
	}
	c := tracker.Counts()
	if d := cmp.Diff([]time.Duration{30 * time.Second, 1070 * time.Second}, c.Durations); d != "" {
		t.Error(d)
	}
	if c.Total["hamigrate"] != 1 || c.Failed["hamigrate"] != 0 || c.Total["vzdump"] != 0 {
		t.Errorf("totals %v", c.Total)
	}
}

func TestTaskIdentitiesAreBoundedAndNeverCountAgain(t *testing.T) {
	tracker := NewTaskTracker("pve1", taskEpoch, false)
	var all []NodeTask
	for i := range 3 * maxTasksKept {
		all = append(all, NodeTask{UPID: fmt.Sprint(i), Node: "pve1", Type: "vzdump", End: taskEpoch.Add(time.Duration(i+1) * time.Second), Status: "OK"})
		if len(all)%1000 == 0 {
			tracker.Observe(all[max(0, len(all)-2000):])
		}
	}
	if n := len(tracker.counted); n > maxTasksKept {
		t.Errorf("%d identities kept", n)
	}
	tracker.Observe(all)
	if n := tracker.Counts().Total["vzdump"]; n != uint64(len(all)) {
		t.Errorf("counted %d of %d", n, len(all))
	}
}

func TestReplicationRunsAreCountedOnceWhenTheyEnd(t *testing.T) {
	tracker := NewTaskTracker("pve1", taskEpoch, true)
	state := func(try int, fails int, pid string) []Replication {
		jobs, err := ParseReplicationState(fmt.Appendf(nil, `{"100":{"local/pve2":{"last_try":%d,"fail_count":%d,"pid":%s,"last_sync":1,"duration":2.5}}}`, taskEpoch.Unix()+int64(try), fails, pid))
		if err != nil {
			t.Fatal(err)
		}
		return jobs
	}
	for _, step := range []struct {
		name        string
		jobs        []Replication
		total, fail uint64
	}{
		{"history", state(-10, 1, "null"), 0, 0},
		{"runs", state(10, 0, "77"), 0, 0},
		{"ended", state(10, 0, "null"), 1, 0},
		{"no change", state(10, 0, "null"), 1, 0},
		{"failed", state(20, 1, "null"), 2, 1},
		{"good again", state(30, 0, "null"), 3, 1},
	} {
		tracker.Replications(step.jobs)
		if c := tracker.Counts(); c.Total["replication"] != step.total || c.Failed["replication"] != step.fail {
			t.Errorf("%s: %d and %d, want %d and %d", step.name, c.Total["replication"], c.Failed["replication"], step.total, step.fail)
		}
	}
}

func TestTaskWatchReadsDowntimesFromTheTaskLog(t *testing.T) {
	u := upid(1, 10, "qmigrate", "100")
	fsys := fstest.MapFS{"var/log/pve/tasks/active": {Data: []byte(u + " 0\n")}}
	w := NewTaskWatch(TaskConfig{
		Node: "pve1", Source: TaskFiles{fsys}, Replication: true, Stats: source.NewStats("tasks", nil), Log: haQuiet(),
		Now: func() time.Time { return taskEpoch },
	})
	first, err := w.Tasks(t.Context())
	if err != nil || first.Migrations != 0 || first.Node != "pve1" || len(first.Total) != len(TaskTypes())+1 {
		t.Fatalf("%+v, %v", first, err)
	}
	fsys["var/log/pve/tasks/index"] = &fstest.MapFile{Data: []byte(indexLine(u, 42, "OK"))}
	fsys["var/log/pve/tasks/A/"+u] = &fstest.MapFile{Data: []byte("x average migration speed: 1 MiB/s - downtime 33 ms\n")}
	for range 2 {
		c, err := w.Tasks(t.Context())
		if err != nil || c.Migrations != 1 {
			t.Fatalf("%+v, %v", c, err)
		}
		if d := cmp.Diff([]time.Duration{33 * time.Millisecond}, c.Downtimes); d != "" {
			t.Error(d)
		}
	}
}

func TestTaskWatchKeepsCountsWhenTheListCannotBeRead(t *testing.T) {
	broken := errors.New("node is down")
	w := NewTaskWatch(TaskConfig{
		Node: "pve1", Stats: source.NewStats("tasks", nil), Log: haQuiet(), Now: func() time.Time { return taskEpoch },
		Source: TaskAPI{Node: "pve1", Get: func(context.Context, string, any) error { return broken }},
	})
	c, err := w.Tasks(t.Context())
	if !errors.Is(err, broken) || c.Node != "pve1" || len(c.Total) != len(TaskTypes()) {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestTaskFilesTellAFreshNodeFromNone(t *testing.T) {
	if tasks, err := (TaskFiles{fstest.MapFS{"var/log/pve/tasks/0/x": {}}}).List(t.Context(), taskEpoch); err != nil || len(tasks) != 0 {
		t.Errorf("fresh: %v, %v", tasks, err)
	}
	if _, err := (TaskFiles{fstest.MapFS{}}).List(t.Context(), taskEpoch); err == nil {
		t.Error("a machine without Proxmox has no tasks and no error")
	}
}

func TestTasksOfTheAPIAreThoseOfTheFiles(t *testing.T) {
	u := upid(1, 10, "qmigrate", "100")
	var paths []string
	api := TaskAPI{Node: "pve1", Get: func(_ context.Context, path string, out any) error {
		paths = append(paths, path)
		if strings.Contains(path, "/log") {
			return decode([]byte(`{"data":[{"n":1,"t":"a - downtime 7 ms"},{"n":2,"t":"TASK OK"}]}`), out)
		}
		return decode(fmt.Appendf(nil, `{"data":[{"upid":%q,"endtime":%d,"status":"OK","saved":"1"},{"upid":"odd"},{"upid":%q,"status":"RUNNING"}]}`,
			u, taskEpoch.Unix()+42, upid(2, 20, "vzdump", "")), out)
	}}
	got, err := api.List(t.Context(), taskEpoch)
	if err != nil {
		t.Fatal(err)
	}
	want := append(tasksOf(indexLine(u, 42, "OK")), ParseTaskActive(upid(2, 20, "vzdump", "")+" 0\n")...)
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	log, err := api.Log(t.Context(), u)
	if d, ok := ParseTaskDowntime(log); err != nil || !ok || d != 7*time.Millisecond {
		t.Errorf("log %q: %s, %v", log, d, err)
	}
	if len(paths) != 2 || !strings.HasPrefix(paths[0], "/nodes/pve1/tasks?") || !strings.Contains(paths[1], "/tasks/UPID:pve1:") {
		t.Errorf("asked for %q", paths)
	}
}

func TestRecordedTaskFilesCountEachMigrationOnce(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join(haRecordings, "files", "*", "pve1"))
	if err != nil || len(folders) == 0 {
		t.Skipf("no recordings below %s (%v)", haRecordings, err)
	}
	tracker := NewTaskTracker("pve1", time.Unix(0x6B00E000, 0), true) // before the first task
	seen, failed := map[string]bool{}, 0
	downtimes := 0
	for _, f := range folders {
		src := TaskFiles{os.DirFS(f)}
		tasks, err := src.List(t.Context(), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			if (task.Type == "qmigrate" || task.Type == "vzmigrate") && !task.End.IsZero() && !seen[task.UPID] {
				seen[task.UPID] = true
				if task.Status != "OK" {
					failed++
				}
			}
		}
		for _, ended := range tracker.Observe(tasks) {
			log, err := src.Log(t.Context(), ended.UPID)
			if err != nil {
				t.Logf("no log of %s", ended.UPID)
				continue
			}
			tracker.Log(log)
			if strings.Contains(log, " - downtime ") {
				downtimes++
			}
		}
		if jobs, ok, err := src.Replications(t.Context()); err != nil || !ok || len(jobs) != 0 {
			t.Errorf("%s: replication %v, %v", f, jobs, err)
		}
	}
	c := tracker.Counts()
	if len(seen) < 8 || c.Migrations != uint64(len(seen)) || c.MigrationsFail != uint64(failed) || failed == 0 {
		t.Errorf("counted %d and %d failed, the lists have %d and %d", c.Migrations, c.MigrationsFail, len(seen), failed)
	}
	if downtimes == 0 || len(c.Downtimes) != downtimes {
		t.Errorf("%d downtimes, the logs have %d", len(c.Downtimes), downtimes)
	}
	t.Logf("migrations %d, failed %d, downtimes %v, durations %v", c.Migrations, c.MigrationsFail, c.Downtimes, c.Durations)
}

func FuzzTaskLists(f *testing.F) {
	f.Add(indexLine(upid(1, 10, "qmigrate", "100"), 40, "OK"), upid(2, 1, "vzdump", "")+" 0\n")
	f.Add("UPID:pve1:1:2:3:a:b:c:", "")
	f.Fuzz(func(t *testing.T, index, active string) {
		tracker := NewTaskTracker("pve1", time.Unix(1, 0), true)
		list := append(ParseTaskIndex(index), ParseTaskActive(active)...)
		tracker.Observe(list)
		before := tracker.Counts()
		tracker.Observe(list)
		if d := cmp.Diff(before, tracker.Counts()); d != "" {
			t.Errorf("the same list again counts: %s", d)
		}
		if before.MigrationsFail > before.Migrations {
			t.Errorf("%+v", before)
		}
		ParseTaskDowntime(index)
	})
}

func FuzzReplicationState(f *testing.F) {
	f.Add([]byte(`{"100":{"local/pve2":{"last_try":5,"fail_count":1,"pid":null}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		jobs, err := ParseReplicationState(b)
		if err != nil {
			return
		}
		tracker := NewTaskTracker("a", time.Unix(1, 0), true)
		tracker.Replications(jobs)
		if c := tracker.Counts(); c.Failed["replication"] > c.Total["replication"] || c.Total["replication"] > uint64(len(jobs)) {
			t.Errorf("%+v of %+v", c, jobs)
		}
	})
}
