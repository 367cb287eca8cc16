//go:build !linux

package linkprobe

import (
	"errors"
	"net/netip"
	"time"
)

// Clusters run Linux; elsewhere the program provisions and operates them, and probes nothing.

type sockKind struct{ name string }

var (
	udpSock  = sockKind{"UDP"}
	rawSock  = sockKind{"raw ICMP"}
	pingSock = sockKind{"ping ICMP"}
)

type sock struct{}

func openSock(kind sockKind, _, _ netip.AddrPort) (*sock, error) {
	return nil, &socketError{"open a " + kind.name + " socket", errors.ErrUnsupported}
}

type datagram struct {
	data []byte
	from netip.AddrPort
	at   time.Time
}

func (*sock) close()                              {}
func (*sock) setReadDeadline(time.Time) error     { return errors.ErrUnsupported }
func (*sock) send([]byte) error                   { return errors.ErrUnsupported }
func (*sock) sendTo([]byte, netip.AddrPort) error { return errors.ErrUnsupported }
func (*sock) recv([]byte) (datagram, error)       { return datagram{}, errors.ErrUnsupported }
func (*sock) recvNow([]byte) (datagram, error)    { return datagram{}, errors.ErrUnsupported }
