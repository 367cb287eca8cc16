// Package labtest gives tests a lab of their own.
package labtest

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
)

// Need skips the test where a lab cannot run: under -short, without root or without the daemons.
// With QUORATE_LAB=required in the environment a missing part fails it instead.
func Need(t testing.TB, ceph bool) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real daemons: not under -short")
	}
	programs := []string{"corosync", "ip", "nsenter"}
	if ceph {
		programs = append(programs, "ceph-mon", "ceph-mgr", "ceph-osd", "ceph")
	}
	var missing error
	if os.Geteuid() != 0 {
		missing = errors.New("a lab needs root, for network and mount namespaces")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing = errors.Join(missing, err)
		}
	}
	switch {
	case missing == nil:
	case os.Getenv("QUORATE_LAB") == "required":
		t.Fatalf("QUORATE_LAB=required: %v", missing)
	default:
		t.Skip(missing)
	}
}

// Soak skips what takes long and is covered by quicker tests, unless QUORATE_SOAK is set (make soak).
func Soak(t testing.TB) {
	t.Helper()
	if os.Getenv("QUORATE_SOAK") == "" {
		t.Skip("takes long: run make soak")
	}
}

// New starts a lab that is removed with the test. It sets Dir and, if there is none, a log of
// warnings.
func New(t testing.TB, o lab.Options) *lab.Lab {
	t.Helper()
	Need(t, o.Ceph)
	// Not t.TempDir: sockets below it would have names that are too long.
	dir, err := os.MkdirTemp("/var/tmp", "quorate-test-")
	if err != nil {
		t.Fatal(err)
	}
	o.Dir = filepath.Join(dir, "lab")
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	begun := time.Now()
	l, err := lab.Up(t.Context(), o)
	if err != nil {
		os.RemoveAll(dir)
		t.Fatal(err)
	}
	t.Logf("lab up in %s", time.Since(begun).Round(time.Millisecond))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := l.Down(ctx); err != nil {
			t.Error(err)
		}
		os.RemoveAll(dir)
	})
	return l
}
