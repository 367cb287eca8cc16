package steps

import (
	"context"
	"errors"
	"time"

	"github.com/quorate/quorate/provision/living"
	"github.com/quorate/quorate/provision/transport"
)

// view asks a node for its cluster.
func (e *Env) view(ctx context.Context, node string) (living.View, error) {
	return living.ReadView(ctx, e.Nodes, node)
}

// member returns a node that speaks for the cluster, and what it sees: one that is in it and has quorum.
// While there is no cluster that is the first node, which is going to create it. What is written
// there stays: a node that joins takes over /etc/pve of the cluster.
func (e *Env) member(ctx context.Context) (living.View, error) {
	e.mu.Lock()
	last := e.inside
	e.mu.Unlock()
	if last != "" {
		if v, err := e.view(ctx, last); err == nil && v.Name == e.name() && v.Quorate {
			return v, nil
		}
	}
	var first, without living.View
	var failed []error
	for i, n := range e.names() {
		v, err := e.view(ctx, n)
		switch {
		case err != nil:
			failed = append(failed, err)
			if ctx.Err() != nil || !transport.Passing(err) {
				return living.View{}, err
			}
		case v.Name == e.name() && v.Quorate:
			e.mu.Lock()
			e.inside = n
			e.mu.Unlock()
			return v, nil
		case v.Name == e.name():
			without = v
		case i == 0:
			first = v
		}
	}
	switch {
	case without.Node != "":
		// There is a cluster; whoever writes will be told that it has no quorum.
		return without, nil
	case first.Node == "" || len(failed) > 0:
		// The cluster may be on the nodes that did not answer: unknown is not absent.
		return living.View{}, errors.Join(failed...)
	}
	return first, nil
}

// Connect asks every node for its version. A node that the cluster lists may just be joining, in a run
// that was cut off: its API restarts, refuses the old login, and has a new certificate, for which a
// member can vouch. A patient Connect waits for such a node.
func (e *Env) Connect(ctx context.Context, patient bool) error {
	e.Limits.fill()
	failed := map[string]error{}
	for _, n := range e.names() {
		err := e.reach(ctx, n)
		for try := 1; patient && transport.Passing(err) && try < connectTries && e.Clock.Sleep(ctx, 2*time.Second) == nil; try++ {
			err = e.reach(ctx, n)
		}
		if err != nil {
			failed[n] = err
		}
	}
	var errs []error
	for _, n := range e.names() {
		if failed[n] == nil {
			continue
		}
		err := e.rejoin(ctx, n, failed, patient)
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// connectTries is how often a node is asked before it counts as not reached.
const connectTries = 4

func (e *Env) reach(ctx context.Context, node string) error {
	var v struct {
		Version string `json:"version"`
	}
	return e.Nodes.API(node).Get(ctx, "/version", &v)
}

// rejoin is about a node that did not answer as it should, and may in a moment.
func (e *Env) rejoin(ctx context.Context, node string, failed map[string]error, patient bool) error {
	for _, m := range e.names() {
		if failed[m] != nil {
			continue
		}
		prints, err := e.fingerprints(ctx, m)
		if err != nil || prints[node] == "" {
			continue
		}
		if e.RepairJoin {
			return nil // it is what this run is about
		}
		limit := e.Limits.Reach
		if !patient {
			limit = 0
		}
		err = e.poll(node+" to answer", limit).Until(ctx, func(ctx context.Context) (bool, string, error) {
			if prints, err := e.fingerprints(ctx, m); err == nil {
				e.Nodes.Renew(node, prints[node])
			}
			err := e.reach(ctx, node)
			if err != nil {
				failed[node] = err
				return false, err.Error(), nil
			}
			return true, "", nil
		})
		if err == nil {
			return nil
		}
		break
	}
	return failed[node]
}

// fingerprints are those of all members' certificates, as a member tells them.
func (e *Env) fingerprints(ctx context.Context, node string) (map[string]string, error) {
	info, err := e.joinInfo(ctx, node)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, n := range info.Nodes {
		out[n.Name] = n.Fingerprint
	}
	return out, nil
}

type joinInfo struct {
	Preferred string `json:"preferred_node"`
	Nodes     []struct {
		Name        string `json:"name"`
		Fingerprint string `json:"pve_fp"`
		Address     string `json:"pve_addr"`
	} `json:"nodelist"`
}

func (e *Env) joinInfo(ctx context.Context, node string) (joinInfo, error) {
	var info joinInfo
	err := e.Nodes.API(node).Get(ctx, "/cluster/config/join", &info)
	return info, err
}
