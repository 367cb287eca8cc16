package corosync

import (
	"errors"
	"fmt"
)

// Errors of Client.Quorum. Compare with errors.Is.
var (
	// ErrStopped says that corosync is configured but does not answer at all.
	ErrStopped error = &kindError{"stopped", "corosync is not running on this node (see `systemctl status corosync`); " +
		"if it is, its sockets are out of reach: our unit must not use PrivateNetwork= nor a read-only /dev/shm"}
	// ErrNoSharedMemory says that corosync answers but the memory it shares with us is not there.
	ErrNoSharedMemory error = &kindError{"shared_memory", "corosync answers, but its buffers in /dev/shm are not to be seen: " +
		"our unit must not have a /dev/shm of its own"}
	// ErrAccess says that corosync refuses this process.
	ErrAccess error = &kindError{"access", "corosync refuses this process: " +
		"it lets in effective user root or effective group root (a supplementary group does not count); " +
		"set User=root or Group=root in the unit, no capability is needed"}
	// ErrNotBuilt says that this program has no code to talk to corosync.
	ErrNotBuilt error = &kindError{"not_built", "this binary was built without cgo and cannot read corosync; " +
		"install the Debian package, or build with CGO_ENABLED=1"}
	// ErrClosed says that the Client has been closed.
	ErrClosed error = &kindError{"closed", "the corosync client is closed"}
)

type kindError struct{ reason, text string }

func (e *kindError) Error() string { return e.text }

// Reason is the value of label reason for this error.
func (e *kindError) Reason() string { return e.reason }

// csError is a cs_error_t that a library call returned.
type csError struct {
	call string
	code int
	kind error // what the code means to people, or nil
}

// The codes of cs_error_t (corotypes.h) that are acted upon.
const (
	csOK        = 1
	csLibrary   = 2
	csTryAgain  = 6
	csBadHandle = 9
	csAccess    = 11
	csNotExist  = 12
)

var csNames = map[int]string{
	csLibrary: "CS_ERR_LIBRARY", csTryAgain: "CS_ERR_TRY_AGAIN", csBadHandle: "CS_ERR_BAD_HANDLE",
	csAccess: "CS_ERR_ACCESS", csNotExist: "CS_ERR_NOT_EXIST",
}

// csKinds tells what a code means to whoever runs the node. A daemon that is gone shows as LIBRARY
// from every call; NOT_EXIST of a key never gets here.
var csKinds = map[int]error{
	csLibrary: ErrStopped, csBadHandle: ErrStopped,
	csNotExist: ErrNoSharedMemory,
	csAccess:   ErrAccess,
}

// csCheck returns nil for CS_OK, else the error of call.
func csCheck(call string, code int) error {
	if code == csOK {
		return nil
	}
	return &csError{call: call, code: code, kind: csKinds[code]}
}

func (e *csError) Error() string {
	name, ok := csNames[e.code]
	if !ok {
		name = fmt.Sprintf("cs_error_t %d", e.code)
	}
	if e.kind == nil {
		return fmt.Sprintf("%s: %s", e.call, name)
	}
	return fmt.Sprintf("%s: %s: %v", e.call, name, e.kind)
}

func (e *csError) Unwrap() error { return e.kind }

// Reason is the value of label reason for this error.
func (e *csError) Reason() string {
	switch {
	case e.code == csTryAgain:
		return "busy"
	case e.kind != nil:
		var k *kindError
		if errors.As(e.kind, &k) {
			return k.reason
		}
	}
	return "library"
}

func isTryAgain(err error) bool {
	var e *csError
	return errors.As(err, &e) && e.code == csTryAgain
}

// breaksConnection says that the handles are of no more use. An answer that we cannot make sense
// of is no reason to open new ones.
func breaksConnection(err error) bool {
	var e *csError
	return errors.As(err, &e) && e.code != csTryAgain
}
