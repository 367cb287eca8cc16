package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestGuestSectorIsWhatNasmMakesOfItsSource(t *testing.T) {
	nasm, err := exec.LookPath("nasm")
	if err != nil {
		t.Skip("nasm is not installed")
	}
	out := filepath.Join(t.TempDir(), "guest.bin")
	if text, err := exec.Command(nasm, "-f", "bin", "qemuguest/guest.asm", "-o", out).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	made, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(made, guestSector) {
		t.Error("qemuguest/guest.bin is not guest.asm: run nasm -f bin guest.asm -o guest.bin in internal/lab/qemuguest")
	}
}

func TestGuestImageCarriesItsParameters(t *testing.T) {
	image := guestImage(VMOptions{WorkingSetPages: 3, DirtyPagesPerMs: 7})
	if len(guestSector) != 512 || image[510] != 0x55 || image[511] != 0xaa {
		t.Fatalf("no boot sector: %d bytes, ends in %x", len(guestSector), image[510:512])
	}
	want := []uint32{4 << 20, 4<<20 + 3*4096, 7, 3580, 5}
	for i, w := range want {
		if got := binary.LittleEndian.Uint32(image[480+4*i:]); got != w {
			t.Errorf("parameter %d is %d, want %d", i, got, w)
		}
	}
	if !bytes.Equal(image[:480], guestSector[:480]) {
		t.Error("the code was changed")
	}
}

func TestGuestsThatCouldNotRunAreRefused(t *testing.T) {
	good := VMOptions{ID: 100, MemoryMiB: 64, WorkingSetPages: 4096}
	if err := checkGuest(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*VMOptions){
		"an id that Proxmox VE refuses":  func(o *VMOptions) { o.ID = 99 },
		"more pages than memory":         func(o *VMOptions) { o.WorkingSetPages = 14337 },
		"no working set":                 func(o *VMOptions) { o.WorkingSetPages = 0 },
		"too little memory for a BIOS":   func(o *VMOptions) { o.MemoryMiB = 8 },
		"a negative rate":                func(o *VMOptions) { o.DirtyPagesPerMs = -1 },
		"more memory than a lab can pay": func(o *VMOptions) { o.MemoryMiB = 4096 },
	} {
		o := good
		change(&o)
		if checkGuest(o) == nil {
			t.Errorf("%s was accepted: %+v", name, o)
		}
	}
}

func TestHandoverIsTheSilenceBetweenTheNodes(t *testing.T) {
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	for name, c := range map[string]struct {
		beats []beat
		pause time.Duration
		lost  int
		known bool
	}{
		"next beat after a pause":        {[]beat{{at(0), 1, 5}, {at(5), 1, 6}, {at(105), 2, 7}, {at(110), 2, 8}}, 100 * time.Millisecond, 0, true},
		"two beats were lost":            {[]beat{{at(0), 1, 5}, {at(40), 2, 8}}, 40 * time.Millisecond, 2, true},
		"the number begins again":        {[]beat{{at(0), 1, 127}, {at(7), 2, 0}}, 7 * time.Millisecond, 0, true},
		"a longer gap before it":         {[]beat{{at(0), 1, 1}, {at(900), 1, 2}, {at(910), 2, 3}}, 10 * time.Millisecond, 0, true},
		"never heard on the other":       {[]beat{{at(0), 1, 5}}, 0, 0, false},
		"never heard where it was":       {[]beat{{at(0), 2, 5}}, 0, 0, false},
		"it beats on both at once":       {[]beat{{at(0), 1, 5}, {at(5), 2, 6}, {at(9), 1, 7}}, 0, 0, false},
		"the last was read too late":     {[]beat{{at(0), 1, 5}, {at(5), 2, 7}, {at(9), 1, 6}}, 0, 0, true},
		"and much too late":              {[]beat{{at(0), 1, 5}, {at(5), 2, 7}, {at(290), 1, 6}}, 0, 0, false},
		"nothing was heard":              {nil, 0, 0, false},
		"an earlier node does not count": {[]beat{{at(0), 3, 1}, {at(5), 1, 2}, {at(25), 2, 3}}, 20 * time.Millisecond, 0, true},
	} {
		pause, lost, err := handover(c.beats, 1, 2)
		if pause != c.pause || lost != c.lost || (err == nil) != c.known {
			t.Errorf("%s: %v, %d lost, %v; want %v, %d, known %t", name, pause, lost, err, c.pause, c.lost, c.known)
		}
	}
}

func TestHeartbeatLeavesOutTheWordsOfTheBoot(t *testing.T) {
	h := newHeartbeat()
	h.add(time.Now(), 1, []byte{'B', 'R', 0x81, 0x82})
	if h.count(1) != 2 || h.count(2) != 0 {
		t.Errorf("%d and %d beats, want 2 and 0", h.count(1), h.count(2))
	}
}

// serveQMP answers connections on a socket, one after the other as QEMU does, with what say returns
// for each line; a line ends with each answer.
func serveQMP(t *testing.T, say func(line string) string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "qmp")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { listener.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(conn, say(""))
			lines := json.NewDecoder(conn)
			for {
				var line json.RawMessage
				if lines.Decode(&line) != nil {
					break
				}
				fmt.Fprintln(conn, say(string(line)))
			}
			conn.Close()
		}
	}()
	return path
}

