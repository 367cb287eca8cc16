package linkprobe

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/source"
)

// respond runs the responder of node 1 with the one peer 2 and returns sockets towards it: of the
// peer, and of an address that is no peer's.
func respond(t *testing.T, now func() time.Time) (peer, stranger *sock) {
	t.Helper()
	at := netip.AddrPortFrom(addr("127.1.0.1"), freePort(t))
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	r := &responder{self: 1, local: at, key: testKey, now: now, faults: newFaults(log, source.NewStats("test", nil))}
	r.setAskers(map[pair]bool{{id: 2, name: "pve2", self: 1, local: at.Addr(), remote: addr("127.1.0.2")}: true})
	task := start(t.Context(), func(ctx context.Context) { r.run(ctx, time.Millisecond) })
	t.Cleanup(func() { task.cancel(); <-task.done })
	dial := func(from string) *sock {
		s, err := openSock(udpSock, netip.AddrPortFrom(addr(from), 0), at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.close)
		return s
	}
	peer, stranger = dial("127.1.0.2"), dial("127.1.0.3")
	eventually(t, "the responder answers", func() bool {
		_ = peer.send(good.seal(testKey))
		return replies(t, peer, 1) == 1
	})
	replies(t, peer, 100) // of attempts that were answered late
	return peer, stranger
}

// replies reads up to limit valid replies; packets on loopback are there at once or never, so it
// waits only as long as the responder may need for the CPU.
func replies(t *testing.T, s *sock, limit int) int {
	t.Helper()
	var buf [2 * packetSize]byte
	n := 0
	for n < limit {
		_ = s.setReadDeadline(time.Now().Add(200 * time.Millisecond))
		d, err := s.recv(buf[:])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return n
		case err != nil:
			return 0 // refused: not listening yet
		}
		if p, ok := open(testKey, d.data); !ok || p.kind != reply || len(d.data) != packetSize {
			t.Errorf("got something that is no reply: %x", d.data)
		}
		n++
	}
	return n
}

var good = packet{kind: request, sender: 2, receiver: 1, nonce: 9, seq: 1}

func TestOnlyAuthenticRequestsOfPeersAreAnswered(t *testing.T) {
	peer, stranger := respond(t, time.Now)
	with := func(change func(p *packet)) []byte {
		p := good
		change(&p)
		return p.seal(testKey)
	}
	for name, tt := range map[string]struct {
		from *sock
		b    []byte
		want int
	}{
		"a request of the peer":                      {peer, good.seal(testKey), 1},
		"from an address that is no peer's":          {stranger, good.seal(testKey), 0},
		"with another key":                           {peer, good.seal(DeriveKey([]byte("x"))), 0},
		"a reply, as if reflected":                   {peer, with(func(p *packet) { p.kind = reply }), 0},
		"our own request, reflected":                 {peer, with(func(p *packet) { p.sender, p.receiver = 1, 2 }), 0},
		"in the name of a third node":                {peer, with(func(p *packet) { p.sender = 3 }), 0},
		"for a third node":                           {peer, with(func(p *packet) { p.receiver = 3 }), 0},
		"of another link":                            {peer, with(func(p *packet) { p.link = 1 }), 0},
		"cut short":                                  {peer, good.seal(testKey)[:packetSize-1], 0},
		"with bytes behind":                          {peer, append(good.seal(testKey), 0), 0},
		"with many bytes behind":                     {peer, append(good.seal(testKey), make([]byte, 1000)...), 0},
		"nothing at all":                             {peer, nil, 0},
		"with the kind changed but not the code":     {peer, flip(good.seal(testKey), 4), 0},
		"with the sequence changed but not the code": {peer, flip(good.seal(testKey), 31), 0},
		"with a code of zeros":                       {peer, append(good.seal(testKey)[:macOffset:macOffset], make([]byte, macSize)...), 0},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tt.from.send(tt.b); err != nil {
				t.Fatal(err)
			}
			if n := replies(t, tt.from, 2); n != tt.want {
				t.Errorf("%d replies, want %d", n, tt.want)
			}
		})
	}
}

func flip(b []byte, i int) []byte {
	b[i] ^= 1
	return b
}

func TestAnswersAreBounded(t *testing.T) {
	clock := time.Unix(1e9, 0) // stands still: no tokens come back
	peer, _ := respond(t, func() time.Time { return clock })
	const replays = 10 * answersBurst
	for range replays {
		if err := peer.send(good.seal(testKey)); err != nil {
			t.Fatal(err)
		}
	}
	n := replies(t, peer, replays)
	if n >= answersBurst || n < answersBurst/2 { // respond itself needed some
		t.Errorf("%d of %d replayed requests were answered, want less than %d", n, replays, answersBurst)
	}
}

func TestAnswerBudgetComesBackWithTime(t *testing.T) {
	a := &asker{tokens: answersBurst}
	now := time.Unix(1e9, 0)
	spend := func() (n int) {
		for a.spend(now) {
			n++
		}
		return n
	}
	if n := spend(); n != answersBurst {
		t.Errorf("%d at once, want %d", n, answersBurst)
	}
	now = now.Add(time.Second)
	if n := spend(); n != answersPerSecond {
		t.Errorf("%d after a second, want %d", n, answersPerSecond)
	}
	now = now.Add(-time.Hour)
	if n := spend(); n != 0 {
		t.Errorf("%d after the clock went back", n)
	}
	now = now.Add(24 * time.Hour)
	if n := spend(); n != answersBurst {
		t.Errorf("%d after a day, want %d", n, answersBurst)
	}
}

