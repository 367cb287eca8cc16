package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/session"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/transport"
)

// connectionFlags say how a cluster is reached and how a run of the program looks.
type connectionFlags struct {
	file, via, state *string
	timeout          *time.Duration
	plain, verbose   *bool
}

func newConnectionFlags(c *kingpin.CmdClause) *connectionFlags {
	return &connectionFlags{
		file:    specFlag(c),
		via:     c.Flag("transport", "api: the API with root's password. ssh: pvesh over SSH, without a password.").Default(transport.ViaAPI).Enum(transport.ViaAPI, transport.ViaSSH),
		state:   c.Flag("state-dir", "Where runs are recorded; default ~/.local/state/quorate.").PlaceHolder("DIR").String(),
		timeout: c.Flag("timeout", "Of the whole run.").Default("60m").Duration(),
		plain:   c.Flag("no-color", "No colours; the environment variable NO_COLOR does the same.").Bool(),
		verbose: c.Flag("verbose", "Tell about tasks and their progress.").Short('v').Bool(),
	}
}

// A connection is what the flags make: the file, the way to its nodes, and who may stop the run.
type connection struct {
	spec    *spec.Cluster
	fleet   *transport.Fleet
	secrets *session.OSResolver
	redact  *engine.Redactor
	dir     string          // of records
	stop    <-chan struct{} // closed at the first interrupt; the second ends the context
}

// with runs do with a connection. No node is spoken to yet.
func (f *connectionFlags) with(stderr io.Writer, do func(context.Context, connection) (int, error)) (code int, err error) {
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
	return do(ctx, connection{c, fleet, secrets, redact, dir, stop})
}

// colour says whether w is to get colours.
func (f *connectionFlags) colour(w io.Writer) bool {
	return isTerminal(w) && !*f.plain && os.Getenv("NO_COLOR") == ""
}

func (f *connectionFlags) stateDir() (string, error) {
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
