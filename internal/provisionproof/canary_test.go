package provisionproof

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/session"
)

// places are all that a run leaves behind for people to read, by name.
type places map[string]string

// logBuffer takes what several goroutines log.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// watched is a world whose connections log at debug level, as no flag can make them.
func watched(t *testing.T, v pvefake.Version) (*World, *logBuffer) {
	t.Helper()
	w, log := newWorld(t, v), &logBuffer{}
	w.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return w, log
}

// TestNoSecretLeavesTheProgram runs plan, preflight, apply and verify, fails in several places on text that
// quotes secrets, goes on, and looks for them wherever a run can leave anything.
func TestNoSecretLeavesTheProgram(t *testing.T) {
	for _, v := range versions {
		for _, format := range []string{session.FormatText, session.FormatJSON, session.FormatJSONL} {
			if v == pvefake.V84 && format != session.FormatText {
				continue // what is written does not depend on the release
			}
			t.Run(string(v)+" "+format, func(t *testing.T) {
				w, log := watched(t, v)
				s, out, stderr := newSession(t, w, format)
				s.Preflight = session.Checks(w.Spec, w.Here(), stderr, w.Fake.Now, 4, []string{"all"})
				// What fails quotes what it was given.
				for _, r := range []pvefake.Rule{
					{TaskType: "clusterjoin", TaskStatus: "login with " + RootPassword + " failed", Times: 1},
					{TaskType: "cephcreatemon", TaskStatus: "WARNINGS: 1, " + RootPassword, Times: 1},
					{Method: "POST", Path: "/storage", Status: 500, Reason: "password " + PBSPassword + " refused", Times: 1, Nth: 3},
					{Method: "POST", Path: "/cluster/backup", Status: 400, Body: `{"data":null,"errors":{"storage":"` + PBSPassword + `"}}`, Times: 1},
					{Command: "ceph config set", Status: 22, Reason: "not with " + RootPassword, Times: 1},
				} {
					w.Fake.Inject(r)
				}
				var plan bytes.Buffer
				if code, err := s.Plan(t.Context(), &plan, true); code != engine.ExitChanges {
					t.Fatal(code, err)
				}
				var told []string
				for range 8 {
					code, err := s.Apply(t.Context(), nil)
					if err != nil {
						told = append(told, err.Error())
					} else if code == engine.ExitOK {
						break
					}
				}
				if len(told) < 4 || strings.Count(strings.Join(told, ""), "***") < 4 {
					t.Fatalf("errors %q; want four that have something to hide", told)
				}
				if code, err := s.Verify(t.Context(), nil); code != engine.ExitOK {
					t.Fatal(code, err)
				}
				seen := places{"stdout": out.String(), "stderr": stderr.String(), "errors": strings.Join(told, "\n"), "plan": plan.String(), "log": log.String()}
				for _, c := range w.Fake.Calls() {
					if c.Method == "SSH" {
						seen["argv"] += c.Path + "\n"
					} else {
						seen["paths"] += c.Path + "?" + c.Query + "\n"
					}
				}
				seen.files(t, s.StateDir)
				seen.hold(t, w.secrets(t))
				if len(seen) < 5+2+2*4 || !strings.Contains(seen["log"], "SEND:") || !strings.Contains(seen["argv"], "ceph auth") {
					t.Errorf("looked at %d places only", len(seen))
				}
			})
		}
	}
}

// secrets are all that there are once the home lab is built.
func (w *World) secrets(t *testing.T) []string {
	t.Helper()
	b, err := w.Files.Read(w.Spec.Spec.Monitoring.Token.SecretOut)
	if err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(strings.TrimSpace(string(b)), "=")
	keyring, _, _ := w.Fake.FileOf(1, w.Spec.Spec.Monitoring.Cephx.Keyring)
	_, cephx, _ := strings.Cut(strings.TrimSpace(keyring), "key = ")
	out := []string{RootPassword, PBSPassword, token, cephx}
	for _, secret := range out {
		if len(secret) < 8 {
			t.Fatalf("%q is no secret", secret)
		}
	}
	return append(out, "PVE:root@pam:", "PVEAuthCookie") // tickets
}

// hold demands that no place has a secret, in no form.
func (p places) hold(t *testing.T, secrets []string) {
	t.Helper()
	for _, secret := range secrets {
		quoted, err := json.Marshal(secret)
		if err != nil {
			t.Fatal(err)
		}
		forms := []string{secret, url.QueryEscape(secret), strings.Trim(string(quoted), `"`), fmt.Sprintf("%x", secret)}
		for where, text := range p {
			if i := slices.IndexFunc(forms, func(f string) bool { return strings.Contains(text, f) }); i >= 0 {
				at := strings.Index(text, forms[i])
				t.Errorf("%s holds a secret: …%s…", where, text[max(0, at-80):at])
			}
		}
	}
}

// files adds every file below dir.
func (p places) files(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		p[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNoSecretIsOnACommandLineOfPvesh is the same of the other transport, where parameters are arguments.
func TestNoSecretIsOnACommandLineOfPvesh(t *testing.T) {
	w, log := watched(t, pvefake.V92)
	withoutPBS(w)
	w.BySSH = true
	s, out, stderr := newSession(t, w, session.FormatText)
	s.BySSH = true
	if code, err := s.Apply(t.Context(), nil); code != engine.ExitOK {
		t.Fatal(code, err)
	}
	seen := places{"stdout": out.String(), "stderr": stderr.String(), "log": log.String()}
	for _, c := range w.Fake.Calls() {
		if c.Method == "SSH" {
			seen["argv"] += c.Path + "\n"
		}
	}
	seen.files(t, s.StateDir)
	seen.hold(t, w.secrets(t))
	if !strings.Contains(seen["argv"], "pvesh create") {
		t.Error("nothing went through pvesh")
	}
}
