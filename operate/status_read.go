package operate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/transport"
)

// runningOn asks a node, through another or itself, which guests run on it. Unlike /cluster/resources, whose
// numbers are up to ten seconds old, this is as it is now.
func (c *Cluster) runningOn(ctx context.Context, by, node string) ([]Guest, error) {
	var out []Guest
	for _, kind := range []string{"qemu", "lxc"} {
		var rows []struct {
			VMID   pve.Int `json:"vmid"`
			Name   string  `json:"name"`
			Status string  `json:"status"`
			MaxMem pve.Int `json:"maxmem"`
			Lock   string  `json:"lock"`
		}
		if err := c.Nodes.API(by).Get(ctx, "/nodes/"+node+"/"+kind, &rows); err != nil {
			return nil, err
		}
		for _, r := range rows {
			if r.Status == "running" {
				out = append(out, Guest{VMID: int(r.VMID.V), Kind: kind, Name: r.Name, Node: node, Status: r.Status, Memory: r.MaxMem.V, Lock: r.Lock})
			}
		}
	}
	slices.SortFunc(out, func(a, b Guest) int { return a.VMID - b.VMID })
	return out, nil
}

// pvecmStatus asks a node over SSH whether it sees quorum; nil if it does not say.
func (c *Cluster) pvecmStatus(ctx context.Context, node string) (*bool, error) {
	out, err := c.Nodes.Shell(node).Run(ctx, transport.QuorumStatus())
	if err != nil {
		return nil, err
	}
	return parseQuorate(out.Stdout), nil
}

// parseQuorate reads the line "Quorate: Yes" of pvecm status.
func parseQuorate(text string) *bool {
	for _, line := range strings.Split(text, "\n") {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "Quorate:"); ok {
			yes := strings.TrimSpace(value) == "Yes"
			return &yes
		}
	}
	return nil
}

// A clusterTask is one of /cluster/tasks, which has of each node what runs and the last that ended.
type clusterTask struct {
	UPID   string  `json:"upid"`
	Node   string  `json:"node"`
	Type   string  `json:"type"`
	ID     string  `json:"id"`
	Start  pve.Int `json:"starttime"`
	End    pve.Int `json:"endtime"`
	Status string  `json:"status"`
}

func (t clusterTask) running() bool { return !t.End.Known }

func (t clusterTask) failed() bool {
	return !t.running() && t.Status != "OK" && !strings.HasPrefix(t.Status, "WARNINGS:")
}

func (t clusterTask) String() string {
	return strings.TrimSpace(t.Type+" "+t.ID) + " on " + t.Node
}

// clusterTasks are those of all nodes, newest first.
func (c *Cluster) clusterTasks(ctx context.Context, node string) ([]clusterTask, error) {
	var rows []clusterTask
	if err := c.Nodes.API(node).Get(ctx, "/cluster/tasks", &rows); err != nil {
		return nil, fmt.Errorf("tasks: %w", err)
	}
	slices.SortFunc(rows, func(a, b clusterTask) int { return int(b.Start.V - a.Start.V) })
	return rows, nil
}

// failedWithin is how long a failed task is shown.
const failedWithin = 24 * time.Hour

func (r *Status) readTasks(c *Cluster) func(context.Context, *State) error {
	return func(ctx context.Context, s *State) error {
		rows, err := c.clusterTasks(ctx, s.Members.Node)
		if err != nil {
			return err
		}
		for _, t := range rows {
			row := StatusTask{t.UPID, t.Node, t.Type, t.ID, time.Unix(t.Start.V, 0), t.Status}
			switch {
			case t.running():
				r.Running = append(r.Running, row)
			case t.failed() && s.At.Sub(row.Start) < failedWithin:
				r.Failed = append(r.Failed, row)
			}
		}
		return nil
	}
}
