package session

import (
	"context"
	"fmt"

	"github.com/quorate/quorate/provision/facts"
	"github.com/quorate/quorate/provision/preflight"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/transport"
)

// Names are those of the file's nodes.
func Names(c *spec.Cluster) []string {
	var names []string
	for _, n := range c.Spec.Nodes {
		names = append(names, n.Name)
	}
	return names
}

// Look runs all checks of preflight on the machines and returns what they found.
func (s *Session) Look(ctx context.Context, ignore []string) (preflight.Report, error) {
	seen := facts.Gather(ctx, Targets(Names(s.Spec), s.Nodes), facts.Want{Probes: preflight.Probes(s.Spec), Parallel: s.Options.Parallel, Now: s.Clock.Now})
	seen.Here = s.here().facts(s.Spec)
	return preflight.Run(preflight.Input{Spec: s.Spec, Facts: &seen, Now: s.Clock.Now()}, ignore)
}

// Import describes the cluster that the nodes of the session's file are in. Of that file only the way to
// the nodes is taken over.
func (s *Session) Import(ctx context.Context) (*spec.Cluster, error) {
	return importFrom(ctx, s.Spec, s.Nodes, s.Options.Parallel)
}

func importFrom(ctx context.Context, seed *spec.Cluster, nodes transport.Set, parallel int) (*spec.Cluster, error) {
	seen := facts.Gather(ctx, Targets(Names(seed), nodes), facts.Want{Configs: true, Parallel: parallel})
	for _, n := range seen.Nodes {
		// What one node knows alone, such as its disks, would be missing without a word.
		if err := n.Version.Err(); err != nil {
			return nil, fmt.Errorf("%s does not answer, and all nodes must: %w", n.Name, err)
		}
	}
	m, ok := seen.Membership.Get()
	if !ok {
		return nil, fmt.Errorf("read the cluster: %w", seen.Membership.Err())
	}
	c := spec.FromFacts(seen)
	c.Spec.Access = seed.Spec.Access
	for i, n := range c.Spec.Nodes {
		known, ok := seed.Node(n.Name)
		if !ok {
			return nil, fmt.Errorf("%s is in cluster %s, but the file does not say how to reach it (add it to spec.nodes)", n.Name, m.Name)
		}
		c.Spec.Nodes[i].Endpoint, c.Spec.Nodes[i].HostKey, c.Spec.Nodes[i].Fingerprint = known.Endpoint, known.HostKey, known.Fingerprint
	}
	return c, nil
}
