package program

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

func TestTheRunningProgramKnowsWhatItWasBuiltFor(t *testing.T) {
	source := Running()
	p, err := source()
	if err != nil {
		t.Fatal(err)
	}
	if p.OS != runtime.GOOS || p.Arch != runtime.GOARCH || len(p.Data) == 0 || p.Path == "" {
		t.Errorf("%s %s %s, %d bytes; want %s %s", p.Path, p.OS, p.Arch, len(p.Data), runtime.GOOS, runtime.GOARCH)
	}
	again, err := source()
	if err != nil || &again.Data[0] != &p.Data[0] {
		t.Errorf("it was read a second time (%v)", err)
	}
}

func TestABuildSaysWhetherItHasCgo(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module x\n\ngo 1.25\n", "main.go": "package main\n\nfunc main() {}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		cgo, os, arch string
		machine       string
		hasCgo        bool
	}{
		{"0", "linux", "amd64", "x86_64", false},
		{"0", "linux", "arm64", "aarch64", false},
		{"0", "darwin", "arm64", "", false},
		{"1", runtime.GOOS, runtime.GOARCH, map[string]string{"linux": machines[runtime.GOARCH]}[runtime.GOOS], true},
	} {
		t.Run(tt.os+" "+tt.arch+" cgo "+tt.cgo, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "quorate")
			build := exec.Command("go", "build", "-o", file, ".")
			build.Dir, build.Env = dir, append(os.Environ(), "CGO_ENABLED="+tt.cgo, "GOOS="+tt.os, "GOARCH="+tt.arch, "GOFLAGS=")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			p, err := Read(file)
			if err != nil || p.OS != tt.os || p.Arch != tt.arch || p.Cgo != tt.hasCgo || p.Machine() != tt.machine {
				t.Errorf("%s %s cgo %t for %q (%v)", p.OS, p.Arch, p.Cgo, p.Machine(), err)
			}
		})
	}
}

func TestWhatIsNoProgramIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "quorate")
	if _, err := Read(file); err == nil {
		t.Error("a file that is not there was read")
	}
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(file); err == nil {
		t.Error("a script was taken for a build of Go")
	}
}
