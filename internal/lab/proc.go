package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// identity names one process for ever: a pid is reused, the three together are not.
type identity struct {
	Pid   int
	Start uint64 // clock ticks after boot (proc(5), field 22 of stat)
	Boot  string // boot id, since ticks begin again with each boot
}

func identify(pid int) (identity, error) {
	start, _, err := processStart(pid)
	if err != nil {
		return identity{}, err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return identity{}, err
	}
	return identity{Pid: pid, Start: start, Boot: strings.TrimSpace(string(boot))}, nil
}

// alive says whether the process exists. A zombie does not: it only waits for its parent.
func (id identity) alive() bool {
	if id.Pid <= 0 {
		return false
	}
	start, state, err := processStart(id.Pid)
	if err != nil || start != id.Start || state == 'Z' || state == 'X' {
		return false
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return err == nil && strings.TrimSpace(string(boot)) == id.Boot
}

// signal fails with os.ErrProcessDone when the process is gone.
func (id identity) signal(sig syscall.Signal) error {
	// The handle is a pidfd. Looking at the identity after it was opened leaves no moment in which
	// another process could take the pid and get the signal.
	process, err := os.FindProcess(id.Pid)
	if err != nil {
		return os.ErrProcessDone
	}
	defer func() { _ = process.Release() }()
	if !id.alive() {
		return os.ErrProcessDone
	}
	return process.Signal(sig)
}

// stop signals the process and returns when it is gone, killing it after a while.
func (id identity) stop(ctx context.Context, sig syscall.Signal) error {
	for _, sig := range []syscall.Signal{sig, syscall.SIGKILL} {
		if err := id.signal(sig); errors.Is(err, os.ErrProcessDone) {
			return nil
		} else if err != nil {
			return err
		}
		if sig == syscall.SIGTERM {
			// Of a hung (SIGSTOPped) daemon nothing but SIGKILL would arrive.
			_ = id.signal(syscall.SIGCONT)
		}
		if id.gone(ctx, stopDeadline) == nil {
			return nil
		}
	}
	return fmt.Errorf("pid %d does not end, not even by SIGKILL", id.Pid)
}

func (id identity) gone(ctx context.Context, limit time.Duration) error {
	return poll(ctx, limit, 5*time.Millisecond, func() error {
		if id.alive() {
			return fmt.Errorf("pid %d still runs", id.Pid)
		}
		return nil
	})
}

func processStart(pid int) (start uint64, state byte, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	return parseStat(string(text))
}

// parseStat reads the state and the start time out of /proc/PID/stat. The name in it may contain
// spaces and parentheses, so fields count from the last one. A process whose main thread has ended is
// no zombie before its other threads have: they keep its sockets open.
func parseStat(text string) (start uint64, state byte, err error) {
	i := strings.LastIndexByte(text, ')')
	if i < 0 {
		return 0, 0, fmt.Errorf("process status %q is not understood", text)
	}
	fields := strings.Fields(text[i+1:]) // the first is field 3, the state
	if len(fields) < 20 || len(fields[0]) != 1 || fields[0] < "A" || fields[0] > "z" {
		return 0, 0, fmt.Errorf("process status %q is not understood", text)
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("process start time: %w", err)
	}
	state = fields[0][0]
	if threads := fields[17]; state == 'Z' && threads != "0" && threads != "1" {
		state = 'R'
	}
	return start, state, nil
}

// remove kills and deletes all that is the lab's. Each part is found on its own, so that damage to
// one does not save the others.
func (l *Lab) remove(ctx context.Context) error {
	namespaces, err := l.openNamespaces()
	defer closeAll(namespaces)
	errs := []error{err, l.killAll(ctx, namespaces)}
	for _, ns := range namespaces {
		_, err := l.Run(ctx, 0, "ip", "netns", "delete", filepath.Base(ns.Name()))
		errs = append(errs, err)
	}
	// Once more by the namespaces themselves: what was just entering one by its name is in now, and
	// no more can come.
	errs = append(errs, l.killAll(ctx, namespaces))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("lab %s is not fully removed (run quorate-lab down again): %w", l.o.Dir, err)
	}
	if err := removeDir(l.o.Dir); err != nil {
		return fmt.Errorf("lab directory: %w", err)
	}
	l.reapers.Wait()
	return nil
}

// openNamespaces opens the lab's network namespaces. While they are open their inode numbers, by
// which processes are recognised, cannot pass to others.
func (l *Lab) openNamespaces() ([]*os.File, error) {
	found, err := l.names.existing()
	if err != nil {
		return nil, err
	}
	var open []*os.File
	for _, name := range found {
		path := filepath.Join(netnsDir, name)
		file, err := os.Open(path)
		if err != nil {
			return open, err
		}
		open = append(open, file)
	}
	return open, nil
}

func closeAll(files []*os.File) {
	for _, file := range files {
		file.Close()
	}
}

// killAll kills the recorded processes and whatever else lives in the lab's network namespaces,
// until there is none: a daemon may have been starting another.
func (l *Lab) killAll(ctx context.Context, namespaces []*os.File) error {
	return poll(ctx, downTimeout, 5*time.Millisecond, func() error {
		victims, err := l.processesBy(filepath.Join(l.o.Dir, "*", "procs", "*.json"), namespaces)
		if err != nil {
			return permanent(err)
		}
		return killThese(victims)
	})
}

// killThese sends SIGKILL to all but this process, and fails as long as there are any.
func killThese(victims []identity) error {
	left := 0
	for _, id := range victims {
		if id.Pid == os.Getpid() {
			continue
		}
		left++
		if err := id.signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return permanent(fmt.Errorf("kill %d: %w", id.Pid, err))
		}
	}
	if left > 0 {
		return fmt.Errorf("%d processes still run", left)
	}
	return nil
}

// processesBy finds living processes by their records and by the network namespaces they are in.
func (l *Lab) processesBy(recordPattern string, namespaces []*os.File) ([]identity, error) {
	paths, err := filepath.Glob(recordPattern)
	if err != nil {
		return nil, err
	}
	var found []identity
	for _, path := range paths {
		var r record
		if err := readJSON(path, &r); err != nil {
			l.log.Warn("a record is damaged, its process is looked for by namespace", "file", path, "err", err)
			continue
		}
		if r.alive() {
			found = append(found, r.identity)
		}
	}
	var inodes []os.FileInfo
	for _, ns := range namespaces {
		info, err := ns.Stat()
		if err != nil {
			return nil, err
		}
		inodes = append(inodes, info)
	}
	inside, err := processesIn(inodes)
	for _, id := range inside {
		if !slices.Contains(found, id) {
			found = append(found, id)
		}
	}
	return found, err
}

// processesIn are the living processes in one of some network namespaces.
func processesIn(namespaces []os.FileInfo) ([]identity, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []identity
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		// The identity first: if the pid changes hands before the look at its namespace, the
		// identity names a dead process and nothing is killed.
		id, err := identify(pid)
		if err != nil {
			continue
		}
		ns, err := os.Stat(filepath.Join("/proc", entry.Name(), "ns/net"))
		if err != nil {
			continue // it ended while we looked
		}
		if slices.ContainsFunc(namespaces, func(n os.FileInfo) bool { return os.SameFile(n, ns) }) && id.alive() {
			found = append(found, id)
		}
	}
	return found, nil
}
