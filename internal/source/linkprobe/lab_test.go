package linkprobe

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
	"github.com/quorate/quorate/internal/lab/labtest"
)

// A network namespace belongs to a process here, so each node of the lab runs this test binary a
// second time, as an exporter that probes the others.

const (
	nodeEnv     = "QUORATE_TEST_LINKPROBE_NODE"
	labInterval = 200 * time.Millisecond
)

// measured is what one exporter found out about one peer link since it was asked before.
type measured struct {
	Sent, Lost int
	RTTs       []time.Duration
}

// state is what an exporter in a node answers when it is asked.
type state struct {
	Up    bool
	Links map[string]measured // by "pve2 0"
}

// TestHelperExporterInANode is no test: it is the process that exporterIn starts. It measures, and
// answers each line of its input with a state.
func TestHelperExporterInANode(t *testing.T) {
	if os.Getenv(nodeEnv) == "" {
		t.Skip("started by the lab test only")
	}
	var nodes []Node
	if err := json.Unmarshal([]byte(os.Getenv(nodeEnv)), &nodes); err != nil {
		fail(err)
	}
	local, err := LocalAddrs()
	if err != nil {
		fail(err)
	}
	authkey, err := os.ReadFile("/etc/corosync/authkey") // the lab's own, in the node's mounts
	if err != nil {
		fail(err)
	}
	top, err := BuildTopology(t.Context(), nodes, local, func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	})
	if err != nil {
		fail(err)
	}
	top.Key = DeriveKey(authkey)
	seen := newTally()
	p := New(Config{
		Interval: labInterval, Observer: seen,
		Peers: func(context.Context) (Topology, error) { return top, nil },
		Log:   slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	out := json.NewEncoder(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if err := out.Encode(state{Up: p.Status().Up, Links: seen.take(top)}); err != nil {
			fail(err)
		}
	}
	cancel()
	<-done
	os.Exit(0) // without the test framework's own words on stdout
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// take returns what was counted since the last time.
func (t *tally) take(top Topology) map[string]measured {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[string]measured{}
	for p := range top.pairs() {
		s := series{p.name, p.link}
		out[fmt.Sprintf("%s %d", p.name, p.link)] = measured{t.sent[s], t.lost[s], t.rtts[s]}
	}
	clear(t.sent)
	clear(t.lost)
	clear(t.rtts)
	return out
}

// nodeExporter is a running exporter of a lab node.
type nodeExporter struct {
	t    *testing.T
	in   io.WriteCloser
	out  *bufio.Scanner
	stop func()
}

func exporterIn(t *testing.T, l *lab.Lab, node int) *nodeExporter {
	t.Helper()
	var nodes []Node
	for _, n := range l.Nodes() {
		nodes = append(nodes, Node{ID: uint32(n), Name: lab.NodeName(n), Rings: map[int]string{
			0: lab.NodeName(n), // a name, as older clusters have it
			1: l.Addr(n, lab.Link1).String(),
		}})
	}
	env, err := json.Marshal(nodes)
	if err != nil {
		t.Fatal(err)
	}
	cmd := l.Command(t.Context(), node, os.Args[0], "-test.run=^TestHelperExporterInANode$")
	cmd.Env = append(os.Environ(), nodeEnv+"="+string(env))
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
	e := &nodeExporter{t: t, in: in, out: bufio.NewScanner(out)}
	e.out.Buffer(nil, 1<<20)
	stopped := false
	e.stop = func() {
		if !stopped {
			stopped = true
			_ = in.Close()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(e.stop)
	return e
}

// ask returns what was measured since it was called before.
func (e *nodeExporter) ask() state {
	e.t.Helper()
	if _, err := io.WriteString(e.in, "\n"); err != nil {
		e.t.Fatal(err)
	}
	if !e.out.Scan() {
		e.t.Fatalf("the exporter ended: %v", e.out.Err())
	}
	var s state
	if err := json.Unmarshal(e.out.Bytes(), &s); err != nil {
		e.t.Fatalf("%v: %s", err, e.out.Text())
	}
	return s
}

// gather adds up what the exporters answer until link has been measured n times in all, and forgets
// what was before.
func gather(t *testing.T, n int, link string, exporters ...*nodeExporter) map[string]measured {
	t.Helper()
	time.Sleep(2 * labInterval) // rounds that are under way saw what was before
	for _, e := range exporters {
		e.ask()
	}
	sum := map[string]measured{}
	eventually(t, fmt.Sprintf("%d rounds on %s", n, link), func() bool {
		time.Sleep(labInterval)
		for _, e := range exporters {
			for name, m := range e.ask().Links {
				s := sum[name]
				sum[name] = measured{s.Sent + m.Sent, s.Lost + m.Lost, append(s.RTTs, m.RTTs...)}
			}
		}
		return sum[link].Sent >= n
	})
	return sum
}

// loss returns the share of rounds that were lost, and how far it may lie from p: four standard
// deviations of a binomial distribution, exceeded once in 16,000 tests.
func (m measured) loss(p float64) (got, tolerance float64) {
	return float64(m.Lost) / float64(m.Sent), 4 * math.Sqrt(p*(1-p)/float64(m.Sent))
}

func (m measured) median() time.Duration {
	if len(m.RTTs) == 0 {
		return 0
	}
	slices.Sort(m.RTTs)
	return m.RTTs[len(m.RTTs)/2]
}

func (m measured) String() string {
	return fmt.Sprintf("%d of %d lost, median %v", m.Lost, m.Sent, m.median())
}

// TestLabLinkProbeMeasuresDelayAndLoss puts a link of pve3 through delay, loss and death, and looks
// from pve1 and pve2. A box delays and loses each way, so a round trip has it twice.
func TestLabLinkProbeMeasuresDelayAndLoss(t *testing.T) {
	l, whole := labtest.New(t, lab.Options{Nodes: 3}), t
	exporters := map[int]*nodeExporter{}
	for _, n := range l.Nodes() {
		exporters[n] = exporterIn(t, l, n)
	}
	far := exporters[3]
	const bad = "pve3 0"
	others := []string{"pve1 0", "pve1 1", "pve2 0", "pve2 1", "pve3 1"}

	// check gathers n rounds on the bad link and wants delay and loss there, and neither elsewhere.
	check := func(t *testing.T, n int, delay time.Duration, loss float64) {
		t.Helper()
		all := gather(t, n, bad, exporters[1], exporters[2])
		t.Logf("%s: %v", bad, all[bad])
		got, tolerance := all[bad].loss(loss)
		// The box runs in user space on a busy machine: a frame may come too late, or be delayed more
		// than was asked for, but never less.
		if tolerance = max(tolerance, 0.05); math.Abs(got-loss) > tolerance {
			t.Errorf("%s: loss %.3f, want %.3f ± %.3f", bad, got, loss, tolerance)
		}
		if m := all[bad].median(); loss < 1 && (m < delay || m > delay+10*time.Millisecond) {
			t.Errorf("%s: median %v, want %v", bad, m, delay)
		}
		for _, name := range others {
			t.Logf("%s: %v", name, all[name])
			if got, _ := all[name].loss(0); got > 0.05 || all[name].median() > 5*time.Millisecond {
				t.Errorf("%s is good but measured as %v", name, all[name])
			}
		}
	}
	fault := func(t *testing.T, name string, args ...string) {
		t.Helper()
		if err := l.Inject(t.Context(), name, args...); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := l.Heal(context.Background(), name); err != nil {
				t.Error(err)
			}
		})
	}

	t.Run("healthy", func(t *testing.T) { check(t, 50, 0, 0) })
	t.Run("20 ms each way", func(t *testing.T) {
		fault(t, "link-delay", "3", "0", "20")
		check(t, 60, 40*time.Millisecond, 0)
	})
	t.Run("20 % each way", func(t *testing.T) {
		fault(t, "link-loss", "3", "0", "20")
		check(t, 240, 0, 1-0.8*0.8)
	})
	t.Run("dead link", func(t *testing.T) {
		fault(t, "link-down", "3", "0")
		check(t, 50, 0, 1)
	})
	t.Run("back again", func(t *testing.T) { check(t, 50, 0, 0) })
	t.Run("no exporter on pve3, 20 ms each way", func(t *testing.T) {
		far.stop()
		// pve3's kernel refuses what its exporter no longer answers, unless it has sent too many refusals just
		// then: after three misses the peers use ICMP all the same.
		eventually(t, "the link is measured by ICMP", func() bool { return gather(t, 10, bad, exporters[1], exporters[2])[bad].Lost == 0 })
		fault(t, "link-delay", "3", "0", "20")
		check(t, 60, 40*time.Millisecond, 0)
	})
	t.Run("no exporter on pve3, 20 % each way", func(t *testing.T) {
		fault(t, "link-loss", "3", "0", "20")
		check(t, 240, 0, 1-0.8*0.8)
	})
	t.Run("exporter restarted", func(t *testing.T) {
		far = exporterIn(whole, l, 3) // it serves the next test as well
		check(t, 50, 0, 0)
	})
	t.Run("own address gone and back", func(t *testing.T) { loseAddress(t, l, exporters[1], far) })
}

// loseAddress takes the ring address of pve3's link 0 away, from a running exporter and then from
// one that starts.
func loseAddress(t *testing.T, l *lab.Lab, near, far *nodeExporter) {
	addr := l.Addr(3, lab.Link0)
	dev := deviceWith(t, l, 3, addr)
	ip := func(action string) {
		t.Helper()
		if _, err := l.Run(t.Context(), 3, "ip", "address", action, addr.String()+"/24", "dev", dev); err != nil {
			t.Fatal(err)
		}
	}
	good := func(e *nodeExporter, link string) {
		t.Helper()
		if m := gather(t, 20, link, e)[link]; m.Lost > m.Sent/10 {
			t.Errorf("%s with the address: %v", link, m)
		}
	}
	good(near, "pve3 0")
	good(far, "pve1 0")

	ip("del")
	for link, e := range map[string]*nodeExporter{"pve3 0": near, "pve1 0": far} {
		if m := gather(t, 20, link, e)[link]; m.Lost < m.Sent-1 { // one may have been under way
			t.Errorf("%s without the address: %v", link, m)
		}
	}
	ip("add")
	good(near, "pve3 0")
	good(far, "pve1 0")

	far.stop()
	ip("del")
	far = exporterIn(t, l, 3)
	eventually(t, "the exporter tells that an address is missing", func() bool { return !far.ask().Up })
	if m := gather(t, 20, "pve1 1", far)["pve1 0"]; m.Sent != 0 {
		t.Errorf("measured from an address that is not there: %v", m)
	}
	ip("add")
	eventually(t, "the exporter finds the address", func() bool { return far.ask().Up })
	good(near, "pve3 0")
	good(far, "pve1 0")
}

// deviceWith returns the name of the interface that has addr.
func deviceWith(t *testing.T, l *lab.Lab, node int, addr netip.Addr) string {
	t.Helper()
	out, err := l.Run(t.Context(), node, "ip", "-json", "address", "show", "to", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	var devices []struct {
		Name string `json:"ifname"`
	}
	if err := json.Unmarshal([]byte(out), &devices); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, d := range devices {
		if d.Name != "" {
			return d.Name
		}
	}
	t.Fatalf("no interface has %v: %s", addr, out)
	return ""
}
