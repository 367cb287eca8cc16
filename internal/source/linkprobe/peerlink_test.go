package linkprobe

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/internal/source"
)

// fakeTransport answers as its function says, in the bubble's time.
type fakeTransport struct {
	mu     sync.Mutex
	result func() result
	sent   []time.Time
	closed int
}

func (f *fakeTransport) probe(ctx context.Context, timeout time.Duration) result {
	f.mu.Lock()
	f.sent = append(f.sent, time.Now())
	r := f.result()
	f.mu.Unlock()
	took := r.rtt
	if r.outcome == missed {
		took = timeout
	}
	sleep(ctx, took)
	return r
}

func (f *fakeTransport) close() { f.closed++ }

func (f *fakeTransport) set(r result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.result = func() result { return r }
}

func (f *fakeTransport) times() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sent
}

var echoed = result{outcome: answered, rtt: 3 * time.Millisecond}

// fakeLink is a peerLink over fake transports.
func fakeLink(log *bytes.Buffer) (*peerLink, *tally, *fakeTransport, *fakeTransport) {
	udp, icmp, seen := &fakeTransport{}, &fakeTransport{}, newTally()
	udp.set(echoed)
	icmp.set(echoed)
	logger := slog.New(slog.NewTextHandler(log, nil))
	return &peerLink{
		pair: pair{id: 2, name: "pve2"}, interval: time.Second, timeout: time.Second,
		observer: seen, log: logger, faults: newFaults(logger, source.NewStats("test", nil)),
		chooser: newChooser(true),
		udp:     port{what: "probe by UDP", open: func() (transport, error) { return udp, nil }},
		icmp:    port{what: "probe by ICMP", open: func() (transport, error) { return icmp, nil }},
	}, seen, udp, icmp
}

func TestRoundsKeepTheIntervalWhateverTheyTake(t *testing.T) {
	for name, r := range map[string]result{
		"answered": echoed,
		"missed":   {outcome: missed},
		"refused":  {outcome: refused},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, _, udp, icmp := fakeLink(&bytes.Buffer{})
				udp.set(r)
				icmp.set(r)
				began := time.Now()
				task := start(t.Context(), l.run)
				time.Sleep(1000*time.Second + time.Millisecond)
				task.cancel()
				<-task.done
				times := icmp.times()
				if r.outcome == answered {
					times = udp.times()
				}
				if n := len(times); n < 998 || n > 1001 {
					t.Errorf("%d rounds in 1000 s", n)
				}
				if first := times[0].Sub(began); first >= time.Second {
					t.Errorf("first round after %v", first)
				}
				if udp.closed != 1 || icmp.closed != 1 {
					t.Errorf("transports closed %d and %d times", udp.closed, icmp.closed)
				}
			})
		})
	}
}

func TestPeersAreSpreadOverTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var tasks []*task
		var links []*fakeTransport
		for range 40 {
			l, _, udp, _ := fakeLink(&bytes.Buffer{})
			links = append(links, udp)
			tasks = append(tasks, start(t.Context(), l.run))
		}
		time.Sleep(2 * time.Second)
		for _, task := range tasks {
			task.cancel()
			<-task.done
		}
		tenths := map[int]int{}
		for _, udp := range links {
			tenths[int(udp.times()[0].Sub(began)/(100*time.Millisecond))]++
		}
		// 40 random moments in fewer than 6 of 10 parts: less than once in 10^7.
		if len(tenths) < 6 {
			t.Errorf("first rounds by tenths of a second: %v", tenths)
		}
	})
}

func TestRefusedRoundIsNeitherSentNorLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, seen, udp, icmp := fakeLink(&bytes.Buffer{})
		l.measure(t.Context()) // discovers
		for range 10 {
			l.measure(t.Context())
		}
		udp.set(result{outcome: refused})
		l.measure(t.Context())
		sent, lost, rtts := seen.of("pve2", 0)
		if sent != 10 || lost != 0 || len(rtts) != 10 {
			t.Errorf("sent %d, lost %d, %d round trips; want 10, 0, 10", sent, lost, len(rtts))
		}
		icmp.set(result{outcome: missed})
		l.measure(t.Context())
		if sent, lost, _ := seen.of("pve2", 0); sent != 11 || lost != 1 {
			t.Errorf("sent %d, lost %d after a miss by ICMP; want 11 and 1", sent, lost)
		}
	})
}

func TestDeadHostIsLostForAsLongAsItIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, seen, udp, icmp := fakeLink(&bytes.Buffer{})
		l.measure(t.Context())
		udp.set(result{outcome: missed})
		icmp.set(result{outcome: missed})
		for range 1000 {
			l.measure(t.Context())
		}
		if sent, lost, _ := seen.of("pve2", 0); sent != 1000 || lost != 1000 {
			t.Errorf("sent %d, lost %d; want 1000 each", sent, lost)
		}
	})
}

func TestFirewallIsNotTakenForLossAndToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l, seen, udp, icmp := fakeLink(&log)
		udp.set(result{outcome: missed})
		icmp.set(result{outcome: missed})
		for range 100 {
			l.measure(t.Context())
		}
		if sent, lost, _ := seen.of("pve2", 0); sent != 0 || lost != 0 {
			t.Errorf("sent %d, lost %d though nothing ever answered", sent, lost)
		}
		if n := strings.Count(log.String(), "not measured"); n != 1 {
			t.Errorf("told %d times: %s", n, log.String())
		}
	})
}

func TestWithoutPermissionForICMPOnlyUDPCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l, seen, udp, _ := fakeLink(&log)
		l.icmp.open = func() (transport, error) { return nil, errNoICMP }
		l.measure(t.Context())
		l.measure(t.Context())
		if sent, _, _ := seen.of("pve2", 0); sent != 1 || l.faults.any() || log.Len() > 0 {
			t.Errorf("sent %d, fault %v, log %q while UDP measures", sent, l.faults.any(), log.String())
		}
		udp.set(result{outcome: refused})
		for range 2 * knockEvery {
			l.measure(t.Context())
		}
		if sent, lost, _ := seen.of("pve2", 0); sent != 1 || lost != 0 || !l.faults.any() {
			t.Errorf("sent %d, lost %d, fault %v; want 1, 0 and a fault", sent, lost, l.faults.any())
		}
		if n := strings.Count(log.String(), "CAP_NET_RAW"); n != 1 {
			t.Errorf("told %d times: %s", n, log.String())
		}
		udp.set(echoed)
		for range 2 * knockEvery {
			l.measure(t.Context())
		}
		if sent, _, _ := seen.of("pve2", 0); sent < knockEvery || l.faults.any() {
			t.Errorf("sent %d, fault %v after the exporter came back", sent, l.faults.any())
		}
	})
}

func TestBrokenSocketIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l, seen, udp, _ := fakeLink(&log)
		l.measure(t.Context())
		udp.set(result{err: errors.New("the address is gone")})
		for range 5 {
			l.measure(t.Context())
		}
		if !l.faults.any() || udp.closed != 5 {
			t.Errorf("fault %v, closed %d times; want a fault and 5", l.faults.any(), udp.closed)
		}
		udp.set(echoed)
		l.measure(t.Context())
		if sent, lost, _ := seen.of("pve2", 0); sent != 1 || lost != 0 || l.faults.any() {
			t.Errorf("sent %d, lost %d, fault %v; want 1, 0, none", sent, lost, l.faults.any())
		}
		if n := strings.Count(log.String(), "\n"); n != 2 { // came, went
			t.Errorf("%d lines: %s", n, log.String())
		}
	})
}

func TestFaultThatHitsManyPeersIsLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	f := newFaults(slog.New(slog.NewTextHandler(&log, nil)), source.NewStats("test", nil))
	gone := &socketError{"bind", errors.New("no such address")}
	peers := []string{"pve2 link 0", "pve3 link 0", "pve4 link 0"}
	for range 3 {
		for _, p := range peers {
			f.set("probe", p, gone)
		}
	}
	if n := strings.Count(log.String(), "WARN"); n != 1 || f.stats.Status().Errors["socket"] != 1 {
		t.Errorf("%d warnings, errors %v; want one each", n, f.stats.Status().Errors)
	}
	f.forget("pve2 link 0") // left the nodelist
	f.set("probe", "pve3 link 0", nil)
	if !f.any() {
		t.Error("the fault went with two of three peers")
	}
	f.set("probe", "pve4 link 0", nil)
	if n := strings.Count(log.String(), "works again"); n != 1 || f.any() {
		t.Errorf("fault %v after the end; log: %s", f.any(), log.String())
	}
}

func TestFaultsOfOneKindWithTwoCausesDoNotAlternateInTheLog(t *testing.T) {
	var log bytes.Buffer
	f := newFaults(slog.New(slog.NewTextHandler(&log, nil)), source.NewStats("test", nil))
	for range 3 {
		f.set("probe", "pve2 link 0", errors.New("operation not permitted"))
		f.set("probe", "pve3 link 0", errors.New("no buffer space"))
		f.set("probe", "pve4 link 0", nil)
	}
	if n := strings.Count(log.String(), "\n"); n != 2 || !f.any() {
		t.Errorf("%d lines, want one for each cause: %s", n, log.String())
	}
}
