package session

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/program"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/steps"
	"github.com/quorate/quorate/provision/transport"
)

// A Session is a file, the nodes it speaks of, and the person who runs it.
type Session struct {
	Spec     *spec.Cluster
	Nodes    transport.Set
	Clock    engine.Clock
	Resolver spec.Resolver
	Files    steps.Files
	Program  program.Source // that is copied to the nodes as their exporter; nil: the one that runs
	Redact   *engine.Redactor
	StateDir string // where run directories are made

	// Preflight checks what must be true beforehand, with a Set that can only read, and tells about it.
	// It returns a *PreflightError when something is not. nil checks nothing.
	Preflight func(ctx context.Context, nodes transport.Set) error
	// Confirm asks whether to go on; nil goes on.
	Confirm func(question string) (bool, error)

	Out      io.Writer // results
	Err      io.Writer // progress
	Terminal bool      // Err is one
	Colour   bool      // of Out
	Verbose  bool
	Format   string // text, json or jsonl

	BySSH       bool
	AllowWipe   bool
	RotateToken bool
	RepairJoin  bool
	Limits      steps.Limits
	Options     engine.Options // Target, Nodes, Parallel, Stop
}

// The formats.
const (
	FormatText  = "text"
	FormatJSON  = "json"
	FormatJSONL = "jsonl"
	FormatJUnit = "junit"
)

// A PreflightError is a check that keeps the cluster from being changed.
type PreflightError struct{ Names []string }

func (e *PreflightError) Error() string {
	return fmt.Sprintf("preflight: %d checks failed, nothing was changed: %v (fix them, or name them in --ignore-preflight)", len(e.Names), e.Names)
}

// here is the machine this runs on.
func (s *Session) here() Here {
	if s.Program == nil {
		s.Program = program.Running()
	}
	return Here{s.Program, s.Files}
}

// env is what the steps share, on the nodes that are given.
func (s *Session) env(nodes transport.Set) *steps.Env {
	return &steps.Env{
		Program: s.here().Program,
		Spec:    s.Spec, Nodes: nodes, Clock: s.Clock, Files: s.Files, Hide: s.Redact.Add, Limits: s.Limits,
		BySSH: s.BySSH, AllowWipe: s.AllowWipe, RotateToken: s.RotateToken, RepairJoin: s.RepairJoin,
		Secret: func(ctx context.Context, sec spec.Secret) (string, error) {
			v, err := sec.Resolve(ctx, s.Resolver)
			s.Redact.Add(v)
			return v, err
		},
	}
}

func (s *Session) options(tell func(engine.Event), keep func(string, []byte)) engine.Options {
	o := s.Options
	o.Cluster, o.Clock, o.Again, o.Tell, o.Keep = s.Spec.Metadata.Name, s.Clock, transport.Passing, tell, keep
	return o
}

// ready connects and runs the checks, on a transport that can only read.
func (s *Session) ready(ctx context.Context) (transport.Set, error) {
	nodes := transport.ReadOnly(s.Nodes)
	if err := s.env(nodes).Connect(ctx, true); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if s.Preflight != nil {
		if err := s.Preflight(ctx, nodes); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

// code is the exit code of an error.
func (s *Session) code(err error, wrote bool) int {
	var p *PreflightError
	if errors.As(err, &p) {
		return engine.ExitPreflight
	}
	return engine.ExitCode(err, wrote, transport.Unreachable)
}

// clean takes secrets out of an error before anybody sees it.
func (s *Session) clean(err error) error {
	if err == nil {
		return nil
	}
	text := s.Redact.Clean(err.Error())
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// writer takes secrets out of what is written.
type writer struct {
	w      io.Writer
	redact *engine.Redactor
}

func (w writer) Write(b []byte) (int, error) {
	if _, err := io.WriteString(w.w, w.redact.Clean(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}
