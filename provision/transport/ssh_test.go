package transport

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// server is an SSH server that answers commands with a function.
type server struct {
	addr string
	key  ssh.PublicKey
	seen chan string
}

func newServer(t *testing.T, client ssh.PublicKey, answer func(command string, stdin []byte, out io.Writer) (code int, hang bool)) *server {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	conf := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if client == nil || !bytes.Equal(key.Marshal(), client.Marshal()) {
			return nil, errors.New("unknown key")
		}
		return nil, nil
	}}
	conf.AddHostKey(signer)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := &server{l.Addr().String(), signer.PublicKey(), make(chan string, 16)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
			go s.serve(conn, conf, answer)
		}
	}()
	return s
}

func (s *server) serve(conn net.Conn, conf *ssh.ServerConfig, answer func(string, []byte, io.Writer) (int, bool)) {
	_, channels, requests, err := ssh.NewServerConn(conn, conf)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		ch, reqs, err := c.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range reqs {
				if r.Type != "exec" {
					_ = r.Reply(false, nil)
					continue
				}
				_ = r.Reply(true, nil)
				var p struct{ Command string }
				if err := ssh.Unmarshal(r.Payload, &p); err != nil {
					return
				}
				s.seen <- p.Command
				go func() {
					stdin, _ := io.ReadAll(ch)
					code, hang := answer(p.Command, stdin, ch)
					if hang {
						return
					}
					_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code)}))
					_ = ch.Close()
				}()
			}
		}()
	}
}

// newKey is a private key and its public half.
func newKey(t *testing.T) ([]byte, ssh.PublicKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block), pub
}

func echo(command string, stdin []byte, out io.Writer) (int, bool) {
	fmt.Fprintf(out, "%s|%s", command, stdin)
	return 0, false
}

func shellTo(t *testing.T, cfg SSHConfig, h Host) *sshShell {
	t.Helper()
	cfg.User = "root"
	s := cfg.shell(h).(*sshShell)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestSSHRunsWordsAsTheyAreAndGivesStdin(t *testing.T) {
	key, pub := newKey(t)
	srv := newServer(t, pub, echo)
	s := shellTo(t, SSHConfig{Key: key}, Host{Name: "pve1", SSH: srv.addr, HostKey: ssh.FingerprintSHA256(srv.key)})
	for _, tt := range []struct {
		name  string
		argv  []string
		stdin string
		want  string
	}{
		{"plain", []string{"ceph", "config", "set", "osd", "a_b", "1"}, "", "ceph config set osd a_b 1|"},
		{"blanks and quotes", []string{"echo", "it's; rm -rf /", "$(id)", ""}, "", `echo 'it'\''s; rm -rf /' '$(id)' ''|`},
		{"stdin", []string{"install", "/dev/stdin", "/x"}, "secret", "install /dev/stdin /x|secret"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, err := s.Run(t.Context(), Command{Argv: tt.argv, Stdin: []byte(tt.stdin)})
			if err != nil || out.Stdout != tt.want {
				t.Errorf("got %q, %v; want %q", out.Stdout, err, tt.want)
			}
		})
	}
}

