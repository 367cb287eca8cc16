package pvefake

import (
	"crypto/ed25519"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
)

// sshServer is a node's sshd: root logs in with the password of root@pam, or with a key of
// Options.SSHKeys. It runs the commands of sshcommands.go and nothing else.
type sshServer struct {
	n    *node
	key  ssh.Signer
	l    net.Listener
	open map[net.Conn]bool // guarded by Cluster.mu
}

// startSSH opens a server on every node. Callers hold Cluster.mu.
func (c *Cluster) startSSH() error {
	for _, n := range c.nodes {
		key, err := hostKey(c.rnd)
		if err != nil {
			return err
		}
		n.ssh = &sshServer{n: n, key: key, open: map[net.Conn]bool{}}
		if err := n.listenSSH(); err != nil {
			return err
		}
	}
	return nil
}

func hostKey(rnd *rand.Rand) (ssh.Signer, error) {
	seed := make([]byte, ed25519.SeedSize)
	for i := range seed {
		seed[i] = byte(rnd.Uint32())
	}
	s, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(seed))
	if err != nil {
		return nil, fmt.Errorf("pvefake: host key: %w", err)
	}
	return s, nil
}

// listenSSH takes the node's address, the same one as before if there was one.
func (n *node) listenSSH() error {
	if n.ssh == nil || n.ssh.l != nil || n.c.ctx.Err() != nil {
		return nil
	}
	at := n.sshAddr
	if at == "" {
		at = net.JoinHostPort(n.addr.IP.String(), "0")
	}
	l, err := net.Listen("tcp4", at)
	if err != nil {
		return fmt.Errorf("pvefake: SSH of %s cannot listen: %w", n.name, err)
	}
	n.ssh.l, n.sshAddr = l, l.Addr().String()
	n.c.wg.Add(1)
	go n.ssh.accept(l)
	return nil
}

// stopSSH refuses new connections and cuts open ones. Callers hold Cluster.mu.
func (n *node) stopSSH() {
	if n.ssh == nil || n.ssh.l == nil {
		return
	}
	_ = n.ssh.l.Close() // a closed listener is what we want
	n.ssh.l = nil
	for conn := range n.ssh.open {
		_ = conn.Close() // cutting is the purpose
	}
}

func (s *sshServer) accept(l net.Listener) {
	c := s.n.c
	defer c.wg.Done()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		c.mu.Lock()
		if s.l != l {
			c.mu.Unlock()
			_ = conn.Close() // stopped between Accept and here
			continue
		}
		s.open[conn] = true
		c.wg.Add(1)
		c.mu.Unlock()
		go func() {
			defer c.wg.Done()
			s.serve(conn)
			c.mu.Lock()
			delete(s.open, conn)
			c.mu.Unlock()
		}()
	}
}

func (s *sshServer) config() *ssh.ServerConfig {
	cfg := &ssh.ServerConfig{
		PasswordCallback: func(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			s.n.c.mu.Lock()
			defer s.n.c.mu.Unlock()
			if meta.User() != "root" || string(password) != s.n.c.opt.RootPassword {
				return nil, fmt.Errorf("password rejected for %q", meta.User())
			}
			return nil, nil
		},
		PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			for _, k := range s.n.c.opt.SSHKeys {
				if meta.User() == "root" && string(k.Marshal()) == string(key.Marshal()) {
					return nil, nil
				}
			}
			return nil, fmt.Errorf("key rejected for %q", meta.User())
		},
	}
	cfg.AddHostKey(s.key)
	return cfg
}

// serve answers one connection until it breaks. Sessions are served one after the other, as commands of
// one client come.
func (s *sshServer) serve(conn net.Conn) {
	defer conn.Close()
	sc, channels, requests, err := ssh.NewServerConn(conn, s.config())
	if err != nil {
		return
	}
	defer sc.Close()
	s.n.c.wg.Add(1)
	go func() {
		defer s.n.c.wg.Done()
		for r := range requests {
			if r.WantReply {
				_ = r.Reply(r.Type == "keepalive@openssh.com", nil) // a broken connection ends the loop
			}
		}
	}()
	for ch := range channels {
		if ch.ChannelType() != "session" {
			_ = ch.Reject(ssh.UnknownChannelType, "only sessions") // a broken connection ends the loop
			continue
		}
		channel, reqs, err := ch.Accept()
		if err != nil {
			return
		}
		s.n.c.wg.Add(1)
		go func() {
			defer s.n.c.wg.Done()
			if !s.session(channel, reqs) {
				_ = conn.Close() // the reply is lost with the connection
			}
		}()
	}
}

// session waits for the command of a session and runs it; false means the connection is to be cut.
func (s *sshServer) session(ch ssh.Channel, reqs <-chan *ssh.Request) bool {
	defer ch.Close()
	for r := range reqs {
		if r.Type != "exec" {
			if r.WantReply {
				_ = r.Reply(r.Type == "env", nil) // no terminal, no shell, no subsystem
			}
			continue
		}
		var payload struct{ Command string }
		if err := ssh.Unmarshal(r.Payload, &payload); err != nil {
			_ = r.Reply(false, nil) // a broken connection ends the loop
			return true
		}
		_ = r.Reply(true, nil)                                // likewise
		stdin, err := io.ReadAll(io.LimitReader(ch, 256<<20)) // programs come this way too
		if err != nil {
			return false
		}
		out := s.n.runCommand(payload.Command, string(stdin))
		if out.cut {
			return false
		}
		_, _ = io.WriteString(ch, out.stdout)          // a client that has gone needs no answer
		_, _ = io.WriteString(ch.Stderr(), out.stderr) // likewise
		_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(out.exit)}))
		return true
	}
	return true
}

// output is what a command leaves.
type output struct {
	stdout, stderr string
	exit           int
	cut            bool // the connection breaks before this is told
}

func failed(exit int, format string, args ...any) output {
	return output{stderr: strings.TrimSuffix(fmt.Sprintf(format, args...), "\n") + "\n", exit: exit}
}

// SSHAddr is host:port of the node's SSH server, "" if it has none (Options.Standalone).
func (n Node) SSHAddr() string {
	n.n.c.mu.Lock()
	defer n.n.c.mu.Unlock()
	return n.n.sshAddr
}

// SSHHostKey is the fingerprint of its host key, SHA256:….
func (n Node) SSHHostKey() string {
	if n.n.ssh == nil {
		return ""
	}
	return ssh.FingerprintSHA256(n.n.ssh.key.PublicKey())
}

// SSHErrors are the commands that no node knew, with the node's name, oldest first. A provisioner under
// test must leave none.
func (c *Cluster) SSHErrors() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.sshErrors...)
}
