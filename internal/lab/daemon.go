package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const stopDeadline = 10 * time.Second // from the polite signal to SIGKILL

// Daemon is a process of the lab. It is recorded on disk, so that any later process can signal it,
// restart it with its node, and remove it.
type Daemon struct {
	Node    int        // 0: the machine itself
	Name    string     // unique in the node, e.g. "osd.0"
	Argv    []string   // as run inside the node
	Env     []string   // added to this process's environment
	Files   []*os.File `json:"-"` // fd 3 and up; not kept, so a daemon that needs them cannot be restarted with its node
	Listen  string     // a TCP address of the machine whose socket the daemon gets by systemd socket activation, as fd 3
	Log     string     // path of the file that gets stdout and stderr; empty: NodeDir/NAME.log
	PidFile string     // set when the daemon forks itself: where its pid is read, as seen on the machine

	outside bool // runs outside of the node's namespaces: what makes them, or works beside them
}

// record is what $DIR/N/procs/NAME.json says.
type record struct {
	Daemon
	identity
	Outside bool
	Stopped bool // on purpose: the node's return does not start it
}

// StartDaemon starts a daemon that outlives this process. It returns when the program has been
// executed or, with PidFile, when its pid is known. A daemon that already runs is an error.
func (l *Lab) StartDaemon(ctx context.Context, d Daemon) error {
	if _, err := os.Stat(filepath.Join(l.o.Dir, stateFile)); err != nil {
		return fmt.Errorf("%s: %w", l.o.Dir, ErrNoLab)
	}
	if l.Running(d.Node, d.Name) {
		return fmt.Errorf("%s runs already (pid %d)", l.daemonName(d.Node, d.Name), l.Pid(d.Node, d.Name))
	}
	if d.Log == "" {
		d.Log = filepath.Join(l.NodeDir(d.Node), d.Name+".log")
	}
	id, err := l.launch(ctx, d)
	if err != nil {
		return fmt.Errorf("start %s: %w", l.daemonName(d.Node, d.Name), err)
	}
	return l.saveRecord(record{Daemon: d, identity: id, Outside: d.outside})
}

