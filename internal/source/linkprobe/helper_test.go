package linkprobe

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tally is an Observer that remembers everything.
type tally struct {
	mu        sync.Mutex
	known     map[series]int // times
	forgotten map[series]int
	sent      map[series]int
	lost      map[series]int
	rtts      map[series][]time.Duration
}

func newTally() *tally {
	return &tally{
		known: map[series]int{}, forgotten: map[series]int{}, sent: map[series]int{},
		lost: map[series]int{}, rtts: map[series][]time.Duration{},
	}
}

func (t *tally) add(m map[series]int, peer string, link int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m[series{peer, link}]++
}

func (t *tally) Known(peer string, link int)  { t.add(t.known, peer, link) }
func (t *tally) Sent(peer string, link int)   { t.add(t.sent, peer, link) }
func (t *tally) Lost(peer string, link int)   { t.add(t.lost, peer, link) }
func (t *tally) Forget(peer string, link int) { t.add(t.forgotten, peer, link) }

func (t *tally) RTT(peer string, link int, rtt time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rtts[series{peer, link}] = append(t.rtts[series{peer, link}], rtt)
}

// of returns what was counted for one peer link.
func (t *tally) of(peer string, link int) (sent, lost int, rtts []time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := series{peer, link}
	return t.sent[s], t.lost[s], slices.Clone(t.rtts[s])
}

func (t *tally) count(m map[series]int, peer string, link int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return m[series{peer, link}]
}

// eventually polls until ok or a generous deadline: the machine may be busy.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// lines is a log that a test reads.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// matches returns the first group of each match of pattern.
func (l *lines) matches(pattern string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(l.buf.String(), -1) {
		found = append(found, m[1])
	}
	return found
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// links returns the addresses of links 0, 1, ….
func links(s ...string) map[int]netip.Addr {
	out := map[int]netip.Addr{}
	for i, a := range s {
		out[i] = addr(a)
	}
	return out
}

// freePort returns a UDP port that is free on every loopback address, as far as one can know.
func freePort(t *testing.T) uint16 {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

// exporter is one running Prober.
type exporter struct {
	*tally
	prober *Prober
	stop   func()
}

// testInterval keeps rounds short; replies that a busy machine reads late are still in time by
// the kernel's timestamps, unless the echoing side is late too.
const testInterval = 100 * time.Millisecond

// run starts a Prober for top and stops it at the end of the test.
func run(t *testing.T, port uint16, top Topology) exporter {
	t.Helper()
	return runConfig(t, Config{
		Interval: testInterval, Port: port,
		Peers: func(context.Context) (Topology, error) { return top, nil },
	})
}

func runConfig(t *testing.T, cfg Config) exporter {
	t.Helper()
	e := exporter{tally: newTally()}
	cfg.Observer = e.tally
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	e.prober = New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.prober.Run(ctx) }()
	e.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(e.stop)
	return e
}

// member returns the Topology of node self in a cluster in which node N has the addresses nodes[N-1].
func member(self int, nodes ...map[int]netip.Addr) Topology {
	top := Topology{Self: uint32(self), SelfLinks: nodes[self-1], Key: testKey}
	for i, l := range nodes {
		if i+1 != self {
			top.Peers = append(top.Peers, Peer{ID: uint32(i + 1), Name: fmt.Sprintf("pve%d", i+1), Links: l})
		}
	}
	return top
}

// needICMP skips a test where this process may not send echo requests.
func needICMP(t *testing.T) {
	t.Helper()
	tr, err := openICMP(pair{local: addr("127.0.0.1"), remote: addr("127.0.0.2")})
	if err != nil {
		t.Skipf("needs ICMP: %v", err)
	}
	tr.close()
}
