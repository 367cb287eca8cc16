package qmp

import (
	"fmt"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/quorate/quorate/internal/source/pve"
)

// said is a sample at a number of seconds.
func said(at float64, state string, m Migration) Sample {
	return Sample{At: moment(at), VMState: state, Migration: m, Process: Process{PID: 1, Start: 1}}
}

// by is the same of another process.
func by(pid int, s Sample) Sample {
	s.Process.PID = pid
	return s
}

func status(s string) Migration { return Migration{Status: s} }

func failed(why string) Migration { return Migration{Status: statusFailed, ErrorDesc: why} }

// trackerAt0 knows VM 100, which runs since before.
func trackerAt0() *Tracker {
	tr := NewTracker(TrackerConfig{Began: moment(0)})
	tr.Listed(moment(0), []int{100})
	return tr
}

func (tr *Tracker) all(samples ...Sample) *Tracker {
	for _, s := range samples {
		tr.Sampled(100, s)
	}
	return tr
}

// told lists what was counted, as "direction result:count".
func (tr *Tracker) told() string {
	text := ""
	for _, o := range Outcomes() {
		if n := tr.counts.Results[o]; n > 0 {
			text += fmt.Sprintf("%s %s:%d ", o.Direction, o.Result, n)
		}
	}
	return text
}