func (l *Lab) launch(ctx context.Context, d Daemon) (identity, error) {
	argv, files := d.Argv, d.Files
	if d.Listen != "" {
		file, err := listenFile(ctx, d.Listen)
		if err != nil {
			return identity{}, err
		}
		defer file.Close()
		files = append([]*os.File{file}, files...)
		// LISTEN_PID must be the pid of the program itself, which only the shell it replaces knows.
		argv = append([]string{"sh", "-c", `export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"`, "sh"}, argv...)
	}
	if !d.outside {
		var err error
		if argv, err = l.enter(d.Node, argv); err != nil {
			return identity{}, err
		}
	}
	if err := os.MkdirAll(filepath.Dir(d.Log), 0o755); err != nil {
		return identity{}, err
	}
	log, err := os.OpenFile(d.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return identity{}, err
	}
	defer log.Close()
	if d.PidFile != "" {
		if err := os.Remove(d.PidFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return identity{}, err
		}
	}
	cmd := exec.Command(argv[0], argv[1:]...) // no context: it outlives this call
	cmd.Env = append(os.Environ(), d.Env...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles, cmd.SysProcAttr = log, log, files, detached()
	if err := cmd.Start(); err != nil {
		return identity{}, err
	}
	if d.PidFile != "" {
		return l.forked(ctx, cmd, d)
	}
	id, err := identify(cmd.Process.Pid) // before it can be reaped
	l.reapers.Go(func() { _ = cmd.Wait() })
	if err != nil || len(argv) == len(d.Argv) {
		return id, err
	}
	return id, executed(ctx, id, argv, d.Log)
}

// executed returns when a process has replaced the wrapper it was started as, and fails when it
// ended instead, as it does when there is no such program.
func executed(ctx context.Context, id identity, wrapper []string, log string) error {
	before := strings.Join(wrapper, "\x00") + "\x00"
	return poll(ctx, stopDeadline, 2*time.Millisecond, func() error {
		if !id.alive() {
			text, _ := os.ReadFile(log)
			return permanent(fmt.Errorf("it ended at once: %s (%s)", lastLine(string(text)), log))
		}
		now, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", id.Pid))
		// One that has just ended has an empty command line.
		if err != nil || len(now) == 0 || string(now) == before || strings.HasPrefix(string(now), "sh\x00-c\x00export LISTEN_FDS") {
			return errors.New("it has not been executed")
		}
		return nil
	})
}

// forked waits for a daemon that puts itself into the background.
func (l *Lab) forked(ctx context.Context, cmd *exec.Cmd, d Daemon) (identity, error) {
	done := make(chan error, 1)
	l.reapers.Go(func() { done <- cmd.Wait() })
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	select {
	case err := <-done:
		if err != nil {
			text, _ := os.ReadFile(d.Log)
			return identity{}, fmt.Errorf("%w: %s", err, lastLine(string(text)))
		}
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		return identity{}, fmt.Errorf("it does not go into the background: %w", ctx.Err())
	}
	var id identity
	err := poll(ctx, stopDeadline, 10*time.Millisecond, func() error {
		text, err := os.ReadFile(d.PidFile)
		if err != nil {
			return err
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return fmt.Errorf("%s: %w", d.PidFile, err)
		}
		id, err = identify(pid)
		return err
	})
	return id, err
}

// Signal sends a signal to a running daemon. It fails with os.ErrProcessDone when it does not run.
func (l *Lab) Signal(node int, name string, sig syscall.Signal) error {
	r, err := l.record(node, name)
	if errors.Is(err, fs.ErrNotExist) {
		err = os.ErrProcessDone
	}
	if err == nil {
		err = r.signal(sig)
	}
	if err != nil {
		return fmt.Errorf("signal %s: %w", l.daemonName(node, name), err)
	}
	return nil
}

// StopDaemon sends sig and returns when the process is gone, killing it after 10 seconds. A node
// that comes back does not start it again; StartDaemon does. It is no error if it does not run.
func (l *Lab) StopDaemon(ctx context.Context, node int, name string, sig syscall.Signal) error {
	r, err := l.record(node, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	r.Stopped = true
	if err := l.saveRecord(r); err != nil {
		return err
	}
	if err := r.stop(ctx, sig); err != nil {
		return fmt.Errorf("stop %s: %w", l.daemonName(node, name), err)
	}
	return nil
}

// Running says whether a daemon's process exists; a stopped (SIGSTOP) one does, a zombie does not.
func (l *Lab) Running(node int, name string) bool { return l.Pid(node, name) != 0 }

// Pid is the process id of a daemon on the machine, 0 when it does not run.
func (l *Lab) Pid(node int, name string) int {
	r, err := l.record(node, name)
	if err != nil || !r.alive() {
		return 0
	}
	return r.Pid
}

// restart starts a daemon again as it was recorded.
func (l *Lab) restart(ctx context.Context, r record) error {
	r.Daemon.outside = r.Outside
	return l.StartDaemon(ctx, r.Daemon)
}

func (l *Lab) procsDir(node int) string { return filepath.Join(l.NodeDir(node), "procs") }

func (l *Lab) recordPath(node int, name string) string {
	return filepath.Join(l.procsDir(node), name+".json")
}

func (l *Lab) record(node int, name string) (record, error) {
	var r record
	err := readJSON(l.recordPath(node, name), &r)
	return r, err
}

func (l *Lab) saveRecord(r record) error {
	return writeJSON(l.recordPath(r.Node, r.Name), r)
}

// records are all daemons of a node, running or not, in the order of their names.
func (l *Lab) records(node int) ([]record, error) {
	paths, err := filepath.Glob(filepath.Join(l.procsDir(node), "*.json"))
	if err != nil {
		return nil, err
	}
	records := make([]record, 0, len(paths))
	for _, path := range paths {
		var r record
		if err := readJSON(path, &r); err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

func (l *Lab) daemonName(node int, name string) string {
	if node == 0 {
		return name
	}
	return NodeName(node) + ": " + name
}
