package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/quorate/quorate/internal/lab"
	"github.com/quorate/quorate/internal/lab/labtest"
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

// newLab starts a lab that is removed with the test.
func newLab(t testing.TB, o lab.Options) *lab.Lab {
	t.Helper()
	labtest.Need(t, o.Ceph)
	o.Self = filepath.Join(filepath.Dir(program(t)), "quorate-lab")
	return labtest.New(t, o)
}
