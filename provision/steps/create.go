package steps

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/living"
	"github.com/quorate/quorate/provision/transport"
)

// createStep makes the first node a cluster of one.
type createStep struct{ *Env }

type createSeen struct {
	member living.View
	major  int
	minor  int
}

func (*createStep) ID() engine.ID      { return idCreate }
func (*createStep) Title() string      { return "the cluster itself, on the first node" }
func (*createStep) Needs() []engine.ID { return []engine.ID{idHosts, idNetwork, idUpgrade} }

func (s *createStep) Settle(ctx context.Context, report engine.Reporter) error {
	return s.settle(ctx, s.names()[:1], report, "clustercreate")
}

func (s *createStep) Observe(ctx context.Context) (engine.Observed, error) {
	m, err := s.member(ctx)
	if err != nil {
		return nil, err
	}
	major, minor, err := s.release(ctx, m.Node)
	return createSeen{m, major, minor}, err
}

func (s *createStep) Diff(have engine.Observed) []engine.Change {
	seen := have.(createSeen)
	path := "cluster/" + s.name()
	switch seen.member.Name {
	case s.name():
		return nil
	case "":
		return []engine.Change{{Node: seen.member.Node, Path: path, To: s.describe(), Action: engine.Create, Risk: engine.Low, Do: seen}}
	}
	return []engine.Change{{
		Node: seen.member.Node, Path: path, From: seen.member.Name, To: s.name(), Action: engine.Forbidden,
		Note: "the node is in another cluster; take it out there, or correct metadata.name",
	}}
}

// describe is the corosync links of the first node, for people.
func (s *createStep) describe() string {
	n := s.want().Nodes[0]
	return linkText(s.linkParams(n, nil))
}

func linkText(links map[int]string) string {
	var parts []string
	for i := range 8 {
		if links[i] != "" {
			parts = append(parts, fmt.Sprintf("link%d %s", i, links[i]))
		}
	}
	return strings.Join(parts, "; ")
}

func (s *createStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	seen := c.Do.(createSeen)
	n, ok := s.node(c.Node)
	if !ok {
		return fmt.Errorf("node %s is not in the file", c.Node)
	}
	p := transport.Params{"clustername": s.name()}
	s.linkParams(n, p)
	if t := s.want().Corosync.TokenCoefficient; t > 0 && (seen.major > 9 || seen.major == 9 && seen.minor >= 1) {
		p["token-coefficient"] = t
	}
	return s.start(ctx, c.Node, "POST", "/cluster/config", p, report)
}

// Wait implements engine.Step. The task ends before corosync has found its quorum of one.
func (s *createStep) Wait(ctx context.Context, report engine.Reporter) error {
	p := s.poll("quorum of cluster "+s.name(), s.Limits.Quorum)
	err := p.Until(ctx, func(ctx context.Context) (bool, string, error) {
		m, err := s.member(ctx)
		if err != nil {
			return false, "", err
		}
		if m.Name != s.name() {
			return false, m.Node + " is in no cluster", nil
		}
		return m.Quorate, m.Node + " has no quorum", nil
	})
	if err != nil {
		return &engine.Advice{Node: s.names()[0], Err: err, Do: "see `journalctl -u corosync -u pve-cluster` there; corosync.conf is at /etc/pve/corosync.conf"}
	}
	return nil
}

// sortedLinks are the numbers of the links, ascending.
func sortedLinks(links map[int]string) []int {
	var out []int
	for i := range links {
		out = append(out, i)
	}
	slices.Sort(out)
	return out
}
