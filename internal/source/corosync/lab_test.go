package corosync

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
	"github.com/quorate/quorate/internal/lab/labtest"
	"github.com/quorate/quorate/internal/source"
)

// corosync's sockets are abstract and so belong to a network namespace. These tests therefore start
// their own binary a second time inside a lab node, where it reads on command.

const readerEnv = "QUORATE_TEST_COROSYNC_READER"

// order tells the reader how often to read, each time with a deadline.
type order struct {
	Times   int
	Timeout time.Duration
	Open    bool // on a new connection each time
}

// answer is the last reading of an order and what all of them have cost.
type answer struct {
	Snapshot Snapshot
	Err      string // of the last reading
	Reason   string
	Failed   int // readings that failed
	NoRing   int // readings without the ring: the notification did not come with the question
	Took     time.Duration
	CPU      time.Duration // user and system, of all readings of the order
	FDs      int
	Threads  int
	RSS      int // kB
	Status   source.Status
}

func (a answer) String() string {
	return fmt.Sprintf("%d failed, last with %q; %v, CPU %v; %d fds, %d threads, RSS %d kB", a.Failed, a.Err, a.Took, a.CPU, a.FDs, a.Threads, a.RSS)
}

// TestReaderInsideANode is no test: it is the process that inNode starts.
func TestReaderInsideANode(t *testing.T) {
	if os.Getenv(readerEnv) == "" {
		t.Skip("started by the lab tests only")
	}
	kept := New(Options{})
	out := json.NewEncoder(os.Stdout)
	in := json.NewDecoder(os.Stdin)
	for {
		var o order
		if err := in.Decode(&o); err != nil {
			if err := kept.Close(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			os.Exit(0) // without the test framework's own words on stdout
		}
		a := answer{}
		c, begun, cpu := kept, time.Now(), cpuTime()
		for range o.Times {
			if o.Open {
				c = New(Options{})
			}
			ctx, cancel := context.WithTimeout(context.Background(), o.Timeout)
			s, err := c.Quorum(ctx)
			cancel()
			a.Snapshot, a.Err, a.Reason = s, "", ""
			if err != nil {
				a.Err, a.Reason = err.Error(), source.Reason(err)
				a.Failed++
			} else if !s.Ring.Known {
				a.NoRing++
			}
			if o.Open {
				_ = c.Close()
			}
		}
		a.Took, a.CPU, a.Status = time.Since(begun), cpuTime()-cpu, c.Status()
		a.FDs, a.Threads, a.RSS = procUse()
		if err := out.Encode(a); err != nil {
			os.Exit(1)
		}
	}
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func procUse() (fds, threads, rss int) {
	entries, _ := os.ReadDir("/proc/self/fd")
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		_, _ = fmt.Sscanf(line, "Threads: %d", &threads)
		_, _ = fmt.Sscanf(line, "VmRSS: %d", &rss)
	}
	return len(entries), threads, rss
}

// A reader is the test binary at work inside a node.
type reader struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

// inNode starts a reader in a node, by way of another program if that is given.
func inNode(t *testing.T, l *lab.Lab, node int, by ...string) *reader {
	t.Helper()
	cmd := l.Command(t.Context(), node, append(by, os.Args[0], "-test.run=^TestReaderInsideANode$")...)
	cmd.Env = append(os.Environ(), readerEnv+"=1")
	cmd.Stderr = os.Stderr
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
	r := &reader{t: t, cmd: cmd, in: in, out: bufio.NewScanner(out)}
	r.out.Buffer(nil, 1<<20)
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	return r
}

func (r *reader) do(o order) answer {
	r.t.Helper()
	if err := json.NewEncoder(r.in).Encode(o); err != nil {
		r.t.Fatal(err)
	}
	if !r.out.Scan() {
		r.t.Fatalf("the reader ended: %v", r.out.Err())
	}
	var a answer
	if err := json.Unmarshal(r.out.Bytes(), &a); err != nil {
		r.t.Fatalf("%v: %s", err, r.out.Text())
	}
	return a
}

func (r *reader) read(timeout time.Duration) answer {
	r.t.Helper()
	return r.do(order{Times: 1, Timeout: timeout})
}

// until reads until ok says so, for half a minute at most.
func (r *reader) until(what string, ok func(answer) bool) answer {
	r.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		a := r.read(5 * time.Second)
		if ok(a) {
			return a
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s: not within 30 s: %v %+v", what, a, a.Snapshot)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func startLab(t *testing.T, o lab.Options) *lab.Lab {
	t.Helper()
	if d, err := openDaemon(); errors.Is(err, ErrNotBuilt) {
		t.Skip("built without cgo")
	} else if err == nil {
		d.close() // this machine has a corosync of its own
	}
	return labtest.New(t, o)
}

func inject(t *testing.T, l *lab.Lab, fault string, args ...string) {
	t.Helper()
	if err := l.Inject(t.Context(), fault, args...); err != nil {
		t.Fatal(err)
	}
}

func heal(t *testing.T, l *lab.Lab, faults ...string) {
	t.Helper()
	if err := l.Heal(t.Context(), faults...); err != nil {
		t.Fatal(err)
	}
}

// TestLabCorosync goes through one life of a cluster; its parts share the lab since starting one
// takes longer than they do.
func TestLabCorosync(t *testing.T) {
	l := startLab(t, lab.Options{Nodes: 3, Token: time.Second})
	r := inNode(t, l, 1)

	t.Run("all is well", func(t *testing.T) {
		r.t = t
		s := r.until("links up", func(a answer) bool {
			for _, l := range a.Snapshot.Links {
				if !l.Connected.V || !l.HasLatency {
					return false
				}
			}
			return len(a.Snapshot.Links) == 4
		}).Snapshot
		checkAgainstQuorumtool(t, l, s)
		if !s.Quorate || s.SelfID != 1 || s.ConfiguredVotes != 3 || s.QDevice != (QDevice{}) {
			t.Errorf("%+v", s)
		}
		if v := s.Totem; !v.TokenTimeout.Known || v.TokenTimeout.V < time.Second || !v.Retransmits.Known || !v.TokenLost.Known || !v.SinceToken.Known {
			t.Errorf("%+v", v)
		}
	})

	t.Run("a thousand readings leave no trace", func(t *testing.T) {
		r.t = t
		before := r.do(order{Times: 1000, Timeout: 5 * time.Second}) // the heap has its size after these
		after := r.do(order{Times: 1000, Timeout: 5 * time.Second})
		if after.Failed+after.NoRing > 0 || after.FDs != before.FDs || after.Threads > before.Threads+2 || after.RSS > before.RSS+8<<10 {
			t.Errorf("before: %v\nafter: %v", before, after)
		}
		per := after.CPU / 1000
		t.Logf("3 nodes: %v a reading, %v of it CPU; fds %d, threads %d, RSS %d kB", after.Took/1000, per, after.FDs, after.Threads, after.RSS)
		if per > 3*time.Millisecond {
			t.Errorf("a reading costs %v of CPU", per)
		}
	})

	t.Run("connections opened and closed leave no trace", func(t *testing.T) {
		r.t = t
		before := r.do(order{Times: 20, Timeout: 5 * time.Second, Open: true})
		after := r.do(order{Times: 100, Timeout: 5 * time.Second, Open: true})
		if after.Failed > 0 || after.FDs > before.FDs || after.RSS > before.RSS+8<<10 {
			t.Errorf("before: %v\nafter: %v", before, after)
		}
	})

	t.Run("who may read", func(t *testing.T) {
		reach := []string{"setpriv", "--ambient-caps=+dac_override", "--inh-caps=+dac_override", "--bounding-set=-all,+dac_override"}
		for name, tc := range map[string]struct {
			as     []string
			reason string
		}{
			"nobody":             {[]string{"--reuid=65534", "--regid=65534", "--clear-groups"}, "access"},
			"nobody, group root": {[]string{"--reuid=65534", "--regid=0", "--clear-groups"}, ""},
		} {
			// The capability lets nobody get at the test binary, not at corosync.
			a := inNode(t, l, 1, append(slices.Clone(reach), tc.as...)...).read(5 * time.Second)
			if a.Reason != tc.reason || tc.reason != "" && !strings.Contains(a.Err, "uid 65534, gid 65534") {
				t.Errorf("%s: %q", name, a.Err)
			}
		}
	})

	t.Run("a node dies", func(t *testing.T) {
		r.t = t
		ring := r.read(5 * time.Second).Snapshot.Ring
		inject(t, l, "node-down", "3")
		// votequorum counts the votes of the new ring some milliseconds before the ring is announced.
		s := r.until("node 3 down", func(a answer) bool {
			return len(a.Snapshot.Members) == 3 && !a.Snapshot.Members[2].Up && a.Snapshot.Ring != ring
		}).Snapshot
		checkAgainstQuorumtool(t, l, s)
		if !s.Quorate || s.TotalVotes != 2 || s.Members[2].Name != "pve3" || s.Totem.TokenLost.V == 0 {
			t.Errorf("%+v", s)
		}
		s = r.until("links to node 3 down", func(a answer) bool {
			for _, l := range a.Snapshot.Links {
				if l.PeerID == 3 && (l.Connected.V || l.HasLatency) {
					return false
				}
			}
			return len(a.Snapshot.Links) == 4
		}).Snapshot
		heal(t, l)
		r.until("node 3 back", func(a answer) bool { return a.Snapshot.TotalVotes == 3 })
	})

	t.Run("corosync hangs", func(t *testing.T) {
		r.t = t
		inject(t, l, "corosync-hang", "1")
		a := r.read(500 * time.Millisecond)
		if a.Reason != "timeout" || a.Took > 3*time.Second {
			t.Errorf("first reading: %q after %v", a.Err, a.Took)
		}
		a = r.read(5 * time.Second)
		if a.Reason != "stuck" || a.Took > 100*time.Millisecond || a.Status.Up || a.Status.Stuck == 0 {
			t.Errorf("second reading: %q after %v, %+v", a.Err, a.Took, a.Status)
		}
		threads := r.do(order{Times: 50, Timeout: time.Second})
		if threads.Threads > a.Threads+1 {
			t.Errorf("refused readings cost threads: %d, then %d", a.Threads, threads.Threads)
		}
		heal(t, l)
		a = r.until("it goes on", func(a answer) bool { return a.Err == "" && a.Snapshot.TotalVotes == 3 })
		if !a.Status.Up || a.Status.Stuck != 0 {
			t.Errorf("%+v", a.Status)
		}
	})

	t.Run("corosync stops and comes back", func(t *testing.T) {
		r.t = t
		inject(t, l, "corosync-stop", "1")
		a := r.read(5 * time.Second)
		if a.Reason != "stopped" || a.Took > time.Second {
			t.Errorf("first reading: %q after %v", a.Err, a.Took)
		}
		t.Logf("the first reading after the stop took %v", a.Took)
		if a = r.read(5 * time.Second); a.Reason != "stopped" || a.Took > time.Second {
			t.Errorf("second reading: %q after %v", a.Err, a.Took)
		}
		healed := make(chan error, 1)
		go func() { healed <- l.Heal(t.Context()) }()
		r.until("corosync back", func(a answer) bool {
			if a.Err != "" && a.Reason != "stopped" {
				t.Errorf("while it starts: %q", a.Err)
			}
			return a.Snapshot.TotalVotes == 3
		})
		if err := <-healed; err != nil {
			t.Fatal(err)
		}
	})

	t.Run("corosync restarts between two readings", func(t *testing.T) {
		r.t = t
		before := r.read(5 * time.Second)
		inject(t, l, "corosync-kill", "1")
		heal(t, l)
		a := r.read(5 * time.Second)
		if a.Err != "" || a.FDs != before.FDs {
			t.Errorf("%q; fds %d, then %d", a.Err, before.FDs, a.FDs)
		}
		t.Logf("the reading after the restart took %v", a.Took)
	})

	t.Run("expected votes are forced", func(t *testing.T) {
		r.t = t
		inject(t, l, "node-down", "2", "3")
		r.until("quorum lost", func(a answer) bool { return a.Err == "" && !a.Snapshot.Quorate })
		inject(t, l, "expected-votes", "1")
		s := r.until("quorum forced", func(a answer) bool { return a.Snapshot.Quorate }).Snapshot
		if s.ExpectedVotes != 1 || s.ConfiguredVotes != 3 {
			t.Errorf("expected %d, configured %d", s.ExpectedVotes, s.ConfiguredVotes)
		}
	})
}

func checkAgainstQuorumtool(t *testing.T, l *lab.Lab, s Snapshot) {
	t.Helper()
	q, err := l.Quorum(t.Context(), int(s.SelfID))
	if err != nil {
		t.Fatal(err)
	}
	var up []int
	for _, m := range s.Members {
		if m.Up {
			up = append(up, int(m.ID))
		}
	}
	got := lab.Quorum{
		Quorate: s.Quorate, RingID: fmt.Sprintf("%x.%x", s.Ring.V.LeaderID, s.Ring.V.Sequence),
		Expected: int(s.ExpectedVotes), Highest: int(s.HighestExpectedVotes), Total: int(s.TotalVotes), Needed: int(s.QuorumVotes),
		Members: up, Flags: q.Flags, QdeviceVote: q.QdeviceVote,
	}
	if fmt.Sprint(got) != fmt.Sprint(q) {
		t.Errorf("read %+v, quorumtool says %+v", got, q)
	}
}

func TestLabQDevice(t *testing.T) {
	l := startLab(t, lab.Options{Nodes: 2, QDevice: true, Token: time.Second})
	r := inNode(t, l, 1)
	want := QDevice{Configured: true, Votes: 1, Registered: true, Alive: true, CastVote: true}
	s := r.until("qdevice votes", func(a answer) bool { return a.Snapshot.QDevice == want }).Snapshot
	if s.ConfiguredVotes != 3 || s.TotalVotes != 3 {
		t.Errorf("%+v", s)
	}
	inject(t, l, "qnetd-down")
	want.CastVote = false
	r.until("qdevice votes no more", func(a answer) bool { return a.Snapshot.QDevice == want })
	heal(t, l)
	inject(t, l, "qdevice-down", "1")
	r.until("qdevice is gone", func(a answer) bool { return a.Snapshot.QDevice == QDevice{Configured: true, Votes: 1} })
}
