package qmpreplay

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/quorate/quorate/internal/source/qmp"
)

// A Scenario is one recorded migration.
type Scenario struct {
	Name     string
	Src, Dst []Look
	Summary  Summary
}

// A Look is what query-migrate and query-status said at one moment.
type Look struct {
	At      time.Time
	State   string
	Migrate json.RawMessage
}

// A Summary is what summary.json says.
type Summary struct {
	FinalSrc     Reply    `json:"final_src"`
	FinalDst     Reply    `json:"final_dst"`
	LastDst      *Reply   `json:"last_dst_poll"`
	StopToResume *float64 `json:"stop_to_resume_ms"`
}

// A Reply is what the comparison reads of a reply to query-migrate, by itself.
type Reply struct {
	Status    string   `json:"status"`
	TotalTime *float64 `json:"total-time"`
	Downtime  *float64 `json:"downtime"`
	RAM       *struct {
		Transferred, Remaining, Total float64
		Iterations                    float64 `json:"dirty-sync-count"`
	} `json:"ram"`
	Error *json.RawMessage `json:"error"` // of the recorder: nobody was there any more
}

// An event is one line of events.jsonl.
type event struct {
	Who   string  `json:"who"`
	Event string  `json:"event"`
	Time  float64 `json:"qemu_t"`
}

// scenarios finds the recordings below dir: a folder each, or a folder each in one for each version.
func scenarios(dir string) ([]string, error) {
	var all []string
	for _, pattern := range []string{"*", "*/*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern, "summary.json"))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no folder in it has a summary.json (name the folder of a QEMU version, or the one above)", dir)
	}
	for i, name := range all {
		all[i] = filepath.Dir(name)
	}
	slices.Sort(all)
	return all, nil
}

func readScenario(root, dir string) (Scenario, error) {
	s := Scenario{Name: dir}
	if name, err := filepath.Rel(root, dir); err == nil {
		s.Name = name
	}
	b, err := os.ReadFile(filepath.Join(dir, "summary.json"))
	if err == nil {
		err = json.Unmarshal(b, &s.Summary)
	}
	if err != nil {
		return s, fmt.Errorf("read the summary of %s: %w", s.Name, err)
	}
	events, err := lines[event](filepath.Join(dir, "events.jsonl"))
	if err != nil {
		return s, err
	}
	if s.Src, err = readLooks(dir, "src", "running", events); err != nil {
		return s, err
	}
	s.Dst, err = readLooks(dir, "dst", "inmigrate", events)
	return s, err
}

// readLooks reads one side's replies. state is that of its guest at the begin.
func readLooks(dir, side, state string, events []event) ([]Look, error) {
	type line struct {
		T      float64
		Return json.RawMessage
	}
	replies, err := lines[line](filepath.Join(dir, side+"-query-migrate.jsonl"))
	if err != nil {
		return nil, err
	}
	var looks []Look
	for _, r := range replies {
		if r.Return == nil {
			continue // the recorder's own failure
		}
		looks = append(looks, Look{At: moment(r.T), State: stateAt(r.T, side, state, events), Migrate: r.Return})
	}
	return looks, nil
}

// stateAt is the state of a guest by the events up to then. A source that stopped is in postmigrate in
// the end; that it is in finish-migrate for a moment makes no difference here.
func stateAt(t float64, side, state string, events []event) string {
	for _, e := range events {
		switch {
		case e.Who != side || e.Time > t:
		case e.Event == "STOP":
			state = "postmigrate"
		case e.Event == "RESUME":
			state = "running"
		}
	}
	return state
}

func moment(t float64) time.Time { return time.UnixMicro(int64(math.Round(t * 1e6))) }

// sample is the look as the sampler has it.
func (l Look) sample() (qmp.Sample, error) {
	m, err := qmp.ParseMigration(l.Migrate)
	return qmp.Sample{At: l.At, VMState: l.State, Migration: m}, err
}

func (l Look) reply() (r Reply, err error) {
	err = json.Unmarshal(l.Migrate, &r)
	return r, err
}

// lines reads a file with one JSON value a line. One that is not there has none.
func lines[T any](name string) (all []T, err error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, 16<<20)
	for n := 1; scan.Scan(); n++ {
		var v T
		if err := json.Unmarshal(scan.Bytes(), &v); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		all = append(all, v)
	}
	return all, scan.Err()
}
