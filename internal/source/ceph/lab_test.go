//go:build cgo

package ceph

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
	"github.com/quorate/quorate/internal/lab/labtest"
	"github.com/quorate/quorate/internal/source"
)

// readerEnv makes the test binary a reader inside a node of the lab, the only place from where the
// monitors' addresses can be reached.
const readerEnv = "QUORATE_TEST_CEPH_READER"

// reading is one answer of the reader: what a scrape saw.
type reading struct {
	Mon, Mgr   bool
	Health     string
	Quorum     int
	OSDsUp     int
	PGs        int
	Active     int
	Survivable int
	Reason     string // of the error, "" for none
	Took       time.Duration
	Threads    string
}

// TestHelperReader answers each line on its input with a reading. It is no test by itself.
func TestHelperReader(t *testing.T) {
	if os.Getenv(readerEnv) == "" {
		t.Skip("started by the lab tests only")
	}
	conf, keyring, _ := strings.Cut(os.Getenv(readerEnv), " ")
	c := New(Options{ConfFile: conf, Keyring: keyring})
	defer c.Close()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		ctx, cancel := context.WithTimeout(context.Background(), 9*time.Second)
		began := time.Now()
		s, err := c.Ceph(ctx)
		cancel()
		r := summary(s)
		r.Took, r.Threads = time.Since(began), threads()
		if err != nil {
			r.Reason = source.Reason(err)
		}
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("reading %s\n", line)
	}
}

func summary(s Snapshot) reading {
	r := reading{Mon: s.HasMon, Mgr: s.HasMgr, Health: s.Mon.Health.Status, Quorum: len(s.Mon.Status.Quorum), Survivable: s.Mgr.Survivable[hostDomain]}
	if s.Mon.OSDMap != nil {
		for _, o := range s.Mon.OSDMap.OSDs {
			if o.Up {
				r.OSDsUp++
			}
		}
	}
	for _, p := range s.Mgr.PoolPGs {
		r.PGs += p.Total
		for state, n := range p.States {
			if hasToken(state, "active") {
				r.Active += n
			}
		}
	}
	return r
}

func threads() string {
	b, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(b), "Threads:\t")
	n, _, _ := strings.Cut(rest, "\n")
	return n
}

// reader is a TestHelperReader inside a node.
type reader struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
}

func inNode(t *testing.T, l *lab.Lab, node int) *reader {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := l.Command(t.Context(), node, exe, "-test.run=^TestHelperReader$", "-test.timeout=10m")
	cmd.Env = append(os.Environ(), readerEnv+"="+l.CephConf()+" "+l.CephKeyring())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	return &reader{t: t, in: in, out: bufio.NewScanner(out)}
}

func (r *reader) read() reading {
	r.t.Helper()
	fmt.Fprintln(r.in)
	for r.out.Scan() {
		text, ok := strings.CutPrefix(r.out.Text(), "reading ")
		if !ok {
			continue
		}
		var v reading
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			r.t.Fatal(err)
		}
		if v.Took > 9500*time.Millisecond {
			r.t.Errorf("a scrape took %s", v.Took)
		}
		return v
	}
	r.t.Fatal("the reader inside the node has ended")
	return reading{}
}

// until reads until the claim holds, and returns that reading.
func (r *reader) until(what string, within time.Duration, ok func(reading) bool) reading {
	r.t.Helper()
	var last reading
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if last = r.read(); ok(last) {
			return last
		}
	}
	r.t.Fatalf("%s: not within %s, last %+v", what, within, last)
	return last
}

// TestLabRealClusterThroughItsFaults kills and stops daemons of a real cluster while one connection
// stays open to it.
func TestLabRealClusterThroughItsFaults(t *testing.T) {
	labtest.Soak(t)
	l := labtest.New(t, lab.Options{Ceph: true})
	r := inNode(t, l, 1)
	whole := func(v reading) bool {
		return v.Mon && v.Mgr && v.Reason == "" && v.Health == "HEALTH_OK" && v.Quorum == 3 && v.Active == v.PGs && v.PGs > 0
	}
	first := r.until("healthy", 30*time.Second, whole)
	fast := func(v reading) bool { return v.Took < 500*time.Millisecond }
	for _, tt := range []struct {
		fault []string
		want  func(reading) bool
	}{
		{[]string{"osd-down", "0"}, func(v reading) bool { return v.Mgr && v.OSDsUp == first.OSDsUp-1 && v.Survivable == 0 }},
		{[]string{"mon-down", "2"}, func(v reading) bool { return v.Mgr && v.Quorum == 2 }},
		{[]string{"mon-hang", "2"}, func(v reading) bool { return v.Mgr && v.Quorum == 2 }},
		{[]string{"mon-quorum-lost"}, func(v reading) bool { return !v.Mon && !v.Mgr && v.Health == "" && fast(v) }},
		{[]string{"mons-down"}, func(v reading) bool { return !v.Mon && v.Reason == "timeout" && fast(v) }},
		{[]string{"mgr-down"}, func(v reading) bool { return v.Mon && !v.Mgr && v.Reason != "" && fast(v) }},
		{[]string{"mgr-hang"}, func(v reading) bool { return v.Mon && !v.Mgr && v.Reason == "timeout" && fast(v) }},
		{[]string{"mgr-failover"}, func(v reading) bool { return v.Mgr }},
	} {
		t.Run(strings.Join(tt.fault, " "), func(t *testing.T) {
			r.t = t
			if err := l.Inject(t.Context(), tt.fault[0], tt.fault[1:]...); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := l.Heal(context.Background(), tt.fault[0]); err != nil {
					t.Error(err)
				}
				v := r.until("healthy again", time.Minute, whole)
				t.Logf("healthy again: scrape %s, threads %s", v.Took.Round(100*time.Microsecond), v.Threads)
			}()
			r.until("what the fault does", time.Minute, tt.want)
		})
	}
}