func TestTrackerCountsEachResultOnce(t *testing.T) {
	idle, here := Migration{}, status(statusCompleted) // the latter came here by a migration
	done := numbers(statusCompleted, 3, 3)
	gone := Sample{}
	for name, c := range map[string]struct {
		say  []Sample
		want string
	}{
		"completed":                          {[]Sample{said(0, stateRunning, idle), said(1, stateRunning, numbers("active", 0.5, 1)), said(4, statePostmigrate, done), said(5, statePostmigrate, done)}, "outgoing completed:1 "},
		"failed, whose reply has no numbers": {[]Sample{said(0, stateRunning, idle), said(1, stateRunning, numbers("active", 0.5, 1)), said(1.2, stateRunning, failed("x")), said(2, stateRunning, failed("x"))}, "outgoing failed:1 "},
		"cancelled":                          {[]Sample{said(0, stateRunning, idle), said(1, stateRunning, numbers("active", 0.5, 1)), said(1.1, stateRunning, numbers("cancelling", 0.6, 1)), said(1.2, stateRunning, status(statusCancelled))}, "outgoing cancelled:1 "},
		"QEMU 11 fails in two steps":         {[]Sample{said(0, stateRunning, idle), said(1, stateRunning, numbers("active", 0.5, 1)), said(1.1, stateRunning, status("failing")), said(1.2, stateRunning, failed("x"))}, "outgoing failed:1 "},
		"a status that is new":               {[]Sample{said(0, stateRunning, idle), said(1, stateRunning, numbers("quantum", 0.5, 1)), said(4, statePostmigrate, done)}, "outgoing completed:1 "},
		"between two looks":                  {[]Sample{said(0, stateRunning, idle), said(1, stateRunning, failed("x")), said(2, stateRunning, failed("y")), said(3, stateRunning, status(statusCancelled))}, "outgoing failed:2 outgoing cancelled:1 "},
		"words of a failure that come late":  {[]Sample{said(0, stateRunning, idle), said(1, stateRunning, numbers("active", 0.5, 1)), said(1.1, stateRunning, failed("")), said(1.2, stateRunning, failed("x"))}, "outgoing failed:1 "},
		"of before our time":                 {[]Sample{said(0, stateRunning, failed("x")), said(1, stateRunning, failed("x"))}, ""},
		"of before our time, then another":   {[]Sample{said(0, stateRunning, failed("x")), said(1, stateRunning, numbers("active", 0.5, 1)), said(1.2, stateRunning, failed("x"))}, "outgoing failed:1 "},
		"a guest that came here once":        {[]Sample{said(0, stateRunning, here), said(1, stateRunning, here)}, ""},
		"and migrates on":                    {[]Sample{said(0, stateRunning, here), said(1, stateRunning, numbers("active", 0.5, 1)), said(4, statePostmigrate, done)}, "outgoing completed:1 "},
		"resumed on the source, and again": {[]Sample{
			said(0, stateRunning, idle), said(1, stateRunning, numbers("active", 0.5, 1)), said(4, statePostmigrate, done), said(5, stateRunning, done),
			said(6, stateRunning, numbers("active", 0.5, 1)), said(8, statePostmigrate, numbers(statusCompleted, 2.2, 2)),
		}, "outgoing completed:2 "},
		"postcopy that is cut and recovers": {[]Sample{
			said(0, stateRunning, idle), said(1, stateRunning, numbers("active", 0.5, 1)), said(2, stateFinishMigrate, numbers("postcopy-active", 1.5, 1)),
			said(3, statePostmigrate, numbers("postcopy-paused", 2.5, 1)), said(4, statePostmigrate, numbers("postcopy-recover", 3.5, 1)), said(5, statePostmigrate, numbers(statusCompleted, 4.5, 2)),
		}, "outgoing completed:1 "},
		"completed a moment before it is summed up": {[]Sample{said(0, stateRunning, idle), said(1, stateRunning, numbers("active", 0.5, 1)), said(3.9, stateFinishMigrate, numbers(statusCompleted, 0, 3)), said(4, statePostmigrate, done)}, "outgoing completed:1 "},
		"a snapshot with memory":                    {[]Sample{said(0, stateRunning, idle), said(1, stateRunning, status(statusSetup)), said(9, stateRunning, numbers(statusCompleted, 0, 3)), said(10, stateRunning, numbers(statusCompleted, 0, 3))}, ""},
		"one that fails":                            {[]Sample{said(0, stateRunning, idle), said(1, stateRunning, status(statusSetup)), said(2, stateRunning, failed(""))}, ""},
		"an incoming one":                           {[]Sample{said(0, stateInmigrate, idle), said(1, stateInmigrate, status("active")), said(1.2, statePaused, here), said(1.6, stateRunning, here), said(2, stateRunning, here)}, "incoming completed:1 "},
		"an incoming one by postcopy":               {[]Sample{said(0, stateInmigrate, idle), said(1, stateRunning, status("postcopy-active")), said(2, stateRunning, status("postcopy-paused")), said(3, stateRunning, here)}, "incoming completed:1 "},
		"an incoming one that dies":                 {[]Sample{said(0, stateInmigrate, idle), said(1, stateInmigrate, status("active")), gone}, "incoming failed:1 "},
		"an incoming one that dies before it runs":  {[]Sample{said(0, stateInmigrate, idle), said(1, statePaused, here), gone}, "incoming failed:1 "},
		"an incoming one that fails and stays":      {[]Sample{said(0, stateInmigrate, idle), said(1, stateInmigrate, failed("x")), said(2, stateInmigrate, failed("x")), gone}, "incoming failed:1 "},
		"a process that came between two looks":     {[]Sample{said(0, stateRunning, idle), by(2, said(1, stateRunning, here)), by(2, said(2, stateRunning, here))}, "incoming completed:1 "},
	} {
		t.Run(name, func(t *testing.T) {
			tr := trackerAt0()
			for _, s := range c.say {
				if s.At.IsZero() {
					tr.Gone(100, moment(20))
				} else {
					tr.Sampled(100, s)
				}
			}
			if got := tr.told(); got != c.want {
				t.Errorf("counted %q, want %q", got, c.want)
			}
		})
	}
}

