package qmp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// watcher is an Observer that counts.
type watcher struct {
	mu                     sync.Mutex
	sampled, busy, timeout int
}

func (w *watcher) Sampled(time.Duration) { w.mu.Lock(); defer w.mu.Unlock(); w.sampled++ }
func (w *watcher) Busy()                 { w.mu.Lock(); defer w.mu.Unlock(); w.busy++ }
func (w *watcher) TimedOut()             { w.mu.Lock(); defer w.mu.Unlock(); w.timeout++ }

func (w *watcher) counts() (sampled, busy, timeout int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sampled, w.busy, w.timeout
}

// clock is a clock that stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// wants fails the test unless err is of the kind; nil is of kind "".
func wants(t *testing.T, what string, err error, kind Kind) {
	t.Helper()
	if kind == "" && err == nil {
		return
	}
	if kind == "" || !errors.Is(err, kind) {
		t.Fatalf("%s: got %v, want kind %q", what, err, kind)
	}
}

// tardy is how long after its time a fake does what is to be late.
const tardy = 600 * time.Millisecond

// briskly returns Options for a VM that is late with its greeting or with a reply. For what is not
// late there is all the time in the world: a busy machine is no finding.
func briskly(late Kind) Options {
	o := Options{Greeting: time.Minute, Reply: time.Minute, Conversation: time.Minute, Startup: -1, Backoff: -1}
	switch late {
	case ErrNoGreeting:
		o.Greeting = 60 * time.Millisecond
	case ErrTimeout:
		o.Reply = tardy / 2
	}
	return o
}

func TestQuerySaysWhatTheVMSays(t *testing.T) {
	t.Parallel()
	f := newFake(t, 2, polite)
	now, w := newClock(), &watcher{}
	c := newClient(t, Options{Observer: w, Now: now.Now})
	s, err := c.Query(t.Context(), f.path)
	if err != nil {
		t.Fatal(err)
	}
	if s.VMState != "running" || s.Migration.Status != "active" || *s.Migration.RAM.Remaining != 4096 || !s.At.Equal(now.Now()) {
		t.Errorf("got %+v", s)
	}
	if own, _ := startTime(os.Getpid()); s.Process != (Process{PID: os.Getpid(), Start: own}) || own == 0 {
		t.Errorf("the socket belongs to this very process, got %+v", s.Process)
	}
	f.stop()
	commands, served, early, unread := f.tally()
	if got := strings.Join(commands, " "); got != "qmp_capabilities query-migrate query-status" {
		t.Errorf("sent %q", got)
	}
	if served != 1 || early != 0 || unread != 0 {
		t.Errorf("%d connections, %d bytes before the greeting, %d closed with a reply owed", served, early, unread)
	}
	if n, _, _ := w.counts(); n != 1 {
		t.Errorf("observer saw %d samples", n)
	}
	if st := c.Status(); !st.Up || st.Name != "qmp" || st.Requests != 1 {
		t.Errorf("status %+v", st)
	}
}

// slowly sends s a byte at a time.
func (c *fakeClient) slowly(s string) {
	for i := range len(s) {
		c.Write([]byte{s[i]})
	}
}

