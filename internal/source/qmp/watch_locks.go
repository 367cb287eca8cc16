package qmp

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
)

// MigrateLocks returns a function that lists the VMs of node that Proxmox has locked to migrate them,
// by `lock: migrate` in their configurations. That is so from seconds before QEMU begins until seconds
// after the guest runs elsewhere.
//
// It is asked every few seconds, so it reads again only what was written since.
func MigrateLocks(files *pve.Files, node string) func(context.Context) ([]int, error) {
	r := &lockReader{dir: path.Join("nodes", node, "qemu-server"), known: map[string]knownLock{}}
	return func(ctx context.Context) ([]int, error) {
		return pve.InFiles(ctx, files, r.dir, r.read)
	}
}

// A lockReader is used by one call at a time: InFiles sees to that.
type lockReader struct {
	dir   string
	known map[string]knownLock // by file
}

// knownLock is what a configuration said when it had this time and size. The time is to the second; a
// lock that comes or goes changes the size.
type knownLock struct {
	written time.Time
	size    int64
	locked  bool
}

func (r *lockReader) read(fsys fs.FS) ([]int, error) {
	if _, err := fs.Stat(fsys, ".members"); err != nil {
		return nil, err // the cluster file system is not there
	}
	entries, err := fs.ReadDir(fsys, r.dir)
	if err != nil {
		return nil, err
	}
	var vmids []int
	known := make(map[string]knownLock, len(entries))
	for _, e := range entries {
		id, conf := strings.CutSuffix(e.Name(), ".conf")
		vmid, err := strconv.ParseUint(id, 10, 31)
		if !conf || err != nil {
			continue
		}
		k, err := r.look(fsys, e)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it moved to another node since we listed it
		}
		if err != nil {
			return nil, err
		}
		known[e.Name()] = k
		if k.locked {
			vmids = append(vmids, int(vmid))
		}
	}
	r.known = known
	return vmids, nil
}

func (r *lockReader) look(fsys fs.FS, e fs.DirEntry) (knownLock, error) {
	info, err := e.Info()
	if err != nil {
		return knownLock{}, err
	}
	now := knownLock{written: info.ModTime(), size: info.Size()}
	if before, ok := r.known[e.Name()]; ok && before.written.Equal(now.written) && before.size == now.size {
		return before, nil
	}
	text, err := fs.ReadFile(fsys, path.Join(r.dir, e.Name()))
	now.locked = migrateLocked(text)
	return now, err
}

// migrateLocked reads the first part of a configuration: what follows a line in brackets are snapshots
// and changes to come.
func migrateLocked(text []byte) bool {
	for line := range bytes.Lines(text) {
		key, value, _ := strings.Cut(string(bytes.TrimSpace(line)), ":")
		switch {
		case strings.HasPrefix(key, "["):
			return false
		case key == "lock":
			return strings.TrimSpace(value) == "migrate"
		}
	}
	return false
}
