package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	stateFile = "lab.json" // its presence marks a directory as a lab's, and so as one that down may remove
	netnsDir  = "/run/netns"
)

// names derives the names of the lab's network namespaces from its directory.
type names struct{ prefix string }

func namesOf(dir string) names {
	sum := sha256.Sum256([]byte(dir))
	return names{prefix: "qlab-" + hex.EncodeToString(sum[:4]) + "-"}
}

func (n names) node(node int) string { return n.prefix + strconv.Itoa(node) }
func (n names) switches() string     { return n.prefix + "sw" }

// existing are the lab's network namespaces on this machine.
func (n names) existing() ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(netnsDir, n.prefix+"*"))
	if err != nil {
		return nil, err
	}
	found := make([]string, 0, len(paths))
	for _, path := range paths {
		found = append(found, filepath.Base(path))
	}
	return found, nil
}

// claim makes the lab's directory and marks it. A directory with anything else in it is refused.
func (l *Lab) claim() error {
	entries, err := os.ReadDir(l.o.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("lab directory: %w", err)
	case len(entries) > 0:
		if _, err := os.Stat(filepath.Join(l.o.Dir, stateFile)); err == nil {
			return fmt.Errorf("%s holds a lab already (run quorate-lab down first)", l.o.Dir)
		}
		return fmt.Errorf("%s is not empty and no lab's (choose another directory)", l.o.Dir)
	}
	if found, err := l.names.existing(); err != nil || len(found) > 0 {
		return errors.Join(err, fmt.Errorf("%s: namespaces of an earlier lab are left (run quorate-lab down first)", l.o.Dir))
	}
	if err := os.MkdirAll(l.o.Dir, 0o755); err != nil {
		return fmt.Errorf("lab directory: %w", err)
	}
	text, err := json.MarshalIndent(l.o, "", "  ")
	if err != nil {
		return err
	}
	// Exclusive: of two that start a lab here at the same time one fails. Never replaced: it is the lock.
	file, err := os.OpenFile(filepath.Join(l.o.Dir, stateFile), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("lab directory: %w", err)
	}
	_, err = file.Write(append(text, '\n'))
	return errors.Join(err, file.Close())
}

// lock keeps other processes and goroutines from changing the lab. The kernel releases it with the
// process, so one that was killed blocks nobody. It fails with ErrNoLab when there is no lab (any more).
func (l *Lab) lock(ctx context.Context) (unlock func(), err error) {
	path := filepath.Join(l.o.Dir, stateFile)
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", l.o.Dir, ErrNoLab)
	}
	if err != nil {
		return nil, err
	}
	err = poll(ctx, 5*time.Minute, 20*time.Millisecond, func() error {
		return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	})
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: another quorate-lab is changing it: %w", l.o.Dir, err)
	}
	held, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, err
	}
	if now, err := os.Stat(path); err != nil || !os.SameFile(held, now) {
		file.Close()
		return nil, fmt.Errorf("%s: %w", l.o.Dir, ErrNoLab) // it was taken down while we waited
	}
	return func() { file.Close() }, nil
}

// removeDir removes a lab's directory, the mark last, so that an interrupted removal can be repeated.
func removeDir(dir string) error {
	mark := filepath.Join(dir, stateFile)
	if _, err := os.Stat(mark); err != nil {
		return nil // nothing, or not ours
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Name() == stateFile {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	if err := os.Remove(mark); err != nil {
		return err
	}
	return os.Remove(dir)
}

func readJSON(path string, value any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, value); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// writeJSON replaces a file in one step: a reader or a killed writer never leaves half of one.
func writeJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(text, '\n'), 0o644)
}

func writeFile(path string, text []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // no longer there when all went well
	_, err = file.Write(text)
	if err := errors.Join(err, file.Chmod(mode), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}

// permanentError ends a poll at once.
type permanentError struct{ error }

func (p permanentError) Unwrap() error { return p.error }

func permanent(err error) error { return permanentError{err} }

// poll calls ready until it returns nil, for at most limit. The error is ready's last one.
func poll(ctx context.Context, limit, interval time.Duration, ready func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		err := ready()
		var stop permanentError
		if err == nil || errors.As(err, &stop) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", err, ctx.Err())
		}
	}
}

// each runs do for every item at the same time and joins the errors in the items' order.
func each[T any](items []T, do func(T) error) error {
	errs := make([]error, len(items))
	var wg sync.WaitGroup
	for i, item := range items {
		wg.Go(func() { errs[i] = do(item) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// lastLine is the last line of a program's output that says anything.
func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}
