package linkprobe

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestExportersMeasureEachOtherOnEveryLink(t *testing.T) {
	port := freePort(t)
	nodes := []map[int]netip.Addr{
		links("127.0.1.1", "127.0.2.1"), links("127.0.1.2", "127.0.2.2"), links("127.0.1.3", "127.0.2.3"),
	}
	var all []exporter
	for i := range nodes {
		all = append(all, run(t, port, member(i+1, nodes...)))
	}
	for i, e := range all {
		for j := range nodes {
			for link := range 2 {
				if i == j {
					continue
				}
				name := member(i+1, nodes...).Peers[max(0, j-1)].Name
				if j < i {
					name = member(i+1, nodes...).Peers[j].Name
				}
				eventually(t, name+" is measured", func() bool { _, _, rtts := e.of(name, link); return len(rtts) >= 5 })
				_, _, rtts := e.of(name, link)
				if best := slices.Min(rtts); best <= 0 || best > 5*time.Millisecond {
					t.Errorf("node %d → %s link %d: best round trip %v on loopback", i+1, name, link, best)
				}
			}
		}
		if st := e.prober.Status(); st.Name != "linkprobe" || !st.Up || !st.Configured || st.Requests == 0 {
			t.Errorf("status %+v", st)
		}
	}
}

func TestExportersMeasureEachOtherOverIPv6(t *testing.T) {
	s, err := openSock(udpSock, netip.MustParseAddrPort("[::1]:0"), netip.AddrPort{})
	if err != nil {
		t.Skipf("needs IPv6 on loopback: %v", err)
	}
	s.close()
	// Loopback has one IPv6 address, so this node echoes itself: it is its own peer.
	top := Topology{Self: 1, SelfLinks: links("::1"), Key: testKey, Peers: []Peer{{ID: 1, Name: "pve1", Links: links("::1")}}}
	e := run(t, freePort(t), top)
	eventually(t, "echo over IPv6", func() bool { _, _, rtts := e.of("pve1", 0); return len(rtts) >= 3 })
	top.Key = nil
	needICMP(t)
	e = run(t, freePort(t), top)
	eventually(t, "ICMP echo over IPv6", func() bool { _, _, rtts := e.of("pve1", 0); return len(rtts) >= 3 })
}

func TestPeerWithoutExporterIsMeasuredByICMPUntilItHasOne(t *testing.T) {
	needICMP(t)
	port := freePort(t)
	one, two := links("127.0.3.1"), links("127.0.3.2")
	var log lines
	e := runConfig(t, Config{
		Interval: testInterval, Port: port, Log: log.logger(),
		Peers: func(context.Context) (Topology, error) { return member(1, one, two), nil },
	})
	changes := func(want ...string) {
		t.Helper()
		sent, _, _ := e.of("pve2", 0)
		eventually(t, fmt.Sprintf("the ways are %q, and the last one measures", want), func() bool {
			now, _, _ := e.of("pve2", 0)
			return slices.Equal(log.matches(`from=\w+ to=(\w+)`), want) && now > sent+2
		})
	}
	changes("icmp")
	other := run(t, port, member(2, one, two))
	changes("icmp", "udp")
	other.stop()
	changes("icmp", "udp", "icmp")
	run(t, port, member(2, one, two))
	changes("icmp", "udp", "icmp", "udp")

	// A busy machine may miss a round, but no change of the way may cost one.
	if sent, lost, _ := e.of("pve2", 0); lost > sent/20 {
		t.Errorf("%d of %d lost though the link was never bad", lost, sent)
	}
}

func TestWithoutKeyOnlyICMPIsUsed(t *testing.T) {
	needICMP(t)
	port := freePort(t)
	top := member(1, links("127.0.4.1"), links("127.0.4.2"))
	top.Key = nil
	e := run(t, port, top)
	eventually(t, "ICMP measures", func() bool { _, _, rtts := e.of("pve2", 0); return len(rtts) >= 3 })
	s, err := openSock(udpSock, netip.AddrPortFrom(addr("127.0.4.1"), port), netip.AddrPort{})
	if err != nil {
		t.Fatalf("the port is in use though nobody could be answered: %v", err)
	}
	s.close()
}

func TestPeersComeGoAndMove(t *testing.T) {
	port := freePort(t)
	one, two, three := links("127.0.5.1"), links("127.0.5.2"), links("127.0.5.3")
	run(t, port, member(2, one, two, three))
	run(t, port, member(3, one, two, three))

	var mu sync.Mutex
	top, topErr := member(1, one, two), error(nil)
	set := func(t Topology, err error) { mu.Lock(); defer mu.Unlock(); top, topErr = t, err }
	e := runConfig(t, Config{
		Interval: testInterval, Port: port, Reread: 20 * time.Millisecond,
		Peers: func(context.Context) (Topology, error) { mu.Lock(); defer mu.Unlock(); return top, topErr },
	})
	grows := func(peer string) func() bool {
		before, _, _ := e.of(peer, 0)
		return func() bool { now, _, _ := e.of(peer, 0); return now > before+2 }
	}
	eventually(t, "pve2 measured", grows("pve2"))

	set(member(1, one, two, three), nil)
	eventually(t, "pve3 came", grows("pve3"))

	set(Topology{}, errors.New("corosync.conf: no such file"))
	eventually(t, "status tells of the error", func() bool { st := e.prober.Status(); return !st.Up && st.Errors["other"] > 0 })
	eventually(t, "known peers are measured during the error", grows("pve3"))
	if !e.prober.Status().Configured {
		t.Error("an unreadable nodelist is not a standalone node")
	}

	set(member(1, one, two), nil)
	eventually(t, "pve3 forgotten", func() bool { return e.count(e.forgotten, "pve3", 0) == 1 })
	if n := e.count(e.forgotten, "pve2", 0); n > 0 {
		t.Error("pve2 forgotten though it stayed")
	}

	moved := member(1, one, links("127.0.5.4")) // same name, new address, nobody there yet
	set(moved, nil)
	run(t, port, member(2, one, links("127.0.5.4")))
	eventually(t, "pve2 measured at its new address", grows("pve2"))
	if n := e.count(e.known, "pve2", 0); n != 1 {
		t.Errorf("pve2 became known %d times", n)
	}

	set(Topology{}, nil)
	eventually(t, "standalone", func() bool { return !e.prober.Status().Configured })
	if n := e.count(e.forgotten, "pve2", 0); n != 1 {
		t.Errorf("pve2 forgotten %d times", n)
	}
	e.stop()
	if e.prober.Status().Up {
		t.Error("up after the end")
	}
}

