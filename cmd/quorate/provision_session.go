package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/session"
	"github.com/quorate/quorate/provision/transport"
)

type provisionSession = session.Session

// provisionFlags are what plan, apply and verify have in common.
type provisionFlags struct {
	file, format, target, nodes, via, state, ignore *string
	parallel                                        *int
	timeout                                         *time.Duration
	plain, verbose                                  *bool
}

func newProvisionFlags(c *kingpin.CmdClause, formats ...string) *provisionFlags {
	return &provisionFlags{
		file:     specFlag(c),
		format:   c.Flag("output", strings.Join(formats, ", ")+".").Short('o').Default(formats[0]).Enum(formats...),
		target:   c.Flag("target", "Only these steps, separated by commas.").PlaceHolder("STEP,…").String(),
		nodes:    c.Flag("nodes", "Only changes on these nodes, separated by commas.").PlaceHolder("NODE,…").String(),
		via:      c.Flag("transport", "api: the API with root's password. ssh: pvesh over SSH, without a password.").Default(transport.ViaAPI).Enum(transport.ViaAPI, transport.ViaSSH),
		state:    c.Flag("state-dir", "Where runs are recorded; default ~/.local/state/quorate.").PlaceHolder("DIR").String(),
		ignore:   ignoreFlag(c),
		parallel: c.Flag("parallel", "How many nodes are worked on at the same time.").Default("4").Int(),
		timeout:  c.Flag("timeout", "Of the whole run.").Default("60m").Duration(),
		plain:    c.Flag("no-color", "No colours; the environment variable NO_COLOR does the same.").Bool(),
		verbose:  c.Flag("verbose", "Tell about tasks and their progress.").Short('v').Bool(),
	}
}

// with runs do with a session made of the flags. The first interrupt ends it before its next change, a
// second one at once.
func (f *provisionFlags) with(stdout, stderr io.Writer, do func(context.Context, *provisionSession) (int, error)) (code int, err error) {
	c, err := readSpec(*f.file)
	if err != nil {
		return exitFailed, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), *f.timeout)
	defer cancel()
	stop := interrupts(ctx, cancel)
	dir, err := f.stateDir()
	if err != nil {
		return exitFailed, err
	}
	redact, secrets := &engine.Redactor{}, &session.OSResolver{In: os.Stdin, Out: stderr}
	level := slog.LevelWarn
	if *f.verbose {
		level = slog.LevelInfo
	}
	fleet, err := session.Connect(ctx, c, secrets, redact, session.Connection{
		Via: *f.via, AgentSock: os.Getenv("SSH_AUTH_SOCK"), StateDir: dir, Now: time.Now,
		Log: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level})),
	})
	if err != nil {
		return exitUnreachable, err
	}
	defer func() {
		if cerr := fleet.Close(); err == nil && cerr != nil {
			err = cerr
		}
	}()
	return do(ctx, &provisionSession{
		Spec: c, Nodes: fleet, Clock: engine.WallClock{}, Resolver: secrets, Files: session.OSFiles{}, Redact: redact, StateDir: dir,
		Preflight: session.Checks(c, stderr, time.Now, *f.parallel, list(*f.ignore)),
		Out:       stdout, Err: stderr, Terminal: isTerminal(stderr), Colour: isTerminal(stdout) && !*f.plain && os.Getenv("NO_COLOR") == "", Verbose: *f.verbose, Format: *f.format,
		BySSH:   *f.via == transport.ViaSSH,
		Options: engine.Options{Target: stepIDs(*f.target), Nodes: list(*f.nodes), Parallel: *f.parallel, Stop: stop},
	})
}

func (f *provisionFlags) stateDir() (string, error) {
	if *f.state != "" {
		return *f.state, nil
	}
	if base := os.Getenv("XDG_STATE_HOME"); base != "" {
		return filepath.Join(base, "quorate"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", errors.New("there is no home directory; give --state-dir")
	}
	return filepath.Join(home, ".local", "state", "quorate"), nil
}

// interrupts closes the channel at the first SIGINT or SIGTERM and cancels at the second.
func interrupts(ctx context.Context, cancel context.CancelFunc) <-chan struct{} {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	stop := make(chan struct{})
	go func() {
		defer signal.Stop(signals)
		select {
		case <-signals:
			close(stop)
		case <-ctx.Done():
			return
		}
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	return stop
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && session.IsTerminal(f)
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
