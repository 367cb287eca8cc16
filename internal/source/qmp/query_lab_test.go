package qmp

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const qemuProgram = "qemu-system-x86_64"

// needQEMU skips the test where there is no QEMU, or fails it with QUORATE_LAB=required.
func needQEMU(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a real QEMU: not under -short")
	}
	if _, err := exec.LookPath(qemuProgram); err != nil {
		if os.Getenv("QUORATE_LAB") == "required" {
			t.Fatalf("QUORATE_LAB=required: %v", err)
		}
		t.Skip(err)
	}
}

// A realQEMU is a QEMU that has a monitor and no guest.
type realQEMU struct {
	path string
	proc *os.Process
}

// startQEMU starts one without a machine, or with what args say. It ends with the test.
func startQEMU(t testing.TB, args ...string) realQEMU {
	t.Helper()
	needQEMU(t)
	path := socketPath(t)
	if len(args) == 0 {
		args = []string{"-machine", "none"}
	}
	args = append(args, "-nodefaults", "-nographic",
		"-chardev", "socket,id=qmp,path="+path+",server=on,wait=off", "-mon", "chardev=qmp,mode=control")
	cmd := exec.Command(qemuProgram, args...)
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	waitFor(t, "QEMU listens", func() bool {
		c, err := net.Dial("unix", path)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return realQEMU{path: path, proc: cmd.Process}
}

func (q realQEMU) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := q.proc.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// A strict client is one as Proxmox has it: a connection a command, EAGAIN retried, and any reply
// without its id is the end of it.
type strict struct {
	path  string
	retry time.Duration // after EAGAIN
	sent  int
	again int // EAGAINs
	worst time.Duration
}

// run executes one command and returns what it returns.
func (s *strict) run(command, args string) (json.RawMessage, error) {
	began := time.Now()
	defer func() { s.worst = max(s.worst, time.Since(began)) }()
	var c net.Conn
	for {
		var err error
		if c, err = net.Dial("unix", s.path); err == nil {
			break
		}
		if !errors.Is(err, syscall.EAGAIN) || time.Since(began) > time.Minute {
			return nil, err
		}
		s.again++
		time.Sleep(s.retry)
	}
	defer c.Close()
	c.SetDeadline(began.Add(time.Minute))
	r := bufio.NewReader(c)
	var hello struct{ QMP *json.RawMessage }
	line, err := r.ReadBytes('\n')
	if err != nil || json.Unmarshal(line, &hello) != nil || hello.QMP == nil {
		return nil, fmt.Errorf("greeting is %q, %w", line, err)
	}
	if _, err := s.exchange(c, r, "qmp_capabilities", ""); err != nil {
		return nil, err
	}
	return s.exchange(c, r, command, args)
}

func (s *strict) exchange(c net.Conn, r *bufio.Reader, command, args string) (json.RawMessage, error) {
	s.sent++
	id := fmt.Sprintf("%d:%d", os.Getpid(), s.sent)
	if args != "" {
		args = `,"arguments":` + args
	}
	if _, err := fmt.Fprintf(c, `{"execute":"%s"%s,"id":"%s"}`, command, args, id); err != nil {
		return nil, err
	}
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		var m struct {
			Event, ID     string
			Return, Error json.RawMessage
		}
		if err := json.Unmarshal(line, &m); err != nil {
			return nil, err
		}
		switch {
		case m.Event != "":
			continue
		case m.ID != id:
			return nil, fmt.Errorf("got wrong command id %q: %s", m.ID, line)
		case m.Error != nil:
			return nil, fmt.Errorf("%s: %s", command, m.Error)
		}
		return m.Return, nil
	}
}

func TestLabQueryOfARealQEMU(t *testing.T) {
	t.Parallel()
	q := startQEMU(t)
	c := newClient(t, Options{Greeting: 10 * time.Second, Reply: 10 * time.Second})
	s, err := c.Query(t.Context(), q.path)
	if err != nil {
		t.Fatal(err)
	}
	if s.Process.PID != q.proc.Pid || s.Process.Start == 0 || s.VMState == "" || s.Migration != (Migration{}) {
		t.Errorf("got %+v of process %d", s, q.proc.Pid)
	}
	m := c.Monitor(t.Context(), q.path)
	wants(t, "connect", m.Connect(), "")
	for _, name := range readOnly {
		// query-balloon fails without a balloon: also an answer. All others succeed.
		if _, err := m.Run([]byte(`{"execute": "` + name + `"}`)); err != nil && !(name == "query-balloon" && errors.Is(err, ErrCommand)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The longest reply that QEMU has, though nobody may ask for it.
	if schema, err := m.result("query-qmp-schema"); err != nil || len(schema) < 150_000 {
		t.Errorf("schema of %d bytes, %v", len(schema), err)
	}
	m.Disconnect()
}

func TestLabProcessIsTheOneThatListens(t *testing.T) {
	t.Parallel()
	needQEMU(t)
	path := socketPath(t)
	// As Proxmox starts it: what was started is not what listens.
	out, err := exec.Command(qemuProgram, "-machine", "none", "-nodefaults", "-display", "none", "-daemonize",
		"-pidfile", path+".pid", "-qmp", "unix:"+path+",server=on,wait=off").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(path + ".pid")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(pid, syscall.SIGKILL)
		waitFor(t, "QEMU has gone", func() bool { s := state(pid); return s == "" || s == "Z" })
	})
	c := newClient(t, Options{Greeting: 10 * time.Second, Reply: 10 * time.Second})
	s, err := c.Query(t.Context(), path)
	want, _ := startTime(pid)
	if err != nil || s.Process != (Process{PID: pid, Start: want}) {
		t.Errorf("got %+v, %v, want process %d started at %d", s.Process, err, pid, want)
	}
}

// state returns the third field of /proc/PID/stat, "" if there is no such process.
func state(pid int) string {
	stat, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, _ := strings.Cut(string(stat), ") ")
	state, _, _ := strings.Cut(rest, " ")
	return state
}

func TestLabMigrationIsSeen(t *testing.T) {
	t.Parallel()
	q := startQEMU(t, "-machine", "pc", "-accel", "tcg", "-m", "64", "-S")
	driver := &strict{path: q.path, retry: 5 * time.Millisecond}
	run := func(command, args string) {
		t.Helper()
		if _, err := driver.run(command, args); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
	c := newClient(t, Options{Greeting: 10 * time.Second, Reply: 10 * time.Second})
	until := func(status string) Sample {
		t.Helper()
		var s Sample
		waitFor(t, status, func() bool {
			var err error
			if s, err = c.Query(t.Context(), q.path); err != nil {
				t.Fatal(err)
			}
			return s.Migration.Status == status
		})
		return s
	}
	run("migrate-set-parameters", `{"max-bandwidth": 10000}`)
	run("migrate", `{"uri": "exec:cat >/dev/null"}`)
	s := until("active")
	if s.Migration.RAM == nil || s.Migration.RAM.Total == nil || *s.Migration.RAM.Total < 64<<20 || s.Migration.TotalTime == nil || s.Migration.Downtime != nil {
		t.Errorf("active: %+v", s)
	}
	run("migrate_cancel", "")
	until("cancelled")

	run("migrate-set-parameters", `{"max-bandwidth": 10000000000}`)
	run("migrate", `{"uri": "exec:exit 1"}`)
	until("failed")

	run("migrate", `{"uri": "exec:cat >/dev/null"}`)
	s = until("completed")
	if s.VMState != "postmigrate" || s.Migration.Downtime == nil || s.Migration.RAM == nil || *s.Migration.RAM.Transferred == 0 {
		t.Errorf("completed: %+v", s)
	}
}

func TestLabOneVMThatHangsLeavesTheOthersAlone(t *testing.T) {
	t.Parallel()
	hangs, well := startQEMU(t), startQEMU(t)
	c := newClient(t, Options{Startup: -1, Backoff: -1, Reply: 10 * time.Second})
	// The first may come too early: QEMU listens before its main loop runs.
	waitFor(t, "both answer", func() bool {
		_, a := c.Query(t.Context(), hangs.path)
		_, b := c.Query(t.Context(), well.path)
		if a != nil || b != nil {
			t.Log(a, b)
		}
		return a == nil && b == nil
	})
	hangs.signal(t, syscall.SIGSTOP)
	waitFor(t, "it has stopped", func() bool { return state(hangs.proc.Pid) == "T" })
	var all sync.WaitGroup
	all.Go(func() {
		for i, want := range []Kind{ErrNoGreeting, ErrNoGreeting, ErrBusy, ErrBusy} {
			began := time.Now()
			if _, err := c.Query(t.Context(), hangs.path); !errors.Is(err, want) {
				t.Errorf("query %d of the VM that hangs: %v, want %q", i+1, err, want)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("query %d of the VM that hangs took %s", i+1, took)
			}
		}
	})
	answers := 0
	for began := time.Now(); time.Since(began) < 1200*time.Millisecond; {
		if _, err := c.Query(t.Context(), well.path); err == nil {
			answers++
		}
	}
	all.Wait()
	t.Logf("%d answers of the other VM meanwhile", answers)
	if answers < 20 {
		t.Errorf("only %d answers of the other VM in 1.2 s", answers)
	}
	hangs.signal(t, syscall.SIGCONT)
	waitFor(t, "it answers again", func() bool { _, err := c.Query(t.Context(), hangs.path); return err == nil })

	hangs.signal(t, syscall.SIGKILL)
	waitFor(t, "the socket is stale", func() bool {
		_, err := c.Query(t.Context(), hangs.path)
		return errors.Is(err, ErrGone) && errors.Is(err, syscall.ECONNREFUSED)
	})
	if _, err := os.Stat(hangs.path); err != nil {
		t.Errorf("the socket of a killed QEMU should be there: %v", err)
	}
}

func TestLabHeldMonitorIsWaitedForWithoutHarm(t *testing.T) {
	t.Parallel()
	q := startQEMU(t)
	holder, err := net.Dial("unix", q.path)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	r := bufio.NewReader(holder)
	if _, err := r.ReadBytes('\n'); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, Options{Greeting: 100 * time.Millisecond, Reply: 10 * time.Second, Startup: -1, Backoff: -1})
	for i, want := range []Kind{ErrNoGreeting, ErrNoGreeting, ErrBusy} {
		_, err := c.Query(t.Context(), q.path)
		wants(t, fmt.Sprint("query ", i+1), err, want)
	}
	// The holder has not noticed.
	s := &strict{path: q.path}
	if _, err := s.exchange(holder, r, "qmp_capabilities", ""); err != nil {
		t.Error(err)
	}
	if _, err := s.exchange(holder, r, "query-status", ""); err != nil {
		t.Error(err)
	}
	holder.Close()
	waitFor(t, "our turn", func() bool { _, err := c.Query(t.Context(), q.path); return err == nil })
}