func TestSSHTellsACommandThatFailedFromAConnectionThatIsLost(t *testing.T) {
	key, pub := newKey(t)
	srv := newServer(t, pub, func(c string, _ []byte, out io.Writer) (int, bool) { return 7, c == "hang" })
	h := Host{Name: "pve1", SSH: srv.addr, HostKey: ssh.FingerprintSHA256(srv.key)}
	s := shellTo(t, SSHConfig{Key: key}, h)
	_, err := s.Run(t.Context(), Command{Argv: []string{"false"}})
	var failed *CommandError
	if !errors.As(err, &failed) || failed.Code != 7 || failed.Node != "pve1" || Passing(err) {
		t.Errorf("error %v, want a CommandError with 7 that is not tried again", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = s.Run(ctx, Command{Argv: []string{"hang"}})
	var lost *LostError
	if !errors.As(err, &lost) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want a LostError at the deadline", err)
	}
	if _, err := s.Run(t.Context(), Command{Argv: []string{"false"}}); !errors.As(err, &failed) {
		t.Errorf("after a hang: %v, want the next command to run", err)
	}
}

func TestSSHBelievesOnlyKnownHostKeys(t *testing.T) {
	key, pub := newKey(t)
	srv := newServer(t, pub, echo)
	_, other := newKey(t)
	write := func(k ssh.PublicKey) string {
		f := filepath.Join(t.TempDir(), "known_hosts")
		if err := os.WriteFile(f, []byte(knownhosts.Line([]string{srv.addr}, k)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return f
	}
	right := ssh.FingerprintSHA256(srv.key)
	for _, tt := range []struct {
		name    string
		files   []string
		hostKey string
		want    string // of the error
	}{
		{"no key known", nil, "", "is not known; it is " + right},
		{"known by file", []string{write(srv.key)}, "", ""},
		{"known by the spec", nil, right, ""},
		{"another in the file", []string{write(other)}, "", "but " + ssh.FingerprintSHA256(other) + " was expected"},
		{"another in the spec, whatever the file says", []string{write(srv.key)}, ssh.FingerprintSHA256(other), "was expected"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := shellTo(t, SSHConfig{Key: key, KnownHosts: tt.files}, Host{Name: "pve1", SSH: srv.addr, HostKey: tt.hostKey})
			_, err := s.Run(t.Context(), Command{Argv: []string{"true"}})
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var key *HostKeyError
			if !errors.As(err, &key) || !strings.Contains(err.Error(), tt.want) || !Unreachable(err) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestSSHAsksForTheTypeOfKeyThatIsKnown(t *testing.T) {
	_, pub := newKey(t)
	f := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(f, []byte(knownhosts.Line([]string{"192.0.2.1:22"}, pub)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := newHostKeys([]string{f}, Host{Name: "pve1"})
	if err != nil {
		t.Fatal(err)
	}
	if got := k.algorithms("192.0.2.1:22"); len(got) != 1 || got[0] != ssh.KeyAlgoED25519 {
		t.Errorf("algorithms %v, want ed25519 alone", got)
	}
	if got := k.algorithms("192.0.2.2:22"); got != nil {
		t.Errorf("algorithms of a stranger %v, want any", got)
	}
}

func TestSSHWithoutAWayToLogInSaysSo(t *testing.T) {
	s := shellTo(t, SSHConfig{}, Host{Name: "pve1", SSH: "127.0.0.1:1"})
	if _, err := s.Run(t.Context(), Command{Argv: []string{"true"}}); err == nil || !strings.Contains(err.Error(), "no way to log in") {
		t.Errorf("error %v", err)
	}
}

func TestAnExternalSSHGetsTheCommandAsOneWord(t *testing.T) {
	fake := filepath.Join(t.TempDir(), "ssh")
	script := "#!/bin/sh\nfor a; do echo \"[$a]\"; done\ncat\ncase $1 in fail) exit 3;; lost) echo no route >&2; exit 255;; esac\n"
	if err := os.WriteFile(fake, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	run := func(first string) (Output, error) {
		s := SSHConfig{User: "root", Command: []string{fake, first}}.shell(Host{Name: "pve1", SSH: "192.0.2.1:2222"})
		return s.Run(t.Context(), Command{Argv: []string{"echo", "a b"}, Stdin: []byte("in")})
	}
	out, err := run("-J")
	if want := "[-J]\n[-p]\n[2222]\n[-o]\n[BatchMode=yes]\n[root@192.0.2.1]\n[--]\n[echo 'a b']\nin"; err != nil || out.Stdout != want {
		t.Errorf("got %q, %v", out.Stdout, err)
	}
	var failed *CommandError
	if _, err := run("fail"); !errors.As(err, &failed) || failed.Code != 3 {
		t.Errorf("error %v, want code 3", err)
	}
	var lost *LostError
	if _, err := run("lost"); !errors.As(err, &lost) || !strings.Contains(err.Error(), "no route") {
		t.Errorf("error %v, want a lost connection", err)
	}
}
