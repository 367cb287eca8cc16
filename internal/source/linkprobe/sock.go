package linkprobe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
)

// A socketError says what this machine could not do with a socket.
type socketError struct {
	Op  string // for "cannot …"
	Err error
}

func (e *socketError) Error() string { return fmt.Sprintf("cannot %s: %v", e.Op, e.Err) }

func (e *socketError) Unwrap() error { return e.Err }

// Reason is the value of label reason for this error.
func (*socketError) Reason() string { return "socket" }

// unreachable reports whether err says that the network does not carry packets to the peer: no
// neighbour answers, no route, interface down.
func unreachable(err error) bool {
	return errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH) ||
		errors.Is(err, syscall.EHOSTDOWN) || errors.Is(err, syscall.ENETDOWN)
}

// forbidden reports whether err is a lack of privilege.
func forbidden(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES)
}

func nativeUint64(b []byte) uint64 { return binary.NativeEndian.Uint64(b) }

// withoutIPv4Header returns the payload of an IPv4 packet, or nil if it is not one.
func withoutIPv4Header(b []byte) []byte {
	if len(b) < 20 || b[0]>>4 != 4 {
		return nil
	}
	header := int(b[0]&15) * 4
	if header < 20 || header > len(b) {
		return nil
	}
	return b[header:]
}
