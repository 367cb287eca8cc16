package facts

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// pingCount and pingInterval make a measurement of four seconds.
const (
	pingCount    = 20
	pingInterval = "0.2"
)

// probe measures the way from a node to an address.
func probe(ctx context.Context, s Shell, p Probe) ProbeResult {
	r := ProbeResult{Probe: p}
	to := p.Addr.String()
	if p.Latency {
		r.RTT = command(ctx, answered(s), ParsePings, "ping", "-n", "-c", strconv.Itoa(pingCount), "-i", pingInterval, "-W", "1", to)
	}
	if p.MTU > 0 {
		r.MTUPasses = mtuPasses(ctx, s, p)
	}
	if len(p.Ports) > 0 {
		r.Closed = closed(ctx, s, p)
	}
	return r
}

// answered runs commands that end with an error although they have said what they were asked: ping
// ends with 1 if packets were lost.
func answered(s Shell) Shell { return pingShell{s} }

type pingShell struct{ Shell }

func (s pingShell) Run(ctx context.Context, argv ...string) (string, error) {
	out, err := s.Shell.Run(ctx, argv...)
	if err != nil && strings.Contains(out, " packets transmitted, ") {
		return out, nil
	}
	return out, err
}

// mtuPasses sends one packet that fills the MTU and must not be fragmented.
func mtuPasses(ctx context.Context, s Shell, p Probe) Known[bool] {
	headers := 28 // IPv4 and ICMP
	if p.Addr.Is6() {
		headers = 48
	}
	argv := []string{"ping", "-n", "-M", "do", "-s", strconv.Itoa(p.MTU - headers), "-c", "2", "-i", pingInterval, "-W", "1", p.Addr.String()}
	pings := command(ctx, answered(s), ParsePings, argv...)
	return then(pings, func(r Pings) (bool, error) { return len(r.RTT) > 0, nil })
}

// closed tries ports by bash, which every node has. The answer is in words, as above.
func closed(ctx context.Context, s Shell, p Probe) Known[[]int] {
	ports := []int{}
	for _, port := range p.Ports {
		open := command(ctx, s, yes, "bash", "-c", `if timeout 3 bash -c "</dev/tcp/$0/$1" 2>/dev/null; then echo yes; else echo no; fi`, p.Addr.String(), strconv.Itoa(port))
		yes, ok := open.Get()
		if !ok {
			return Unknown[[]int](open.Err())
		}
		if !yes {
			ports = append(ports, port)
		}
	}
	return Is(ports)
}

// ParsePings reads the output of ping(8).
func ParsePings(out string) (Pings, error) {
	p := Pings{Sent: -1}
	for _, line := range strings.Split(out, "\n") {
		if before, _, ok := strings.Cut(line, " packets transmitted, "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(before))
			if err != nil || n < 0 {
				return Pings{}, fmt.Errorf("%.40q is no number of packets", before)
			}
			p.Sent = n
		}
		_, after, ok := strings.Cut(line, " time=")
		if !ok {
			continue
		}
		ms, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(after), "ms")), 64)
		if err != nil || !(ms >= 0) || ms > 1e6 {
			return Pings{}, fmt.Errorf("%.40q is no time of a ping", after)
		}
		p.RTT = append(p.RTT, time.Duration(ms*float64(time.Millisecond)))
	}
	if p.Sent < 0 {
		return Pings{}, errors.New("ping did not end as usual")
	}
	return p, nil
}

// P99 is the round-trip time that one ping in a hundred exceeds; of fewer pings it is the largest.
func (p Pings) P99() time.Duration {
	var top, second time.Duration
	for _, d := range p.RTT {
		switch {
		case d > top:
			top, second = d, top
		case d > second:
			second = d
		}
	}
	if len(p.RTT) >= 100 {
		return second
	}
	return top
}

// Lost is the number of pings without a reply.
func (p Pings) Lost() int { return max(p.Sent-len(p.RTT), 0) }
