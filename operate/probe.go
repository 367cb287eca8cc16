package operate

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"
)

// A Prober asks a guest again and again whether it answers.
type Prober interface {
	// String is whom it asks.
	String() string
	// Ask asks once.
	Ask(ctx context.Context) error
	// Watch asks until stop is called, which tells what was seen.
	Watch(ctx context.Context) (stop func() Probed)
}

// Probed is what a Prober saw.
type Probed struct {
	Answers int
	// Longest is the longest time without an answer: between two of them, and to the end. Without any
	// interruption it is about Every.
	Longest time.Duration
	From    time.Time // when the longest began
	Every   time.Duration
}

// How a guest is asked.
const (
	probeEvery = 100 * time.Millisecond
	// probeWait is how long an answer may take. It is less than a second, after which the kernel would send the
	// same question again: that one comes from the next attempt.
	probeWait = 900 * time.Millisecond
)

// A TCPProbe asks by opening a TCP connection, from the machine that the program runs on. Attempts do not wait
// for each other, so an answer that never comes hides no later one.
type TCPProbe struct {
	Address string // host:port
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
}

// NewTCPProbe asks address, whose port is 22 unless given.
func NewTCPProbe(address string) TCPProbe {
	if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(address, "22")
	}
	return TCPProbe{address, (&net.Dialer{}).DialContext}
}

func (p TCPProbe) String() string { return p.Address }

// Ask implements Prober.
func (p TCPProbe) Ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeWait)
	defer cancel()
	conn, err := p.Dial(ctx, "tcp", p.Address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// Watch implements Prober. Its goroutines end with stop.
func (p TCPProbe) Watch(ctx context.Context) (stop func() Probed) {
	ctx, cancel := context.WithCancel(ctx)
	var mu sync.Mutex
	var answers []time.Time
	var asking sync.WaitGroup
	begun, ended := time.Now(), make(chan struct{})
	ask := func() {
		if p.Ask(ctx) != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		answers = append(answers, time.Now())
	}
	go func() {
		defer close(ended)
		tick := time.NewTicker(probeEvery)
		defer tick.Stop()
		for {
			asking.Go(ask)
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() Probed {
		end := time.Now()
		cancel()
		<-ended
		asking.Wait()
		return longestGap(begun, end, answers)
	}
}

// longestGap is the longest time without an answer.
func longestGap(begun, end time.Time, answers []time.Time) Probed {
	seen := Probed{Answers: len(answers), Every: probeEvery}
	slices.SortFunc(answers, time.Time.Compare)
	last := begun
	for _, at := range append(answers, end) {
		if gap := at.Sub(last); gap > seen.Longest {
			seen.Longest, seen.From = gap, last
		}
		last = at
	}
	return seen
}
