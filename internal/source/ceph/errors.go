package ceph

import (
	"errors"
	"fmt"
)

// A Kind is a sort of failure, to be tested for with errors.Is. It is as well the value of label
// reason of quorate_source_request_errors_total.
type Kind string

// The kinds of failure.
const (
	ErrNotConfigured Kind = "not_configured" // no ceph.conf: this machine is not meant to have Ceph
	ErrNotBuilt      Kind = "not_built"      // the program was built without cgo
	ErrConf          Kind = "conf"           // ceph.conf unreadable or malformed
	ErrKeyring       Kind = "keyring"        // no readable keyring holds a key of the user
	ErrNotConnected  Kind = "not_connected"  // no connection to the monitors yet, or lost
	ErrRefused       Kind = "refused"        // the monitors do not let this user in, or not do this
	ErrWrongCluster  Kind = "wrong_cluster"  // another fsid than ceph.conf names
	ErrTimeout       Kind = "timeout"        // not answered within the operation timeout
	ErrNoQuorum      Kind = "no_quorum"      // a monitor answered that it has no quorum
	ErrNoManager     Kind = "no_mgr"         // the monitors know no active manager
	ErrAnswer        Kind = "answer"         // an answer that could not be understood
	ErrCommand       Kind = "command"        // a command failed in another way
	ErrClosed        Kind = "closed"         // the Client was closed
)

func (k Kind) Error() string { return string(k) }

// Error is every failure of this package: its Kind, and a message that says what happened, where,
// and what to do next. It never holds a key.
type Error struct {
	Kind Kind
	Msg  string
	Err  error // the cause, may be nil
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Msg
	}
	return e.Msg + ": " + e.Err.Error()
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

func newError(k Kind, cause error, format string, args ...any) *Error {
	return &Error{Kind: k, Msg: fmt.Sprintf(format, args...), Err: cause}
}

// Fatal says whether err will not go away by itself, so that a program that meets it at its start
// should stop with it rather than wait.
func Fatal(err error) bool {
	for _, k := range []Kind{ErrNotBuilt, ErrConf, ErrKeyring, ErrRefused, ErrWrongCluster} {
		if errors.Is(err, k) {
			return true
		}
	}
	return false
}

// Error numbers that librados returns, the same on every Linux.
const (
	ePERM, eNOENT, eACCES, eINVAL = 1, 2, 13, 22
	eNOTCONN, eSHUTDOWN           = 107, 108
	eTIMEDOUT                     = 110
)

// kindOfErrno sorts an error number of librados. Its sign means nothing: a monitor command that
// timed out returns -110 and a manager command 110.
func kindOfErrno(n int) Kind {
	if n < 0 {
		n = -n
	}
	switch n {
	case ePERM, eACCES:
		return ErrRefused
	case eTIMEDOUT:
		return ErrTimeout
	case eNOTCONN, eSHUTDOWN:
		return ErrNotConnected
	}
	return ErrCommand
}

// commandError tells of a command that the cluster did not do. info is what it said about it.
func commandError(whom, cmd string, errno int, info string) error {
	k := kindOfErrno(errno)
	switch k {
	case ErrTimeout:
		return newError(k, nil, "%s: %q was not answered in time", whom, cmd)
	case ErrRefused:
		return newError(k, nil, "%s: %q refused: %s (the user needs caps: mon 'allow r' mgr 'allow r')", whom, cmd, orElse(info, "permission denied"))
	case ErrNotConnected:
		return newError(k, nil, "%s: %q: connection lost", whom, cmd)
	}
	return newError(k, nil, "%s: %q failed: %s (error %d)", whom, cmd, orElse(info, "no reason given"), errno)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
