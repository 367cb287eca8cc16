package qmp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
)

// fakeQEMUs is a Querier of VMs whose sockets are plain files.
type fakeQEMUs struct {
	dir string

	mu     sync.Mutex
	answer map[int]func(ctx context.Context, urgent bool) (Sample, error)
	asked  map[int]int
	inside map[int]int
	twice  bool // one VM was asked twice at once
	most   int  // conversations at the same time
	now    int
}

func newFakeQEMUs(t testing.TB) *fakeQEMUs {
	return &fakeQEMUs{dir: filepath.Join(t.TempDir(), "qemu-server"), answer: map[int]func(context.Context, bool) (Sample, error){}, asked: map[int]int{}, inside: map[int]int{}}
}

func (f *fakeQEMUs) Query(ctx context.Context, path string) (Sample, error) {
	return f.query(ctx, path, false)
}

func (f *fakeQEMUs) QueryUrgent(ctx context.Context, path string) (Sample, error) {
	return f.query(ctx, path, true)
}

func (f *fakeQEMUs) query(ctx context.Context, path string, urgent bool) (Sample, error) {
	id, _ := vmidOf(path)
	f.mu.Lock()
	f.asked[id]++
	f.inside[id]++
	f.now++
	f.twice = f.twice || f.inside[id] > 1
	f.most = max(f.most, f.now)
	answer := f.answer[id]
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.inside[id]--
		f.now--
		f.mu.Unlock()
	}()
	if answer == nil {
		return Sample{}, ErrGone
	}
	return answer(ctx, urgent)
}

// start makes a VM that gives an answer, and its socket.
func (f *fakeQEMUs) start(t testing.TB, vmid int, answer func(ctx context.Context, urgent bool) (Sample, error)) {
	t.Helper()
	f.set(vmid, answer)
	f.touch(t, vmid)
}

