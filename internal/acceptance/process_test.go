package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// footprint is what a process holds of the machine.
type footprint struct {
	threads, fds, goroutines int
	rssMiB                   float64
	privateMiB               float64 // the part that is not pages of programs and libraries, which other processes share
}

func (f footprint) String() string {
	return fmt.Sprintf("%d threads, %d goroutines, %d fds, %.1f MiB", f.threads, f.goroutines, f.fds, f.rssMiB)
}

// footprint reads the exporter's; it must run.
func (x *exporter) footprint(t *testing.T) footprint {
	t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(x.pid()))
	fds, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := x.scrape(t.Context(), "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	return footprint{
		threads:    statusField(t, proc, "Threads"),
		fds:        len(fds),
		goroutines: int(a.series["go_goroutines{}"]),
		rssMiB:     float64(statusField(t, proc, "VmRSS")) / 1024,
		privateMiB: float64(statusField(t, proc, "VmRSS")-statusField(t, proc, "RssFile")) / 1024,
	}
}

func statusField(t *testing.T, proc, name string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, is := strings.CutPrefix(line, name+":"); is {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("%s/status has no %s", proc, name)
	return 0
}
