package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/living"
	"github.com/quorate/quorate/provision/transport"
)

// A Cluster is the one that is operated on.
type Cluster struct {
	Name  string   // as the file has it
	Names []string // of its nodes, in the order of the file
	Nodes transport.Set
	Clock engine.Clock
	Tell  func(engine.Event) // is told how far things are; may be nil
	Limit time.Duration      // of one task of Proxmox VE, default 15 min
}

// ErrNoQuorum says that no node that answers sees quorum.
var ErrNoQuorum = errors.New("no quorum")

// Speaker returns what a node says that is in the cluster and sees quorum. Nodes in without are not asked.
// The error wraps ErrNoQuorum if nodes answer and none of them does.
func (c *Cluster) Speaker(ctx context.Context, without ...string) (living.View, error) {
	var failed []error
	var foreign, answered []string
	for _, n := range c.Names {
		if slices.Contains(without, n) {
			continue
		}
		v, err := living.ReadView(ctx, c.Nodes, n)
		switch {
		case ctx.Err() != nil:
			return living.View{}, ctx.Err()
		case err != nil:
			failed = append(failed, fmt.Errorf("%s: %w", n, err))
		case v.Name != c.Name:
			foreign = append(foreign, fmt.Sprintf("%s is in %q", n, v.Name))
		case v.Quorate:
			return v, nil
		default:
			answered = append(answered, n)
		}
	}
	switch {
	case len(answered) > 0:
		return living.View{}, fmt.Errorf("%w: %s answer, and see none (`pvecm status` there says which votes are missing)", ErrNoQuorum, strings.Join(answered, ", "))
	case len(foreign) > 0:
		return living.View{}, fmt.Errorf("not cluster %q of the file: %s", c.Name, strings.Join(foreign, ", "))
	}
	return living.View{}, errors.Join(failed...)
}

// tasks waits for those of Proxmox VE.
func (c *Cluster) tasks() living.Tasks {
	limit := c.Limit
	if limit <= 0 {
		limit = 15 * time.Minute
	}
	return living.Tasks{Nodes: c.Nodes, Clock: c.Clock, Limit: limit}
}

// A teller tells the events of one operation. It is an engine.Reporter.
type teller struct {
	c     *Cluster
	what  engine.ID
	began time.Time
	pct   int
}

func (c *Cluster) teller(what engine.ID) *teller {
	return &teller{c: c, what: what, began: c.Clock.Now()}
}

func (t *teller) tell(e engine.Event) {
	if t.c.Tell == nil {
		return
	}
	now := t.c.Clock.Now()
	e.Time, e.Step, e.Seconds, e.Pct = now, t.what, now.Sub(t.began).Seconds(), t.pct
	t.c.Tell(e)
}

// Task implements engine.Reporter.
func (t *teller) Task(node, upid string) {
	t.tell(engine.Event{Event: engine.EventTask, Node: node, UPID: upid})
}

// Progress implements engine.Reporter.
func (t *teller) Progress(node, text string) {
	t.tell(engine.Event{Event: engine.EventProgress, Node: node, Text: text})
}

// Warning implements engine.Reporter.
func (t *teller) Warning(node, upid, text string, log []string) {
	t.tell(engine.Event{Event: engine.EventWarning, Node: node, UPID: upid, Text: text, Log: log})
}

// Keep implements engine.Reporter. Operations change nothing that would be kept.
func (t *teller) Keep(string, []byte) {}

// Change tells of something that is about to be done.
func (t *teller) Change(node, text string) {
	t.tell(engine.Event{Event: engine.EventChange, Node: node, Text: text})
}