func (f *fakeQEMUs) touch(t testing.TB, vmid int) {
	t.Helper()
	err := os.MkdirAll(f.dir, 0o700)
	if err == nil {
		err = os.WriteFile(f.path(vmid), nil, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (f *fakeQEMUs) path(vmid int) string { return filepath.Join(f.dir, fmt.Sprintf("%d.qmp", vmid)) }

func (f *fakeQEMUs) set(vmid int, answer func(ctx context.Context, urgent bool) (Sample, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer[vmid] = answer
}

func (f *fakeQEMUs) count(vmid int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[vmid]
}

// saysNow answers at once, always the same.
func saysNow(state string, m Migration, pid int) func(context.Context, bool) (Sample, error) {
	return func(context.Context, bool) (Sample, error) {
		return Sample{At: time.Now(), VMState: state, Migration: m, Process: Process{PID: pid, Start: 1}}, nil
	}
}

// hangs answers never.
func hangs(ctx context.Context, _ bool) (Sample, error) {
	<-ctx.Done()
	return Sample{}, ErrTimeout
}

// run runs a sampler until the test ends, and wants it to leave nothing behind.
func (f *fakeQEMUs) run(t testing.TB, c SamplerConfig) *Sampler {
	t.Helper()
	c.Dir, c.Querier = f.dir, f
	s := NewSampler(c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Error("Run does not end with its context")
		}
		if f.twice {
			t.Error("a VM was asked twice at once")
		}
	})
	return s
}

func viewOf(s *Sampler) View {
	v, _ := s.Migrations()
	return v
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// brisk are intervals for tests.
func brisk() SamplerConfig {
	return SamplerConfig{Idle: 200 * time.Millisecond, Fast: 10 * time.Millisecond, List: 50 * time.Millisecond, Lock: 50 * time.Millisecond, Task: 50 * time.Millisecond}
}

func TestSamplerFindsVMsWhateverBecomesOfTheirDirectory(t *testing.T) {
	f := newFakeQEMUs(t)
	s := f.run(t, brisk())
	running := saysNow(stateRunning, numbers("active", 1, 1), 1)
	shown := func(vmid int) func() bool {
		return func() bool {
			v := viewOf(s)
			return len(v.Running) == 1 && v.Running[0].VMID == vmid
		}
	}
	f.start(t, 100, running)
	eventually(t, "a VM in a directory that was not there", shown(100))
	if err := os.RemoveAll(f.dir); err != nil {
		t.Fatal(err)
	}
	f.set(100, nil)
	eventually(t, "nothing, without the directory", func() bool { return len(viewOf(s).Running) == 0 })
	f.start(t, 101, running)
	eventually(t, "a VM in a directory that is there again", shown(101))
	for _, name := range []string{"102.qga", "103.qmp.tmp", "0104.qmp", "x.qmp", "-1.qmp"} {
		if err := os.WriteFile(filepath.Join(f.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f.touch(t, 105)
	eventually(t, "the last of them", func() bool { return f.count(105) > 0 })
	for _, id := range []int{102, 103, 104, -1, 1} {
		if f.count(id) > 0 {
			t.Errorf("%d was asked", id)
		}
	}
}

func TestSamplerLooksAtOnceAtANewSocket(t *testing.T) {
	f := newFakeQEMUs(t)
	f.touch(t, 1)
	c := brisk()
	c.List = time.Hour // only inotify can tell
	f.run(t, c)
	eventually(t, "the first listing", func() bool { return f.count(1) > 0 })
	begun := time.Now()
	f.start(t, 100, saysNow(stateInmigrate, Migration{}, 1))
	eventually(t, "a look", func() bool { return f.count(100) > 0 })
	if took := time.Since(begun); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
}

// QEMU names its socket a moment before it listens there, and a fast migration is over a tenth of a
// second later.
func TestSamplerTriesAgainAtOnceWhereNobodyListensYet(t *testing.T) {
	f := newFakeQEMUs(t)
	f.touch(t, 1)
	f.run(t, SamplerConfig{Idle: 50 * time.Millisecond, Fast: time.Hour, List: time.Hour})
	eventually(t, "the first listing", func() bool { return f.count(1) > 0 })
	f.start(t, 100, nil)
	eventually(t, "a third look", func() bool { return f.count(100) > 2 })
	time.Sleep(birth + birth/10)
	given := f.count(100)
	time.Sleep(birth / 4)
	if n := f.count(100); n != given {
		t.Errorf("%d looks at a socket that has been without QEMU for long", n-given)
	}
}

func TestSamplerLooksCloselyWhileAVMMigratesOrIsLocked(t *testing.T) {
	f := newFakeQEMUs(t)
	f.start(t, 100, saysNow(stateRunning, Migration{}, 1))
	f.start(t, 101, saysNow(stateRunning, Migration{}, 2))
	f.start(t, 102, saysNow(stateRunning, numbers("active", 1, 1), 3))
	c := brisk()
	c.Idle, c.Fast = 2*time.Second, 10*time.Millisecond
	c.Locked = func(context.Context) ([]int, error) { return []int{101}, nil }
	f.run(t, c)
	eventually(t, "100 looks at the one that migrates and the one that is locked", func() bool { return f.count(101) > 100 && f.count(102) > 100 })
	if n := f.count(100); n > 20 {
		t.Errorf("the idle one was asked %d times meanwhile", n)
	}
}

func TestSamplerLooksAtIdleVMsInGroups(t *testing.T) {
	now := time.Unix(1795223668, 123456789)
	s := NewSampler(SamplerConfig{Dir: t.TempDir(), Now: func() time.Time { return now }})
	const draws = 1000
	var sum time.Duration
	for range draws {
		wait := s.untilIdle()
		sum += wait
		if at := now.Add(wait); !at.Equal(at.Truncate(100 * time.Millisecond)) {
			t.Fatalf("a look at %s: not with others", at)
		}
	}
	if mean := sum / draws; mean < 900*time.Millisecond || mean > 1100*time.Millisecond {
		t.Errorf("%s between two looks, want 1 s", mean)
	}
}

func TestSamplerVMsThatHangCostThemselvesOnly(t *testing.T) {
	f := newFakeQEMUs(t)
	for id := range 20 {
		f.start(t, 100+id, hangs)
	}
	f.start(t, 1, saysNow(stateRunning, numbers("active", 1, 1), 1))
	s := f.run(t, brisk())
	eventually(t, "looks at the one that migrates", func() bool { return f.count(1) > 50 })
	if v := viewOf(s); len(v.Running) != 1 || v.Running[0].VMID != 1 {
		t.Errorf("shown are %+v", v.Running)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.most > 8 {
		t.Errorf("%d conversations at the same time", f.most)
	}
}

func TestSamplerShowsNoNumbersOfAVMThatDoesNotAnswer(t *testing.T) {
	f := newFakeQEMUs(t)
	answers := saysNow(stateRunning, numbers("active", 1, 1), 1)
	f.start(t, 100, answers)
	s := f.run(t, brisk())
	shown := func() bool { return len(viewOf(s).Running) == 1 }
	eventually(t, "numbers", shown)
	f.set(100, func(context.Context, bool) (Sample, error) { return Sample{}, ErrBusy })
	before := f.count(100)
	eventually(t, "looks", func() bool { return f.count(100) > before+5 })
	if !shown() {
		t.Error("a busy monitor costs a round, not the numbers of the last")
	}
	for _, kind := range []Kind{ErrNoGreeting, ErrTimeout, ErrDenied, ErrLost, ErrBackingOff} {
		f.set(100, func(context.Context, bool) (Sample, error) { return Sample{}, kind })
		eventually(t, "no numbers with "+string(kind), func() bool { return !shown() })
		f.set(100, answers)
		eventually(t, "numbers again", shown)
	}
}

func TestSamplerCountsAMigrationAndItsTaskOnce(t *testing.T) {
	f := newFakeQEMUs(t)
	f.start(t, 100, saysNow(stateRunning, Migration{}, 1))
	c := brisk()
	var ended, told atomic.Bool
	begun := time.Now()
	c.Ended = func(context.Context) ([]Task, error) {
		if ended.Load() && !told.Swap(true) {
			return []Task{{VMID: 100, Start: begun.Truncate(time.Second), End: time.Now().Add(time.Second).Truncate(time.Second), OK: true, LogRead: true, Live: true}}, nil
		}
		return nil, errors.New("not yet")
	}
	s := f.run(t, c)
	eventually(t, "a look", func() bool { return f.count(100) > 0 })
	f.set(100, saysNow(stateRunning, numbers("active", 0, 1), 1))
	eventually(t, "the migration", func() bool { return len(viewOf(s).Running) == 1 })
	f.set(100, saysNow(statePostmigrate, numbers(statusCompleted, 0.5, 1), 1))
	eventually(t, "its end", func() bool { return viewOf(s).Results[Outcome{Outgoing, Completed}] == 1 })
	f.set(100, nil)
	if err := os.Remove(f.path(100)); err != nil {
		t.Fatal(err)
	}
	ended.Store(true)
	eventually(t, "the task", told.Load)
	eventually(t, "the end of the VM", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.vms) == 0
	})
	v := viewOf(s)
	if n := v.Results[Outcome{Outgoing, Completed}]; n != 1 || v.FromLog != 0 || len(v.Durations) != 1 {
		t.Errorf("counted %d, %d from the log, durations %v", n, v.FromLog, v.Durations)
	}
}

func TestSamplerTakesNothingFromAQEMUThatHasGone(t *testing.T) {
	f := newFakeQEMUs(t)
	release := make(chan struct{})
	var late atomic.Bool
	f.start(t, 100, func(ctx context.Context, _ bool) (Sample, error) {
		if f.count(100) == 2 { // the reply is there, but comes to be read only later
			late.Store(true)
			<-release
		}
		return Sample{At: time.Now(), VMState: statePostmigrate, Migration: numbers(statusCompleted, 3, 1), Process: Process{PID: 1}}, nil
	})
	s := f.run(t, brisk())
	eventually(t, "the late reply", late.Load)
	if err := os.Remove(f.path(100)); err != nil {
		t.Fatal(err)
	}
	gone := func(yes bool) func() bool {
		return func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.vms[100] != nil && s.vms[100].gone == yes
		}
	}
	eventually(t, "no socket", gone(true))
	f.start(t, 100, saysNow(stateRunning, Migration{}, 2))
	eventually(t, "a socket again", gone(false))
	before := f.count(100)
	close(release)
	eventually(t, "looks at the new one", func() bool { return f.count(100) > before+3 })
	if n := viewOf(s).Results[Outcome{Outgoing, Completed}]; n != 0 {
		t.Errorf("%d migrations counted: the result was history when the sampler began", n)
	}
}

func TestSamplerLeavesNoGoroutineBehind(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("runs", func(t *testing.T) {
		f := newFakeQEMUs(t)
		for id := range 50 {
			f.start(t, id+1, saysNow(stateRunning, Migration{}, id))
		}
		f.start(t, 100, hangs)
		f.run(t, brisk())
		eventually(t, "looks at all", func() bool { return f.count(1) > 2 && f.count(50) > 2 && f.count(100) > 0 })
	})
	eventually(t, "as many goroutines as before", func() bool { return runtime.NumGoroutine() <= before })
}

// BenchmarkSampler measures what following the VMs of a node costs, the conversations excluded: the
// share of one core that is used while each VM is looked at once a second.
func BenchmarkSampler(b *testing.B) {
	for _, migrate := range []int{0, 10} {
		b.Run(fmt.Sprintf("vms=200/migrating=%d", migrate), func(b *testing.B) {
			f := newFakeQEMUs(b)
			for id := range 200 {
				m := Migration{}
				if id < migrate {
					m = numbers("active", 1, 1)
				}
				f.start(b, id+1, saysNow(stateRunning, m, id+1))
			}
			f.run(b, SamplerConfig{})
			time.Sleep(1200 * time.Millisecond) // all VMs are known by now
			begun, used := time.Now(), cpuTime(b)
			for b.Loop() {
				time.Sleep(time.Second)
			}
			b.ReportMetric(100*float64(cpuTime(b)-used)/float64(time.Since(begun)), "%core")
		})
	}
}

// writeFiles makes files below dir.
func writeFiles(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		name = filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(name), 0o700)
		if err == nil {
			err = os.WriteFile(name, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkLocks is one reading of 200 guests' configurations, on a file system that is not pmxcfs.
func BenchmarkLocks(b *testing.B) {
	dir, files := b.TempDir(), map[string]string{".members": "{}"}
	for id := range 200 {
		files[fmt.Sprintf("nodes/pve1/qemu-server/%d.conf", 100+id)] = "boot: order=scsi0\ncores: 4\nmemory: 8192\nname: web\nnet0: virtio=BC:24:11:00:00:00,bridge=vmbr0\nscsi0: rbd:vm-100-disk-0,size=32G\n"
	}
	writeFiles(b, dir, files)
	locks := MigrateLocks(pve.NewFiles(dir, time.Now), "pve1")
	for b.Loop() {
		if _, err := locks(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
