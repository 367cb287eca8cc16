package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// beatLimit is how long a VM may let somebody wait at its serial line.
const beatLimit = 5 * time.Second

// beat is a byte of a guest's heartbeat: on which node it came out, and when by one clock.
type beat struct {
	at     time.Time
	node   int
	number byte // counts up, 7 bits
}

// heartbeat records what a guest sends on the serial lines of its processes. Each line has one
// goroutine; stop ends them.
type heartbeat struct {
	mu    sync.Mutex
	beats []beat
	conns []net.Conn
	wg    sync.WaitGroup
	tee   net.Conn // is told of each beat; nil: nobody is
}

func newHeartbeat() *heartbeat { return &heartbeat{} }

// tell passes the beats on to whoever listens with ListenBeats, if anybody does.
func (h *heartbeat) tell(path string) {
	if conn, err := net.Dial("unixgram", path); err == nil {
		h.tee = conn
	}
}

// ListenBeats is told of what a VM's guest sends while it is migrated, by whichever process: a datagram for
// what came at once, which begins with the node's number, and one with nothing else at the end. Close ends it.
func (l *Lab) ListenBeats(id int) (net.PacketConn, error) {
	if err := os.Remove(l.beatPath(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err // one that was closed leaves its name
	}
	return net.ListenPacket("unixgram", l.beatPath(id))
}

func (l *Lab) beatPath(id int) string {
	return filepath.Join(l.NodeDir(0), "vms", fmt.Sprintf("%d.beats", id))
}

// listen records a serial line until it closes or stop is called.
func (h *heartbeat) listen(ctx context.Context, node int, path string) error {
	ctx, cancel := context.WithTimeout(ctx, beatLimit)
	defer cancel()
	conn, err := connectUnix(ctx, path)
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.conns = append(h.conns, conn)
	h.mu.Unlock()
	h.wg.Go(func() {
		buffer := make([]byte, 256)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			h.add(time.Now(), node, buffer[:n])
		}
	})
	return nil
}

// add takes what came at one moment. Bytes below 0x80 are words of the boot, not beats.
func (h *heartbeat) add(at time.Time, node int, bytes []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tee != nil && len(bytes) > 0 {
		_ = h.tee.SetWriteDeadline(at.Add(20 * time.Millisecond)) // nobody's slowness is to slow the record
		_, _ = h.tee.Write(append([]byte{byte(node)}, bytes...))
	}
	for _, b := range bytes {
		if b >= 0x80 {
			h.beats = append(h.beats, beat{at, node, b & 0x7f})
		}
	}
}

func (h *heartbeat) count(node int) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, b := range h.beats {
		if b.node == node {
			n++
		}
	}
	return n
}

// await returns when a beat was heard from a node.
func (h *heartbeat) await(ctx context.Context, node int) error {
	return poll(ctx, beatLimit, 10*time.Millisecond, func() error {
		if h.count(node) == 0 {
			return fmt.Errorf("no heartbeat of the guest was heard on %s", NodeName(node))
		}
		return nil
	})
}

// stop closes the lines and returns what was heard, in the order of time.
func (h *heartbeat) stop() []beat {
	h.mu.Lock()
	for _, conn := range h.conns {
		_ = conn.Close() // ends its goroutine
	}
	h.mu.Unlock()
	h.wg.Wait()
	if h.tee != nil {
		_ = h.tee.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = h.tee.Write([]byte{0})
		_ = h.tee.Close()
	}
	slices.SortStableFunc(h.beats, func(a, b beat) int { return a.at.Compare(b.at) })
	return h.beats
}

// lateRead is how late a beat may be read from one line, as against another, on a busy machine.
const lateRead = 250 * time.Millisecond

// handover is the time from the last beat on one node to the first on another, and how many beats
// were lost in between. It is not known unless both have been heard, in this order.
func handover(beats []beat, from, to int) (pause time.Duration, lost int, err error) {
	last, first := -1, -1
	for i, b := range beats {
		switch {
		case b.node == from:
			last = i
		case b.node == to && first < 0:
			first = i
		}
	}
	if last < 0 || first < 0 {
		return 0, 0, fmt.Errorf("of %d beats of the guest none was heard on %s or on %s", len(beats), NodeName(from), NodeName(to))
	}
	lost = int(beats[first].number-beats[last].number-1) & 0x7f
	pause = beats[first].at.Sub(beats[last].at)
	if pause < 0 && (pause < -lateRead || lost > 0) { // else they came in their order and were read in another
		return 0, 0, fmt.Errorf("%s heard the guest's beat %d, and %s later its beat %d came from %s", NodeName(to), beats[first].number, -pause, beats[last].number, NodeName(from))
	}
	return max(0, pause), lost, nil
}

// longestSilence is the largest time between two beats, whichever node they came from.
func longestSilence(beats []beat) (longest time.Duration) {
	for i := 1; i < len(beats); i++ {
		longest = max(longest, beats[i].at.Sub(beats[i-1].at))
	}
	return longest
}
