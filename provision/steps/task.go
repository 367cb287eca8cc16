package steps

import (
	"context"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/living"
	"github.com/quorate/quorate/provision/transport"
)

func (e *Env) tasks() living.Tasks {
	return living.Tasks{Nodes: e.Nodes, Clock: e.Clock, Limit: e.Limits.Task}
}

// start sends a write that answers with the UPID of a task, and waits for the task.
func (e *Env) start(ctx context.Context, node, method, path string, p transport.Params, report engine.Reporter) error {
	return e.tasks().Start(ctx, node, method, path, p, report)
}

// settle waits for the tasks of some types that an earlier run left running on nodes.
func (e *Env) settle(ctx context.Context, nodes []string, report engine.Reporter, types ...string) error {
	return e.tasks().Settle(ctx, nodes, report, types...)
}

// clusterNodes are the nodes of the file that are in the cluster and online.
func (e *Env) clusterNodes(ctx context.Context) ([]string, error) {
	m, err := e.member(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, n := range e.names() {
		if listed, online := m.Has(n); listed && online {
			out = append(out, n)
		}
	}
	return out, nil
}
