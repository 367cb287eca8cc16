package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	linkemReady = "forwarding"

	frameSize = 10 + 65536                            // a virtio_net_hdr and the largest frame that segmentation offload makes
	queueSize = 10000                                 // frames on their way; a full queue drops
	allFrames = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8 // in network byte order
)

// LinkOptions say what a link box does to frames, the same in both directions.
type LinkOptions struct {
	Delay  time.Duration // one way
	Jitter time.Duration // a random time up to this is added to Delay; frames keep their order
	Loss   float64       // percent of frames that vanish
}

// Linkem forwards Ethernet frames between two interfaces, late and with losses, until ctx ends. It
// does in user space what tc-netem does in kernels that have it. Its first line on status says that
// it forwards.
func Linkem(ctx context.Context, first, second string, o LinkOptions, status io.Writer) error {
	a, err := openInterface(first)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := openInterface(second)
	if err != nil {
		return err
	}
	defer b.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, way := range [][2]*os.File{{a, b}, {b, a}} {
		queue := make(chan frame, queueSize)
		wg.Go(func() { cancel(receive(way[0], queue, o)) })
		wg.Go(func() { send(ctx, way[1], queue) })
	}
	fmt.Fprintf(status, "%s %s %s delay=%s jitter=%s loss=%g%%\n", linkemReady, first, second, o.Delay, o.Jitter, o.Loss)
	<-ctx.Done()
	a.Close() // ends the reads
	b.Close()
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

type frame struct {
	bytes []byte
	due   time.Time
}

func receive(from *os.File, queue chan<- frame, o LinkOptions) error {
	buffer := make([]byte, frameSize)
	for {
		n, err := from.Read(buffer)
		if errors.Is(err, unix.ENETDOWN) { // the port is down; it may come back
			continue
		}
		if err != nil {
			return err
		}
		if o.Loss > 0 && rand.Float64()*100 < o.Loss {
			continue
		}
		delay := o.Delay
		if o.Jitter > 0 {
			delay += rand.N(o.Jitter)
		}
		select {
		case queue <- frame{append([]byte(nil), buffer[:n]...), time.Now().Add(delay)}:
		default:
		}
	}
}

func send(ctx context.Context, to *os.File, queue <-chan frame) {
	for {
		select {
		case f := <-queue:
			if wait := time.Until(f.due); wait > 0 {
				select {
				case <-time.After(wait):
				case <-ctx.Done():
					return
				}
			}
			_, _ = to.Write(f.bytes) // a link may lose frames
		case <-ctx.Done():
			return
		}
	}
}

// openInterface opens a packet socket that sees what arrives at an interface and nothing it sends.
func openInterface(name string) (*os.File, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, allFrames)
	if err != nil {
		return nil, fmt.Errorf("%s: packet socket: %w", name, err)
	}
	file := os.NewFile(uintptr(fd), name)
	err = errors.Join(
		// Frames of a veth carry partial checksums. Without the header that says so they would leave
		// with wrong ones and every UDP packet would be dropped.
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
			&unix.PacketMreq{Ifindex: int32(ifi.Index), Type: unix.PACKET_MR_PROMISC}),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: allFrames, Ifindex: ifi.Index}),
	)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: packet socket: %w", name, err)
	}
	return file, nil
}
