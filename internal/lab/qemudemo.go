package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

const wanderName = "wander"

// demoVMs are real guests among the played ones: a quiet one, and one that writes so fast that its
// migrations take several passes and about ten seconds.
var demoVMs = []VMOptions{
	{ID: 110, Name: "quiet", MemoryMiB: 64, WorkingSetPages: 4096},
	{ID: 111, Name: "busy", MemoryMiB: 96, WorkingSetPages: 16384, DirtyPagesPerMs: 2},
}

// demoBandwidth is the limit of the demo's migrations, so that there is time to watch them.
const demoBandwidth = 16 << 20

// startVMs starts the demo's virtual machines and what migrates them.
func (l *Lab) startVMs(ctx context.Context, out io.Writer) error {
	if err := VMRequirements(); err != nil {
		fmt.Fprintln(out, "no virtual machines:", err)
		return nil
	}
	for i, o := range demoVMs {
		if err := l.StartVM(ctx, 1+i%l.o.Nodes, o); err != nil {
			return err
		}
	}
	self, err := l.self(ctx)
	if err != nil {
		return err
	}
	return l.StartDaemon(ctx, Daemon{Name: wanderName, Log: filepath.Join(l.NodeDir(0), wanderName+".log"), Argv: []string{
		"nsenter", "--net=" + filepath.Join(netnsDir, l.names.switches()), "--", self, "--dir", l.o.Dir, "vm", wanderName}})
}

// Wander migrates the lab's VMs, one after the other and every so often, to the next node that has
// power, and says on out what came of it. It ends with ctx or with the lab.
func (l *Lab) Wander(ctx context.Context, every time.Duration, out io.Writer) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if _, gone := os.Stat(filepath.Join(l.o.Dir, stateFile)); gone != nil {
			return nil
		}
		vms, err := l.VMs()
		if err != nil {
			return err
		}
		if len(vms) == 0 {
			continue
		}
		vm := vms[turn%len(vms)]
		to, ok := l.nextNode(vm.Node)
		if !ok {
			continue
		}
		r, err := l.Migrate(ctx, vm.ID, to, MigrateOptions{Bandwidth: demoBandwidth})
		if err != nil {
			fmt.Fprintf(out, "%s VM %d: %v\n", time.Now().Format(time.DateTime), vm.ID, err) // the lab is broken on purpose now and then
			continue
		}
		fmt.Fprintf(out, "%s %s\n", time.Now().Format(time.DateTime), r)
	}
}

// nextNode is the node after one, of those that have power.
func (l *Lab) nextNode(node int) (int, bool) {
	up := l.withoutDown(l.Nodes())
	for i := 1; i < l.o.Nodes; i++ {
		next := 1 + (node-1+i)%l.o.Nodes
		for _, n := range up {
			if n == next {
				return next, true
			}
		}
	}
	return 0, false
}
