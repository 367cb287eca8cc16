package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/internal/provisionproof"
	"github.com/quorate/quorate/provision/spec"
)

func TestPreflightFromTheCommandLine(t *testing.T) {
	file, _ := labFile(t)
	// What is copied to the nodes is this test, which may have been built without cgo.
	code, out, errs := provision("preflight", "-f", file, "--ignore-preflight=ExporterProgram")
	// The fake's clock does not run, and its pings are no real ones; what counts is that no check fails.
	if code != 0 || !strings.Contains(out, " 0 errors") {
		t.Errorf("exit %d\n%s\n%s", code, out, errs)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), "{dev: /dev/sdb}", "{dev: /dev/sda}", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs = provision("preflight", "-f", file)
	if code != exitPreflight || !strings.Contains(out, "error: OSDisk: /dev/sda of pve1 holds the operating system") {
		t.Errorf("exit %d\n%s\n%s", code, out, errs)
	}
}

func TestImportFromTheCommandLine(t *testing.T) {
	file, w := labFile(t)
	if _, err := w.Apply(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	code, out, errs := provision("import", "-f", file)
	if code != 0 {
		t.Fatalf("exit %d\n%s\n%s", code, out, errs)
	}
	if strings.Contains(out+errs, provisionproof.RootPassword) || strings.Contains(out+errs, provisionproof.PBSPassword) {
		t.Error("a secret is shown")
	}
	imported := filepath.Join(t.TempDir(), "imported.yaml")
	c, err := spec.Parse(imported, []byte(out))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := c.Spec.Nodes[1]; n.Endpoint.API != w.Fake.Node(2).Addr() || len(n.OSDs) != 3 {
		t.Errorf("%+v", n)
	}
	if err := os.WriteFile(imported, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := provision("plan", "-f", imported, "--ignore-preflight=all", "--detailed-exitcode"); code != 0 {
		t.Errorf("plan of what was imported: exit %d\n%s\n%s", code, out, errs)
	}
}
