package qmp

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

func benching() bool { return os.Getenv("QUORATE_BENCH") != "" }

// generous are Options for a QEMU that is healthy on a machine that may be busy.
var generous = Options{Greeting: time.Minute, Reply: time.Minute, Conversation: time.Minute}

// TestLabContention has us and clients as strict as Proxmox's talk to one monitor at full speed.
func TestLabContention(t *testing.T) {
	t.Parallel()
	q := startQEMU(t)
	conversations := 1000
	if benching() {
		conversations = 10_000
	}
	c := newClient(t, generous)
	others := []*strict{{path: q.path, retry: 100 * time.Millisecond}, {path: q.path, retry: 100 * time.Millisecond}}
	began := time.Now()
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
	done, busy := 0, 0
	for done < conversations {
		switch _, err := c.Query(t.Context(), q.path); {
		case err == nil:
			done++
		case errors.Is(err, ErrBusy):
			busy++
			time.Sleep(time.Millisecond) // the sampler would wait longer
		default:
			t.Fatalf("our conversation %d: %v", done, err)
		}
	}
	ours := time.Since(began)
	all.Wait()
	t.Logf("%d conversations of ours in %s, busy %d times; %d of %d strict clients in %s, EAGAIN %d times, longest %s: no error on either side",
		done, ours.Round(time.Millisecond), busy, conversations, len(others), time.Since(began).Round(time.Millisecond),
		others[0].again+others[1].again, max(others[0].worst, others[1].worst).Round(time.Millisecond))
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

// TestLabQueryCost says what it costs to ask many VMs. A -machine none takes 10 MB.
func TestLabQueryCost(t *testing.T) {
	if !benching() {
		t.Skip("measures: run make bench")
	}
	const vms, rounds, workers = 50, 40, 4
	c := newClient(t, generous)
	paths := make([]string, vms)
	for i := range paths {
		paths[i] = startQEMU(t).path
	}
	round := func() {
		queue := make(chan string)
		var all sync.WaitGroup
		for range workers {
			all.Go(func() {
				for path := range queue {
					if _, err := c.Query(t.Context(), path); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for _, path := range paths {
			queue <- path
		}
		close(queue)
		all.Wait()
	}
	round()
	cpu, began := cpuTime(t), time.Now()
	for range rounds {
		round()
	}
	each := (cpuTime(t) - cpu) / (vms * rounds)
	t.Logf("%d VMs, %d workers: a round takes %s; processor time of ours per conversation %s, so 200 VMs at 1 Hz cost %.2f %% of a core",
		vms, workers, (time.Since(began) / rounds).Round(10*time.Microsecond), each, 200*each.Seconds()*100)
	if share := 200 * each.Seconds(); share > 0.02 {
		t.Errorf("200 VMs at 1 Hz cost %.1f %% of a core, want at most 2 %%", share*100)
	}
}