func TestAnotherKeyIsTakenOverAndForeignKeysGetNoAnswer(t *testing.T) {
	port := freePort(t)
	one, two := links("127.0.6.1"), links("127.0.6.2")
	run(t, port, member(2, one, two))
	var mu sync.Mutex
	top := member(1, one, two)
	top.Key = DeriveKey([]byte("of another cluster"))
	e := runConfig(t, Config{
		Interval: testInterval, Port: port, Reread: 20 * time.Millisecond,
		Peers: func(context.Context) (Topology, error) { mu.Lock(); defer mu.Unlock(); return top, nil },
	})
	udp := func() bool { // only the exporter of a peer holds a request for some time, so ask the socket
		tr, err := openUDP(pair{id: 2, name: "pve2", self: 1, local: addr("127.0.6.1"), remote: addr("127.0.6.2")}, port, top.Key)
		if err != nil {
			t.Fatal(err)
		}
		defer tr.close()
		return tr.probe(t.Context(), testInterval).outcome == answered
	}
	if udp() {
		t.Error("a foreign key was answered")
	}
	mu.Lock()
	top.Key = testKey
	mu.Unlock()
	eventually(t, "our key is answered", udp)
	eventually(t, "measured", func() bool { s, _, _ := e.of("pve2", 0); return s > 2 })
}

func TestMissingRingAddressIsReportedOnceAndNotCounted(t *testing.T) {
	// 192.0.2.0/24 is for documentation: no machine has it.
	top := member(1, links("192.0.2.1"), links("192.0.2.2"))
	e := runConfig(t, Config{
		Interval: testInterval, Port: freePort(t), Reread: testInterval,
		Peers: func(context.Context) (Topology, error) { return top, nil },
	})
	eventually(t, "discovery is over", func() bool { return e.prober.Status().Requests > 2*discoveryRounds })
	st := e.prober.Status()
	if st.Up {
		t.Error("up without an address to send from")
	}
	if n := st.Errors["socket"]; n < 1 || n > 3 { // responder, UDP, ICMP
		t.Errorf("%d errors after many rounds, want one for each kind of socket", n)
	}
	if sent, lost, _ := e.of("pve2", 0); sent != 0 || lost != 0 {
		t.Errorf("sent %d, lost %d without an address to send from", sent, lost)
	}
}

func TestHangingNodelistNeitherStopsMeasuringNorTheEnd(t *testing.T) {
	port := freePort(t)
	one, two := links("127.0.7.1"), links("127.0.7.2")
	run(t, port, member(2, one, two))
	release := make(chan struct{})
	var once sync.Once
	first := true
	e := runConfig(t, Config{
		Interval: testInterval, Port: port, Reread: time.Millisecond,
		Peers: func(context.Context) (Topology, error) { // called by one goroutine at a time
			if !first {
				<-release
			}
			first = false
			return member(1, one, two), nil
		},
	})
	defer once.Do(func() { close(release) })
	eventually(t, "measured while the nodelist hangs", func() bool { s, _, _ := e.of("pve2", 0); return s >= 3 })
	e.stop() // must return though Peers does not
}

func TestNodelistIsReadEachHalfMinuteAndSoonerAfterAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var at []time.Duration
		e := runConfig(t, Config{Peers: func(context.Context) (Topology, error) {
			at = append(at, time.Since(began))
			if len(at) == 2 {
				return Topology{}, errors.New("half written")
			}
			return Topology{}, nil
		}})
		time.Sleep(70 * time.Second)
		e.stop()
		want := []time.Duration{0, 30 * time.Second, 35 * time.Second, 65 * time.Second}
		if !slices.Equal(at, want) {
			t.Errorf("read after %v, want %v", at, want)
		}
	})
}

func TestNothingIsLeftBehindOverRestarts(t *testing.T) {
	port := freePort(t)
	nodes := []map[int]netip.Addr{links("127.0.8.1", "127.0.9.1"), links("127.0.8.2", "127.0.9.2")}
	run(t, port, member(2, nodes...))
	cycle := func() {
		e := run(t, port, member(1, nodes...))
		eventually(t, "measured", func() bool { s, _, _ := e.of("pve2", 1); return s >= 1 })
		e.stop()
	}
	cycle()
	fds, goroutines := openFiles(t), runtime.NumGoroutine()
	for range 10 {
		cycle()
	}
	eventually(t, "goroutines and files are as before", func() bool {
		return openFiles(t) <= fds && runtime.NumGoroutine() <= goroutines
	})
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("needs /proc: %v", err)
	}
	return len(files)
}
