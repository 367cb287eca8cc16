package qmp

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// connected returns a Monitor that is connected to f.
func connected(t *testing.T, f *fakeQEMU) *Monitor {
	t.Helper()
	m := newClient(t, Options{Reply: 10 * time.Second, Conversation: time.Minute}).Monitor(t.Context(), f.path)
	if err := m.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Disconnect() })
	return m
}

// commandNames returns the commands of QEMU that are known by name, as its schema has them.
func commandNames(t *testing.T) []string {
	t.Helper()
	// What must not be missed if there is no schema at hand.
	names := []string{
		"quit", "stop", "cont", "system_reset", "system_powerdown", "migrate", "migrate_cancel",
		"migrate-set-parameters", "migrate-set-capabilities", "migrate-start-postcopy", "migrate-pause",
		"calc-dirty-rate", "human-monitor-command", "device_del", "blockdev-del", "balloon", "screendump",
		"qmp_capabilities", "guest-shutdown", "dump-guest-memory", "query-dump-guest-memory-capability",
	}
	files, _ := filepath.Glob("../../../../shared/data/qemu/schema/*.json")
	if len(files) == 0 {
		t.Log("no schemas in ../shared/data/qemu/schema: only the worst commands are tried")
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var schema map[string]json.RawMessage
		var commands []string
		if err := errors.Join(json.Unmarshal(b, &schema), json.Unmarshal(schema["commands"], &commands)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		names = append(names, commands...)
		for key := range schema {
			if strings.HasPrefix(key, "query-") {
				names = append(names, key)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func TestOnlyCommandsThatReadAreSent(t *testing.T) {
	t.Parallel()
	if !slices.IsSorted(readOnly) {
		t.Fatal("the list is not sorted: it is searched as if it were")
	}
	for _, name := range readOnly {
		if !strings.HasPrefix(name, "query-") {
			t.Errorf("%s does not only read", name)
		}
	}
	f := newFake(t, 2, polite)
	m := connected(t, f)
	refused := 0
	for _, name := range commandNames(t) {
		_, err := m.Run([]byte(`{"execute": "` + name + `"}`))
		if slices.Contains(readOnly, name) {
			continue
		}
		refused++
		if !errors.Is(err, ErrNotAllowed) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, trick := range []string{
		``, `[]`, `{}`, `"cont"`, `{"execute": 5}`, `{"execute": "cont"`, `{"execute": "query-status"} {"execute": "cont"}`,
		`{"execute": "query-status", "execute": "cont"}`, `{"execute": "cont", "execute": "query-status"}`,
		`{"execute": "query-status", "e\u0078ecute": "cont"}`, `{"exec-oob": "query-status"}`,
		`{"execute": "query-status", "exec-oob": "migrate-pause"}`, `{"execute": "query-status", "arguments": [1]}`,
		`{"execute": "Query-Status"}`, `{"execute": "query-status\n"}`, `{"execute": "query-migrate\u0000"}`, `{"execute": ""}`,
	} {
		if _, err := m.Run([]byte(trick)); !errors.Is(err, ErrNotAllowed) {
			t.Errorf("%s: got %v", trick, err)
		}
	}
	m.Disconnect()
	waitFor(t, "the connection is closed", func() bool { _, served, _, _ := f.tally(); return served == 1 })
	commands, _, _, _ := f.tally()
	for _, name := range commands[1:] { // the first is the handshake
		if !slices.Contains(readOnly, name) {
			t.Errorf("%q was sent", name)
		}
	}
	if commands[0] != handshake || slices.Contains(commands[1:], handshake) || refused < 20 {
		t.Errorf("sent %q, refused %d", commands, refused)
	}
}

func TestRunReturnsTheWholeReply(t *testing.T) {
	t.Parallel()
	var sent string
	f := newFake(t, 2, func(c *fakeClient) {
		c.greet()
		_, id := c.command()
		c.reply(id, `{}`)
		sent, _ = c.r.ReadString('\n')
		id = sent[strings.Index(sent, `"id":`)+5 : len(sent)-2]
		c.reply(id, `[1]`)
		c.owed++
		c.obey(nil)
	})
	m := connected(t, f)
	first, err := m.Run([]byte("{\"execute\": \"query-blockst\\u0061ts\",\n \"arguments\": {\"query-nodes\":\n true}, \"id\": 7}"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := m.Run([]byte(`{"execute": "query-version"}`))
	if err != nil {
		t.Fatal(err)
	}
	var reply struct {
		Return json.RawMessage
		ID     string
	}
	if err := json.Unmarshal(first, &reply); err != nil || string(reply.Return) != "[1]" {
		t.Errorf("first reply is now %q", first)
	}
	if !strings.Contains(string(second), `"Debian"`) {
		t.Errorf("second reply is %q", second)
	}
	if want := `{"execute":"query-blockstats","arguments":{"query-nodes":true},"id":"` + reply.ID + "\"}\n"; sent != want {
		t.Errorf("sent %q, want %q", sent, want)
	}
}

func TestIDsAreUnique(t *testing.T) {
	t.Parallel()
	a, b := newClient(t, Options{}), newClient(t, Options{})
	seen := map[string]bool{}
	for range 1000 {
		seen[string(a.appendID(nil))] = true
		seen[string(b.appendID(nil))] = true
	}
	if len(seen) != 2000 {
		t.Errorf("2000 ids, %d of them different", len(seen))
	}
}

func TestDisconnectAndConnectInAnyOrder(t *testing.T) {
	t.Parallel()
	f := newFake(t, 2, polite)
	m := newClient(t, Options{Greeting: 10 * time.Second}).Monitor(t.Context(), f.path)
	status := []byte(`{"execute": "query-status"}`)
	for range 3 {
		_, err := m.Run(status)
		wants(t, "not connected", err, ErrClosed)
		if err := m.Disconnect(); err != nil {
			t.Fatal(err)
		}
		wants(t, "connect", m.Connect(), "")
		wants(t, "connect while connected", m.Connect(), ErrInUse)
		_, err = m.Run(status)
		wants(t, "connected", err, "")
		for range 2 {
			if err := m.Disconnect(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestMonitorIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	f := newFake(t, 2, polite)
	m := connected(t, f)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				if reply, err := m.Run([]byte(`{"execute": "query-balloon"}`)); err != nil || !strings.Contains(string(reply), "134217728") {
					t.Errorf("got %q, %v", reply, err)
				}
			}
		})
	}
	all.Wait()
}

func TestCommandAfterAFailureIsNotSent(t *testing.T) {
	t.Parallel()
	f := newFake(t, 2, func(c *fakeClient) {
		c.greet()
		c.obey(func(name, id string) bool {
			switch name {
			case "query-jobs":
				c.send(`{"error": {"class": "CommandNotFound", "desc": "unknown"}, "id": ` + id + `}`)
			case "query-name":
				c.send("garbage")
			default:
				return false
			}
			c.owed--
			return true
		})
	})
	m := connected(t, f)
	for _, step := range []struct {
		command string
		want    Kind
	}{{"query-jobs", ErrCommand}, {"query-version", ""}, {"query-name", ErrAnswer}, {"query-version", ErrAnswer}} {
		_, err := m.Run([]byte(`{"execute": "` + step.command + `"}`))
		wants(t, step.command, err, step.want)
	}
	m.Disconnect()
	waitFor(t, "the connection is closed", func() bool { _, served, _, _ := f.tally(); return served == 1 })
	if commands, _, _, _ := f.tally(); len(commands) != 4 {
		t.Errorf("sent %q", commands)
	}
}

func TestConversationThatIsForgottenEndsByItself(t *testing.T) {
	t.Parallel()
	f := newFake(t, 2, polite)
	c := newClient(t, Options{Greeting: 10 * time.Second, Conversation: time.Second})
	m := c.Monitor(t.Context(), f.path)
	wants(t, "connect", m.Connect(), "")
	waitFor(t, "the monitor is free", func() bool { _, served, _, _ := f.tally(); return served == 1 })
	status := []byte(`{"execute": "query-status"}`)
	_, err := m.Run(status)
	wants(t, "run", err, ErrTimeout)
	m.Disconnect()
	_, err = m.Run(status)
	wants(t, "run", err, ErrClosed)

	ctx, cancel := context.WithCancel(t.Context())
	m = c.Monitor(ctx, f.path)
	wants(t, "connect", m.Connect(), "")
	cancel()
	waitFor(t, "the monitor is free", func() bool { _, served, _, _ := f.tally(); return served == 2 })
	_, err = m.Run(status)
	wants(t, "run", err, ErrCanceled)
}

// Not parallel: it counts file descriptors of the process.
func TestHostileMonitorsLeaveNothingBehind(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	before := openFiles(t)
	for _, serve := range []func(*fakeClient){
		polite,
		func(*fakeClient) {},
		func(c *fakeClient) { c.obey(nil) },
		func(c *fakeClient) { c.greet(); c.command() },
		func(c *fakeClient) { c.greet(); c.obey(func(string, string) bool { return true }) },
		func(c *fakeClient) { c.greet(); c.send("garbage"); c.obey(nil) },
		func(c *fakeClient) { c.greet(); c.Write([]byte(strings.Repeat("x", 2*maxLine))); c.obey(nil) },
		func(c *fakeClient) {
			c.greet()
			c.obey(func(_, id string) bool { time.Sleep(30 * time.Millisecond); c.reply(id, `{}`); return true })
		},
	} {
		for _, startup := range []time.Duration{-1, time.Hour} {
			harass(t, serve, Options{
				Greeting: 10 * time.Millisecond, Reply: 10 * time.Millisecond, Drain: 50 * time.Millisecond,
				Startup: startup, Backoff: -1,
			})
		}
	}
	goleak.VerifyNone(t, ignore)
	if after := openFiles(t); after != before {
		t.Errorf("%d files open, %d before", after, before)
	}
}

// harass has several ask one fake at the same time.
func harass(t *testing.T, serve func(*fakeClient), o Options) {
	f := newFake(t, 1, serve)
	c := New(o)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 10 {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				_, _ = c.Query(ctx, f.path)
				cancel()
			}
		})
	}
	all.Wait()
	closeClient(t, c)
	f.stop()
}

func openFiles(t testing.TB) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc/self/fd: ", err)
	}
	return len(files)
}
