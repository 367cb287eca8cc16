package ceph

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// recordings are answers of a real cluster in many states; they stand beside the project.
const recordings = "../../../../shared/data/ceph"

// recordedStates returns the folders of all recorded states.
func recordedStates(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(recordings, "*", "status.json"))
	if err != nil || len(files) == 0 {
		t.Skipf("no recordings at %s", recordings)
	}
	for i := range files {
		files[i] = filepath.Dir(files[i])
	}
	return files
}

// fakeCluster answers from a recording, counts the commands, and can be made to misbehave.
type fakeCluster struct {
	rec Recording

	mu     sync.Mutex
	asked  map[string]int
	answer map[string]func() ([]byte, error) // by command, instead of the recording
	closed bool
}

func newFake(dir fs.FS) *fakeCluster {
	return &fakeCluster{rec: Recording{FS: dir}, asked: map[string]int{}, answer: map[string]func() ([]byte, error){}}
}

func healthy() *fakeCluster { return newFake(os.DirFS("testdata/healthy")) }

func (f *fakeCluster) Mon(cmd []byte) ([]byte, error) { return f.do(cmd, f.rec.Mon) }
func (f *fakeCluster) Mgr(cmd []byte) ([]byte, error) { return f.do(cmd, f.rec.Mgr) }
func (f *fakeCluster) FSID() (string, error)          { return "f5d217b0-0393-4300-951b-29d5adc732ff", nil }

func (f *fakeCluster) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

func (f *fakeCluster) do(cmd []byte, recorded func([]byte) ([]byte, error)) ([]byte, error) {
	c, err := DecodeCommand(cmd)
	if err != nil {
		return nil, err
	}
	name := strings.Join(append([]string{c.Prefix}, c.Dump...), " ")
	f.mu.Lock()
	f.asked[name]++
	special := f.answer[name]
	f.mu.Unlock()
	if special != nil {
		return special()
	}
	if c.Prefix == "pg ls" {
		return f.filtered(c.States)
	}
	return recorded(cmd)
}

// filtered answers `pg ls` from the brief dump as a manager does: PGs that have any of the states.
func (f *fakeCluster) filtered(states []string) ([]byte, error) {
	b, err := f.rec.Mgr(cmdDumpBrief.Encode())
	if err != nil {
		return nil, err
	}
	var dump map[string]any
	if err := json.Unmarshal(b, &dump); err != nil {
		return nil, err
	}
	rows := []any{}
	for _, r := range dump["pg_stats"].([]any) {
		row := r.(map[string]any)
		for _, s := range states {
			if hasToken(row["state"].(string), s) {
				row["last_active"] = "2026-11-21T00:00:00.000000+0000"
				rows = append(rows, row)
				break
			}
		}
	}
	dump["pg_stats"] = rows
	return json.Marshal(dump)
}

func (f *fakeCluster) set(cmd string, answer func() ([]byte, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer[cmd] = answer
}

func (f *fakeCluster) text(cmd, answer string) {
	f.set(cmd, func() ([]byte, error) { return []byte(answer), nil })
}

// edit changes the recorded answer.
func (f *fakeCluster) edit(t testing.TB, cmd string, old, new string) {
	t.Helper()
	b, err := fs.ReadFile(f.rec.FS, strings.ReplaceAll(cmd, " ", "_")+".json")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		t.Fatalf("%s does not hold %q", cmd, old)
	}
	f.text(cmd, strings.ReplaceAll(string(b), old, new))
}

func (f *fakeCluster) fail(cmd string, errno int) {
	f.set(cmd, func() ([]byte, error) { return nil, commandError("fake", cmd, errno, "") })
}

// hang lets a command time out as librados does, after d.
func (f *fakeCluster) hang(cmd string, d time.Duration) {
	f.set(cmd, func() ([]byte, error) {
		time.Sleep(d)
		return nil, commandError("fake", cmd, -eTIMEDOUT, "")
	})
}

func (f *fakeCluster) count(cmd string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[cmd]
}

func (f *fakeCluster) total() (mon, mgr int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for cmd, n := range f.asked {
		if strings.HasPrefix(cmd, "pg ") || cmd == "osd perf" || cmd == "osd df" || cmd == "osd pool stats" {
			mgr += n
		} else {
			mon += n
		}
	}
	return mon, mgr
}

func (f *fakeCluster) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = map[string]int{}
}
