package lab

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Dial connects from inside a node's network namespace. Names of nodes ("pve2:9221") are resolved
// to their address on link 0; other names are not resolved. Of unix sockets only abstract ones
// belong to a network namespace; those with a path are found below NodeDir.
func (l *Lab) Dial(ctx context.Context, node int, network, addr string) (net.Conn, error) {
	var dialer net.Dialer
	if node == 0 {
		return dialer.DialContext(ctx, network, addr)
	}
	addr, err := l.resolve(network, addr)
	if err != nil {
		return nil, err
	}
	// A single literal address is dialled on the calling goroutine, and so in this namespace.
	return inNode(l, node, func() (net.Conn, error) { return dialer.DialContext(ctx, network, addr) })
}

// Listen opens a socket inside a node's network namespace, where it stays whoever accepts from it.
// addr is a literal address such as "0.0.0.0:8006". Node 0 is the machine itself.
func (l *Lab) Listen(ctx context.Context, node int, network, addr string) (net.Listener, error) {
	var config net.ListenConfig
	if node == 0 {
		return config.Listen(ctx, network, addr)
	}
	return inNode(l, node, func() (net.Listener, error) { return config.Listen(ctx, network, addr) })
}

// inNode returns what open opens in a node's network namespace. open ends by itself and stays on its
// goroutine.
func inNode[T any](l *Lab, node int, open func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	namespace, err := os.Open(filepath.Join(netnsDir, l.names.node(node)))
	if err != nil {
		return none, fmt.Errorf("%s: its network is gone: %w", NodeName(node), err)
	}
	defer namespace.Close()
	done := make(chan result, 1)
	go inNamespace(namespace, func(err error) {
		if err != nil {
			done <- result{err: err}
			return
		}
		value, err := open()
		done <- result{value, err}
	})
	r := <-done
	if r.err != nil {
		return none, fmt.Errorf("%s: %w", NodeName(node), r.err)
	}
	return r.value, nil
}

// inNamespace calls do on a thread inside a network namespace. Its goroutine must end afterwards:
// a thread that cannot be brought back ends with it.
func inNamespace(namespace *os.File, do func(error)) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The main thread is what /proc/PID/ns shows, and it cannot be thrown away. As long as
		// this goroutine holds it, another one runs elsewhere.
		done := make(chan struct{})
		go func() { defer close(done); inNamespace(namespace, do) }()
		<-done
		runtime.UnlockOSThread()
		return
	}
	home, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()))
	if err != nil {
		runtime.UnlockOSThread()
		do(err)
		return
	}
	defer home.Close()
	if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		do(fmt.Errorf("enter its network: %w", err))
		return
	}
	do(nil)
	if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
}

func (l *Lab) resolve(network, addr string) (string, error) {
	if strings.HasPrefix(network, "unix") {
		return addr, nil
	}
	host, portNumber, err := net.SplitHostPort(addr)
	if err != nil {
		return "", err
	}
	if net.ParseIP(host) != nil {
		return addr, nil
	}
	if host == "localhost" {
		return net.JoinHostPort("127.0.0.1", portNumber), nil
	}
	if node, err := strconv.Atoi(strings.TrimPrefix(host, "pve")); err == nil && node >= 1 && node <= l.o.Nodes {
		return net.JoinHostPort(l.Addr(node, Link0).String(), portNumber), nil
	}
	return "", fmt.Errorf("%s: a lab resolves only its nodes' names (use an address)", host)
}

// HTTPClient is a client that connects from inside a node. A request takes at most 30 seconds.
func (l *Lab) HTTPClient(node int) *http.Client {
	return &http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true, // an idle connection would outlive the node that it goes to
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return l.Dial(ctx, node, network, addr)
			},
		},
	}
}
