package linkprobe

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// errNoICMP says that this process may not send echo requests.
var errNoICMP = errors.New("no permission to send ICMP echo requests (give the service CAP_NET_RAW, or put its group into sysctl net.ipv4.ping_group_range)")

// openICMP returns the transport to the kernel of the peer: over a raw socket, or over a ping
// socket where privileges do not suffice.
func openICMP(p pair) (transport, error) {
	local, remote := netip.AddrPortFrom(p.local, 0), netip.AddrPortFrom(p.remote, 0)
	s, err := openSock(rawSock, local, remote)
	if forbidden(err) {
		s, err = openSock(pingSock, local, remote)
	}
	if forbidden(err) {
		return nil, errNoICMP
	}
	if err != nil {
		return nil, err
	}
	return &prober{sock: s, codec: newICMPCodec(p.local.Is4())}, nil
}

// icmpCodec is the codec of ICMP echo. Replies are recognised by a nonce in the payload, because
// raw sockets see the replies to every process and ping sockets choose the identifier themselves.
type icmpCodec struct {
	nonce         uint64
	proto         int // to parse with
	ask, answered icmp.Type
}

func newICMPCodec(is4 bool) icmpCodec {
	c := icmpCodec{nonce: newNonce(), proto: 1, ask: ipv4.ICMPTypeEcho, answered: ipv4.ICMPTypeEchoReply}
	if !is4 {
		c.proto, c.ask, c.answered = 58, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	return c
}

func (c icmpCodec) request(seq uint64) []byte {
	m := icmp.Message{Type: c.ask, Body: &icmp.Echo{ID: int(uint16(c.nonce)), Seq: int(uint16(seq)), Data: c.payload(seq)}}
	b, err := m.Marshal(nil) // the kernel fills in the checksum of ICMPv6
	if err != nil {
		panic(err) // an echo of fixed size always marshals
	}
	return b
}

func (c icmpCodec) reply(seq uint64, b []byte) (time.Duration, bool) {
	m, err := icmp.ParseMessage(c.proto, b)
	if err != nil || m.Type != c.answered {
		return 0, false
	}
	e, ok := m.Body.(*icmp.Echo)
	return 0, ok && string(e.Data) == string(c.payload(seq))
}

// payload is as long as a UDP probe, so that both ways carry packets of one size.
func (c icmpCodec) payload(seq uint64) []byte {
	b := make([]byte, packetSize)
	binary.BigEndian.PutUint64(b, c.nonce)
	binary.BigEndian.PutUint64(b[8:], seq)
	return b
}
