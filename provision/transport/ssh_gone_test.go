package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// silentRelay passes connections on to a server, until it is told to swallow what it is sent: as when a machine
// has lost its power, and nobody is there to refuse.
func silentRelay(t *testing.T, to string) (addr string, silent *atomic.Bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	silent = &atomic.Bool{}
	pass := func(dst io.WriteCloser, src io.Reader) {
		buf := make([]byte, 4096)
		for {
			n, err := src.Read(buf)
			if err != nil {
				_ = dst.Close()
				return
			}
			if !silent.Load() {
				if _, err := dst.Write(buf[:n]); err != nil {
					return
				}
			}
		}
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				return
			}
			t.Cleanup(func() { _ = errors.Join(in.Close(), out.Close()) })
			go pass(out, in)
			go pass(in, out)
		}
	}()
	return l.Addr().String(), silent
}

func TestSSHGivesUpOnAMachineThatIsGone(t *testing.T) {
	key, pub := newKey(t)
	srv := newServer(t, pub, echo)
	addr, silent := silentRelay(t, srv.addr)
	s := shellTo(t, SSHConfig{Key: key}, Host{Name: "pve1", SSH: addr, HostKey: ssh.FingerprintSHA256(srv.key)})
	if _, err := s.Run(t.Context(), Command{Argv: []string{"true"}}); err != nil {
		t.Fatal(err)
	}
	silent.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := s.Run(ctx, Command{Argv: []string{"true"}})
	var lost *LostError
	if !errors.As(err, &lost) || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second {
		t.Errorf("after %s: %v; want a LostError at the deadline", time.Since(began), err)
	}
	silent.Store(false)
	if _, err := s.Run(t.Context(), Command{Argv: []string{"true"}}); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}
