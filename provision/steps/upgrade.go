package steps

import (
	"context"
	"fmt"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/transport"
)

// upgradeStep brings the packages of machines up to date before they join. A node that is in the cluster
// is left alone: updating a living cluster goes node by node and with maintenance mode.
type upgradeStep struct{ *Env }

func (*upgradeStep) ID() engine.ID      { return idUpgrade }
func (*upgradeStep) Title() string      { return "updates, before the nodes join" }
func (*upgradeStep) Needs() []engine.ID { return []engine.ID{idRepos} }

// Observe returns the number of pending updates of each node that stands alone.
func (s *upgradeStep) Observe(ctx context.Context) (engine.Observed, error) {
	seen := map[string]int{}
	if !s.want().PVE.Upgrade {
		return seen, nil
	}
	for _, n := range s.names() {
		v, err := s.view(ctx, n)
		if err != nil {
			return nil, err
		}
		if v.Name != "" {
			continue
		}
		var rows []struct{}
		if err := s.Nodes.API(n).Get(ctx, "/nodes/"+n+"/apt/update", &rows); err != nil {
			return nil, err
		}
		seen[n] = len(rows)
	}
	return seen, nil
}

func (s *upgradeStep) Diff(have engine.Observed) []engine.Change {
	seen := have.(map[string]int)
	var out []engine.Change
	for _, n := range s.names() {
		if seen[n] > 0 {
			out = append(out, engine.Change{Node: n, Path: "packages", From: fmt.Sprintf("%d updates pending", seen[n]), To: "up to date",
				Action: engine.Update, Risk: engine.Low, Note: "a new kernel runs after the next boot"})
		}
	}
	return out
}

func (s *upgradeStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	report.Progress(c.Node, "apt-get dist-upgrade")
	if _, err := s.Nodes.Shell(c.Node).Run(ctx, transport.InstallPackages()); err != nil {
		return err
	}
	// The list that the API shows is made by this.
	return s.start(ctx, c.Node, "POST", "/nodes/"+c.Node+"/apt/update", nil, report)
}

func (*upgradeStep) Wait(context.Context, engine.Reporter) error { return nil }
