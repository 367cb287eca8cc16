package linkprobe

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"time"
)

// A Key authenticates probe packets. It prints as ***.
type Key []byte

// DeriveKey makes the probe key from the content of /etc/corosync/authkey (on Proxmox VE
// /etc/pve/priv/authkey.key), so that nothing sent tells about the key of corosync itself. An empty
// authkey gives nil, which means: ICMP only.
func DeriveKey(authkey []byte) Key {
	if len(authkey) == 0 {
		return nil
	}
	mac := hmac.New(sha256.New, authkey)
	mac.Write([]byte("quorate linkprobe echo v1"))
	return mac.Sum(nil)
}

// Format hides the key from every verb of package fmt.
func (Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("***")) }

// LogValue hides the key from log/slog.
func (Key) LogValue() slog.Value { return slog.StringValue("***") }

// MarshalText hides the key from encoders.
func (Key) MarshalText() ([]byte, error) { return []byte("***"), nil }

// The wire format, big endian. Request and reply are equally long, so an echo amplifies nothing.
//
//	0 magic "QLP"   8 sender node id    16 nonce of the requester   32 hold, ns (0 in a request)
//	3 version 1    12 receiver node id  24 sequence                 40 HMAC-SHA256, first 24 bytes
//	4 kind, 5 link, 6 zero
const (
	packetSize = 64
	macOffset  = 40
	macSize    = packetSize - macOffset
)

var magic = [4]byte{'Q', 'L', 'P', 1}

type packetKind uint8

// The kinds. The kind is part of what is authenticated: a request cannot be turned into a reply.
const (
	request packetKind = 1
	reply   packetKind = 2
)

type packet struct {
	kind     packetKind
	link     uint8
	sender   uint32
	receiver uint32
	nonce    uint64 // of the socket that asked; replies to an earlier process do not fit
	seq      uint64
	hold     time.Duration // reply: how long the echoing process had the request
}

// seal returns p on the wire.
func (p packet) seal(key Key) []byte {
	b := make([]byte, packetSize)
	copy(b, magic[:])
	b[4], b[5] = byte(p.kind), p.link
	binary.BigEndian.PutUint32(b[8:], p.sender)
	binary.BigEndian.PutUint32(b[12:], p.receiver)
	binary.BigEndian.PutUint64(b[16:], p.nonce)
	binary.BigEndian.PutUint64(b[24:], p.seq)
	binary.BigEndian.PutUint64(b[32:], uint64(p.hold))
	copy(b[macOffset:], authenticate(key, b[:macOffset]))
	return b
}

// open returns the packet in b if it is one and key authenticates it.
func open(key Key, b []byte) (packet, bool) {
	if len(key) == 0 || len(b) != packetSize || [4]byte(b) != magic {
		return packet{}, false
	}
	if !hmac.Equal(b[macOffset:], authenticate(key, b[:macOffset])) {
		return packet{}, false
	}
	p := packet{
		kind: packetKind(b[4]), link: b[5],
		sender:   binary.BigEndian.Uint32(b[8:]),
		receiver: binary.BigEndian.Uint32(b[12:]),
		nonce:    binary.BigEndian.Uint64(b[16:]),
		seq:      binary.BigEndian.Uint64(b[24:]),
		hold:     time.Duration(binary.BigEndian.Uint64(b[32:])),
	}
	known := p.kind == request || p.kind == reply
	return p, known && b[6] == 0 && b[7] == 0 && p.hold >= 0
}

func authenticate(key Key, b []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(b)
	return mac.Sum(nil)[:macSize]
}