func TestQuerySurvivesWhatMonitorsDo(t *testing.T) {
	t.Parallel()
	const foreign = `{"return": {"status": "failed"}, "id": "quorate-other-1"}`
	// instead has f answer query-migrate in place of polite's answer.
	instead := func(f func(c *fakeClient, id string)) func(*fakeClient) {
		return func(c *fakeClient) {
			c.greet()
			c.obey(func(name, id string) bool {
				if name == "query-migrate" {
					f(c, id)
					return true
				}
				return false
			})
		}
	}
	long := strings.Repeat("x", 200_000)
	for name, tc := range map[string]struct {
		serve func(*fakeClient)
		want  Kind // "" is success
		says  string
	}{
		"greeting that comes byte by byte": {serve: func(c *fakeClient) {
			c.early()
			c.slowly(greeting + "\r\n")
			c.obey(nil)
		}},
		"replies that come byte by byte": {serve: instead(func(c *fakeClient, id string) {
			c.slowly(`{"return": {"status": "active"}, "id": ` + id + "}\n")
			c.owed--
		})},
		"events between all lines": {serve: func(c *fakeClient) {
			c.early()
			c.send(event)
			c.send(greeting)
			c.obey(func(name, id string) bool {
				c.send(event)
				c.reply(id, answers[name])
				c.send(event)
				return true
			})
		}},
		"greeting, event and more in one packet": {serve: func(c *fakeClient) {
			c.early()
			c.send(event + "\r\n" + greeting + "\r\n\r\n" + event)
			c.obey(nil)
		}},
		"stale replies before the greeting": {serve: func(c *fakeClient) {
			c.early()
			c.send(foreign)
			c.send(`{"return": {}}`)
			c.send(greeting)
			c.obey(nil)
		}},
		"replies to others, with and without id, before ours": {serve: instead(func(c *fakeClient, id string) {
			c.send(foreign)
			c.send(`{"return": {"status": "failed"}}`)
			c.send(`{"error": {"class": "GenericError", "desc": "not ours"}}`)
			c.send(`{"return": {"status": "failed"}, "id": 7}`)
			c.send(`{"return": {"status": "failed"}, "id": {"id": ` + id + `}}`)
			c.reply(id, `{"status": "active"}`)
		})},
		"reply to somebody else after ours": {serve: instead(func(c *fakeClient, id string) {
			c.reply(id, `{"status": "active"}`)
			c.send(foreign)
		})},
		"event of 200 kB": {serve: instead(func(c *fakeClient, id string) {
			c.send(`{"event": "BIG", "data": {"x": "` + long + `"}}`)
			c.reply(id, `{"status": "active"}`)
		})},
		"reply of 200 kB": {serve: instead(func(c *fakeClient, id string) {
			c.reply(id, `{"status": "active", "error-desc": "`+long+`"}`)
		})},
		"reply of almost 1 MiB": {serve: instead(func(c *fakeClient, id string) {
			c.reply(id, `{"status": "active", "x": "`+strings.Repeat("y", 1<<20-200)+`"}`)
		})},
		"reply of 3 MiB": {want: ErrAnswer, says: "longer than 1048576 bytes", serve: instead(func(c *fakeClient, id string) {
			c.reply(id, `{"status": "active", "x": "`+strings.Repeat("y", 3<<20)+`"}`)
		})},
		"status that is not known": {serve: instead(func(c *fakeClient, id string) {
			c.reply(id, `{"status": "active", "total-time": "soon", "new-in-12": [{}], "ram": 5}`)
		})},
		"status that is no text": {want: ErrAnswer, says: "status", serve: instead(func(c *fakeClient, id string) {
			c.reply(id, `{"status": 5}`)
		})},
		"result that is no object": {want: ErrAnswer, serve: instead(func(c *fakeClient, id string) {
			c.reply(id, `[]`)
		})},
		"error reply": {want: ErrCommand, says: "no such command", serve: instead(func(c *fakeClient, id string) {
			c.send(`{"error": {"class": "CommandNotFound", "desc": "no such command"}, "id": ` + id + `}`)
			c.owed--
		})},
		"handshake refused": {want: ErrCommand, says: "negotiation", serve: func(c *fakeClient) {
			c.greet()
			c.obey(func(_, id string) bool {
				c.send(`{"error": {"class": "CommandNotFound", "desc": "negotiation"}, "id": ` + id + `}`)
				c.owed--
				return true
			})
		}},
		"garbage instead of a greeting": {want: ErrAnswer, says: "SSH-2.0", serve: func(c *fakeClient) {
			c.early()
			c.send("SSH-2.0-OpenSSH_9.2p1")
			c.obey(nil)
		}},
		"garbage instead of a reply": {want: ErrAnswer, says: "not a JSON object", serve: instead(func(c *fakeClient, _ string) {
			c.send("\x00\xff\x13garbage")
			c.owed--
		})},
		"greeting never comes": {want: ErrNoGreeting, says: "another client holds the monitor", serve: func(c *fakeClient) {
			c.obey(nil)
		}},
		"greeting without a line end": {want: ErrNoGreeting, serve: func(c *fakeClient) {
			c.early()
			c.Write([]byte(greeting))
			c.obey(nil)
		}},
		"closed before the greeting": {want: ErrLost, says: "before greeting", serve: func(*fakeClient) {}},
		"closed after the greeting":  {want: ErrLost, serve: func(c *fakeClient) { c.greet() }},
		"closed instead of a reply":  {want: ErrLost, says: "before reply to qmp_capabilities", serve: func(c *fakeClient) { c.greet(); c.command(); c.owed = 0 }},
		"closed in the middle of a reply": {want: ErrLost, serve: func(c *fakeClient) {
			c.greet()
			_, id := c.command()
			c.Write([]byte(`{"return": {}, "id": ` + id))
			c.owed = 0
		}},
		"reply that comes late": {want: ErrTimeout, says: "no reply to query-migrate within", serve: instead(func(c *fakeClient, id string) {
			time.Sleep(tardy)
			c.send(event)
			c.reply(id, `{}`)
		})},
		"reply of which the end comes late": {want: ErrTimeout, serve: instead(func(c *fakeClient, id string) {
			c.Write([]byte(`{"return": {"status": "act`))
			time.Sleep(tardy)
			if _, err := c.Write([]byte(`ive"}, "id": ` + id + "}\r\n")); err == nil {
				c.owed--
			}
		})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t, 2, tc.serve)
			c := New(briskly(tc.want))
			s, err := c.Query(t.Context(), f.path)
			wants(t, "query", err, tc.want)
			if tc.want == "" && s.Migration.Status != "active" {
				t.Errorf("got %+v", s)
			}
			if tc.want != "" && (s != Sample{}) {
				t.Errorf("half a sample came with the error: %+v", s)
			}
			if err != nil && (!strings.Contains(err.Error(), tc.says) || !strings.HasPrefix(err.Error(), f.path)) {
				t.Errorf("error %q says nothing of %q at %s", err, tc.says, f.path)
			}
			closeClient(t, c)
			waitFor(t, "the connection is closed", func() bool { _, served, _, _ := f.tally(); return served > 0 })
			if _, _, early, unread := f.tally(); early != 0 || unread != 0 {
				t.Errorf("%d bytes before the greeting, %d connections closed with a reply owed", early, unread)
			}
		})
	}
}

