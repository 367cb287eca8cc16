package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	faultNodeDown       = "node-down"
	faultPartition      = "partition"
	faultPartitionLinks = "partition-links"
	faultLinkDown       = "link-down"
	faultLinkDelay      = "link-delay"
	faultLinkLoss       = "link-loss"
)

// networkFaults are those of nodes and cables. Lab.Inject records a fault before it makes it, and
// the cabling is derived from the records, so making and healing are the same act.
func networkFaults() []Fault {
	return []Fault{
		{Name: faultNodeDown, Args: "NODE…", Help: "Power off nodes: cables dead, every process killed.",
			Inject: nodesDown, Heal: nodesUp},
		{Name: faultPartition, Args: "GROUP…", Help: `Cut the corosync links and the storage network between groups of nodes, such as "1" "2,3"; unnamed nodes form one more.`,
			Inject: cable, Heal: cableAndSettle},
		{Name: faultPartitionLinks, Args: "GROUP…", Help: "Like partition, but only corosync's two links; storage stays whole.",
			Inject: cable, Heal: cableAndSettle},
		{Name: faultLinkDown, Args: "NODE LINK", Help: "Turn off a node's switch port. LINK is 0 or 1 (corosync) or 2 (storage).",
			Inject: cable, Heal: cableAndSettle},
		{Name: faultLinkDelay, Args: "NODE LINK MS [JITTER_MS]", Help: "Delay a node's frames by MS each way, and up to JITTER_MS more.",
			Inject: cable, Heal: cableAndSettle},
		{Name: faultLinkLoss, Args: "NODE LINK PERCENT", Help: "Lose a share of a node's frames, each way.",
			Inject: cable, Heal: cableAndSettle},
	}
}

func cable(ctx context.Context, l *Lab, _ []string) error { return l.rewire(ctx) }

func cableAndSettle(ctx context.Context, l *Lab, _ []string) error {
	if err := l.rewire(ctx); err != nil {
		return err
	}
	if err := l.settle(ctx); err != nil {
		return err
	}
	return l.settleCeph(ctx)
}

// settleCeph waits for Ceph, which the storage network and the nodes carry.
func (l *Lab) settleCeph(ctx context.Context) error {
	if !l.o.Ceph {
		return nil
	}
	return l.cephHealed(ctx)
}

// nodesDown cuts the cables first, as a power failure does: the peers see silence, no goodbye from
// the dying daemons' kernel.
func nodesDown(ctx context.Context, l *Lab, args []string) error {
	if err := l.rewire(ctx); err != nil {
		return err
	}
	return each(numbers(args), func(node int) error {
		if err := l.killNode(ctx, node); err != nil {
			return err
		}
		// A boot would empty it too: the ring buffers of killed daemons.
		_, err := l.Run(ctx, node, "find", "/dev/shm", "-mindepth", "1", "-delete")
		return err
	})
}

// killNode kills all that runs in a node but what holds its namespaces.
func (l *Lab) killNode(ctx context.Context, node int) error {
	namespace, err := os.Open(filepath.Join(netnsDir, l.names.node(node)))
	if err != nil {
		return fmt.Errorf("%s: its network is gone: %w", NodeName(node), err)
	}
	defer namespace.Close()
	holder := l.Pid(node, holderName)
	return poll(ctx, stopDeadline, 5*time.Millisecond, func() error {
		victims, err := l.processesBy(filepath.Join(l.procsDir(node), "*.json"), []*os.File{namespace})
		if err != nil {
			return permanent(err)
		}
		return killThese(slices.DeleteFunc(victims, func(id identity) bool { return id.Pid == holder }))
	})
}

// nodesUp plugs nodes in again and starts what ran on them: corosync, Ceph, and then the rest.
func nodesUp(ctx context.Context, l *Lab, args []string) error {
	if err := l.rewire(ctx); err != nil {
		return err
	}
	if err := l.startAllCorosync(ctx); err != nil {
		return err
	}
	if err := l.settle(ctx); err != nil {
		return err
	}
	nodes := l.withoutDown(numbers(args))
	if l.o.Ceph {
		if err := each(nodes, func(node int) error { return l.cephNodeUp(ctx, node) }); err != nil {
			return err
		}
	}
	if err := each(nodes, func(node int) error { return l.restartDaemons(ctx, node) }); err != nil {
		return err
	}
	return l.settleCeph(ctx)
}

// withoutDown leaves out the nodes that another fault keeps powered off.
func (l *Lab) withoutDown(nodes []int) []int {
	down := map[int]bool{}
	for _, f := range l.inEffect() {
		if f.Name == faultNodeDown {
			for _, node := range numbers(f.Args) {
				down[node] = true
			}
		}
	}
	var up []int
	for _, node := range nodes {
		if !down[node] {
			up = append(up, node)
		}
	}
	return up
}

// restartDaemons starts the recorded daemons of a node that were not stopped on purpose.
// corosync and its QDevice are the business of startCorosync, which knows the other faults.
func (l *Lab) restartDaemons(ctx context.Context, node int) error {
	records, err := l.records(node)
	if err != nil {
		return err
	}
	for _, r := range records {
		if r.Stopped || r.alive() || r.Name == corosyncName || r.Name == qdeviceName || r.Name == holderName {
			continue
		}
		if err := l.restart(ctx, r); err != nil {
			return err
		}
	}
	return nil
}
