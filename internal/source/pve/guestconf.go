package pve

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A GuestConfig is what we want to know of a guest's configuration file.
type GuestConfig struct {
	GuestRef
	Node     string
	Name     string
	Lock     string // migrate, backup, snapshot, …; "" for none
	OnBoot   bool
	Template bool
}

// guestDirs are the directories of a node that hold guest configurations.
var guestDirs = map[string]string{"qemu": "qemu-server", "lxc": "lxc"}

// GuestConfigs reads the configurations of all guests of node, of every node when it is "". One file
// a guest is read, which no one on the network sees. Guests are ordered by VMID.
func (f *Files) GuestConfigs(ctx context.Context, node string) ([]GuestConfig, error) {
	return InFiles(ctx, f, "guests of "+cmp.Or(node, "all nodes"), func(fsys fs.FS) ([]GuestConfig, error) {
		nodes := []string{node}
		if node == "" {
			var err error
			if nodes, err = names(fsys, "nodes"); err != nil {
				return nil, err
			}
		}
		// By VMID: a guest that moves while we read may be met on both nodes.
		found := map[int64]GuestConfig{}
		for _, n := range nodes {
			for kind, dir := range guestDirs {
				if err := readGuests(fsys, found, n, kind, path.Join("nodes", n, dir)); err != nil {
					return nil, err
				}
			}
		}
		guests := make([]GuestConfig, 0, len(found))
		for _, g := range found {
			guests = append(guests, g)
		}
		slices.SortFunc(guests, func(a, b GuestConfig) int { return cmp.Compare(a.VMID, b.VMID) })
		return guests, nil
	})
}

// Locks returns those of GuestConfigs that have a lock.
func (f *Files) Locks(ctx context.Context, node string) ([]GuestConfig, error) {
	all, err := f.GuestConfigs(ctx, node)
	var locked []GuestConfig
	for _, g := range all {
		if g.Lock != "" {
			locked = append(locked, g)
		}
	}
	return locked, err
}

func names(fsys fs.FS, dir string) ([]string, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all, nil
}

// readGuests adds the guests of one directory to found. A node that has only one kind of guests has
// both directories, one that left the cluster may have neither.
func readGuests(fsys fs.FS, found map[int64]GuestConfig, node, kind, dir string) error {
	files, err := names(fsys, dir)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = fs.Stat(fsys, ".members") // is anything there at all?
	}
	if err != nil {
		return err
	}
	for _, name := range files {
		id, ok := strings.CutSuffix(name, ".conf")
		vmid, err := strconv.ParseUint(id, 10, 31)
		if !ok || err != nil {
			continue // such as 100.conf.tmp.1234, which is about to become 100.conf
		}
		b, err := readFile(fsys, path.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it moved to another node since we looked
		}
		if err != nil {
			return err
		}
		g := parseGuestConfig(b)
		g.GuestRef, g.Node = GuestRef{kind, int64(vmid)}, node
		found[g.VMID] = g
	}
	return nil
}

// parseGuestConfig reads the first part of a guest's configuration. What follows a line in brackets
// are snapshots and changes that wait for a reboot; a lock in there is none.
func parseGuestConfig(b []byte) GuestConfig {
	var g GuestConfig
	for line := range bytes.Lines(b) {
		if line[0] == '[' {
			break
		}
		key, value, ok := strings.Cut(string(line), ":")
		if !ok || line[0] == '#' {
			continue
		}
		value = strings.TrimSpace(value)
		switch key {
		case "name", "hostname":
			g.Name = value
		case "lock":
			g.Lock = value
		case "onboot":
			g.OnBoot = value == "1"
		case "template":
			g.Template = value == "1"
		}
	}
	return g
}
