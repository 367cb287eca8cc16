package steps

import (
	"context"
	"errors"
	"strings"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/facts"
	"github.com/quorate/quorate/provision/transport"
)

// watchdogStep chooses the kernel module that resets a node without quorum. It is read when the node
// boots; restarting watchdog-mux under an active HA would reset the node.
type watchdogStep struct{ *Env }

const watchdogFile = "/etc/default/pve-ha-manager"

const watchdogKey = "WATCHDOG_MODULE="

func (*watchdogStep) ID() engine.ID         { return idWatchdog }
func (*watchdogStep) Title() string         { return "the watchdog that fences a node" }
func (*watchdogStep) Needs() []engine.ID    { return nil }
func (*watchdogStep) Traits() engine.Traits { return engine.Traits{Spread: -1} }

func (s *watchdogStep) Observe(ctx context.Context) (engine.Observed, error) {
	seen := map[string]string{}
	if w := s.want().HA.Watchdog; w == "" {
		return seen, nil
	}
	for _, n := range s.names() {
		out, err := s.Nodes.Shell(n).Run(ctx, transport.ReadFile(watchdogFile))
		var failed *transport.CommandError
		if errors.As(err, &failed) && strings.Contains(failed.Stderr, "No such file") {
			err = nil
		}
		if err != nil {
			return nil, err
		}
		seen[n] = out.Stdout
	}
	return seen, nil
}

func (s *watchdogStep) Diff(have engine.Observed) []engine.Change {
	seen, want := have.(map[string]string), s.want().HA.Watchdog
	var out []engine.Change
	for _, n := range s.names() {
		text, ok := seen[n]
		if !ok || facts.Watchdog(text) == want {
			continue
		}
		out = append(out, engine.Change{
			Node: n, Path: "watchdog", From: facts.Watchdog(text), To: want, Action: engine.Update, Risk: engine.Low, Key: text,
			Note: "takes effect when the node boots",
		})
	}
	return out
}

func (s *watchdogStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	report.Keep(c.Node+"-pve-ha-manager", []byte(c.Key))
	var lines []string
	for _, l := range strings.Split(strings.TrimRight(c.Key, "\n"), "\n") {
		if l != "" && !strings.HasPrefix(strings.TrimSpace(l), watchdogKey) {
			lines = append(lines, l)
		}
	}
	lines = append(lines, watchdogKey+c.To)
	_, err := s.Nodes.Shell(c.Node).Run(ctx, transport.WriteFile(watchdogFile, "0644", []byte(strings.Join(lines, "\n")+"\n")))
	return err
}

func (*watchdogStep) Wait(context.Context, engine.Reporter) error { return nil }
