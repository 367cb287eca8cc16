package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary play the programs that a lab starts: its own link box, an exporter,
// and a quorate-lab that is killed while it starts a lab.
func TestMain(m *testing.M) {
	roles := map[string]func([]string) error{"linkem": playLinkem, "serve": playExporter, "lab-up": playUp, "pvefake": playPVE, "vm": playVM}
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		if err := roles[os.Args[1]](os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func playLinkem(args []string) error {
	var o LinkOptions
	for _, arg := range args[2:] {
		name, value, _ := strings.Cut(arg, "=")
		var err error
		switch name {
		case "--delay":
			o.Delay, err = time.ParseDuration(value)
		case "--jitter":
			o.Jitter, err = time.ParseDuration(value)
		case "--loss":
			o.Loss, err = strconv.ParseFloat(value, 64)
		default:
			err = errors.New("unknown flag " + arg)
		}
		if err != nil {
			return err
		}
	}
	return Linkem(context.Background(), args[0], args[1], o, os.Stdout)
}

// playExporter serves its hostname on the socket it was given, as `quorate serve` does.
func playExporter(args []string) error {
	if !slices.Contains(args, "--web.systemd-socket") || os.Getenv("LISTEN_FDS") != "1" || os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return fmt.Errorf("no socket handed over: %q LISTEN_PID=%s", args, os.Getenv("LISTEN_PID"))
	}
	listener, err := net.FileListener(os.NewFile(3, "LISTEN_FD_3"))
	if err != nil {
		return err
	}
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		name, _ := os.Hostname()
		fmt.Fprint(w, name)
	}))
}

func playPVE(args []string) error {
	l, err := Open(args[1], nil) // --dir DIR
	if err != nil {
		return err
	}
	return l.ServePVE(context.Background(), os.Stdout)
}

func playUp(args []string) error {
	_, err := Up(context.Background(), Options{Dir: args[0]})
	return err
}

// labOptions skips the test where no lab can run. Labs of tests react faster than real clusters.
func labOptions(t *testing.T, o Options) Options {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a real corosync cluster")
	}
	if err := requirements(o); err != nil {
		t.Skip(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Not t.TempDir: it may be below a path that a node has of its own.
	dir, err := os.MkdirTemp("/var/tmp", "quorate-lab-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Remove(context.Background(), dir, nil); err != nil {
			t.Error(err)
		}
		if err := os.Remove(dir); err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
	})
	o.Dir, o.Self, o.Token = dir, exe, time.Second
	return o
}

func startLab(t *testing.T, o Options) *Lab {
	t.Helper()
	o = labOptions(t, o)
	began := time.Now()
	l, err := Up(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d nodes up after %s", l.o.Nodes, time.Since(began).Round(10*time.Millisecond))
	return l
}

// eventually fails the test unless claim becomes true in time.
func eventually(t *testing.T, claim func(ctx context.Context) error) {
	t.Helper()
	began := time.Now()
	if err := poll(t.Context(), 40*time.Second, 50*time.Millisecond, func() error { return claim(t.Context()) }); err != nil {
		t.Fatal(err)
	}
	t.Logf("seen after %s", time.Since(began).Round(10*time.Millisecond))
}

// assertGone checks that a machine has nothing of a lab any more.
func assertGone(t *testing.T, l *Lab, pids []identity) {
	t.Helper()
	if found, err := l.names.existing(); err != nil || len(found) > 0 {
		t.Errorf("network namespaces left: %v %v", found, err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(mounts), "\n") {
		if strings.Contains(line, l.Dir()) || strings.Contains(line, l.names.prefix) {
			t.Errorf("mount left: %s", line)
		}
	}
	if _, err := os.Stat(l.Dir()); !os.IsNotExist(err) {
		t.Errorf("directory left: %s (%v)", l.Dir(), err)
	}
	for _, id := range pids {
		if id.alive() {
			t.Errorf("process left: %d", id.Pid)
		}
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		cmdline, err := os.ReadFile("/proc/" + entry.Name() + "/cmdline")
		if err == nil && strings.Contains(string(cmdline), l.Dir()) && entry.Name() != strconv.Itoa(os.Getpid()) {
			t.Errorf("process left: %s %q", entry.Name(), cmdline)
		}
		// A process that keeps one of the lab's mount namespaces would show it here.
		mounts, err := os.ReadFile("/proc/" + entry.Name() + "/mountinfo")
		if err == nil && strings.Contains(string(mounts), l.Dir()+"/") {
			t.Errorf("process %s is left in a node's mount namespace", entry.Name())
		}
	}
}

// everything is what runs in a lab, to be looked for after its end.
func everything(t *testing.T, l *Lab) []identity {
	t.Helper()
	namespaces, err := l.openNamespaces()
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(namespaces)
	ids, err := l.processesBy(l.Dir()+"/*/procs/*.json", namespaces)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(ids, func(id identity) bool { return id.Pid == os.Getpid() })
}
