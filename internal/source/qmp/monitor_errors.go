package qmp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// A Kind is a sort of failure, to be tested for with errors.Is. It is as well the value of label
// reason of quorate_source_request_errors_total.
type Kind string

// The kinds of failure. After each of them the monitor is free for others, or will be as soon as
// QEMU has given the reply that it owes.
const (
	ErrBusy       Kind = "busy"        // the monitor's queue is full (EAGAIN): skip this round
	ErrInUse      Kind = "in_use"      // we ourselves still talk to this monitor, or wait for its last reply
	ErrBackingOff Kind = "backing_off" // it timed out lately and is left alone for a while
	ErrGone       Kind = "gone"        // no such socket, or nobody listens: the VM does not run
	ErrDenied     Kind = "denied"      // no permission to connect
	ErrConnect    Kind = "connect"     // connecting failed in another way
	ErrNoGreeting Kind = "no_greeting" // connected, but QEMU did not turn to us in time
	ErrTimeout    Kind = "timeout"     // a reply did not come in time
	ErrCanceled   Kind = "canceled"    // the caller gave up
	ErrLost       Kind = "lost"        // QEMU closed the connection in the middle
	ErrAnswer     Kind = "answer"      // what came is not QMP
	ErrCommand    Kind = "command"     // QEMU answered with an error
	ErrNotAllowed Kind = "not_allowed" // not one of the read-only commands; nothing was sent
	ErrClosed     Kind = "closed"      // the Monitor is not connected, or the Client was closed
)

// kinds lists all there are, for counters that start at 0.
func kinds() []string {
	var all []string
	for _, k := range []Kind{
		ErrBusy, ErrInUse, ErrBackingOff, ErrGone, ErrDenied, ErrConnect, ErrNoGreeting, ErrTimeout,
		ErrCanceled, ErrLost, ErrAnswer, ErrCommand, ErrNotAllowed, ErrClosed,
	} {
		all = append(all, string(k))
	}
	return all
}

func (k Kind) Error() string { return string(k) }

// slow says whether k means that QEMU, or whoever holds its monitor, took too long.
func (k Kind) slow() bool { return k == ErrNoGreeting || k == ErrTimeout }

// An Error is every failure of this package: its Kind, and what happened, where, and what to do.
type Error struct {
	Kind Kind
	Path string // of the socket
	Msg  string
	Err  error // the cause, may be nil
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Path + ": " + e.Msg
	}
	return e.Path + ": " + e.Msg + ": " + e.Err.Error()
}

// Unwrap makes errors.Is find the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// Reason is the value of label reason.
func (e *Error) Reason() string { return string(e.Kind) }

func newError(k Kind, path string, cause error, format string, args ...any) *Error {
	return &Error{Kind: k, Path: path, Msg: fmt.Sprintf(format, args...), Err: cause}
}

// dialErrors sorts what connect(2) says.
var dialErrors = []struct {
	errno syscall.Errno
	kind  Kind
	msg   string
}{
	{syscall.EAGAIN, ErrBusy, "others wait for this monitor already (tried again next time)"},
	{syscall.ENOENT, ErrGone, "no such socket: the VM has stopped"},
	{syscall.ECONNREFUSED, ErrGone, "nobody listens: QEMU has died and left its socket"},
	{syscall.EACCES, ErrDenied, "may not connect (run as root, or with CAP_DAC_OVERRIDE)"},
	{syscall.EPERM, ErrDenied, "may not connect (run as root, or with CAP_DAC_OVERRIDE)"},
}

func dialError(path string, err error) *Error {
	for _, d := range dialErrors {
		if errors.Is(err, d.errno) {
			return newError(d.kind, path, d.errno, "%s", d.msg)
		}
	}
	return newError(ErrConnect, path, err, "cannot connect")
}

// readError tells why no line came. waited is how long that took, slow the kind of having waited
// in vain, and what the thing waited for.
func readError(ctx context.Context, path string, err error, slow Kind, what string, waited time.Duration) *Error {
	waited = waited.Round(time.Millisecond)
	switch {
	case errors.Is(err, errGarbage), errors.Is(err, errTooLong):
		return newError(ErrAnswer, path, err, "waiting for %s", what)
	case errors.Is(ctx.Err(), context.Canceled):
		return newError(ErrCanceled, path, ctx.Err(), "waiting for %s", what)
	case errors.Is(err, os.ErrDeadlineExceeded), ctx.Err() != nil:
		hint := "QEMU's main loop hangs"
		if slow == ErrNoGreeting {
			hint = "another client holds the monitor, or QEMU hangs"
		}
		return newError(slow, path, context.DeadlineExceeded, "no %s within %s (%s)", what, waited, hint)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return newError(ErrLost, path, err, "QEMU closed the connection before %s came", what)
	}
	return newError(ErrLost, path, err, "waiting for %s", what)
}
