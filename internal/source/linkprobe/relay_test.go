package linkprobe

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
)

// relay is a bad link: it stands at address front for one node and at address back for the other,
// and carries packets from the first to target late, without those that lose names.
func relay(t *testing.T, front, target netip.AddrPort, back netip.Addr, delay time.Duration, lose func(n int) bool) {
	t.Helper()
	in, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(front))
	if err != nil {
		t.Fatal(err)
	}
	out, err := net.DialUDP("udp4", &net.UDPAddr{IP: back.AsSlice()}, net.UDPAddrFromAddrPort(target))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = in.Close(); _ = out.Close(); wg.Wait() })
	var mu sync.Mutex
	var asker netip.AddrPort
	wg.Go(func() {
		buf := make([]byte, 1500)
		for n := 1; ; n++ {
			size, from, err := in.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			mu.Lock()
			asker = from
			mu.Unlock()
			if lose(n) {
				continue
			}
			time.Sleep(delay) // packets come one by one, an interval apart
			_, _ = out.Write(buf[:size])
		}
	})
	wg.Go(func() {
		buf := make([]byte, 1500)
		for {
			size, err := out.Read(buf)
			if err != nil {
				return
			}
			mu.Lock()
			to := asker
			mu.Unlock()
			_, _ = in.WriteToUDPAddrPort(buf[:size], to)
		}
	})
}

func TestDelayAndLossAreMeasuredOnTheLinkThatHasThem(t *testing.T) {
	port := freePort(t)
	const delay = 20 * time.Millisecond
	// Link 0 of the two leads over the relay, link 1 is direct.
	one, two := links("127.4.0.1", "127.4.1.1"), links("127.4.0.2", "127.4.1.2")
	front, back := addr("127.4.0.3"), addr("127.4.0.4")
	relay(t, netip.AddrPortFrom(front, port), netip.AddrPortFrom(two[0], port), back, delay,
		func(n int) bool { return n%5 == 0 })
	run(t, port, member(2, links(back.String(), one[1].String()), two))
	e := run(t, port, member(1, one, links(front.String(), two[1].String())))

	const rounds = 60
	eventually(t, "both links measured", func() bool {
		a, _, _ := e.of("pve2", 0)
		b, _, _ := e.of("pve2", 1)
		return a >= rounds && b >= rounds
	})
	sent, lost, rtts := e.of("pve2", 0)
	// Each fifth packet is lost; packets of the discovery do not count. A busy machine may lose more.
	if want := sent / 5; lost < want-1 || lost > want+sent/10 {
		t.Errorf("lost %d of %d, want %d", lost, sent, want)
	}
	if best := slices.Min(rtts); best < delay || best > delay+10*time.Millisecond {
		t.Errorf("best round trip %v over a link of %v", best, delay)
	}
	if _, lost, rtts := e.of("pve2", 1); lost > rounds/10 || slices.Min(rtts) > delay/4 {
		t.Errorf("the good link: lost %d, best round trip %v", lost, slices.Min(rtts))
	}
}
