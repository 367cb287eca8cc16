package provisionproof

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/steps"
	"github.com/quorate/quorate/provision/transport"
)

// A Result is what was proved of one or more releases.
type Result struct {
	Steps        int // with something to do in the first apply
	FirstWrites  int
	SecondWrites int
	CrashPoints  int
	Converged    int
	Failures     []string // crash points that did not converge, and why
}

// String is the last line of `make provision-proof`.
func (r Result) String() string {
	return fmt.Sprintf("steps=%d first_apply_writes=%d second_apply_writes=%d crash_points=%d converged=%d",
		r.Steps, r.FirstWrites, r.SecondWrites, r.CrashPoints, r.Converged)
}

// Add sums up.
func (r *Result) Add(o Result) {
	r.Steps += o.Steps
	r.FirstWrites += o.FirstWrites
	r.SecondWrites += o.SecondWrites
	r.CrashPoints += o.CrashPoints
	r.Converged += o.Converged
	r.Failures = append(r.Failures, o.Failures...)
}

// Options of Prove.
type Options struct {
	Every int // crash after every so many requests; 1 is everywhere
	From  int // the first of them; default 1
	// Parallel is how many clusters are killed at the same time; default 1.
	Parallel int
	Tell     func(string)
}

func (o Options) tell(s string) {
	if o.Tell != nil {
		o.Tell(s)
	}
}

// errNotIdle is a second apply that found something to do.
var errNotIdle = errors.New("the second apply was not idle")

// Prove applies the file to machines of release v, once in peace and once for every crash point.
func Prove(ctx context.Context, c *spec.Cluster, v pvefake.Version, o Options) (Result, error) {
	r := Result{}
	peace, want, err := inPeace(ctx, c, v, &r)
	if err != nil {
		return r, fmt.Errorf("PVE %s: %w", v, err)
	}
	var points []int
	for k := max(1, o.From); k <= peace; k += max(1, o.Every) {
		points = append(points, k)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan int)
	for range max(1, o.Parallel) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for k := range next {
				err := crashAt(ctx, c, v, k, want)
				mu.Lock()
				r.point(v, k, peace, err, o)
				mu.Unlock()
			}
		}()
	}
	for _, k := range points {
		if ctx.Err() != nil {
			break
		}
		next <- k
	}
	close(next)
	wg.Wait()
	return r, ctx.Err()
}

// point notes how one crash ended.
func (r *Result) point(v pvefake.Version, k, of int, err error, o Options) {
	r.CrashPoints++
	if err != nil {
		f := fmt.Sprintf("PVE %s, killed after request %d of %d: %v", v, k, of, err)
		r.Failures = append(r.Failures, f)
		o.tell(f)
		return
	}
	r.Converged++
	if r.CrashPoints%100 == 0 {
		o.tell(fmt.Sprintf("PVE %s: %d of %d crash points", v, r.CrashPoints, of))
	}
}

// inPeace is the run that nothing disturbs. It returns how many requests it took and what came of it.
func inPeace(ctx context.Context, c *spec.Cluster, v pvefake.Version, r *Result) (int, State, error) {
	w, err := NewWorld(c, v)
	if err != nil {
		return 0, nil, err
	}
	defer w.Close()
	first, err := w.Apply(ctx, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("first apply: %w", err)
	}
	second, err := w.Apply(ctx, nil)
	if err != nil {
		return 0, nil, fmt.Errorf("second apply: %w", err)
	}
	for _, s := range first.Result.Plan.Steps {
		for _, ch := range s.Changes {
			if ch.Writes() {
				r.Steps++
				break
			}
		}
	}
	r.FirstWrites, r.SecondWrites = first.Writes, second.Writes
	s, err := w.end(ctx)
	return first.Requests, s, err
}

