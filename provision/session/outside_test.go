package session

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/spec"
)

func TestASecretFileThatOthersCanReadIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("hunter2\nmore\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := &OSResolver{Out: io.Discard}
	if v, err := spec.SecretFile(path).Resolve(t.Context(), r); err != nil || v != "hunter2" {
		t.Errorf("got %q, %v; want its first line", v, err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if v, err := r.File(t.Context(), path); err == nil || v != "" || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: got %q, %v; want a refusal", mode, v, err)
		}
	}
}

func TestWithoutATerminalNobodyIsAsked(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, in := range []*os.File{nil, null} {
		r := &OSResolver{In: in, Out: io.Discard}
		if _, err := r.Prompt(t.Context(), "password"); err == nil || !strings.Contains(err.Error(), "no terminal") {
			t.Errorf("error %v", err)
		}
	}
}

func TestFilesOfThisMachineAreReplacedAtOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	var f OSFiles
	if there, err := f.Exists(path); there || err != nil {
		t.Errorf("before: %t, %v", there, err)
	}
	for _, text := range []string{"one", "two"} {
		if err := f.Write(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := f.Read(path)
		i, serr := os.Stat(path)
		if err != nil || serr != nil || string(b) != text || i.Mode().Perm() != 0o600 {
			t.Errorf("%q with mode %v, %v, %v", b, i.Mode(), err, serr)
		}
	}
	if err := f.Write(filepath.Join(dir, "no", "such"), nil, 0o600); err == nil {
		t.Error("a directory that is not there was no error")
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
		t.Errorf("left behind: %v, %v", all, err)
	}
	for range 2 {
		if err := f.Remove(path); err != nil {
			t.Errorf("remove: %v", err)
		}
	}
}

func TestConnectTellsWhichSecretIsMissing(t *testing.T) {
	t.Setenv("QUORATE_TEST_TOKEN", "root@pam!hunter2")
	c := &spec.Cluster{}
	for _, tt := range []struct {
		name string
		set  func(a *spec.Access)
		via  string
		says string
	}{
		{"no password", func(*spec.Access) {}, "api", "--transport ssh"},
		{"a token that is none", func(a *spec.Access) { a.API.Token = spec.SecretEnv("QUORATE_TEST_TOKEN") }, "api", "no USER@REALM!ID=SECRET"},
		{"an empty variable", func(a *spec.Access) { a.API.Password = spec.SecretEnv("QUORATE_TEST_UNSET") }, "api", "QUORATE_TEST_UNSET"},
		{"no such key", func(a *spec.Access) { a.SSH.KeyFile = "/no/such/key" }, "ssh", "spec.access.ssh.keyFile"},
		{"no SSH password", func(a *spec.Access) { a.SSH.Password = spec.SecretFile("/no/such") }, "ssh", "spec.access.ssh.password"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c.Spec.Access = spec.Access{}
			tt.set(&c.Spec.Access)
			_, err := Connect(t.Context(), c, &OSResolver{Out: io.Discard}, &engine.Redactor{}, Connection{Via: tt.via, StateDir: t.TempDir()})
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v, want %q", err, tt.says)
			}
		})
	}
}
