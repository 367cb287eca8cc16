package main

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/provisionproof"
	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/engine"
)

// hosts are the flags of a run that is over at once: it has three writes and waits for nothing.
func hosts(command, file string, more ...string) []string {
	return append([]string{command, "-f", file, "--ignore-preflight=all", "--target=hosts"}, more...)
}

// written are the nodes whose hosts file was written.
func written(w *provisionproof.World) []string {
	var out []string
	for _, c := range w.Fake.Calls() {
		if c.Method == "POST" && strings.HasSuffix(c.Path, "/hosts") {
			out = append(out, strings.Split(c.Path, "/")[2])
		}
	}
	slices.Sort(out)
	return out
}

func TestApplyOfAPlanMadeBefore(t *testing.T) {
	file, w := labFile(t)
	plan := filepath.Join(t.TempDir(), "plan.json")
	if code, out, errs := provision(hosts("plan", file, "--out", plan, "--detailed-exitcode")...); code != exitChanges {
		t.Fatalf("exit %d\n%s\n%s", code, out, errs)
	}
	// Who gives a plan has agreed to it: nobody is asked.
	if code, out, errs := provision(hosts("apply", file, "--plan", plan)...); code != 0 || !strings.Contains(out, "3 changes made") {
		t.Fatalf("exit %d\n%s\n%s", code, out, errs)
	}
	if got := written(w); !slices.Equal(got, []string{"pve1", "pve2", "pve3"}) {
		t.Errorf("written on %v", got)
	}
	if code, _, errs := provision(hosts("apply", file, "--plan", plan)...); code != exitFailed || !strings.Contains(errs, "make a new plan") {
		t.Errorf("the same plan again: exit %d, %s", code, errs)
	}
	if code, out, _ := provision(hosts("plan", file, "--detailed-exitcode")...); code != 0 || !strings.Contains(out, "Nothing to change") {
		t.Errorf("a new plan: exit %d, %s", code, out)
	}
	text, err := os.ReadFile(plan)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(plan, []byte(strings.Replace(string(text), "10.0.10.12 pve2", "10.0.10.13 pve2", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := provision(hosts("apply", file, "--plan", plan)...); code != exitFailed || !strings.Contains(errs, "edited") {
		t.Errorf("an edited plan: exit %d, %s", code, errs)
	}
}

func TestApplyOnSomeNodesOnly(t *testing.T) {
	file, w := labFile(t)
	if code, out, errs := provision(hosts("apply", file, "-y", "--nodes=pve2,pve3")...); code != 0 || !strings.Contains(out, "2 changes made") || strings.Contains(out, "pve1: /etc/hosts") {
		t.Errorf("exit %d\n%s\n%s", code, out, errs)
	}
	if got := written(w); !slices.Equal(got, []string{"pve2", "pve3"}) {
		t.Errorf("written on %v", got)
	}
}

func TestEveryOutputIsWhatItsNameSays(t *testing.T) {
	file, _ := labFile(t)
	isJSON := func(out string) bool { return json.Valid([]byte(out)) }
	isJSONL := func(out string) bool {
		lines := strings.Split(strings.TrimSpace(out), "\n")
		return len(lines) > 3 && !slices.ContainsFunc(lines, func(l string) bool { return !isJSON(l) })
	}
	isJUnit := func(out string) bool {
		var s struct {
			XMLName xml.Name
			Cases   []struct{} `xml:"testcase"`
		}
		return xml.Unmarshal([]byte(out), &s) == nil && strings.HasPrefix(s.XMLName.Local, "testsuite") && len(s.Cases) > 5
	}
	isText := func(out string) bool { return !isJSON(out) && strings.Contains(out, "\n") }
	for _, tt := range []struct {
		name string
		args []string
		code int
		ok   func(string) bool
	}{
		{"plan", hosts("plan", file), 0, isText},
		{"plan json", hosts("plan", file, "-o", "json"), 0, isJSON},
		{"apply jsonl", hosts("apply", file, "-y", "-o", "jsonl"), 0, isJSONL},
		{"apply json", hosts("apply", file, "-y", "-o", "json"), 0, isJSON},
		{"apply", hosts("apply", file, "-y"), 0, isText},
		{"verify", []string{"verify", "-f", file}, exitVerify, isText},
		{"verify json", []string{"verify", "-f", file, "-o", "json"}, exitVerify, isJSON},
		{"verify junit", []string{"verify", "-f", file, "-o", "junit"}, exitVerify, isJUnit},
		{"preflight json", []string{"preflight", "-f", file, "-o", "json", "--ignore-preflight=all"}, 0, isJSON},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if code, out, errs := provision(tt.args...); code != tt.code || !tt.ok(out) {
				t.Errorf("exit %d, want %d\n%s\n%s", code, tt.code, out, errs)
			}
		})
	}
	if code, _, errs := provision("plan", "-f", file, "-o", "junit"); code != exitSyntax || !strings.Contains(errs, "junit") {
		t.Errorf("an output that plan does not have: exit %d, %s", code, errs)
	}
}

func TestASecondRunIsRefusedWhileTheFirstHoldsTheLock(t *testing.T) {
	file, w := labFile(t)
	first, err := engine.OpenRunDir(filepath.Join(os.Getenv("XDG_STATE_HOME"), "quorate"), "homelab-cluster", time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if code, _, errs := provision(hosts("apply", file, "-y")...); code != exitFailed || !strings.Contains(errs, "another run on this cluster is active") {
		t.Errorf("exit %d, %s", code, errs)
	}
	if got := written(w); len(got) > 0 {
		t.Errorf("written on %v", got)
	}
	if code, out, errs := provision(hosts("plan", file)...); code != 0 {
		t.Errorf("a plan, which changes nothing: exit %d\n%s\n%s", code, out, errs)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := provision(hosts("apply", file, "-y")...); code != 0 {
		t.Errorf("after it: exit %d\n%s\n%s", code, out, errs)
	}
}

// TestAnInterruptEndsApplyBeforeItsNextChange sends the signal of Ctrl-C while the first change is on its way.
func TestAnInterruptEndsApplyBeforeItsNextChange(t *testing.T) {
	file, w := labFile(t)
	w.Fake.Inject(pvefake.Rule{Method: "POST", Path: "/nodes/pve1/hosts", Slow: 2 * time.Second, Times: 1})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for end := time.Now().Add(time.Minute); time.Now().Before(end) && len(written(w)) == 0; {
			time.Sleep(20 * time.Millisecond)
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
			t.Error(err)
		}
	}()
	code, out, errs := provision(hosts("apply", file, "-y", "--parallel=1")...)
	<-done
	if code != exitInterrupted || !strings.Contains(errs, "interrupted; run apply again to go on") {
		t.Errorf("exit %d\n%s\n%s", code, out, errs)
	}
	if got := written(w); !slices.Equal(got, []string{"pve1"}) {
		t.Errorf("written on %v, want pve1 alone", got)
	}
	if code, out, errs := provision(hosts("apply", file, "-y")...); code != 0 || !strings.Contains(out, "2 changes made") {
		t.Errorf("again: exit %d\n%s\n%s", code, out, errs)
	}
}

func TestVerboseRunsShowNoSecret(t *testing.T) {
	file, w := labFile(t)
	w.Fake.Inject(pvefake.Rule{Method: "POST", Path: "/nodes/pve2/hosts", Status: 500, Reason: "not with " + provisionproof.RootPassword, Times: 1})
	code, out, errs := provision(hosts("apply", file, "-y", "-v")...)
	if code != exitPartial || !strings.Contains(errs, "not with ***") || !strings.Contains(errs, "record of the run: ") {
		t.Errorf("exit %d\n%s\n%s", code, out, errs)
	}
	for _, command := range []string{"plan", "apply", "verify", "preflight", "import"} {
		args := []string{command, "-f", file, "-v"}
		if command != "verify" && command != "import" {
			args = append(args, "--ignore-preflight=all")
		}
		if command == "apply" {
			args = hosts(command, file, "-y", "-v", "-o", "jsonl")
		}
		_, o, e := provision(args...)
		out, errs = out+o, errs+e
	}
	if strings.Contains(out+errs, "canary") {
		t.Errorf("a secret is shown:\n%s\n%s", out, errs)
	}
}
