package lab

import (
	"context"
	_ "embed" // the guest's boot sector
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
)

// guestSector is qemuguest/guest.asm, assembled.
//
//go:embed qemuguest/guest.bin
var guestSector []byte

const (
	guestFirst   = 4 << 20 // where the guest's working set begins
	guestParams  = 480     // where its parameters stand in the sector
	guestTick    = 3580    // a millisecond by the ACPI timer's 3.579545 MHz
	guestBeat    = 5       // ticks, and so milliseconds, between two beats
	guestPage    = 4096
	guestReserve = 8 << 20 // of its memory, for the BIOS and what lies below the working set

	imageBytes = 1 << 20
	diskBytes  = 1 << 30 // as Proxmox VE is told, and RBD

	vmPool = cephRBDPool
)

// guestImage is a disk that boots the guest.
func guestImage(o VMOptions) []byte {
	image := make([]byte, imageBytes)
	copy(image, guestSector)
	for i, value := range []int{guestFirst, guestFirst + o.WorkingSetPages*guestPage, o.DirtyPagesPerMs, guestTick, guestBeat} {
		binary.LittleEndian.PutUint32(image[guestParams+4*i:], uint32(value))
	}
	return image
}

// makeDisk makes the disk of a VM and returns what QEMU calls it. It is in the lab's Ceph if there is
// one and QEMU knows RBD; otherwise, and if it is to be local, a file that all nodes see.
func (l *Lab) makeDisk(ctx context.Context, o VMOptions) (drive string, err error) {
	path := filepath.Join(l.NodeDir(0), "vms", fmt.Sprintf("vm-%d-disk-0.raw", o.ID))
	if err := writeFile(path, guestImage(o), 0o644); err != nil {
		return "", err
	}
	if !l.o.Ceph || o.LocalDisk || !qemuKnowsRBD() {
		return path, nil
	}
	image := fmt.Sprintf("%s/vm-%d-disk-0", vmPool, o.ID)
	if _, err := l.cephRun(ctx, "", "rbd", "info", image); err == nil {
		if _, err := l.cephRun(ctx, "", "rbd", "rm", "--no-progress", image); err != nil {
			return "", fmt.Errorf("replace the disk of an earlier VM %d: %w", o.ID, err)
		}
	}
	if _, err := l.cephRun(ctx, "", "rbd", "import", "--no-progress", path, image); err != nil {
		return "", err
	}
	if _, err := l.cephRun(ctx, "", "rbd", "resize", "--no-progress", "--size", fmt.Sprintf("%dM", diskBytes>>20), image); err != nil {
		return "", err
	}
	plan := l.cephPlan()
	return strings.Join([]string{"rbd:" + image, "id=admin", "conf=" + escapeDrive(plan.conf()),
		"keyring=" + escapeDrive(plan.keyring("client.admin"))}, ":"), nil
}

// escapeDrive protects the characters that separate options in an rbd: name.
func escapeDrive(path string) string {
	return strings.NewReplacer(`\`, `\\`, ":", `\:`, "=", `\=`).Replace(path)
}

// qemuKnowsRBD says whether Debian's qemu-block-extra is installed.
func qemuKnowsRBD() bool {
	found, err := filepath.Glob("/usr/lib/*/qemu/block-rbd.so")
	return err == nil && len(found) > 0
}

// checkGuest refuses parameters with which the guest would not run.
func checkGuest(o VMOptions) error {
	room := (o.MemoryMiB<<20 - guestReserve) / guestPage
	switch {
	case o.ID < 100 || o.ID > 999_999_999:
		return fmt.Errorf("VM %d: Proxmox VE's ids go from 100 to 999999999", o.ID)
	case o.MemoryMiB < 16 || o.MemoryMiB > 1024:
		return fmt.Errorf("VM %d: %d MiB of memory (16 to 1024 are reasonable here)", o.ID, o.MemoryMiB)
	case o.WorkingSetPages < 1 || o.WorkingSetPages > room:
		return fmt.Errorf("VM %d: a working set of %d pages (1 to %d fit into %d MiB)", o.ID, o.WorkingSetPages, room, o.MemoryMiB)
	case o.DirtyPagesPerMs < 0 || o.DirtyPagesPerMs > 10_000:
		return fmt.Errorf("VM %d: %d pages dirtied a millisecond (0 to 10000)", o.ID, o.DirtyPagesPerMs)
	}
	return nil
}
