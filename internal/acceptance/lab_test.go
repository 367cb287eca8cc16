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

// The program as it runs on a node, and as it runs where no libraries of corosync and Ceph are.
var (
	build       = builds("node")
	buildStatic = builds("static", "CGO_ENABLED=0")
)

func builds(name string, env ...string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		dir := filepath.Join(buildDir, name)
		// Not with -race: its memory and speed are no user's.
		cmd := exec.Command("go", "build", "-o", dir+"/", "github.com/quorate/quorate/cmd/...")
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("%w: %s", err, out)
		}
		return filepath.Join(dir, "quorate"), nil
	})
}

// built returns the path of the quorate that was built.
func built(t testing.TB, build func() (string, error)) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the program: not under -short")
	}
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func program(t testing.TB) string {
	t.Helper()
	return built(t, build)
}

// newLab starts a lab that is removed with the test.
func newLab(t testing.TB, o lab.Options) *lab.Lab {
	t.Helper()
	labtest.Need(t, o.Ceph)
	o.Self = filepath.Join(filepath.Dir(program(t)), "quorate-lab")
	return labtest.New(t, o)
}
