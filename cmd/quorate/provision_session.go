package main

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/program"
	"github.com/quorate/quorate/provision/session"
	"github.com/quorate/quorate/provision/transport"
)

type provisionSession = session.Session

// provisionFlags are what plan, apply and verify have in common.
type provisionFlags struct {
	*connectionFlags
	format, target, nodes, ignore *string
	parallel                      *int
}

func newProvisionFlags(c *kingpin.CmdClause, formats ...string) *provisionFlags {
	return &provisionFlags{
		connectionFlags: newConnectionFlags(c),
		format:          c.Flag("output", strings.Join(formats, ", ")+".").Short('o').Default(formats[0]).Enum(formats...),
		target:          c.Flag("target", "Only these steps, separated by commas.").PlaceHolder("STEP,…").String(),
		nodes:           c.Flag("nodes", "Only changes on these nodes, separated by commas.").PlaceHolder("NODE,…").String(),
		ignore:          ignoreFlag(c),
		parallel:        c.Flag("parallel", "How many nodes are worked on at the same time.").Default("4").Int(),
	}
}

// with runs do with a session made of the flags. The first interrupt ends it before its next change, a
// second one at once.
func (f *provisionFlags) with(stdout, stderr io.Writer, do func(context.Context, *provisionSession) (int, error)) (int, error) {
	return f.connectionFlags.with(stderr, func(ctx context.Context, l connection) (int, error) {
		here := session.Here{Program: program.Running(), Files: session.OSFiles{}}
		return do(ctx, &provisionSession{
			Spec: l.spec, Nodes: l.fleet, Clock: engine.WallClock{}, Resolver: l.secrets, Files: here.Files, Program: here.Program, Redact: l.redact, StateDir: l.dir,
			Preflight: session.Checks(l.spec, here, stderr, time.Now, *f.parallel, list(*f.ignore)),
			Out:       stdout, Err: stderr, Terminal: isTerminal(stderr), Colour: f.colour(stdout), Verbose: *f.verbose, Format: *f.format,
			BySSH:   *f.via == transport.ViaSSH,
			Options: engine.Options{Target: stepIDs(*f.target), Nodes: list(*f.nodes), Parallel: *f.parallel, Stop: l.stop},
		})
	})
}

// list takes apart words with commas between them.
func list(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

func stepIDs(s string) []engine.ID {
	var out []engine.ID
	for _, w := range list(s) {
		out = append(out, engine.ID(w))
	}
	return out
}
