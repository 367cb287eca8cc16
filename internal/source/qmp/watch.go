package qmp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// DefaultDir is where Proxmox VE has the monitor sockets of its VMs, VMID.qmp.
const DefaultDir = "/var/run/qemu-server"

// vmidOf returns the VM whose monitor socket is called name.
func vmidOf(name string) (vmid int, ok bool) {
	digits, ok := strings.CutSuffix(filepath.Base(name), ".qmp")
	n, err := strconv.ParseUint(digits, 10, 31)
	return int(n), ok && err == nil && strconv.FormatUint(n, 10) == digits
}

// sockets lists the VMs that have a monitor socket in dir. Without dir there are none: Proxmox makes
// it when the first VM starts.
func sockets(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the VMs' monitors (run as root, or name another directory by --qmp.dir): %w", err)
	}
	var vmids []int
	for _, e := range entries {
		if id, ok := vmidOf(e.Name()); ok {
			vmids = append(vmids, id)
		}
	}
	return vmids, nil
}

// A dirWatch tells when sockets come and go, as far as the kernel tells: what is missed the next
// listing finds.
type dirWatch struct {
	dir     string
	log     *slog.Logger
	watcher *fsnotify.Watcher // nil if the kernel has none for us
	info    os.FileInfo       // of the directory that is watched; nil for none
}

func newDirWatch(dir string, log *slog.Logger) *dirWatch {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("no inotify (see fs.inotify.max_user_instances): new VMs are found by listing alone", "err", err)
	}
	return &dirWatch{dir: dir, log: log, watcher: w}
}

func (w *dirWatch) close() {
	if w.watcher != nil {
		w.watcher.Close()
	}
}

// renew watches the directory that is there now. It says whether that is another than before, so
// that events may have been missed.
func (w *dirWatch) renew() (changed bool) {
	if w.watcher == nil {
		return false
	}
	info, err := os.Stat(w.dir)
	if err == nil && w.info != nil && os.SameFile(info, w.info) {
		return false
	}
	if w.info != nil {
		_ = w.watcher.Remove(w.dir) // of what is gone; it may have gone by itself
		w.info = nil
	}
	if err != nil {
		return false
	}
	if err := w.watcher.Add(w.dir); err != nil {
		w.log.Debug("cannot watch", "dir", w.dir, "err", err)
		return false
	}
	w.info = info
	return true
}

// run calls list at the begin, each time that much may have changed and every so often, and touched
// for a VM whose socket came or went, until ctx ends.
func (w *dirWatch) run(ctx context.Context, every time.Duration, list func(), touched func(vmid int, came bool)) {
	defer w.close()
	var events chan fsnotify.Event
	var failures chan error
	if w.watcher != nil {
		events, failures = w.watcher.Events, w.watcher.Errors
	}
	w.renew()
	list()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if id, ok := vmidOf(e.Name); ok && e.Op.Has(fsnotify.Create|fsnotify.Remove|fsnotify.Rename) {
				touched(id, e.Op.Has(fsnotify.Create))
			}
		case <-failures: // an overflow: events are lost
			list()
		case <-tick.C:
			w.renew()
			list()
		}
	}
}
