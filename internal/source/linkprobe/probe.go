package linkprobe

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// A transport sends one probe at a time to one peer on one link.
type transport interface {
	// probe sends one packet and waits up to timeout for its reply.
	probe(ctx context.Context, timeout time.Duration) result
	close()
}

// A result is what became of one probe.
type result struct {
	outcome outcome
	rtt     time.Duration // when answered
	err     error         // when unsent
}

// A codec makes requests and recognises their replies.
type codec interface {
	request(seq uint64) []byte
	// reply reports whether b answers request seq, and how long the peer's process held it.
	reply(seq uint64, b []byte) (hold time.Duration, ok bool)
}

// prober is the transport over a connected socket.
type prober struct {
	sock  *sock
	codec codec
	seq   uint64
	buf   [512]byte
}

func (p *prober) close() { p.sock.close() }

func (p *prober) probe(ctx context.Context, timeout time.Duration) result {
	p.seq++
	b := p.codec.request(p.seq)
	if err := p.sock.setReadDeadline(time.Now().Add(timeout)); err != nil {
		return result{err: err}
	}
	stop := context.AfterFunc(ctx, func() { _ = p.sock.setReadDeadline(time.Unix(1, 0)) })
	defer stop()

	sent := time.Now()
	err := p.sock.send(b)
	if pendingError(err) {
		// The kernel reports what became of an earlier packet and has not sent this one.
		sent = time.Now()
		err = p.sock.send(b)
	}
	switch {
	case err == nil:
		return p.await(ctx, sent, timeout)
	case unreachable(err):
		return result{outcome: missed}
	case errors.Is(err, syscall.ECONNREFUSED):
		return result{outcome: refused}
	}
	return result{err: &socketError{"send a probe", err}}
}

// await reads until the reply to the last request comes or time is up.
func (p *prober) await(ctx context.Context, sent time.Time, timeout time.Duration) result {
	for {
		d, err := p.sock.recv(p.buf[:])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			if ctx.Err() != nil {
				return result{err: ctx.Err()}
			}
			// A starved process wakes too late; what came in time lies in the buffer with its timestamp.
			if d, err = p.sock.recvNow(p.buf[:]); errors.Is(err, syscall.EAGAIN) {
				return result{outcome: missed}
			}
		}
		switch {
		case err == nil:
			if rtt, ok := p.match(d, sent); ok && rtt <= timeout {
				return result{outcome: answered, rtt: rtt}
			}
		case errors.Is(err, syscall.ECONNREFUSED):
			return result{outcome: refused}
		case !unreachable(err): // that may be about an earlier packet, so the wait goes on
			return result{err: &socketError{"receive a reply", err}}
		}
	}
}

// match returns the round-trip time if d answers the last request.
func (p *prober) match(d datagram, sent time.Time) (time.Duration, bool) {
	hold, ok := p.codec.reply(p.seq, d.data)
	if !ok {
		return 0, false
	}
	return roundTrip(sent, time.Now(), d.at, hold), true
}

// roundTrip returns the time between sent and the reply without the time that processes waited for
// a CPU. read is when this process had the reply and the upper limit; received is the kernel's
// timestamp, by the wall clock and therefore only believed when it lies between sent and read;
// hold is how long the peer's process had the request.
func roundTrip(sent, read, received time.Time, hold time.Duration) time.Duration {
	rtt := read.Sub(sent)
	if !received.IsZero() {
		if kernel := received.Sub(sent); kernel > 0 && kernel < rtt {
			rtt = kernel
		}
	}
	if hold > 0 && hold < rtt {
		rtt -= hold
	}
	return rtt
}

func pendingError(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || unreachable(err)
}

// newNonce tells the packets of one socket from those of every other.
func newNonce() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.NativeEndian.Uint64(b[:])
}

// openUDP returns the transport to the exporter of the peer.
func openUDP(p pair, port uint16, key Key) (transport, error) {
	s, err := openSock(udpSock, netip.AddrPortFrom(p.local, 0), netip.AddrPortFrom(p.remote, port))
	if err != nil {
		return nil, err
	}
	return &prober{sock: s, codec: udpCodec{key: key, self: p.self, peer: p.id, link: uint8(p.link), nonce: newNonce()}}, nil
}

// udpCodec is the codec of the echo between exporters.
type udpCodec struct {
	key        Key
	self, peer uint32
	link       uint8
	nonce      uint64
}

func (c udpCodec) request(seq uint64) []byte {
	return packet{kind: request, link: c.link, sender: c.self, receiver: c.peer, nonce: c.nonce, seq: seq}.seal(c.key)
}

func (c udpCodec) reply(seq uint64, b []byte) (time.Duration, bool) {
	got, ok := open(c.key, b)
	want := packet{
		kind: reply, link: c.link, sender: c.peer, receiver: c.self,
		nonce: c.nonce, seq: seq, hold: got.hold,
	}
	return got.hold, ok && got == want
}