// crashAt kills an apply after its k-th request, whose reply is lost, and runs apply again.
func crashAt(ctx context.Context, c *spec.Cluster, v pvefake.Version, k int, want State) error {
	w, err := NewWorld(c, v)
	if err != nil {
		return err
	}
	defer w.Close()
	dying, kill := context.WithCancel(ctx)
	w.Fake.CrashAfter(k, kill)
	_, err = w.Apply(dying, nil)
	kill()
	if err == nil {
		return errors.New("the run was not killed")
	}
	w.Fake.CrashAfter(0, nil)
	if _, err := w.Apply(ctx, nil); err != nil {
		return fmt.Errorf("apply again: %w", err)
	}
	second, err := w.Apply(ctx, nil)
	if err != nil {
		return fmt.Errorf("second apply: %w", err)
	}
	if second.Writes > 0 {
		return fmt.Errorf("%w: %d writes", errNotIdle, second.Writes)
	}
	have, err := w.end(ctx)
	if err != nil {
		return err
	}
	if d := want.Diff(have); len(d) > 0 {
		return fmt.Errorf("another cluster came of it: %s", strings.Join(d, " | "))
	}
	return nil
}

// end reads the final state and checks what must hold besides.
func (w *World) end(ctx context.Context) (_ State, err error) {
	fleet, err := w.Fleet()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, fleet.Close()) }()
	w.Fake.Advance(30 * time.Second) // until every node has told the others of its guests
	s, err := w.State(ctx, fleet)
	if err != nil {
		return nil, err
	}
	return s, errors.Join(w.once(ctx, fleet), w.unwiped(), w.secretKept(ctx), w.spoken())
}

// onceEach are tasks of which each may end well once only, by node and id.
var onceEach = []string{"clustercreate", "clusterjoin", "cephcreatemon", "cephcreateosd", "cephcreatepool", "qmcreate"}

// once checks that nothing was made twice.
func (w *World) once(ctx context.Context, nodes transport.Set) error {
	for _, n := range w.Spec.Spec.Nodes {
		var rows []struct{ Type, ID, Status string }
		if err := nodes.API(n.Name).Get(ctx, "/nodes/"+n.Name+"/tasks?limit=5000", &rows); err != nil {
			return err
		}
		seen := map[string]bool{}
		for _, r := range rows {
			if r.Status != "OK" || !slices.Contains(onceEach, r.Type) {
				continue
			}
			if key := r.Type + " " + r.ID; seen[key] {
				return fmt.Errorf("%s: %s was done twice", n.Name, key)
			} else {
				seen[key] = true
			}
		}
	}
	return nil
}

// unwiped checks that no disk was wiped.
func (w *World) unwiped() error {
	for i, n := range w.Spec.Spec.Nodes {
		if wiped := w.Fake.WipedDisks(i + 1); len(wiped) > 0 {
			return fmt.Errorf("%s: disks were wiped: %v", n.Name, wiped)
		}
	}
	return nil
}

// secretKept checks that the operator has the token's secret, and that every node takes it.
func (w *World) secretKept(ctx context.Context) error {
	m := w.Spec.Spec.Monitoring
	if m.Token.SecretOut == "" {
		return nil
	}
	b, err := w.Files.Read(m.Token.SecretOut)
	if err != nil {
		return err
	}
	id, secret, _ := strings.Cut(strings.TrimSpace(string(b)), "=")
	if id != m.User+"!"+m.Token.ID {
		return fmt.Errorf("secretOut is about %q", id)
	}
	for i, n := range w.Spec.Spec.Nodes {
		c, err := pve.New(pve.Config{
			Endpoints: []string{w.Fake.Node(i + 1).Addr()}, Auth: pve.Auth{TokenID: id, TokenSecret: pve.NewSecret(secret)}, TLS: pve.TLSConfig{Insecure: true},
		})
		if err != nil {
			return err
		}
		err = c.Get(ctx, "/cluster/status", &[]struct{}{})
		if err = errors.Join(err, c.Close()); err != nil {
			return fmt.Errorf("%s: the token in secretOut does not work: %w", n.Name, err)
		}
	}
	return nil
}

// spoken checks that no node was given a command that none knows.
func (w *World) spoken() error {
	if unknown := w.Fake.SSHErrors(); len(unknown) > 0 {
		return fmt.Errorf("unknown commands: %v", unknown)
	}
	return nil
}

var _ steps.Files = (*MemFiles)(nil)
