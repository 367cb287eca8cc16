package qmp

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func benching() bool { return os.Getenv("QUORATE_BENCH") != "" }

// generous are Options for a QEMU that is healthy on a machine that may be busy.
var generous = Options{Greeting: time.Minute, Reply: time.Minute, Conversation: time.Minute}

// tallied is a Client that counts what its conversations come to.
type tallied struct {
	*Client
	done, busy atomic.Int64
	t          *testing.T
}

func (q *tallied) Query(ctx context.Context, path string) (Sample, error) {
	s, err := q.Client.Query(ctx, path)
	switch {
	case err == nil:
		q.done.Add(1)
	case errors.Is(err, ErrBusy):
		q.busy.Add(1)
		time.Sleep(time.Millisecond) // a sampler whose intervals are no test's waits longer
	case !errors.Is(err, ErrCanceled): // in the end
		q.t.Errorf("our conversation %d: %v", q.done.Load(), err)
	}
	return s, err
}

// TestLabContention has a sampler without any pause and two clients as strict as Proxmox's talk to one
// monitor at full speed.
func TestLabContention(t *testing.T) {
	if !benching() { // a measurement means little beside others
		t.Parallel()
	}
	q := startQEMU(t)
	conversations := 1000
	if benching() {
		conversations = 10_000
	}
	ours := &tallied{Client: newClient(t, generous), t: t}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := NewSampler(SamplerConfig{Dir: filepath.Dir(q.path), Querier: ours, Idle: time.Microsecond, Fast: time.Microsecond})
	others := []*strict{{path: q.path, retry: 100 * time.Millisecond}, {path: q.path, retry: 100 * time.Millisecond}}
	began := time.Now()
	var sampling sync.WaitGroup
	sampling.Go(func() { s.Run(ctx) })
	var all sync.WaitGroup
	for _, s := range others {
		all.Go(func() {
			for i := range conversations / len(others) {
				command := []string{"query-status", "query-migrate", "query-blockstats"}[i%3]
				if _, err := s.run(command, ""); err != nil {
					t.Errorf("strict client, conversation %d: %v", i, err)
					return
				}
			}
		})
	}
	all.Wait()
	theirs := time.Since(began)
	for ours.done.Load() < int64(conversations) && !t.Failed() && time.Since(began) < 5*time.Minute {
		time.Sleep(time.Millisecond)
	}
	done, took := ours.done.Load(), time.Since(began)
	cancel()
	sampling.Wait()
	if done < int64(conversations) {
		t.Errorf("only %d conversations of ours in %s", done, took)
	}
	verdict := "no error on either side"
	if t.Failed() {
		verdict = "errors"
	}
	fmt.Fprintf(os.Stderr, "one monitor: %d conversations of the sampler in %s, busy %d times; %d of %d strict clients in %s, EAGAIN %d times, longest %s: %s\n",
		done, took.Round(time.Millisecond), ours.busy.Load(), conversations, len(others), theirs.Round(time.Millisecond),
		others[0].again+others[1].again, max(others[0].worst, others[1].worst).Round(time.Millisecond), verdict)
}

// TestLabAbortedQueriesLeaveNoReply gives up at random points of the conversation, and looks
// whether the next client gets what was meant for us.
func TestLabAbortedQueriesLeaveNoReply(t *testing.T) {
	t.Parallel()
	const tries = 1500
	q := startQEMU(t)
	c := newClient(t, Options{Greeting: time.Minute, Reply: time.Minute, Conversation: time.Minute, Startup: -1, Backoff: -1})
	usual := usualTime(t, c, q.path)
	next := &strict{path: q.path, retry: time.Millisecond}
	outcomes := map[Kind]int{}
	victims := 0
	for range tries {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.Float64()*1.2*float64(usual)))
		_, err := c.Query(ctx, q.path)
		cancel()
		var e *Error
		switch {
		case err == nil:
			outcomes[""]++
		case errors.As(err, &e):
			outcomes[e.Kind]++
		default:
			t.Fatal(err)
		}
		if _, err := next.run("query-status", ""); err != nil {
			victims++
			t.Errorf("next client: %v", err)
		}
	}
	t.Logf("%d conversations given up within %s (the usual time is %s): %v, victims %d",
		tries, (usual * 12 / 10).Round(time.Microsecond), usual.Round(time.Microsecond), outcomes, victims)
	if outcomes[ErrTimeout] < tries/20 {
		t.Errorf("only %d were given up with a reply owed: nothing was shown", outcomes[ErrTimeout])
	}
}

// usualTime returns the median of some conversations.
func usualTime(t *testing.T, c *Client, path string) time.Duration {
	t.Helper()
	var took []time.Duration
	for range 51 {
		began := time.Now()
		if _, err := c.Query(t.Context(), path); err != nil {
			t.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2]
}