func TestResponderWaitsForItsPort(t *testing.T) {
	at := netip.AddrPortFrom(addr("127.1.1.1"), freePort(t))
	taken, err := openSock(udpSock, at, netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	r := &responder{
		self: 1, local: at, key: testKey, now: time.Now,
		faults: newFaults(slog.New(slog.NewTextHandler(&log, nil)), source.NewStats("test", nil)),
	}
	r.setAskers(map[pair]bool{{id: 2, name: "pve2", self: 1, local: at.Addr(), remote: addr("127.1.1.2")}: true})
	task := start(t.Context(), func(ctx context.Context) { r.run(ctx, time.Millisecond) })
	eventually(t, "the taken port is a fault", r.faults.any)
	time.Sleep(20 * time.Millisecond) // many attempts
	taken.close()
	eventually(t, "the fault ends", func() bool { return !r.faults.any() })
	peer, err := openSock(udpSock, netip.MustParseAddrPort("127.1.1.2:0"), at)
	if err != nil {
		t.Fatal(err)
	}
	defer peer.close()
	if err := peer.send(good.seal(testKey)); err != nil {
		t.Fatal(err)
	}
	if n := replies(t, peer, 2); n != 1 {
		t.Errorf("%d replies after the port became free", n)
	}
	task.cancel()
	<-task.done
	if n := strings.Count(log.String(), "WARN"); n != 1 {
		t.Errorf("%d warnings: %s", n, log.String())
	}
}

func TestForeignKeyOfAPeerIsLoggedOnce(t *testing.T) {
	var out bytes.Buffer
	r := &responder{
		self: 1, key: testKey, now: time.Now,
		faults: newFaults(slog.New(slog.NewTextHandler(&out, nil)), source.NewStats("test", nil)),
	}
	p := map[pair]bool{{id: 2, name: "pve2", self: 1, remote: addr("10.0.0.2")}: true}
	for range 3 {
		r.setAskers(p) // a reading of the nodelist must not repeat it
		for range 3 {
			d := datagram{data: good.seal(DeriveKey([]byte("other"))), from: netip.MustParseAddrPort("10.0.0.2:1")}
			if b := r.answer(d); b != nil {
				t.Fatal("answered")
			}
		}
	}
	if n := strings.Count(out.String(), "peer=pve2"); n != 1 {
		t.Errorf("logged %d times: %s", n, out.String())
	}
}

func TestReplySaysHowLongTheRequestWasHeld(t *testing.T) {
	r := &responder{self: 1, key: testKey, now: time.Now}
	r.setAskers(map[pair]bool{{id: 2, remote: addr("10.0.0.2"), self: 1}: true})
	for name, tt := range map[string]struct {
		received time.Time
		min, max time.Duration
	}{
		"received a while ago":         {time.Now().Add(-time.Hour), time.Hour, time.Hour + time.Minute},
		"the clock went back since":    {time.Now().Add(time.Hour), 0, 0},
		"the kernel gave no timestamp": {time.Time{}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := r.answer(datagram{data: good.seal(testKey), from: netip.MustParseAddrPort("10.0.0.2:1"), at: tt.received})
			if p, ok := open(testKey, b); !ok || p.hold < tt.min || p.hold > tt.max {
				t.Errorf("hold %v, want %v to %v", p.hold, tt.min, tt.max)
			}
		})
	}
}

// BenchmarkEcho is a round trip on loopback with both its ends: what a second costs a node is this
// times peers times links.
func BenchmarkEcho(b *testing.B) {
	at := netip.AddrPortFrom(addr("127.1.2.1"), 0)
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err != nil {
		b.Fatal(err)
	}
	at = c.LocalAddr().(*net.UDPAddr).AddrPort()
	_ = c.Close()
	log := slog.New(slog.DiscardHandler)
	var clock atomic.Int64 // an hour passes with each look: the rate is not what is measured
	now := func() time.Time { return time.Unix(clock.Add(3600), 0) }
	r := &responder{self: 1, local: at, key: testKey, now: now, faults: newFaults(log, source.NewStats("bench", nil))}
	r.setAskers(map[pair]bool{{id: 2, name: "pve2", self: 1, local: at.Addr(), remote: addr("127.1.2.2")}: true})
	task := start(b.Context(), func(ctx context.Context) { r.run(ctx, time.Millisecond) })
	b.Cleanup(func() { task.cancel(); <-task.done })
	tr, err := openUDP(pair{id: 1, self: 2, local: addr("127.1.2.2"), remote: at.Addr()}, at.Port(), testKey)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(tr.close)
	for tr.probe(b.Context(), time.Second).outcome != answered {
		if b.Context().Err() != nil {
			return
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if r := tr.probe(b.Context(), 10*time.Second); r.outcome != answered {
			b.Fatalf("%+v", r)
		}
	}
}
