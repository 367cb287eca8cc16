package lab

import (
	"context"
	"fmt"
	"strings"
)

// Has says that a node is one of the lab's.
func (l *Lab) Has(node int) error {
	if node < 1 || node > l.o.Nodes {
		return fmt.Errorf("node %d: this lab has the nodes 1 to %d", node, l.o.Nodes)
	}
	return nil
}

// Status is the lab for people: a line per node, Ceph's health if there is Ceph, and the faults.
func (l *Lab) Status(ctx context.Context) []string {
	lines := make([]string, l.o.Nodes)
	_ = each(l.Nodes(), func(node int) error { // a node's failure is its line
		lines[node-1] = fmt.Sprintf("%-6s %s", NodeName(node), l.nodeStatus(ctx, node))
		return nil
	})
	if l.o.Ceph {
		health, err := l.CephCLI(ctx, "health")
		if err != nil {
			health = err.Error()
		}
		lines = append(lines, "ceph   "+strings.ReplaceAll(strings.TrimSpace(health), "\n", "; "))
	}
	faults := "none"
	if active := l.Active(); len(active) > 0 {
		var texts []string
		for _, a := range active {
			texts = append(texts, a.String())
		}
		faults = strings.Join(texts, ", ")
	}
	return append(lines, "faults "+faults)
}

func (l *Lab) nodeStatus(ctx context.Context, node int) string {
	pid := l.Pid(node, corosyncName)
	if pid == 0 {
		return "corosync does not run"
	}
	running := fmt.Sprintf("corosync %d", pid)
	q, err := l.Quorum(ctx, node)
	if err != nil {
		return running + "  does not answer: " + strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	quorate := "NOT quorate"
	if q.Quorate {
		quorate = "quorate"
	}
	return fmt.Sprintf("%s  %s  votes %d of %d  members %s  ring %s", running, quorate, q.Total, q.Expected,
		strings.Trim(strings.ReplaceAll(fmt.Sprint(q.Members), " ", ","), "[]"), q.RingID)
}
