package acceptance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
)

// TestMain builds the program once for all tests that want it.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "quorate-acceptance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	buildDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

var buildDir string

var build = sync.OnceValues(func() (string, error) {
	// Not with -race: its memory and speed are no user's.
	cmd := exec.Command("go", "build", "-o", buildDir, "github.com/quorate/quorate/cmd/...")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return buildDir, nil
})

// program returns the path of the built quorate.
func program(t testing.TB) string {
	t.Helper()
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "quorate")
}

// need skips the test where the lab cannot run, or fails it where it must.
func need(t testing.TB, ceph bool) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a lab: not under -short")
	}
	programs := []string{"corosync", "ip", "nsenter"}
	if ceph {
		programs = append(programs, "ceph-mon", "ceph-mgr", "ceph-osd", "ceph")
	}
	var missing error
	if os.Geteuid() != 0 {
		missing = errors.New("root")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing = errors.Join(missing, err)
		}
	}
	switch {
	case missing == nil:
	case os.Getenv("QUORATE_LAB") == "required":
		t.Fatalf("the lab is required and lacks: %v", missing)
	default:
		t.Skipf("the lab lacks: %v", missing)
	}
}

// newLab starts a lab that is removed with the test.
func newLab(t testing.TB, o lab.Options) *lab.Lab {
	t.Helper()
	need(t, o.Ceph)
	dir, err := os.MkdirTemp("/var/tmp", "quorate-acceptance-")
	if err != nil {
		t.Fatal(err)
	}
	o.Dir = filepath.Join(dir, "lab")
	o.Self = filepath.Join(filepath.Dir(program(t)), "quorate-lab")
	o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
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
