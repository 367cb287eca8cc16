package qmp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const greeting = `{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2"}, "capabilities": ["oob"]}}`

const event = `{"timestamp": {"seconds": 1795218741, "microseconds": 35378}, "event": "MIGRATION", "data": {"status": "active", "id": "no id of ours"}}`

// socketPath returns a name for a socket. Not below t.TempDir, whose names are too long for one.
func socketPath(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "qmp-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "100.qmp")
}

// A fakeQEMU serves one client after the other, as QEMU does.
type fakeQEMU struct {
	path string
	stop func() // idempotent

	mu       sync.Mutex
	commands []string // all that was received, by name
	served   int      // connections that were closed by now
	early    int      // bytes that were there before the greeting was sent
	unread   int      // connections that the client closed with something owed to it
}

// A fakeClient is one connection from the fake's point of view.
type fakeClient struct {
	net.Conn
	fake *fakeQEMU
	r    *bufio.Reader
	owed int
}

// newFake starts a fake whose connections are served by serve, one after the other. With a backlog
// of n, n+1 clients can wait for their turn.
func newFake(t testing.TB, backlog int, serve func(*fakeClient)) *fakeQEMU {
	t.Helper()
	return newFakeAt(t, socketPath(t), backlog, serve)
}

func newFakeAt(t testing.TB, path string, backlog int, serve func(*fakeClient)) *fakeQEMU {
	t.Helper()
	l := listen(t, path, backlog)
	f := &fakeQEMU{path: path}
	done := make(chan struct{})
	var mu sync.Mutex
	var current net.Conn
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			current = c
			mu.Unlock()
			f.serve(c, serve)
		}
	}()
	f.stop = sync.OnceFunc(func() {
		l.Close()
		mu.Lock()
		if current != nil {
			current.Close()
		}
		mu.Unlock()
		<-done
	})
	t.Cleanup(f.stop)
	return f
}

// listen is net.Listen with a backlog.
func listen(t testing.TB, path string, backlog int) net.Listener {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, backlog)); err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), path)
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (f *fakeQEMU) serve(c net.Conn, serve func(*fakeClient)) {
	client := &fakeClient{Conn: c, fake: f, r: bufio.NewReader(c)}
	serve(client)
	c.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.served++
	if client.owed > 0 {
		f.unread++
	}
}

// tally returns what was seen, of connections that have ended.
func (f *fakeQEMU) tally() (commands []string, served, early, unread int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.commands...), f.served, f.early, f.unread
}

func (c *fakeClient) send(s string) { c.Write([]byte(s + "\r\n")) }

// greet sends the greeting, after making sure that the client has not written yet.
func (c *fakeClient) greet() {
	c.early()
	c.send(greeting)
}

// early counts what the client wrote too soon.
func (c *fakeClient) early() {
	c.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
	b := make([]byte, 1)
	n, _ := c.Read(b)
	c.SetReadDeadline(time.Time{})
	c.fake.mu.Lock()
	c.fake.early += n
	c.fake.mu.Unlock()
}

// command returns the name and the raw id of the next command, or "" when the client has left.
func (c *fakeClient) command() (name, id string) {
	line, err := c.r.ReadBytes('\n')
	if errors.Is(err, syscall.ECONNRESET) {
		c.owed++ // it closed with bytes unread
	}
	if err != nil {
		return "", ""
	}
	var cmd struct {
		Execute string
		ID      json.RawMessage
	}
	if err := json.Unmarshal(line, &cmd); err != nil {
		return "malformed: " + string(line), ""
	}
	c.fake.mu.Lock()
	c.fake.commands = append(c.fake.commands, cmd.Execute)
	c.fake.mu.Unlock()
	c.owed++
	return cmd.Execute, string(cmd.ID)
}

// reply sends a reply, unless the client has left.
func (c *fakeClient) reply(id, result string) {
	if _, err := fmt.Fprintf(c, "{\"return\": %s, \"id\": %s}\r\n", result, id); err == nil {
		c.owed--
	}
}

var answers = map[string]string{
	"qmp_capabilities": `{}`,
	"query-migrate":    `{"status": "active", "total-time": 201, "ram": {"remaining": 4096}}`,
	"query-status":     `{"status": "running", "singlestep": false, "running": true}`,
	"query-version":    `{"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}`,
	"query-balloon":    `{"actual": 134217728}`,
}

// obey replies to commands until the client leaves. before may do something first, such as reply;
// it returns whether it did.
func (c *fakeClient) obey(before func(name, id string) bool) {
	for {
		name, id := c.command()
		if name == "" {
			return
		}
		if before == nil || !before(name, id) {
			c.reply(id, answers[name])
		}
	}
}

// polite is QEMU on a good day.
func polite(c *fakeClient) {
	c.greet()
	c.obey(nil)
}

// waitFor polls until ok or a generous deadline: the machine may be busy.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func closeClient(t testing.TB, c *Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		t.Error(err)
	}
}

// newClient returns a Client that is closed with the test, by when nothing may be left of it.
func newClient(t testing.TB, o Options) *Client {
	t.Helper()
	c := New(o)
	t.Cleanup(func() { closeClient(t, c) })
	return c
}