// reply answers a command with its own id.
func reply(line, what string) string {
	var command struct{ ID string }
	_ = json.Unmarshal([]byte(line), &command)
	return fmt.Sprintf(`{"id": %q, %s}`, command.ID, what)
}

const greeting = `{"QMP": {"version": {}, "capabilities": []}}`

func TestMonitorTakesOnlyItsOwnReplies(t *testing.T) {
	for name, c := range map[string]struct {
		say  func(line string) string
		want string // in the error; empty: none
	}{
		"an ordinary answer": {func(l string) string { return reply(l, `"return": {"status": "running"}`) }, ""},
		"events before it": {func(l string) string {
			return `{"event": "STOP", "timestamp": {}}` + "\n" + reply(l, `"return": {"status": "running"}`)
		}, ""},
		"an error": {func(l string) string {
			if strings.Contains(l, "qmp_capabilities") {
				return reply(l, `"return": {}`)
			}
			return reply(l, `"error": {"class": "GenericError", "desc": "not now"}`)
		}, "not now"},
		"somebody else's reply": {func(string) string { return `{"id": "other", "return": {}}` }, "wrong command id"},
		"a number for an id":    {func(string) string { return `{"id": 7, "return": {}}` }, "wrong command id"},
		"a reply without id":    {func(string) string { return `{"return": {}}` }, "without command id"},
		"garbage":               {func(string) string { return `}{` }, "no reply"},
	} {
		t.Run(name, func(t *testing.T) {
			path := serveQMP(t, func(line string) string {
				if line == "" {
					return greeting
				}
				return c.say(line)
			})
			var state vmStatus
			err := qmp(t.Context(), path, "query-status", nil, &state)
			switch {
			case c.want == "" && (err != nil || state.Status != "running"):
				t.Errorf("%v, status %q", err, state.Status)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %q", err, c.want)
			}
			if c.want == "not now" && !errors.As(err, new(*QMPError)) {
				t.Errorf("%T is no QMPError", err)
			}
		})
	}
}

func TestMonitorWaitsWhileTheBacklogIsFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "qmp")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	raw, err := listener.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { shrinkBacklog(t, int(fd)) }); err != nil {
		t.Fatal(err)
	}
	// Fill it, so that a connect gives EAGAIN.
	for {
		conn, err := net.Dial("unix", path)
		if err != nil {
			break
		}
		defer conn.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*qmpRetry)
	defer cancel()
	if _, err := connectUnix(ctx, path); err == nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v, want the deadline while the backlog is full", err)
	}
	go func() { time.Sleep(2 * qmpRetry); drain(listener) }()
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := connectUnix(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestMigrateOptionsThatWouldLoseTheGuestAreRefused(t *testing.T) {
	for name, o := range map[string]MigrateOptions{
		"postcopy, then cancelled":             {Postcopy: true, CancelAfter: time.Second},
		"postcopy, then no destination":        {Postcopy: true, KillDestinationAfter: time.Second},
		"postcopy to a destination that halts": {Postcopy: true, NoResume: true},
		"postcopy with multifd":                {Postcopy: true, Multifd: true},
		"an unknown refusal":                   {Refuse: "whim"},
	} {
		if err := o.check(); !errors.Is(err, ErrUsage) {
			t.Errorf("%s: %v, want a usage error", name, err)
		}
	}
	if err := (MigrateOptions{}).check(); err != nil {
		t.Error(err)
	}
}

func TestNumbersOfAFailedMigrationAreTheLastSeen(t *testing.T) {
	m := &migration{}
	m.keep(MigrationStats{Status: "active", RAM: RAMStats{Total: 100, Transferred: 40}})
	m.keep(MigrationStats{Status: "failed", ErrorDesc: "reset"})
	if s := m.result.Stats; s.Status != "failed" || s.ErrorDesc != "reset" || s.RAM.Transferred != 40 {
		t.Errorf("%+v", s)
	}
}

func TestBytesAreWrittenAsProxmoxWritesThem(t *testing.T) {
	for n, want := range map[float64]string{0: "0.0 B", 1536: "1.5 KiB", 22.3 * (1 << 20): "22.3 MiB", 4 << 30: "4.0 GiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%g: %q, want %q", n, got, want)
		}
	}
}

func TestDriveNamesAreEscaped(t *testing.T) {
	if got, want := escapeDrive(`/a:b=c\d`), `/a\:b\=c\\d`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func shrinkBacklog(t *testing.T, fd int) {
	if err := syscall.Listen(fd, 0); err != nil {
		t.Error(err)
	}
}

// drain accepts and closes until the listener is closed.
func drain(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		conn.Close()
	}
}

func TestWanderSkipsNodesWithoutPower(t *testing.T) {
	l := newLab(Options{Dir: t.TempDir(), Nodes: 4})
	down := func(nodes ...string) {
		t.Helper()
		if err := l.saveFaults([]ActiveFault{{Name: faultNodeDown, Args: nodes}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		down     []string
		at, want int
		known    bool
	}{
		{nil, 1, 2, true},
		{nil, 4, 1, true},
		{[]string{"2"}, 1, 3, true},
		{[]string{"1", "2"}, 4, 3, true},
		{[]string{"1", "2", "3"}, 4, 0, false},
	} {
		down(c.down...)
		if got, known := l.nextNode(c.at); got != c.want || known != c.known {
			t.Errorf("from %d with %v down: %d, %t; want %d, %t", c.at, c.down, got, known, c.want, c.known)
		}
	}
}
