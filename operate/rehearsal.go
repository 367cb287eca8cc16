package operate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/transport"
)

// A rehearsal is a drill that takes away less than a node, and gives it back as soon as it was missed.
type rehearsal struct {
	c      *Cluster
	tell   *teller
	watch  *watch
	node   string              // where the commands are given
	says   string              // what happens
	strike []transport.Command // the last one makes the failure, those before see to it that it ends
	undo   []transport.Command
	struck string // the phase that shows that it happened
}

// How long things of a rehearsal are waited for.
const (
	struckLimit = 2 * time.Minute
	missedFor   = 15 * time.Second // so long it stays away once that was noticed, for what follows from it
)

// run makes the failure, watches it, and ends it.
func (r *rehearsal) run(ctx context.Context, report *DrillReport, budget Budget) (*DrillReport, error) {
	shell := r.c.Nodes.Shell(r.node)
	for i, cmd := range r.strike {
		if i == len(r.strike)-1 {
			r.tell.Change(r.node, r.says)
			r.watch.start()
		}
		if _, err := shell.Run(ctx, cmd); err != nil && !r.watch.started() {
			return nil, fmt.Errorf("%w; nothing was begun", err) // the timer may be another drill's, which is not ours to end
		} else if err != nil {
			return nil, r.broken(ctx, err)
		}
	}
	w := r.watch
	err := w.until(ctx, struckLimit, r.struck, func() (bool, error) { return w.seen(r.struck), nil })
	if err == nil {
		until := r.c.Clock.Now().Add(missedFor)
		err = w.until(ctx, 2*missedFor, "what follows", func() (bool, error) { return !r.c.Clock.Now().Before(until), nil })
	}
	if err != nil && !errors.Is(err, engine.ErrTimeout) {
		return nil, r.broken(ctx, err)
	}
	if err := r.mend(ctx); err != nil {
		return nil, r.broken(ctx, err)
	}
	if w.seen(r.struck) {
		if err := w.until(ctx, backLimit, "all as before", r.asBefore); err != nil && !errors.Is(err, engine.ErrTimeout) {
			return nil, r.broken(ctx, err)
		}
	}
	w.fill(report)
	measured := map[string]*Seconds{}
	for _, p := range w.phases {
		measured[p.Name] = p.After
	}
	report.Over = budget.over(measured)
	return report, ctx.Err()
}

// asBefore says that all was seen that had to be, and that Ceph is well.
func (r *rehearsal) asBefore() (bool, error) {
	for _, p := range r.watch.phases {
		if p.Needed && p.After == nil {
			return false, nil
		}
	}
	s := r.watch.last.ceph
	return s == nil || s.Health.Status == "HEALTH_OK", nil
}

// mend ends the failure, and then the timer that would.
func (r *rehearsal) mend(ctx context.Context) error {
	r.tell.Change(r.node, "ending it: `"+r.undo[0].String()+"`")
	for _, cmd := range r.undo {
		if _, err := r.c.Nodes.Shell(r.node).Run(ctx, cmd); err != nil {
			return err
		}
	}
	return nil
}

// broken is the error of a rehearsal that did not go its way, after it was ended.
func (r *rehearsal) broken(ctx context.Context, err error) error {
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookAfter)
	defer cancel()
	if merr := r.mend(clean); merr != nil && r.watch.started() {
		var words []string
		for _, cmd := range r.undo {
			words = append(words, "`"+cmd.String()+"`")
		}
		return &UnfinishedError{err, fmt.Sprintf("ending it failed too (%v)", merr),
			fmt.Sprintf("%s ends it by itself within %s, or on it: %s", r.node, transport.DrillTime, strings.Join(words, ", "))}
	}
	return &UnfinishedError{err, "the failure was ended again", "see `quorate status`"}
}

// sshWorks is a reason if it does not.
func (c *Cluster) sshWorks(ctx context.Context, node string) []string {
	if _, err := c.Nodes.Shell(node).Run(ctx, transport.Command{Argv: []string{"true"}}); err != nil {
		return []string{fmt.Sprintf("SSH to %s is needed: %v", node, err)}
	}
	return nil
}

// canCut is a reason if a node has no nft.
func (c *Cluster) canCut(ctx context.Context, node string) []string {
	if _, err := c.Nodes.Shell(node).Run(ctx, transport.CanCut()); err != nil {
		return []string{fmt.Sprintf("%s needs nft (`apt install nftables`): %v", node, err)}
	}
	return nil
}

// lookToDrill is Look; that there is no quorum is a reason not to begin.
func (c *Cluster) lookToDrill(ctx context.Context, what string) (State, error) {
	s, err := c.Look(ctx)
	if errors.Is(err, ErrNoQuorum) {
		return s, &RefusedError{what, []string{err.Error()}}
	}
	return s, err
}
