package linkprobe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

var testKey = DeriveKey([]byte("an authkey of corosync"))

func TestPacketSurvivesTheWire(t *testing.T) {
	for name, p := range map[string]packet{
		"request":       {kind: request, link: 1, sender: 1, receiver: 2, nonce: 3, seq: 4},
		"reply":         {kind: reply, link: 0, sender: 20, receiver: 1, nonce: 1 << 63, seq: 1, hold: 17 * time.Microsecond},
		"largest":       {kind: reply, link: 255, sender: 1<<32 - 1, receiver: 1<<32 - 1, nonce: 1<<64 - 1, seq: 1<<64 - 1, hold: 1<<63 - 1},
		"zero sequence": {kind: request},
	} {
		t.Run(name, func(t *testing.T) {
			b := p.seal(testKey)
			if len(b) != packetSize {
				t.Errorf("%d bytes on the wire, want %d", len(b), packetSize)
			}
			if got, ok := open(testKey, b); !ok || got != p {
				t.Errorf("open = %+v, %v; want %+v", got, ok, p)
			}
		})
	}
}

func TestOpenRefusesWhatIsNotAuthentic(t *testing.T) {
	good := packet{kind: request, link: 1, sender: 1, receiver: 2, nonce: 3, seq: 4}.seal(testKey)
	// A holder of the key must not get odd packets through either.
	resealed := func(change func(b []byte)) []byte {
		b := bytes.Clone(good)
		change(b)
		copy(b[macOffset:], authenticate(testKey, b[:macOffset]))
		return b
	}
	for name, b := range map[string][]byte{
		"empty":             nil,
		"short":             good[:packetSize-1],
		"long":              append(bytes.Clone(good), 0),
		"other key":         packet{kind: request}.seal(DeriveKey([]byte("another"))),
		"other magic":       resealed(func(b []byte) { b[0] = 'q' }),
		"other version":     resealed(func(b []byte) { b[3] = 2 }),
		"unknown kind":      resealed(func(b []byte) { b[4] = 3 }),
		"reserved bits set": resealed(func(b []byte) { b[7] = 1 }),
		"negative hold":     resealed(func(b []byte) { b[32] = 0x80 }),
	} {
		t.Run(name, func(t *testing.T) {
			if p, ok := open(testKey, b); ok {
				t.Errorf("opened as %+v", p)
			}
		})
	}
	if _, ok := open(testKey, good); !ok {
		t.Error("the packet that the others were made from is refused as well")
	}
	if _, ok := open(nil, packet{kind: request}.seal(nil)); ok {
		t.Error("without a key everybody could authenticate")
	}
}

func TestEveryBitOfAPacketIsAuthenticated(t *testing.T) {
	good := packet{kind: request, link: 1, sender: 1, receiver: 2, nonce: 3, seq: 4}.seal(testKey)
	for bit := range packetSize * 8 {
		b := bytes.Clone(good)
		b[bit/8] ^= 1 << (bit % 8)
		if _, ok := open(testKey, b); ok {
			t.Errorf("bit %d of byte %d may be flipped", bit%8, bit/8)
		}
	}
}

func TestKeyIsNeverPrinted(t *testing.T) {
	var log bytes.Buffer
	text, _ := json.Marshal(map[string]any{"k": Topology{Key: testKey}})
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", testKey, "topology", Topology{Key: testKey})
	out := fmt.Sprintf("%v %x %s %d %#v %+v ", testKey, testKey, testKey, testKey, testKey, Topology{Key: testKey}) +
		string(text) + log.String()
	for _, leak := range []string{fmt.Sprintf("%x", []byte(testKey)), fmt.Sprint([]byte(testKey)[:4]), string(testKey)} {
		if strings.Contains(out, strings.Trim(leak, "[]")) {
			t.Errorf("key printed: %s", out)
		}
	}
	if n := strings.Count(out, "***"); n != 9 {
		t.Errorf("*** stands %d times instead of 9: %s", n, out)
	}
}

func TestDeriveKeyDependsOnTheAuthkey(t *testing.T) {
	a, b := DeriveKey([]byte("a")), DeriveKey([]byte("b"))
	if len(a) != 32 || bytes.Equal(a, b) {
		t.Errorf("%d bytes, equal for two authkeys: %v", len(a), bytes.Equal(a, b))
	}
	if k := DeriveKey(nil); k != nil {
		t.Error("no authkey must mean no key")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(packet{kind: request, link: 1, sender: 1, receiver: 2, nonce: 3, seq: 4}.seal(testKey))
	f.Add(packet{kind: reply, hold: time.Second}.seal(testKey))
	f.Add([]byte("QLP\x01"))
	icmp4, icmp6 := newICMPCodec(true), newICMPCodec(false)
	f.Add(icmp4.request(1))
	f.Add(icmp6.request(1))
	f.Add(append([]byte{0x45, 19: 0}, icmp4.request(1)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := open(testKey, b); ok && !bytes.Equal(p.seal(testKey), b) {
			t.Errorf("%x opens as %+v, which is something else on the wire", b, p)
		}
		// Nobody but a fuzzer that reads memory knows the nonce.
		for _, c := range []icmpCodec{icmp4, icmp6} {
			if _, ok := c.reply(2, b); ok {
				t.Errorf("%x passes as a reply", b)
			}
		}
		if got := withoutIPv4Header(b); len(got) > max(0, len(b)-20) {
			t.Errorf("%x: %d of %d bytes left", b, len(got), len(b))
		}
	})
}
