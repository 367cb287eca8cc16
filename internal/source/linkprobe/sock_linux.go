package linkprobe

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sockKind says what socket to open.
type sockKind struct {
	name  string
	typ   int
	proto func(is4 bool) int
}

var (
	udpSock  = sockKind{"UDP", unix.SOCK_DGRAM, func(bool) int { return unix.IPPROTO_UDP }}
	rawSock  = sockKind{"raw ICMP", unix.SOCK_RAW, icmpProto}    // needs CAP_NET_RAW
	pingSock = sockKind{"ping ICMP", unix.SOCK_DGRAM, icmpProto} // needs net.ipv4.ping_group_range
)

func icmpProto(is4 bool) int {
	if is4 {
		return unix.IPPROTO_ICMP
	}
	return unix.IPPROTO_ICMPV6
}

// A sock is a datagram socket that says when the kernel received a packet. Package net has no
// such socket for all of UDP, raw and ping.
type sock struct {
	file  *os.File
	raw   syscall.RawConn
	strip bool // packets come with their IPv4 header
}

// openSock opens a socket bound to local and, if remote is valid, connected to it.
func openSock(kind sockKind, local, remote netip.AddrPort) (*sock, error) {
	is4 := local.Addr().Is4()
	family := unix.AF_INET6
	if is4 {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, kind.typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, kind.proto(is4))
	if err != nil {
		return nil, &socketError{"open a " + kind.name + " socket", err}
	}
	if err := setup(fd, kind, local, remote); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	file := os.NewFile(uintptr(fd), kind.name)
	raw, err := file.SyscallConn()
	if err != nil {
		_ = file.Close()
		return nil, &socketError{"use a " + kind.name + " socket", err}
	}
	return &sock{file: file, raw: raw, strip: kind.typ == unix.SOCK_RAW && is4}, nil
}

func setup(fd int, kind sockKind, local, remote netip.AddrPort) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return &socketError{"switch on receive timestamps", err}
	}
	if kind.typ == unix.SOCK_RAW {
		if err := onlyEchoReplies(fd, local.Addr().Is4()); err != nil {
			return &socketError{"filter ICMP", err}
		}
	}
	if err := unix.Bind(fd, sockaddr(local)); err != nil {
		return &socketError{fmt.Sprintf("bind a %s socket to %v", kind.name, local), err}
	}
	if remote.IsValid() {
		if err := unix.Connect(fd, sockaddr(remote)); err != nil {
			// Without the peer: what hits all peers alike is told once.
			return &socketError{fmt.Sprintf("connect a %s socket of %v", kind.name, local.Addr()), err}
		}
	}
	return nil
}

// onlyEchoReplies keeps a raw socket from being woken by every ICMP packet of the peer.
func onlyEchoReplies(fd int, is4 bool) error {
	if is4 {
		const icmpFilter, echoReply = 1, 0 // linux/icmp.h: ICMP_FILTER, ICMP_ECHOREPLY; set bits block
		return unix.SetsockoptInt(fd, unix.SOL_RAW, icmpFilter, ^(1 << echoReply))
	}
	const echoReply = 129 // ICMPV6_ECHO_REPLY
	var f unix.ICMPv6Filter
	for i := range f.Data {
		f.Data[i] = ^uint32(0)
	}
	f.Data[echoReply/32] &^= 1 << (echoReply % 32)
	return unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &f)
}

func (s *sock) close() { _ = s.file.Close() }

func (s *sock) setReadDeadline(t time.Time) error { return s.file.SetReadDeadline(t) }

// send writes b to the connected peer.
func (s *sock) send(b []byte) error {
	return s.sendTo(b, netip.AddrPort{})
}

// sendTo writes b to to, or to the connected peer if to is not valid. It does not wait for room.
func (s *sock) sendTo(b []byte, to netip.AddrPort) error {
	var dst unix.Sockaddr
	if to.IsValid() {
		dst = sockaddr(to)
	}
	var sendErr error
	err := s.raw.Control(func(fd uintptr) {
		sendErr = ignoringEINTR(func() error { return unix.Sendmsg(int(fd), b, nil, dst, unix.MSG_DONTWAIT) })
	})
	return errors.Join(err, sendErr)
}

// A datagram is one received packet.
type datagram struct {
	data []byte // inside the buffer given to recv
	from netip.AddrPort
	at   time.Time // when the kernel received it, by the wall clock; zero if it does not say
}

// recv waits for a packet until the read deadline, then fails with os.ErrDeadlineExceeded.
func (s *sock) recv(buf []byte) (datagram, error) {
	var d datagram
	var recvErr error
	err := s.raw.Read(func(fd uintptr) bool {
		d, recvErr = s.recvmsg(int(fd), buf)
		return !errors.Is(recvErr, unix.EAGAIN)
	})
	if err != nil {
		return datagram{}, err
	}
	return d, recvErr
}

// recvNow returns a packet that is already there, whatever the deadline, or fails with EAGAIN.
func (s *sock) recvNow(buf []byte) (datagram, error) {
	var d datagram
	var recvErr error
	if err := s.raw.Control(func(fd uintptr) { d, recvErr = s.recvmsg(int(fd), buf) }); err != nil {
		return datagram{}, err
	}
	return d, recvErr
}

func (s *sock) recvmsg(fd int, buf []byte) (datagram, error) {
	var oob [64]byte
	var n, oobn int
	var from unix.Sockaddr
	err := ignoringEINTR(func() (err error) {
		n, oobn, _, from, err = unix.Recvmsg(fd, buf, oob[:], unix.MSG_DONTWAIT)
		return err
	})
	if err != nil {
		return datagram{}, err
	}
	d := datagram{data: buf[:n], from: addrPort(from), at: receiveTime(oob[:oobn])}
	if s.strip {
		d.data = withoutIPv4Header(d.data)
	}
	return d, nil
}

func receiveTime(oob []byte) time.Time {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return time.Time{}
	}
	for _, m := range msgs {
		// The two machine words of a struct timespec; 32-bit machines, where it is shorter, do without.
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) == 16 {
			return time.Unix(int64(nativeUint64(m.Data)), int64(nativeUint64(m.Data[8:])))
		}
	}
	return time.Time{}
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

func ignoringEINTR(fn func() error) error {
	for {
		if err := fn(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
