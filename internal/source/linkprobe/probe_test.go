package linkprobe

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestRoundTripLeavesOutTheWaitForACPU(t *testing.T) {
	sent := time.Now()
	at := func(d time.Duration) time.Time { return sent.Add(d).Round(0) } // wall clock only, as from the kernel
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		read     time.Duration
		received time.Time
		hold     time.Duration
		want     time.Duration
	}{
		"the kernel's time counts":                    {read: 30 * ms, received: at(3 * ms), want: 3 * ms},
		"less what the peer's process took":           {read: 30 * ms, received: at(3 * ms), hold: 2 * ms, want: 1 * ms},
		"without a timestamp the reading counts":      {read: 30 * ms, want: 30 * ms},
		"the clock went back":                         {read: 3 * ms, received: at(-time.Hour), want: 3 * ms},
		"the clock went forward":                      {read: 3 * ms, received: at(time.Hour), want: 3 * ms},
		"a hold longer than the round trip is absurd": {read: 30 * ms, received: at(3 * ms), hold: 4 * ms, want: 3 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			if got := roundTrip(sent, sent.Add(tt.read), tt.received, tt.hold); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

// fakePeer is a UDP socket that a test answers from.
func fakePeer(t *testing.T) (transport, *net.UDPConn) {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 2, 0, 2)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	port := c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	tr, err := openUDP(pair{id: 2, self: 1, link: 1, local: addr("127.2.0.1"), remote: addr("127.2.0.2")}, port, testKey)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.close)
	return tr, c
}

// answerOne reads one request and sends what answer makes of it.
func answerOne(t *testing.T, c *net.UDPConn, answer func(packet) [][]byte) {
	t.Helper()
	buf := make([]byte, 2*packetSize)
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	n, from, err := c.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Error(err)
		return
	}
	p, ok := open(testKey, buf[:n])
	if !ok {
		t.Errorf("request is not authentic: %x", buf[:n])
	}
	for _, b := range answer(p) {
		if _, err := c.WriteToUDPAddrPort(b, from); err != nil {
			t.Error(err)
		}
	}
}

func TestOnlyTheReplyToTheOutstandingRequestIsAccepted(t *testing.T) {
	replyTo := func(p packet, change func(*packet)) []byte {
		p.kind, p.sender, p.receiver = reply, p.receiver, p.sender
		change(&p)
		return p.seal(testKey)
	}
	for name, tt := range map[string]struct {
		answer func(packet) []byte
		want   outcome
	}{
		"the reply":                 {func(p packet) []byte { return replyTo(p, func(*packet) {}) }, answered},
		"the request itself":        {func(p packet) []byte { return p.seal(testKey) }, missed},
		"to an earlier request":     {func(p packet) []byte { return replyTo(p, func(p *packet) { p.seq-- }) }, missed},
		"to a request not yet sent": {func(p packet) []byte { return replyTo(p, func(p *packet) { p.seq++ }) }, missed},
		"to an earlier process":     {func(p packet) []byte { return replyTo(p, func(p *packet) { p.nonce++ }) }, missed},
		"of another peer":           {func(p packet) []byte { return replyTo(p, func(p *packet) { p.sender = 3 }) }, missed},
		"for another node":          {func(p packet) []byte { return replyTo(p, func(p *packet) { p.receiver = 3 }) }, missed},
		"of another link":           {func(p packet) []byte { return replyTo(p, func(p *packet) { p.link = 0 }) }, missed},
		"not authentic":             {func(p packet) []byte { return flip(replyTo(p, func(*packet) {}), packetSize-1) }, missed},
	} {
		t.Run(name, func(t *testing.T) {
			tr, peer := fakePeer(t)
			done := make(chan struct{})
			go func() {
				defer close(done)
				answerOne(t, peer, func(p packet) [][]byte { return [][]byte{tt.answer(p)} })
			}()
			timeout := 100 * time.Millisecond
			if tt.want == answered {
				timeout = 30 * time.Second
			}
			if r := tr.probe(t.Context(), timeout); r.outcome != tt.want || r.err != nil {
				t.Errorf("outcome %v, err %v; want %v", r.outcome, r.err, tt.want)
			}
			<-done
		})
	}
}

func TestReplyIsAcceptedOnce(t *testing.T) {
	tr, peer := fakePeer(t)
	twice := func(p packet) [][]byte {
		p.kind, p.sender, p.receiver = reply, p.receiver, p.sender
		return [][]byte{p.seal(testKey), p.seal(testKey)}
	}
	done := make(chan struct{})
	go func() { defer close(done); answerOne(t, peer, twice) }()
	if r := tr.probe(t.Context(), 30*time.Second); r.outcome != answered {
		t.Fatalf("first round: %+v", r)
	}
	<-done
	// The duplicate lies in the buffer and must not answer the next round.
	if r := tr.probe(t.Context(), 50*time.Millisecond); r.outcome != missed {
		t.Errorf("second round: %+v, want missed", r)
	}
}

