package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// SSHConfig says how to log in. With Command set, that program is run instead of the built-in client.
type SSHConfig struct {
	User       string
	AgentSock  string // SSH_AUTH_SOCK, "" for none
	Key        []byte // a private key, PEM
	Passphrase string // of Key
	Password   string
	KnownHosts []string // files
	Command    []string // such as ssh -J jump
}

// The limits of a connection.
const (
	sshDial      = 10 * time.Second
	sshKeepAlive = 15 * time.Second
	sshKill      = 5 * time.Second // that a command has after its context ended
)

func (c SSHConfig) shell(h Host) Shell {
	if len(c.Command) > 0 {
		return &externalShell{cfg: c, host: h}
	}
	return &sshShell{cfg: c, host: h}
}

// sshShell is one SSH connection to a node, made when it is needed and again when it broke off.
type sshShell struct {
	cfg  SSHConfig
	host Host

	mu     sync.Mutex
	client *ssh.Client
}

// Run implements Shell.
func (s *sshShell) Run(ctx context.Context, c Command) (Output, error) {
	client, err := s.open(ctx)
	if err != nil {
		return Output{}, err
	}
	// NewSession knows no context, and a node that lost its power does not even refuse.
	stop := context.AfterFunc(ctx, func() { s.drop(client) })
	session, err := client.NewSession()
	if !stop() {
		return Output{}, &LostError{s.host.Name, "open SSH session", ctx.Err()}
	}
	if err != nil {
		// The connection may have died since it was last used, and nothing has been sent yet.
		s.drop(client)
		if client, err = s.open(ctx); err != nil {
			return Output{}, err
		}
		if session, err = client.NewSession(); err != nil {
			return Output{}, &LostError{s.host.Name, "open SSH session", err}
		}
	}
	return s.run(ctx, client, session, c)
}

func (s *sshShell) run(ctx context.Context, client *ssh.Client, session *ssh.Session, c Command) (Output, error) {
	var stdout, stderr bytes.Buffer
	session.Stdout, session.Stderr, session.Stdin = &stdout, &stderr, bytes.NewReader(c.Stdin)
	done := make(chan error, 1)
	go func() { done <- session.Run(c.String()) }()
	keep := time.NewTicker(sshKeepAlive)
	defer keep.Stop()
	var err error
wait:
	for {
		select {
		case err = <-done:
			break wait
		case <-keep.C:
			// A reply is not waited for: a connection that is gone ends the session by itself.
			go func() { _, _, _ = client.SendRequest("keepalive@openssh.com", true, nil) }()
		case <-ctx.Done():
			_ = session.Signal(ssh.SIGTERM) // many servers ignore it; Close is what ends the session
			_ = session.Close()
			select {
			case <-done:
			case <-time.After(sshKill):
				s.drop(client)
				<-done
			}
			return Output{}, &LostError{s.host.Name, "`" + c.String() + "`", ctx.Err()}
		}
	}
	out := Output{stdout.String(), stderr.String()}
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return out, nil
	case errors.As(err, &exit):
		return out, &CommandError{s.host.Name, c.String(), exit.ExitStatus(), out.Stderr}
	}
	s.drop(client)
	return out, &LostError{s.host.Name, "`" + c.String() + "`", err}
}

func (s *sshShell) open(ctx context.Context) (*ssh.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s.client, nil
	}
	keys, err := newHostKeys(s.cfg.KnownHosts, s.host)
	if err != nil {
		return nil, err
	}
	auth, closeAgent, err := s.cfg.auth()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.host.Name, err)
	}
	defer closeAgent()
	ctx, cancel := context.WithTimeout(ctx, sshDial)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.host.SSH)
	if err != nil {
		return nil, &LostError{s.host.Name, "connect by SSH to " + s.host.SSH, plainDial(err)}
	}
	// NewClientConn knows no context.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	c, channels, requests, err := ssh.NewClientConn(conn, s.host.SSH, &ssh.ClientConfig{
		User: s.cfg.User, Auth: auth, HostKeyCallback: keys.check, HostKeyAlgorithms: keys.algorithms(s.host.SSH),
	})
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		var key *HostKeyError
		if errors.As(err, &key) {
			return nil, key
		}
		return nil, &LostError{s.host.Name, "log in by SSH as " + s.cfg.User + " at " + s.host.SSH, err}
	}
	s.client = ssh.NewClient(c, channels, requests)
	return s.client, nil
}

// auth returns the ways to log in, and what closes the connection to the agent once that is done.
func (c SSHConfig) auth() ([]ssh.AuthMethod, func(), error) {
	var signers []ssh.Signer
	closeAgent := func() {}
	if c.AgentSock != "" {
		if conn, err := net.Dial("unix", c.AgentSock); err == nil {
			closeAgent = func() { _ = conn.Close() }
			if s, err := agent.NewClient(conn).Signers(); err == nil {
				signers = append(signers, s...)
			}
		}
	}
	if len(c.Key) > 0 {
		k, err := parseKey(c.Key, c.Passphrase)
		if err != nil {
			closeAgent()
			return nil, nil, err
		}
		signers = append(signers, k)
	}
	var out []ssh.AuthMethod
	if len(signers) > 0 {
		out = append(out, ssh.PublicKeys(signers...))
	}
	if c.Password != "" {
		out = append(out, ssh.Password(c.Password))
	}
	if len(out) == 0 {
		closeAgent()
		return nil, nil, errors.New("no way to log in by SSH: no key in the agent, no keyFile, no password")
	}
	return out, closeAgent, nil
}

func parseKey(pem []byte, passphrase string) (ssh.Signer, error) {
	if passphrase != "" {
		s, err := ssh.ParsePrivateKeyWithPassphrase(pem, []byte(passphrase))
		if err != nil {
			return nil, fmt.Errorf("private key: %w", err)
		}
		return s, nil
	}
	s, err := ssh.ParsePrivateKey(pem)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		return nil, errors.New("the private key has a passphrase: load it into ssh-agent, or set access.ssh.keyPassphrase")
	}
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return s, nil
}

// drop forgets a connection that no longer works.
func (s *sshShell) drop(c *ssh.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == c {
		s.client = nil
	}
	_ = c.Close()
}

// Close implements io.Closer.
func (s *sshShell) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		return nil
	}
	err := s.client.Close()
	s.client = nil
	if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
