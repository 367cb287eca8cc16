package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/internal/provisionproof"
	"github.com/quorate/quorate/internal/pvefake"
)

// labFile is the home lab's file with the addresses of a fake, which is closed with the test.
func labFile(t *testing.T) (file string, w *provisionproof.World) {
	t.Helper()
	c, err := provisionproof.Homelab("../..", pvefake.V92)
	if err != nil {
		t.Fatal(err)
	}
	if w, err = provisionproof.NewWorld(c, pvefake.V92); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return fileFor(t, w.Fake), w
}

// fileFor writes the home lab's file with the addresses of a fake, and sets the environment that it needs.
func fileFor(t *testing.T, fake *pvefake.Cluster) (file string) {
	t.Helper()
	b, err := os.ReadFile("../../examples/homelab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), "agent: true, knownHosts: ~/.ssh/known_hosts", "password: {env: PVE_ROOT_PASSWORD}", 1)
	for i := range fake.Size() {
		n := fake.Node(i + 1)
		at := fmt.Sprintf("    - name: %s\n", n.Name())
		text = strings.Replace(text, at, fmt.Sprintf("%s      endpoint: {api: %q, ssh: %q}\n      hostKey: %q\n", at, n.Addr(), n.SSHAddr(), n.SSHHostKey()), 1)
	}
	file = filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PVE_ROOT_PASSWORD", provisionproof.RootPassword)
	t.Setenv("PBS_PASSWORD", provisionproof.PBSPassword)
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	return file
}

func TestPlanOfEmptyMachinesFromTheCommandLine(t *testing.T) {
	file, _ := labFile(t)
	plan := filepath.Join(t.TempDir(), "plan.json")
	code, out, errs := provision("plan", "-f", file, "--ignore-preflight=all", "--detailed-exitcode", "--out", plan)
	if code != exitChanges || !strings.Contains(out, "+ pve1: cluster/homelab-cluster") || strings.Contains(out, "\x1b[") {
		t.Errorf("exit %d\n%s\n%s", code, out, errs)
	}
	var p struct{ Hash string }
	b, err := os.ReadFile(plan)
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil || p.Hash == "" {
		t.Errorf("the plan's file: %v, %s", err, b)
	}
	if strings.Contains(out+errs+string(b), "canary") {
		t.Error("a secret is shown")
	}
}

func TestVerifyOfEmptyMachinesEndsWith6(t *testing.T) {
	file, _ := labFile(t)
	code, out, errs := provision("verify", "-f", file)
	if code != exitVerify || !strings.Contains(out, "FAIL quorate") {
		t.Errorf("exit %d\n%s\n%s", code, out, errs)
	}
}

func TestApplyDoesNotGoOnUnasked(t *testing.T) {
	file, w := labFile(t)
	code, _, errs := provision("apply", "-f", file, "--ignore-preflight=all")
	if code != exitFailed || !strings.Contains(errs, "--auto-approve") {
		t.Errorf("exit %d\n%s", code, errs)
	}
	for _, c := range w.Fake.Calls() {
		if c.Method != "GET" && c.Method != "SSH" && c.Path != "/access/ticket" {
			t.Errorf("sent %s %s", c.Method, c.Path)
		}
	}
}

func TestWhatGoesWrongBeforehandHasItsOwnExitCode(t *testing.T) {
	file, w := labFile(t)
	for _, tt := range []struct {
		name string
		do   func()
		args []string
		code int
		says string
	}{
		{"no such step", nil, []string{"plan", "-f", file, "--ignore-preflight=all", "--target=pools"}, exitSyntax, "ceph-pools"},
		{"no such flag", nil, []string{"plan", "--fast"}, exitSyntax, "fast"},
		{"no such file", nil, []string{"plan", "-f", file + ".no"}, exitFailed, "no such file"},
		{"no such plan", nil, []string{"apply", "-f", file, "--plan", file + ".no"}, exitFailed, "no such file"},
		{"a file that is no plan", nil, []string{"apply", "-f", file, "--plan", file}, exitFailed, "no plan"},
		{"no password", func() { t.Setenv("PVE_ROOT_PASSWORD", "") }, []string{"plan", "-f", file}, exitUnreachable, "PVE_ROOT_PASSWORD"},
		{"a wrong password", func() { t.Setenv("PVE_ROOT_PASSWORD", "something else") }, []string{"plan", "-f", file}, exitUnreachable, "pve1"},
		{"a node that is off", func() {
			t.Setenv("PVE_ROOT_PASSWORD", provisionproof.RootPassword)
			if err := w.Fake.SetNodeDown(3, true); err != nil {
				t.Fatal(err)
			}
		}, []string{"plan", "-f", file}, exitUnreachable, "pve3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.do != nil {
				tt.do()
			}
			if code, out, errs := provision(tt.args...); code != tt.code || !strings.Contains(errs, tt.says) {
				t.Errorf("exit %d, want %d and %q\n%s\n%s", code, tt.code, tt.says, out, errs)
			}
		})
	}
}
