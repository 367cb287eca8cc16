package qmp

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
)

const proxmoxMigrations = "../../../../shared/data/proxmox/migrations"

// A poll is what one look at a monitor found in a recording; err is the error, "" for none.
type poll struct {
	at     float64
	err    string
	sample Sample
}

// A recordedMigration is a migration by Proxmox VE, polled each 20 ms on both ends.
type recordedMigration struct {
	name     string
	vmid     int
	t0       time.Time
	src, dst []poll
	locked   [2]float64 // when the source had the lock in the guest's configuration
	task     Task
	want     string  // the result
	pause    float64 // ms that the guest stood still, by its own heartbeat; 0 if it did not
	downtime float64 // ms
}

func readRecordedMigrations(t *testing.T) (all []recordedMigration) {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(proxmoxMigrations, "[0-9]*"))
	if err != nil || len(dirs) == 0 {
		t.Skipf("no recordings below %s (%v)", proxmoxMigrations, err)
	}
	for _, d := range dirs {
		all = append(all, readRecordedMigration(t, d))
	}
	return all
}

func readRecordedMigration(t *testing.T, dir string) recordedMigration {
	t.Helper()
	var s struct {
		VMID   int
		Src    string
		T0     float64
		UPID   string
		Status struct{ Exitstatus string } `json:"task_status"`
		Log    []string                    `json:"task_log"`
		End    float64                     `json:"task_end_t"`
		Switch [][]float64                 `json:"switch_gap_ms"`
		Final  *Migration                  `json:"final_src_query_migrate"`
	}
	b, err := os.ReadFile(filepath.Join(dir, "summary.json"))
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	upid, err := pve.ParseUPID(s.UPID)
	if err != nil {
		t.Fatal(err)
	}
	r := recordedMigration{name: filepath.Base(dir), vmid: s.VMID, t0: seconds(s.T0)}
	r.src, r.dst = readPolls(t, dir, "src", r.t0), readPolls(t, dir, "dst", r.t0)
	r.locked = readLock(t, dir, s.Src)
	r.task = Task{VMID: s.VMID, Start: upid.Start, End: seconds(s.T0 + s.End).Truncate(time.Second), OK: s.Status.Exitstatus == "OK"}
	r.task.read(strings.Join(s.Log, "\n"))
	r.want = r.task.result()
	if len(s.Switch) > 0 {
		r.pause = s.Switch[0][0]
	}
	if s.Final != nil && s.Final.Downtime != nil {
		r.downtime = *s.Final.Downtime
	}
	return r
}

func seconds(s float64) time.Time { return time.Unix(0, int64(math.Round(s*1e6))*1000) }

func readPolls(t *testing.T, dir, side string, t0 time.Time) (all []poll) {
	t.Helper()
	eachLine(t, filepath.Join(dir, side+"-qmp.jsonl"), func(line []byte) {
		var p struct {
			T       float64
			Err     string
			Status  struct{ Status string } `json:"query-status"`
			Migrate Migration               `json:"query-migrate"`
		}
		if err := json.Unmarshal(line, &p); err != nil {
			t.Fatal(err)
		}
		at := t0.Add(time.Duration(p.T * 1e9))
		all = append(all, poll{p.T, p.Err, Sample{At: at, VMState: p.Status.Status, Migration: p.Migrate}})
	})
	return all
}

func readLock(t *testing.T, dir, node string) (locked [2]float64) {
	t.Helper()
	eachLine(t, filepath.Join(dir, "conf-timeline.jsonl"), func(line []byte) {
		var c map[string]any
		if err := json.Unmarshal(line, &c); err != nil {
			t.Fatal(err)
		}
		conf, _ := c[node].(string)
		at, has := c["t"].(float64), strings.Contains(conf, "lock: migrate")
		if has && locked[0] == 0 {
			locked[0] = at
		}
		if !has && locked[0] != 0 && locked[1] == 0 {
			locked[1] = at
		}
	})
	return locked
}