func TestTrackerWaitsForTheTaskOfAMigrationWhoseSourceVanished(t *testing.T) {
	vanished := func() *Tracker {
		tr := trackerAt0().all(said(0, stateRunning, Migration{}), said(10, stateRunning, numbers("active", 0.5, 1)))
		tr.Gone(100, moment(10.2))
		tr.Advance(moment(100))
		if got := tr.told(); got != "" {
			t.Fatalf("counted %q before anybody told", got)
		}
		return tr
	}
	task := Task{VMID: 100, Start: moment(5), End: moment(15), OK: true, LogRead: true, Live: true}
	tr := vanished()
	tr.TaskEnded(task)
	tr.Advance(moment(1000))
	if got := tr.told(); got != "outgoing completed:1 " || tr.counts.TransferredBytes != 1e6 {
		t.Errorf("counted %q, %g bytes", got, tr.counts.TransferredBytes)
	}
	tr = vanished()
	tr.Advance(moment(1000))
	tr.TaskEnded(task)
	if got := tr.told(); got != "outgoing unknown:1 " {
		t.Errorf("counted %q when no task told in time", got)
	}
}

func TestTrackerTasksThatCountByThemselves(t *testing.T) {
	down := 33 * time.Millisecond
	task := func(change func(*Task)) Task {
		k := Task{VMID: 100, Start: moment(10), End: moment(20), LogRead: true}
		change(&k)
		return k
	}
	for name, c := range map[string]struct {
		task Task
		want string
	}{
		"refused":                              {task(func(*Task) {}), "outgoing failed:1 "},
		"unseen":                               {task(func(k *Task) { k.OK, k.Live, k.Downtime = true, true, &down }), "outgoing completed:1 "},
		"cancelled unseen":                     {task(func(k *Task) { k.Cancelled, k.Live = true, true }), "outgoing cancelled:1 "},
		"a guest that was never here, refused": {task(func(k *Task) { k.VMID = 7 }), ""},
		"a guest that is off":                  {task(func(k *Task) { k.VMID, k.OK = 7, true }), ""},
		"a guest whose monitor nobody sees":    {task(func(k *Task) { k.VMID, k.OK, k.Live = 7, true, true }), "outgoing completed:1 "},
		"ended before our time":                {task(func(k *Task) { k.Start, k.End = moment(-10), moment(0) }), ""},
		"began before our time, and the guest has not migrated since it started": {task(func(k *Task) { k.Start, k.Live = moment(-10), true }), "outgoing failed:1 "},
		"began before our time, and nobody knows whether it was counted":         {task(func(k *Task) { k.VMID, k.Start, k.Live = 7, moment(-10), true }), ""},
	} {
		t.Run(name, func(t *testing.T) {
			tr := trackerAt0()
			for at := range 30 {
				tr.Sampled(100, said(float64(at), stateRunning, Migration{}))
			}
			tr.TaskEnded(c.task)
			if got := tr.told(); got != c.want {
				t.Errorf("counted %q, want %q", got, c.want)
			}
			if got, want := len(tr.counts.Downtimes), 0; c.task.Downtime != nil && got != 1 || c.task.Downtime == nil && got != want {
				t.Errorf("downtimes %v", tr.counts.Downtimes)
			}
		})
	}
}

func TestTrackerPauseOfAGuestThatNobodyResumes(t *testing.T) {
	here := status(statusCompleted)
	tr := NewTracker(TrackerConfig{})
	tr.Listed(moment(0), nil)
	tr.all(said(1, stateInmigrate, Migration{}), said(2, stateInmigrate, status("active")), said(2.2, statePaused, here))
	for at := 3.0; at < 100; at++ {
		tr.Sampled(100, said(at, statePaused, here))
		tr.Advance(moment(at))
	}
	v := tr.View(moment(99))
	if d := v.Stopped[100]; d.Round(time.Second) != 97*time.Second || v.Results[Outcome{Incoming, Completed}] != 1 || len(v.Pauses) != 0 {
		t.Errorf("stopped %s, %v, pauses %v", d, tr.told(), v.Pauses)
	}
	tr.Sampled(100, said(100, stateRunning, here))
	tr.Sampled(100, said(101, statePaused, here)) // by hand
	v = tr.View(moment(101))
	if len(v.Stopped) != 0 || len(v.Pauses) != 1 || v.Pauses[0].Round(time.Second) != 97*time.Second || tr.told() != "incoming completed:1 " {
		t.Errorf("%v, %v, pauses %v", v.Stopped, tr.told(), v.Pauses)
	}
}

