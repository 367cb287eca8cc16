package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBundleWriteExitsWithWhatHappened(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "quorate")
	write := func(args ...string) (int, string, string) {
		var stdout, stderr strings.Builder
		code := run(append([]string{"bundle", "write"}, args...), &stdout, &stderr)
		return code, stdout.String(), stderr.String()
	}
	if code, out, errs := write(dir); code != 0 || !strings.Contains(out, " files new, 0 updated") {
		t.Fatalf("exit %d, %q, %q", code, out, errs)
	}
	for _, name := range []string{"rules/quorum.yaml", "runbooks/NodeDown.md", "examples/alertmanager.yml", "examples/prometheus.yml",
		"dashboards/quorate-cluster.json", "provisioning/dashboards/quorate.yaml", "provisioning/datasources/quorate.yaml"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "rules/quorum.yaml"), []byte("groups: []\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := write(dir); code != exitFailed || !strings.Contains(errs, "rules/quorum.yaml") || !strings.Contains(errs, "--force") {
		t.Errorf("exit %d, %q over a changed file", code, errs)
	}
	if code, out, errs := write("--force", dir); code != 0 || !strings.Contains(out, "1 updated") {
		t.Errorf("exit %d, %q, %q with --force", code, out, errs)
	}
	if code, _, errs := write(); code != exitUsage || !strings.Contains(errs, "dir") {
		t.Errorf("exit %d, %q without a directory", code, errs)
	}
}
