package main

import (
	"os"
	"strings"
	"testing"
)

// withToken gives a file's user an API token instead of the password.
func withToken(t *testing.T, file, token string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const api = "user: root@pam # creating a cluster, joining and making OSDs need root itself\n      password: {env: PVE_ROOT_PASSWORD}"
	if !strings.Contains(string(text), api) {
		t.Fatal("the example is not what it was")
	}
	t.Setenv("PVE_TOKEN", token)
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), api, "token: {env: PVE_TOKEN}", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestALivingClusterIsReadWithATokenThatMayOnlyRead: root's password is for building.
func TestALivingClusterIsReadWithATokenThatMayOnlyRead(t *testing.T) {
	file, w := labFile(t)
	if _, err := w.Apply(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	w.Fake.AddUser("reader@pve", "")
	if err := w.Fake.Grant("/", "reader@pve", "PVEAuditor"); err != nil {
		t.Fatal(err)
	}
	token, err := w.Fake.AddToken("reader@pve", "quorate", false)
	if err != nil {
		t.Fatal(err)
	}
	withToken(t, file, token)
	w.Fake.ResetCalls()
	code, shown, errs := provision("verify", "-f", file, "-v")
	if code != 0 {
		t.Errorf("verify: exit %d\n%s\n%s", code, shown, errs)
	}
	code, out, more := provision("import", "-f", file)
	if code != 0 || !strings.Contains(out, "name: homelab-cluster") {
		t.Errorf("import: exit %d\n%s\n%s", code, out, more)
	}
	code, _, refused := provision("plan", "-f", file, "--ignore-preflight=all")
	if code != exitUnreachable || !strings.Contains(refused, "the token reader@pve!quorate lacks the right") || !strings.Contains(refused, "spec.access.api.password") {
		t.Errorf("plan, which wants to see tokens: exit %d, %s", code, refused)
	}
	for _, c := range w.Fake.Calls() {
		if c.Method != "SSH" && (c.Method != "GET" || c.Identity != "reader@pve!quorate") {
			t.Errorf("%s %s as %q", c.Method, c.Path, c.Identity)
		}
	}
	if _, secret, _ := strings.Cut(token, "="); strings.Contains(shown+errs+out+more, secret) {
		t.Error("the token is shown")
	}
}

func TestATokenOfOneNodeIsRefusedByThoseThatHaveNotJoined(t *testing.T) {
	file, w := labFile(t)
	token, err := w.Fake.AddToken("root@pam", "quorate", false)
	if err != nil {
		t.Fatal(err)
	}
	withToken(t, file, token)
	// Nodes that have not joined have users of their own.
	code, _, errs := provision("apply", "-f", file, "-y", "--ignore-preflight=all")
	if code != exitUnreachable || !strings.Contains(errs, "pve2") {
		t.Errorf("exit %d, %s", code, errs)
	}
}