// eachLine calls fn for each line of name, or of name.gz. A file that is not there has none.
func eachLine(t *testing.T, name string, fn func([]byte)) {
	t.Helper()
	var r io.Reader
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		if f, err = os.Open(name + ".gz"); errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r = f
	if strings.HasSuffix(f.Name(), ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fn(lines.Bytes())
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

// lockSeen is how long after it was taken a lock is seen at the latest, in seconds.
const lockSeen = 2

// follow looks at one end of a recording as the sampler would, the first time at phase seconds: each
// second, each 200 ms when it is worth while, with a tenth of jitter. A look finds what the recording
// has next, so that a new socket is found at once.
func (r recordedMigration) follow(tr *Tracker, polls []poll, phase float64, source bool) {
	var before []int
	if source {
		before = []int{r.vmid}
	}
	tr.Listed(r.t0, before)
	random := rand.New(rand.NewPCG(uint64(phase*1e6), 1))
	i := 0
	for at := phase; ; {
		for i < len(polls) && polls[i].at < at {
			i++
		}
		if i == len(polls) {
			return
		}
		p := polls[i]
		switch {
		case p.err == "":
			tr.Sampled(r.vmid, p.sample)
		case strings.Contains(p.err, "Reset"):
			tr.Silent(r.vmid, p.sample.At)
		default:
			tr.Gone(r.vmid, p.sample.At)
		}
		tr.Advance(p.sample.At)
		interval := 1.0
		if source && at > r.locked[0]+lockSeen && at < r.locked[1] || tr.Hot(r.vmid, p.sample.At) {
			interval = 0.2
		}
		at = max(at, p.at) + interval*(0.9+0.2*random.Float64())
	}
}

// The files say it: 09 failed, 10 and 15 failed before QEMU began, 12 and 14 were cancelled.
var wantProxmox = map[string]string{"09": Failed, "10": Failed, "12": Cancelled, "14": Cancelled, "15": Failed}

func TestTrackerCountsProxmoxMigrationsOnceWithTheirResult(t *testing.T) {
	for _, r := range readRecordedMigrations(t) {
		want := wantProxmox[r.name[:2]]
		if want == "" {
			want = Completed
		}
		if r.want != want {
			t.Errorf("%s: its log says %s, want %s", r.name, r.want, want)
		}
		for step := range 20 {
			for _, taskAt := range []string{"after", "between", "before"} {
				tr := NewTracker(TrackerConfig{Began: r.t0})
				early, late := r.src, []poll(nil)
				if taskAt != "after" { // for the monitor is silent until then
					i := slices.IndexFunc(r.src, func(p poll) bool { return p.at > 12 && taskAt == "between" || p.at > r.locked[0] })
					early, late = r.src[:max(i, 1)], r.src[max(i, 1):]
				}
				r.follow(tr, early, float64(step)/20, true)
				if taskAt != "after" {
					tr.Silent(r.vmid, r.task.End)
				}
				tr.TaskEnded(r.task)
				r.follow(tr, late, 0, true)
				got := tr.View(r.task.End).Results
				for _, o := range Outcomes() {
					n := uint64(0)
					if o == (Outcome{Outgoing, want}) {
						n = 1
					}
					if got[o] != n {
						t.Errorf("%s, step %d, task told %s: %d %v, want %d", r.name, step, taskAt, got[o], o, n)
					}
				}
			}
		}
	}
}

func TestTrackerPauseIsNearTheGuestsOwnHeartbeat(t *testing.T) {
	var all []float64
	for _, r := range readRecordedMigrations(t) {
		if len(r.dst) < 2 || r.pause == 0 {
			continue
		}
		var alone, both []float64
		for step := range 40 {
			phase := float64(step) / 40
			src, dst := NewTracker(TrackerConfig{}), NewTracker(TrackerConfig{})
			r.follow(src, r.src, phase, true)
			r.follow(dst, r.dst, phase, false)
			v, end := dst.View(r.task.End), src.View(r.task.End)
			if len(v.Pauses) != 1 || v.Results[Outcome{Incoming, Completed}] != 1 {
				t.Errorf("%s: pauses %v, results %v", r.name, v.Pauses, v.Results)
				continue
			}
			alone = append(alone, v.Pauses[0].Seconds()*1e3-r.pause)
			both = append(both, v.DestinationRunning[r.vmid].Sub(end.SourceStopped[r.vmid]).Seconds()*1e3-r.pause)
		}
		t.Logf("%-32s true %7.1f ms, downtime %3.0f; destination alone: error median %+5.0f, worst %4.0f; both ends: %+5.0f, %4.0f", r.name, r.pause, r.downtime, median(alone), worst(alone), median(both), worst(both))
		all = append(all, alone...)
	}
	slices.SortFunc(all, func(a, b float64) int { return int(math.Abs(a)*1e3) - int(math.Abs(b)*1e3) })
	p95 := math.Abs(all[len(all)*95/100])
	t.Logf("destination alone: median error %.0f ms, 95th percentile %.0f ms of %d", math.Abs(all[len(all)/2]), p95, len(all))
	if p95 > 250 {
		t.Errorf("the 95th percentile of the error is %.0f ms, want at most 50 ms and one interval of 200 ms", p95)
	}
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

func worst(v []float64) (w float64) {
	for _, x := range v {
		w = max(w, math.Abs(x))
	}
	return w
}
