package session

import (
	"context"

	"github.com/quorate/quorate/provision/facts"
	"github.com/quorate/quorate/provision/transport"
)

// Targets are nodes as package facts reads them.
func Targets(names []string, nodes transport.Set) []facts.Target {
	var out []facts.Target
	for _, n := range names {
		out = append(out, facts.Target{Name: n, API: nodes.API(n), Shell: words{nodes.Shell(n)}})
	}
	return out
}

// words is a Shell that takes the words of a command.
type words struct{ shell transport.Shell }

func (w words) Run(ctx context.Context, argv ...string) (string, error) {
	out, err := w.shell.Run(ctx, transport.Command{Argv: argv})
	return out.Stdout, err
}