func TestReplyThatIsReadLateButCameInTimeCounts(t *testing.T) {
	tr, peer := fakePeer(t)
	p := tr.(*prober)
	// What a starved process does: the packet has come, and the deadline passed before it was read.
	p.seq = 1
	sent := time.Now()
	if err := p.sock.send(p.codec.request(1)); err != nil {
		t.Fatal(err)
	}
	answerOne(t, peer, func(p packet) [][]byte {
		p.kind, p.sender, p.receiver = reply, p.receiver, p.sender
		return [][]byte{p.seal(testKey)}
	})
	took := time.Since(sent)
	_ = p.sock.setReadDeadline(time.Unix(1, 0))
	r := p.await(t.Context(), sent, took+time.Second)
	if r.outcome != answered || r.rtt > took+time.Millisecond {
		t.Errorf("%+v, want answered after at most %v", r, took)
	}
}

func TestReplyThatComesTooLateIsLost(t *testing.T) {
	tr, peer := fakePeer(t)
	p := tr.(*prober)
	p.seq = 1
	sent := time.Now()
	if err := p.sock.send(p.codec.request(1)); err != nil {
		t.Fatal(err)
	}
	answerOne(t, peer, func(p packet) [][]byte {
		time.Sleep(10 * time.Millisecond) // the delay of the link
		p.kind, p.sender, p.receiver = reply, p.receiver, p.sender
		return [][]byte{p.seal(testKey)}
	})
	_ = p.sock.setReadDeadline(time.Unix(1, 0))
	if r := p.await(t.Context(), sent, 5*time.Millisecond); r.outcome != missed {
		t.Errorf("%+v, want missed", r)
	}
}

func TestClosedPortIsRefusedAndNotLost(t *testing.T) {
	tr, peer := fakePeer(t)
	_ = peer.Close()
	for range 5 { // the error of one round must not be taken for the next round's
		if r := tr.probe(t.Context(), 30*time.Second); r.outcome != refused {
			t.Fatalf("%+v, want refused", r)
		}
	}
}

func TestErrorOfAnEarlierPacketDoesNotCostTheNextRound(t *testing.T) {
	tr, peer := fakePeer(t)
	at := net.UDPAddrFromAddrPort(peer.LocalAddr().(*net.UDPAddr).AddrPort())
	_ = peer.Close()
	if err := tr.(*prober).sock.send([]byte("to nobody")); err != nil { // nobody reads what comes of it
		t.Fatal(err)
	}
	peer, err := net.ListenUDP("udp4", at)
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		answerOne(t, peer, func(p packet) [][]byte {
			p.kind, p.sender, p.receiver = reply, p.receiver, p.sender
			return [][]byte{p.seal(testKey)}
		})
	}()
	if r := tr.probe(t.Context(), 30*time.Second); r.outcome != answered {
		t.Errorf("%+v, want answered", r)
	}
	_ = peer.SetReadDeadline(time.Unix(1, 0)) // ends answerOne if nothing came
	<-done
}

func TestProbeEndsWithItsContext(t *testing.T) {
	tr, _ := fakePeer(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	began := time.Now()
	if r := tr.probe(ctx, time.Hour); r.err == nil || r.outcome != unsent {
		t.Errorf("%+v, want the context's error", r)
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestICMPMeasuresOverRawAndPingSockets(t *testing.T) {
	for name, tt := range map[string]struct {
		kind          sockKind
		local, remote string
	}{
		"raw, IPv4":  {rawSock, "127.3.0.1", "127.3.0.2"},
		"ping, IPv4": {pingSock, "127.3.0.1", "127.3.0.2"},
		"raw, IPv6":  {rawSock, "::1", "::1"},
		"ping, IPv6": {pingSock, "::1", "::1"},
	} {
		t.Run(name, func(t *testing.T) {
			local, remote := netip.AddrPortFrom(addr(tt.local), 0), netip.AddrPortFrom(addr(tt.remote), 0)
			s, err := openSock(tt.kind, local, remote)
			if err != nil {
				t.Skipf("needs a socket that this machine or user does not get: %v", err)
			}
			// Two at once: each must take only its own replies.
			p := &prober{sock: s, codec: newICMPCodec(local.Addr().Is4())}
			defer p.close()
			s2, err := openSock(tt.kind, local, remote)
			if err != nil {
				t.Fatal(err)
			}
			q := &prober{sock: s2, codec: newICMPCodec(local.Addr().Is4())}
			defer q.close()
			for range 5 {
				for _, p := range []*prober{p, q} {
					if r := p.probe(t.Context(), 30*time.Second); r.outcome != answered || r.rtt <= 0 || r.rtt > time.Second {
						t.Fatalf("%+v, want answered", r)
					}
				}
			}
			if d, err := s.recvNow(make([]byte, 512)); err == nil && p.matches(d) {
				t.Error("a second reply to one request")
			}
		})
	}
}

func (p *prober) matches(d datagram) bool {
	_, ok := p.match(d, time.Now())
	return ok
}
