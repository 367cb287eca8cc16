package acceptance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
	"github.com/quorate/quorate/internal/pvefake"
)

// A coupling does the work of the fake's tasks on the real daemons of a bare lab, one task after the
// other, and lets its real Ceph answer (provision_ceph_test.go). A task ends as its work ends; while any
// work is under way the fake's clock stands still.
type coupling struct {
	t     *testing.T
	l     *lab.Lab
	fake  *pvefake.Cluster // set before the first task
	work  chan pvefake.Work
	asker cephAsker

	mu       sync.Mutex
	done     map[string]int // tasks whose work went well, by type
	commands []string       // that were given to Ceph
	left     int            // tasks that are not done
	idle     chan struct{}  // closed when left is 0
	last     cephStatus     // what the real one said when it was asked last
}

func newCoupling(t *testing.T, l *lab.Lab) *coupling {
	c := &coupling{t: t, l: l, work: make(chan pvefake.Work, 64), done: map[string]int{}, idle: make(chan struct{}), asker: cephAsker{l: l}}
	close(c.idle)
	return c
}

// options make the fake's tasks and its Ceph real.
func (c *coupling) options(o *pvefake.Options) {
	o.Perform, o.PerformCommand, o.CephStatus = c.perform, c.command, c.status
}

// run does what it is given until the channel is closed.
func (c *coupling) run(ctx context.Context) {
	for w := range c.work {
		status, begun := "", time.Now()
		if err := doers[w.Type](ctx, c.l, w); err != nil {
			status = strings.ReplaceAll(err.Error(), "\n", "; ")
		} else {
			c.mu.Lock()
			c.done[w.Type]++
			c.mu.Unlock()
		}
		c.t.Logf("%-14s %-14s on %s: %.1f s %s", w.Type, w.ID, lab.NodeName(w.Node), time.Since(begun).Seconds(), status)
		if err := c.fake.FinishTask(w.UPID, status); err != nil {
			c.t.Error(err)
		}
		if fakes, _ := c.fake.TaskStatus(w.UPID); status == "" && fakes != "OK" {
			c.t.Errorf("%s was done for real, and ended in the fake with %q", w.UPID, fakes)
		}
		c.mu.Lock()
		if c.left--; c.left == 0 {
			close(c.idle)
		}
		c.mu.Unlock()
	}
}

// perform is pvefake.Options.Perform.
func (c *coupling) perform(w pvefake.Work) bool {
	if doers[w.Type] == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left++; c.left == 1 {
		c.idle = make(chan struct{})
	}
	c.work <- w
	return true
}

// wait returns when no work is under way and Ceph has moved on.
func (c *coupling) wait(ctx context.Context) error {
	c.mu.Lock()
	idle := c.idle
	c.mu.Unlock()
	select {
	case <-idle:
		return c.moved(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// doers do the work of the tasks of a type.
var doers = map[string]func(context.Context, *lab.Lab, pvefake.Work) error{
	"clustercreate": func(ctx context.Context, l *lab.Lab, w pvefake.Work) error {
		if w.Node != 1 {
			return fmt.Errorf("the lab's cluster begins on pve1, not on %s", lab.NodeName(w.Node))
		}
		return errors.Join(ownLinks(l, w), l.MakeCluster(ctx, w.ID))
	},
	"clusterjoin": func(ctx context.Context, l *lab.Lab, w pvefake.Work) error {
		return errors.Join(ownLinks(l, w), l.JoinCluster(ctx, w.Node))
	},
	"cephcreatemon": func(ctx context.Context, l *lab.Lab, w pvefake.Work) error {
		if err := l.MakeMon(ctx, w.Node); err != nil {
			return err
		}
		// As with the real ones, the first brings a manager along.
		mons, err := l.CephCLI(ctx, "mon", "stat")
		if err != nil || !strings.Contains(mons, " 1 mons ") {
			return err
		}
		return l.MakeMgr(ctx, w.Node)
	},
	"cephcreatemgr": func(ctx context.Context, l *lab.Lab, w pvefake.Work) error { return l.MakeMgr(ctx, w.Node) },
	"cephcreateosd": func(ctx context.Context, l *lab.Lab, w pvefake.Work) error {
		_, err := l.MakeOSD(ctx, w.Node)
		return err
	},
	"cephcreatepool": func(ctx context.Context, l *lab.Lab, w pvefake.Work) error {
		return l.MakePool(ctx, w.Node, w.ID, poolSettings(w))
	},
	"cephsetpool": func(ctx context.Context, l *lab.Lab, w pvefake.Work) error {
		return l.SetPool(ctx, w.Node, w.ID, poolSettings(w))
	},
	"qmcreate": func(ctx context.Context, l *lab.Lab, w pvefake.Work) error {
		for _, image := range w.Images {
			if err := l.MakeImage(ctx, w.Node, image.Pool, image.Name, image.Bytes); err != nil {
				return err
			}
		}
		return nil
	},
}

// made are how many tasks of each type were done, and how many commands given.
func (c *coupling) made() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := maps.Clone(c.done)
	for _, line := range c.commands {
		words := strings.Fields(line)
		all[strings.Join(words[:min(3, len(words))], " ")]++
	}
	return all
}

// poolSettings are the parameters that say how the pool is to be.
func poolSettings(w pvefake.Work) map[string]string {
	settings := maps.Clone(w.Params)
	maps.DeleteFunc(settings, func(key, _ string) bool { return slices.Contains([]string{"node", "name", "add_storages"}, key) })
	return settings
}

// ownLinks checks that corosync's links are to use the addresses that the lab's node has.
func ownLinks(l *lab.Lab, w pvefake.Work) error {
	for link, name := range []string{"link0", "link1"} {
		asked := strings.TrimPrefix(w.Params[name], "address=")
		asked, _, _ = strings.Cut(asked, ",")
		if has := l.Addr(w.Node, link).String(); asked != has {
			return fmt.Errorf("%s is to be %q, and %s has %s", name, asked, lab.NodeName(w.Node), has)
		}
	}
	return nil
}
