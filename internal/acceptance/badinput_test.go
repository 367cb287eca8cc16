package acceptance

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// write makes a file in a directory of the test and returns its path.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBadInputIsToldInOneLine(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program: not under -short")
	}
	const conf = "[global]\nfsid = 7b2d9a61-44a1-4f6a-8f43-0ed5a5ac7a9e\nmon_host = 127.0.0.1:1\n"
	goodConf := write(t, "ceph.conf", conf)
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"unknown command":         {[]string{"sevre"}, 2, "sevre"},
		"unknown flag":            {[]string{"serve", "--colector.ceph"}, 2, "--colector.ceph"},
		"unknown collector":       {[]string{"serve", "--collector.cpeh"}, 2, "--collector.cpeh"},
		"unknown cluster scope":   {[]string{"serve", "--cluster-scope=some"}, 2, "some"},
		"bad duration":            {[]string{"serve", "--collector.timeout=soon"}, 2, "soon"},
		"bad address":             {[]string{"serve", "--web.listen-address=nowhere:port"}, 1, "nowhere:port"},
		"web config missing":      {[]string{"serve", "--web.config.file=/nonexistent/web.yml"}, 1, "/nonexistent/web.yml"},
		"web config malformed":    {[]string{"serve", "--web.config.file=" + write(t, "web.yml", "tls_server_config:\n  cert_fil: x\n")}, 1, "cert_fil"},
		"ceph.conf malformed":     {[]string{"serve", "--ceph.config=" + write(t, "ceph.conf", "[global\nmon_host = 1\n")}, 1, "ceph.conf:1"},
		"ceph.conf named, absent": {[]string{"serve", "--ceph.config=/nonexistent/ceph.conf"}, 1, "/nonexistent/ceph.conf"},
		"keyring missing":         {[]string{"serve", "--ceph.config=" + goodConf, "--ceph.keyring=/nonexistent/keyring"}, 1, "/nonexistent/keyring"},
		"API token malformed":     {[]string{"serve", "--pve.token-file=" + write(t, "token", "root@pam\n")}, 1, "token:1"},
		"API token missing":       {[]string{"serve", "--pve.token-file=/nonexistent/token"}, 1, "/nonexistent/token"},
		"pve.yml malformed":       {[]string{"serve", "--pve.dropin.config=" + write(t, "pve.yml", "default:\n  usr: root@pam\n")}, 1, "pve.yml:2"},
		"drop-in target malformed": {[]string{"serve", "--pve.dropin.config=" + write(t, "pve.yml", "default:\n  user: a@pve\n  password: AQB\n"),
			"--pve.dropin.target=http://x/"}, 1, "http://x/"},
		"keyring of another user": {[]string{"serve", "--ceph.config=" + goodConf, "--ceph.keyring=" +
			write(t, "keyring", "[client.other]\n\tkey = AQBSomethingThatIsNoKeyAtAllAAAAAAAAAA==\n")}, 1, "client.quorate"},
	} {
		t.Run(name, func(t *testing.T) {
			args := c.args
			if args[0] == "serve" && !strings.Contains(strings.Join(args, " "), "listen-address") {
				args = append(args, "--web.listen-address=127.0.0.1:0")
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, program(t), args...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			err := cmd.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != c.code {
				t.Fatalf("got %v, want exit code %d; stderr:\n%s", err, c.code, &stderr)
			}
			var told []string
			for line := range strings.Lines(stderr.String()) {
				if strings.HasPrefix(line, "quorate: ") {
					told = append(told, line)
				}
			}
			if len(told) != 1 || !strings.Contains(told[0], c.want) {
				t.Errorf("want one line with %q, got:\n%s", c.want, &stderr)
			}
			if strings.Contains(stderr.String(), "goroutine ") || strings.Contains(stderr.String(), "AQB") {
				t.Errorf("a stack trace or a key was printed:\n%s", &stderr)
			}
		})
	}
}
