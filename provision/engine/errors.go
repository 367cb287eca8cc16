package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Exit codes of plan, apply and verify.
const (
	ExitOK          = 0
	ExitError       = 1
	ExitChanges     = 2 // plan with changes, where that was asked for
	ExitUnreachable = 3 // no connection, or not let in
	ExitPreflight   = 4
	ExitPartial     = 5 // something was changed before the run failed
	ExitVerify      = 6
	ExitUsage       = 64
	ExitInterrupted = 130
)

// A UsageError is a mistake on the command line.
type UsageError struct{ Text string }

func (e *UsageError) Error() string { return e.Text }

// A StepError says which step failed, where, and what Proxmox VE said.
type StepError struct {
	Step ID
	Node string
	Path string // of the change, "" while looking or waiting
	UPID string
	Log  []string // the last lines of the task
	Hint string   // what to do next
	Err  error
}

func (e *StepError) Error() string {
	var b strings.Builder
	if e.Node != "" {
		b.WriteString(e.Node + ": ")
	}
	fmt.Fprintf(&b, "step %s", e.Step)
	if e.Path != "" {
		fmt.Fprintf(&b, ": %s", e.Path)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	if e.UPID != "" {
		fmt.Fprintf(&b, " (task %s)", e.UPID)
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, " (%s)", e.Hint)
	}
	return b.String()
}

func (e *StepError) Unwrap() error { return e.Err }

// A TaskError is a task of Proxmox VE that did not end well.
type TaskError struct {
	Node, UPID string
	Status     string   // exitstatus
	Log        []string // last lines
}

func (e *TaskError) Error() string {
	return fmt.Sprintf("task ended with %q; see `pvesh get /nodes/%s/tasks/%s/log`", e.Status, e.Node, e.UPID)
}

// An Advice wraps an error with what to do next.
type Advice struct {
	Node string
	Err  error
	Do   string
}

func (e *Advice) Error() string { return fmt.Sprintf("%v (%s)", e.Err, e.Do) }
func (e *Advice) Unwrap() error { return e.Err }

// stepError makes a StepError of whatever a step returned.
func stepError(s Step, c *Change, err error) *StepError {
	e := &StepError{Step: s.ID(), Err: err}
	var had *StepError
	if errors.As(err, &had) {
		return had
	}
	if c != nil {
		e.Node, e.Path = c.Node, c.Path
	}
	var advice *Advice
	if errors.As(err, &advice) {
		e.Hint, e.Err = advice.Do, advice.Err
		if advice.Node != "" {
			e.Node = advice.Node
		}
	}
	var task *TaskError
	if errors.As(err, &task) {
		e.UPID, e.Log = task.UPID, task.Log
		if task.Node != "" {
			e.Node = task.Node
		}
	}
	return e
}

// A BlockedError is a plan that must not be applied.
type BlockedError struct {
	Unknown   []string // steps that could not look, and why
	Forbidden []Change
	Causes    []error // of the unknown: they tell whether it was the network
}

func (e *BlockedError) Unwrap() []error { return e.Causes }

func (e *BlockedError) Error() string {
	var lines []string
	for _, u := range e.Unknown {
		lines = append(lines, "unknown: "+u)
	}
	for _, c := range e.Forbidden {
		line := fmt.Sprintf("forbidden: %s: from %q to %q", c.Subject(), c.From, c.To)
		if c.Note != "" {
			line += " (" + c.Note + ")"
		}
		lines = append(lines, line)
	}
	return "nothing was changed: " + strings.Join(lines, "; ")
}

// ErrChanged says that the cluster is no longer as it was when the plan was made.
var ErrChanged = errors.New("the cluster or the file has changed since the plan was made; make a new plan")

// ErrInterrupted says that the run was asked to stop.
var ErrInterrupted = errors.New("interrupted; run apply again to go on")

// ErrLocked says that another run is active.
var ErrLocked = errors.New("another run on this cluster is active")

// ExitCode says what the program ends with after err. wrote says whether anything had been changed.
func ExitCode(err error, wrote bool, unreachable func(error) bool) int {
	var (
		usage *UsageError
		block *BlockedError
	)
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &usage):
		return ExitUsage
	case errors.Is(err, ErrInterrupted), errors.Is(err, context.Canceled):
		return ExitInterrupted
	case wrote:
		return ExitPartial
	case errors.As(err, &block) && len(block.Forbidden) > 0:
		return ExitError
	case unreachable != nil && unreachable(err):
		return ExitUnreachable
	}
	return ExitError
}