func TestQueryTellsWhyItCannotConnect(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{})
	stale := socketPath(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for _, tc := range []struct {
		name, path string
		kind       Kind
		cause      error
	}{
		{"no socket, as after a clean stop", socketPath(t), ErrGone, syscall.ENOENT},
		{"socket that a killed QEMU left", stale, ErrGone, syscall.ECONNREFUSED},
		{"name that is too long", "/tmp/" + strings.Repeat("x", 200), ErrConnect, syscall.EINVAL},
	} {
		_, err := c.Query(t.Context(), tc.path)
		wants(t, tc.name, err, tc.kind)
		if !errors.Is(err, tc.cause) {
			t.Errorf("%s: %v, want cause %v", tc.name, err, tc.cause)
		}
	}
}

func TestFullQueueIsSkippedAtOnce(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	l := listen(t, path, 1) // nobody accepts
	defer l.Close()
	var waiting []net.Conn
	for {
		c, err := net.Dial("unix", path)
		if err != nil {
			break
		}
		defer c.Close()
		waiting = append(waiting, c)
	}
	w := &watcher{}
	c := newClient(t, Options{Greeting: time.Hour, Observer: w})
	for range 3 {
		began := time.Now()
		_, err := c.Query(t.Context(), path)
		wants(t, "query", err, ErrBusy)
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %s", took)
		}
	}
	if _, busy, timeouts := w.counts(); busy != 3 || timeouts != 0 || len(waiting) != 2 {
		t.Errorf("busy %d, timeouts %d, waiting %d", busy, timeouts, len(waiting))
	}
	if st := c.Status(); st.Errors["busy"] != 3 || !st.Up {
		t.Errorf("a full queue is no fault of the source: %+v", st)
	}
}

func TestOnlyOneConversationAtATimeWithAVM(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	f := newFake(t, 2, func(c *fakeClient) {
		c.greet()
		c.obey(func(name, id string) bool {
			if name == "query-migrate" {
				<-release
			}
			return false
		})
	})
	other := newFake(t, 2, polite)
	c := newClient(t, briskly(ErrTimeout))
	first := make(chan error, 1)
	go func() {
		_, err := c.Query(t.Context(), f.path)
		first <- err
	}()
	waitFor(t, "first conversation began", func() bool { commands, _, _, _ := f.tally(); return len(commands) > 1 })
	_, err := c.Query(t.Context(), f.path)
	wants(t, "while one is open", err, ErrInUse)
	wants(t, "the first", <-first, ErrTimeout)
	_, err = c.QueryUrgent(t.Context(), f.path)
	wants(t, "while its reply is waited for", err, ErrInUse)
	_, err = c.Query(t.Context(), other.path)
	wants(t, "another VM meanwhile", err, "")

	close(release)
	waitFor(t, "the late reply was read", func() bool { _, served, _, _ := f.tally(); return served == 1 })
	waitFor(t, "the VM answers again", func() bool { _, err := c.Query(t.Context(), f.path); return err == nil })
	if _, _, _, unread := f.tally(); unread != 0 {
		t.Error("closed with a reply owed")
	}
}