// QEMU 7.2 was seen to tell 25,000,929 ms, which was the machine's uptime.
func TestTrackerTakesNoDowntimeLongerThanItsMigration(t *testing.T) {
	for ms, want := range map[float64][]time.Duration{
		12:       {12 * time.Millisecond},
		3000:     {3 * time.Second},
		25000929: nil,
	} {
		done := numbers(statusCompleted, 3, 3)
		done.Downtime = &ms
		tr := trackerAt0().all(said(0, stateRunning, Migration{}), said(1, stateRunning, numbers("active", 0.5, 1)), said(4, statePostmigrate, done))
		if got := tr.told(); got != "outgoing completed:1 " {
			t.Errorf("%v ms: counted %q", ms, got)
		}
		if d := cmp.Diff(want, tr.counts.Downtimes); d != "" {
			t.Errorf("%v ms: %s", ms, d)
		}
	}
}

// A fast migration is over before the destination is looked at; that its socket came bounds the pause.
func TestTrackerPauseOfAGuestThatLandedBeforeTheFirstLook(t *testing.T) {
	for name, c := range map[string]struct {
		came, landed, runs float64
		want               []time.Duration
	}{
		"soon":                      {1, 1.2, 2, []time.Duration{500 * time.Millisecond}},
		"too late to say":           {1, 2.2, 2.4, nil},
		"of before the first look":  {-1, 1.2, 2, nil},
		"and ran at the first look": {1, 0, 1.2, nil},
	} {
		t.Run(name, func(t *testing.T) {
			tr := trackerAt0()
			here := status(statusCompleted)
			if c.came > 0 {
				tr.Came(101, moment(c.came))
			}
			if c.landed > 0 {
				tr.Sampled(101, said(c.landed, statePaused, here))
			}
			tr.Sampled(101, said(c.runs, stateRunning, here))
			if got := tr.told(); got != "incoming completed:1 " {
				t.Errorf("counted %q", got)
			}
			if d := cmp.Diff(c.want, tr.counts.Pauses); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestTrackerStandstillOfASourceIsShownUntilItRunsOrIsGone(t *testing.T) {
	active, done := numbers("active", 0.5, 1), numbers(statusCompleted, 1.5, 1)
	for name, c := range map[string]struct {
		say  []Sample
		want bool
	}{
		"completed and left standing":  {[]Sample{said(0, stateRunning, Migration{}), said(1, stateRunning, active), said(2, statePostmigrate, done), said(3, statePostmigrate, done)}, true},
		"completed and resumed":        {[]Sample{said(0, stateRunning, Migration{}), said(1, stateRunning, active), said(2, statePostmigrate, done), said(3, stateRunning, done)}, false},
		"failed and left standing":     {[]Sample{said(0, stateRunning, Migration{}), said(1, stateRunning, active), said(2, statePaused, failed("x")), said(3, statePaused, failed("x"))}, true},
		"failed and runs":              {[]Sample{said(0, stateRunning, Migration{}), said(1, stateRunning, active), said(2, stateRunning, failed("x"))}, false},
		"suspended before it migrated": {[]Sample{said(0, statePaused, Migration{}), said(1, statePaused, active), said(2, statePaused, failed("x"))}, false},
		"suspended by hand":            {[]Sample{said(0, statePaused, status(statusCompleted)), said(1, statePaused, status(statusCompleted))}, false},
		"standing when first seen":     {[]Sample{said(0, statePostmigrate, done), said(1, statePostmigrate, done)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			tr := trackerAt0().all(c.say...)
			at := c.say[len(c.say)-1].At
			if _, is := tr.View(at).Stopped[100]; is != c.want {
				t.Errorf("shown: %t, want %t", is, c.want)
			}
			tr.Gone(100, at)
			if v := tr.View(at); len(v.Stopped) != 0 {
				t.Errorf("shown when it is gone: %v", v.Stopped)
			}
		})
	}
}

func TestTrackerShowsNumbersOnlyWhileTheyAreTrue(t *testing.T) {
	tr := trackerAt0().all(said(0, stateRunning, Migration{}), said(10, stateRunning, numbers("active", 0.5, 1)))
	shown := func(at float64) bool { return len(tr.View(moment(at)).Running) == 1 }
	if !shown(10) || !shown(14) || shown(16) {
		t.Error("a sample is shown for 5 s")
	}
	tr.Silent(100, moment(11))
	if shown(11) {
		t.Error("shown although the VM does not answer")
	}
	tr.Sampled(100, said(12, stateRunning, numbers("active", 2.5, 3)))
	if r := tr.View(moment(12)).Running; len(r) != 1 || *r[0].RAMTransferred != 3e6 || *r[0].Elapsed != 2.5 {
		t.Errorf("shown %+v", r)
	}
	tr.Sampled(100, said(13, stateRunning, failed("x")))
	if shown(13) {
		t.Error("shown although it is over")
	}
}

func TestTrackerMomentsOfTheSwitchoverAreForgotten(t *testing.T) {
	done, down := numbers(statusCompleted, 1.5, 1), 200.0
	done.Downtime = &down
	tr := trackerAt0().all(said(0, stateRunning, Migration{}), said(1, stateRunning, numbers("active", 1, 1)), said(2, statePostmigrate, done))
	// It began at 0, took 1.5 s, and the guest stood for the last 0.2 s of it.
	if d := cmp.Diff(map[int]time.Time{100: moment(1.3)}, tr.View(moment(2)).SourceStopped); d != "" {
		t.Error(d)
	}
	tr.Gone(100, moment(3))
	if v := tr.View(moment(500)); len(v.SourceStopped) != 1 {
		t.Error("forgotten within 10 minutes")
	}
	tr.Advance(moment(700))
	if v := tr.View(moment(700)); len(v.SourceStopped) != 0 {
		t.Error("shown after 10 minutes")
	}
	tr.Advance(moment(100000))
	if len(tr.ledgers) != 0 {
		t.Errorf("%d VMs are remembered after a day", len(tr.ledgers))
	}
}

func TestConvergingIsJudgedByPassesAndRates(t *testing.T) {
	pass := func(count, left, dirty, mbps float64) Migration {
		page := 4096.0
		dirty /= page
		return Migration{Status: "active", RAM: &RAM{DirtySyncCount: &count, Remaining: &left, DirtyPagesRate: &dirty, PageSize: &page, Mbps: &mbps}}
	}
	for name, c := range map[string]struct {
		say  []Migration
		want string
	}{
		"first pass":                 {[]Migration{pass(1, 260e6, 0, 200)}, "nobody knows"},
		"much less dirt than sent":   {[]Migration{pass(1, 260e6, 0, 200), pass(2, 10e6, 4e6, 200)}, "yes"},
		"as much dirt as is sent":    {[]Migration{pass(1, 260e6, 0, 200), pass(2, 94e6, 24.7e6, 201.6)}, "no"},
		"and again":                  {[]Migration{pass(1, 260e6, 0, 200), pass(2, 94e6, 24.7e6, 201.6), pass(3, 95.6e6, 25.1e6, 201.6), pass(3, 20e6, 25.1e6, 201.6)}, "no"},
		"throttled, so it gets less": {[]Migration{pass(1, 260e6, 0, 270), pass(2, 96e6, 33.2e6, 264), pass(3, 60e6, 33.1e6, 270)}, "yes"},
		"met in a later pass":        {[]Migration{pass(7, 60e6, 33.1e6, 270)}, "no"},
		"postcopy":                   {[]Migration{{Status: "postcopy-active"}}, "yes"},
	} {
		t.Run(name, func(t *testing.T) {
			var p passes
			for _, m := range c.say {
				p.take(m)
			}
			got := "nobody knows"
			if yes := p.converging(c.say[len(c.say)-1]); yes != nil {
				got = map[bool]string{true: "yes", false: "no"}[*yes]
			}
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestTaskLogTellsEachMigrationOnceWithWhatItsLogSays(t *testing.T) {
	epoch := time.Unix(0x6B00F000, 0)
	upid := func(n, start int, kind, id string) string {
		return fmt.Sprintf("UPID:pve1:%08X:000A0000:%08X:%s:%s:root@pam:", n, epoch.Unix()+int64(start), kind, id)
	}
	line := func(u string, end int, status string) string {
		return fmt.Sprintf("%s %08X %s\n", u, epoch.Unix()+int64(end), status)
	}
	good, stopped, refused := upid(1, 10, "qmigrate", "100"), upid(2, 20, "qmigrate", "101"), upid(3, 30, "qmigrate", "102")
	fsys := fstest.MapFS{
		"var/log/pve/tasks/active": {Data: []byte(upid(4, 40, "qmigrate", "103") + " 0\n")},
		"var/log/pve/tasks/index": {Data: []byte(line(upid(5, -20, "qmigrate", "100"), 0, "OK") + line(good, 20, "OK") + line(stopped, 30, "migration problems") +
			line(refused, 31, "migration aborted") + line(upid(6, 30, "vzmigrate", "104"), 35, "OK") + line(upid(7, 30, "vzdump", ""), 35, "OK"))},
		"var/log/pve/tasks/A/" + good:    {Data: []byte("x starting online/live migration on tcp:10.0.0.2:60000\nx average migration speed: 1 MiB/s - downtime 33 ms\n")},
		"var/log/pve/tasks/4/" + stopped: {Data: []byte("x start migrate command to unix:/x\nx ERROR: online migrate failure - interrupted by signal\n")},
	}
	log := &TaskLog{Node: "pve1", Source: pve.TaskFiles{Root: fsys}, Began: epoch.Add(300 * time.Millisecond)}
	down, at := 33*time.Millisecond, func(s int) time.Time { return epoch.Add(time.Duration(s) * time.Second) }
	want := []Task{
		{VMID: 100, Start: at(10), End: at(20), OK: true, LogRead: true, Live: true, Downtime: &down},
		{VMID: 101, Start: at(20), End: at(30), LogRead: true, Live: true, Cancelled: true},
		{VMID: 102, Start: at(30), End: at(31)}, // its log is lost
	}
	for _, want := range [][]Task{want, nil} {
		got, err := log.Ended(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	fsys["var/log/pve/tasks/index"] = &fstest.MapFile{Data: []byte(line(upid(4, 40, "qmigrate", "103"), 50, "OK"))}
	if got, err := log.Ended(t.Context()); err != nil || len(got) != 1 || got[0].VMID != 103 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := (&TaskLog{Node: "pve1", Source: pve.TaskFiles{Root: fstest.MapFS{}}}).Ended(t.Context()); err == nil {
		t.Error("a machine without a task list is no error")
	}
}

func TestMigrateLocksAreThoseOfQEMUOnThisNode(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		".members":                      "{}",
		"nodes/pve1/qemu-server/1.conf": "name: a\nlock: migrate\n",
		"nodes/pve1/qemu-server/2.conf": "lock: backup\n",
		"nodes/pve1/qemu-server/3.conf": "name: c\n[snap]\nlock: migrate\n",
		"nodes/pve1/lxc/4.conf":         "lock: migrate\n",
		"nodes/pve2/qemu-server/5.conf": "lock: migrate\n",
	})
	locks := MigrateLocks(pve.NewFiles(dir, time.Now), "pve1")
	for _, c := range []struct {
		write map[string]string
		want  []int
	}{
		{nil, []int{1}},
		{nil, []int{1}},
		{map[string]string{"nodes/pve1/qemu-server/2.conf": "name: x\nlock: migrate\n"}, []int{1, 2}},
		{map[string]string{"nodes/pve1/qemu-server/1.conf": "name: a\n"}, []int{2}},
	} {
		writeFiles(t, dir, c.write)
		got, err := locks(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Error(d)
		}
	}
	if _, err := MigrateLocks(pve.NewFiles(t.TempDir(), time.Now), "pve1")(t.Context()); err == nil {
		t.Error("no cluster file system is no error")
	}
}
