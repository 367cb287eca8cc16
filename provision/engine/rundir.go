package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A RunDir is where a run keeps what happened: events.jsonl, the plan, and copies of what it changed
// as it was before. It holds the lock that keeps a second run of the same user from starting.
type RunDir struct {
	Path string

	redact *Redactor
	lock   *os.File
	events *os.File

	mu   sync.Mutex
	errs []error
}

// OpenRunDir makes base/cluster/TIME and locks base/cluster; it fails with ErrLocked while another run
// holds that. Directories are for the user alone.
func OpenRunDir(base, cluster string, now time.Time, r *Redactor) (*RunDir, error) {
	home := filepath.Join(base, cluster)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, fmt.Errorf("make run directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(home, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	// The kernel drops the lock when the process ends, however that happens.
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close() // nothing was written
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w (it holds %s)", ErrLocked, lock.Name())
		}
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	d := &RunDir{redact: r, lock: lock}
	if err := d.open(home, now); err != nil {
		_ = lock.Close() // nothing was written
		return nil, err
	}
	return d, nil
}

func (d *RunDir) open(home string, now time.Time) error {
	name := now.UTC().Format("20060102T150405Z")
	for i := 0; ; i++ {
		d.Path = filepath.Join(home, name)
		if i > 0 {
			d.Path = fmt.Sprintf("%s-%d", d.Path, i)
		}
		err := os.Mkdir(d.Path, 0o700)
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrExist) || i > 1000 {
			return fmt.Errorf("make run directory: %w", err)
		}
	}
	var err error
	d.events, err = os.OpenFile(filepath.Join(d.Path, "events.jsonl"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make run directory: %w", err)
	}
	return nil
}

// Events is where the Recorder of the run writes.
func (d *RunDir) Events() *os.File { return d.events }

// Keep writes data, without secrets, to a file of the run.
func (d *RunDir) Keep(name string, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name = strings.Map(func(r rune) rune {
		if r == '/' || r == os.PathSeparator || r < ' ' {
			return '_'
		}
		return r
	}, strings.TrimLeft(name, "."))
	p := filepath.Join(d.Path, name)
	for i := 1; ; i++ {
		f, err := os.OpenFile(p, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, os.ErrExist) && i < 1000 {
			p = fmt.Sprintf("%s.%d", filepath.Join(d.Path, name), i) // the first copy is the oldest: it stays
			continue
		}
		if err == nil {
			_, err = f.WriteString(d.redact.Clean(string(data)))
			err = errors.Join(err, f.Close())
		}
		if err != nil {
			d.errs = append(d.errs, fmt.Errorf("keep %s: %w", name, err))
		}
		return
	}
}

// Close ends the run and gives up the lock.
func (d *RunDir) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return errors.Join(append(d.errs, d.events.Close(), d.lock.Close())...)
}
