package operate

import (
	"context"
	"errors"
	"strings"

	"github.com/quorate/quorate/provision/engine"
)

// A RefusedError says that an operation was not begun, because the cluster would not bear it. Nothing was
// changed.
type RefusedError struct {
	What    string // was asked for: "take pve2 down"
	Reasons []string
}

func (e *RefusedError) Error() string {
	return "not begun: " + e.What + ": " + strings.Join(e.Reasons, "; ") + "; nothing was changed"
}

// refuse is nil without reasons.
func refuse(what string, reasons []string) error {
	if len(reasons) == 0 {
		return nil
	}
	return &RefusedError{what, reasons}
}

// An UnfinishedError says that an operation stopped after something had been changed, how the cluster was
// left, and how to go on.
type UnfinishedError struct {
	Err  error
	Left string // "pve2 is in maintenance"
	Do   string // "run this again to go on"
}

// unfinished is an UnfinishedError. What was refused in the middle of an operation is no refusal of it.
func unfinished(err error, left, do string) error {
	var refused *RefusedError
	if errors.As(err, &refused) {
		err = errors.New(refused.What + ": " + strings.Join(refused.Reasons, "; "))
	}
	return &UnfinishedError{err, left, do}
}

func (e *UnfinishedError) Error() string {
	return e.Err.Error() + "; " + e.Left + " (" + e.Do + ")"
}

func (e *UnfinishedError) Unwrap() error { return e.Err }

// ExitCode says what the program ends with after err: 4 for what was refused, 5 for what is unfinished.
func ExitCode(err error, unreachable func(error) bool) int {
	var refused *RefusedError
	var unfinished *UnfinishedError
	switch {
	case errors.Is(err, context.Canceled):
		return engine.ExitInterrupted
	case errors.As(err, &unfinished): // even if it was a refusal that ended it
		return engine.ExitPartial
	case errors.As(err, &refused):
		return engine.ExitPreflight
	}
	return engine.ExitCode(err, false, unreachable)
}