func TestAReplyThatNeverComesIsNotWaitedForForever(t *testing.T) {
	t.Parallel()
	f := newFake(t, 2, func(c *fakeClient) {
		c.greet()
		c.obey(func(name, _ string) bool { return name == "query-migrate" })
	})
	var log bytes.Buffer
	o := briskly(ErrTimeout)
	o.Drain, o.Log = 100*time.Millisecond, slog.New(slog.NewTextHandler(&log, nil))
	c := New(o)
	_, err := c.Query(t.Context(), f.path)
	wants(t, "query", err, ErrTimeout)
	closeClient(t, c)
	if !strings.Contains(log.String(), "overdue was given up") {
		t.Errorf("log has %q", log.String())
	}
	_, err = c.Query(t.Context(), f.path)
	wants(t, "after Close", err, ErrClosed)
}

func TestCloseSaysWhatItDidNotWaitFor(t *testing.T) {
	t.Parallel()
	f := newFake(t, 2, func(c *fakeClient) {
		c.greet()
		c.obey(func(name, _ string) bool { return name == "query-migrate" })
	})
	c := newClient(t, briskly(ErrTimeout))
	_, err := c.Query(t.Context(), f.path)
	wants(t, "query", err, ErrTimeout)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Close(ctx); err == nil || !strings.Contains(err.Error(), "1 conversations") {
		t.Errorf("got %v", err)
	}
	f.stop() // QEMU ends: so does the waiting
}

func TestQueryEndsWithItsContext(t *testing.T) {
	t.Parallel()
	held := newFake(t, 2, func(c *fakeClient) { c.obey(nil) })
	c := newClient(t, Options{Greeting: time.Hour, Reply: time.Hour, Conversation: time.Hour, Startup: -1, Backoff: -1})

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(30*time.Millisecond, cancel)
	_, err := c.Query(ctx, held.path)
	wants(t, "cancelled", err, ErrCanceled)
	_, err = c.Query(ctx, held.path)
	wants(t, "cancelled before", err, ErrCanceled)

	ctx, cancel = context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err = c.Query(ctx, held.path)
	wants(t, "deadline", err, ErrNoGreeting)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cause missing: %v", err)
	}
}

func TestUrgentQueryWaitsForTheGreeting(t *testing.T) {
	t.Parallel()
	f := newFake(t, 2, func(c *fakeClient) {
		time.Sleep(200 * time.Millisecond)
		polite(c)
	})
	c := newClient(t, Options{Greeting: 20 * time.Millisecond, Startup: -1})
	_, err := c.Query(t.Context(), f.path)
	wants(t, "in passing", err, ErrNoGreeting)
	_, err = c.QueryUrgent(t.Context(), f.path)
	wants(t, "urgent", err, "")
}

func TestAQEMUThatMayBeStartingIsNotLeftBeforeItsGreeting(t *testing.T) {
	t.Parallel()
	var stayed, silent bool
	first := true
	f := newFake(t, 2, func(c *fakeClient) {
		if !first {
			polite(c)
			return
		}
		first = false
		c.SetReadDeadline(time.Now().Add(tardy))
		_, err := c.Read(make([]byte, 1))
		stayed = errors.Is(err, os.ErrDeadlineExceeded)
		c.SetReadDeadline(time.Time{})
		c.send(event)
		c.send(greeting)
		rest, _ := io.ReadAll(c)
		silent = len(rest) == 0
	})
	c := newClient(t, Options{Greeting: 60 * time.Millisecond})
	_, err := c.Query(t.Context(), f.path)
	wants(t, "while it starts", err, ErrNoGreeting)
	_, err = c.QueryUrgent(t.Context(), f.path)
	wants(t, "while we stay in the queue", err, ErrInUse)
	waitFor(t, "it has started", func() bool { _, err := c.QueryUrgent(t.Context(), f.path); return err == nil })
	f.stop()
	if !stayed || !silent {
		t.Errorf("stayed: %t, wrote nothing: %t", stayed, silent)
	}
}

func TestWeStayInTheQueueOnlyWhileQEMUMayBeStarting(t *testing.T) {
	t.Parallel()
	never := func(c *fakeClient) { c.obey(nil) }
	old, young := newFake(t, 2, never), newFake(t, 2, never)
	hourAgo := time.Now().Add(-time.Hour)
	if err := os.Chtimes(old.path, hourAgo, hourAgo); err != nil {
		t.Fatal(err)
	}
	c := New(Options{Greeting: 60 * time.Millisecond})
	for _, f := range []*fakeQEMU{old, young} {
		_, err := c.Query(t.Context(), f.path)
		wants(t, f.path, err, ErrNoGreeting)
	}
	waitFor(t, "the old one is left", func() bool { _, served, _, _ := old.tally(); return served == 1 })
	if _, served, _, _ := young.tally(); served != 0 {
		t.Error("the young one was left as well")
	}
	closeClient(t, c) // does not wait for it
	waitFor(t, "the young one is left in the end", func() bool { _, served, _, _ := young.tally(); return served == 1 })
}
