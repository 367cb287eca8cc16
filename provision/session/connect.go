package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/transport"
)

// Connection is what the flags and this machine add to the file's access section.
type Connection struct {
	Via       string // transport.ViaAPI or ViaSSH
	AgentSock string // SSH_AUTH_SOCK
	StateDir  string
	Now       func() time.Time
	Log       *slog.Logger
}

// Connect prepares the way to all nodes of the file. It speaks to none of them yet, but asks for the
// secrets that this needs.
func Connect(ctx context.Context, c *spec.Cluster, r spec.Resolver, hide *engine.Redactor, o Connection) (*transport.Fleet, error) {
	secret := func(s spec.Secret) (string, error) {
		if s.IsZero() {
			return "", nil
		}
		v, err := s.Resolve(ctx, r)
		hide.Add(v)
		return v, err
	}
	access := c.Spec.Access
	password, err := secret(access.API.Password)
	if err != nil {
		return nil, fmt.Errorf("spec.access.api.password: %w", err)
	}
	tokenID, token := "", ""
	if password == "" {
		if tokenID, token, err = apiToken(access.API.Token, secret); err != nil {
			return nil, fmt.Errorf("spec.access.api.token: %w", err)
		}
		hide.Add(token)
	}
	if password == "" && token == "" && o.Via == transport.ViaAPI {
		return nil, errors.New("spec.access.api.password is not set; give it, or use --transport ssh")
	}
	ssh, err := sshConfig(access.SSH, o.AgentSock, secret)
	if err != nil {
		return nil, err
	}
	pins, err := transport.OpenPins(filepath.Join(o.StateDir, c.Metadata.Name, "certificates.json"))
	if err != nil {
		return nil, err
	}
	return transport.NewFleet(transport.Config{
		Hosts: hosts(c), Via: o.Via, User: cmp.Or(access.API.User, "root@pam"), Password: pve.NewSecret(password), TokenID: tokenID, Token: pve.NewSecret(token),
		Pin: cmp.Or(access.API.TLS.Pin, transport.PinFirstUse), CAFile: Home(access.API.TLS.CAFile), Pins: pins, SSH: ssh, Now: o.Now, Log: o.Log,
	})
}

// apiToken takes apart USER@REALM!ID=SECRET.
func apiToken(s spec.Secret, secret func(spec.Secret) (string, error)) (id, token string, err error) {
	text, err := secret(s)
	if err != nil || text == "" {
		return "", "", err
	}
	id, token, ok := strings.Cut(text, "=")
	if user, name, isToken := strings.Cut(id, "!"); !ok || !isToken || token == "" || name == "" || !strings.Contains(user, "@") {
		return "", "", errors.New("what is there is no USER@REALM!ID=SECRET")
	}
	return id, token, nil
}

func hosts(c *spec.Cluster) []transport.Host {
	port := strconv.Itoa(cmp.Or(c.Spec.Access.SSH.Port, 22))
	var out []transport.Host
	for _, n := range c.Spec.Nodes {
		addr := n.Management.String()
		out = append(out, transport.Host{
			Name: n.Name, HostKey: n.HostKey, Fingerprint: n.Fingerprint,
			API: cmp.Or(n.Endpoint.API, net.JoinHostPort(addr, pve.DefaultPort)),
			SSH: cmp.Or(n.Endpoint.SSH, net.JoinHostPort(addr, port)),
		})
	}
	return out
}

func sshConfig(a spec.SSHAccess, agent string, secret func(spec.Secret) (string, error)) (transport.SSHConfig, error) {
	out := transport.SSHConfig{User: cmp.Or(a.User, "root"), Command: a.Command}
	if a.Agent {
		out.AgentSock = agent
	}
	if a.KnownHosts != "" {
		out.KnownHosts = []string{Home(a.KnownHosts), "/etc/ssh/ssh_known_hosts"}
	}
	if a.KeyFile != "" {
		key, err := os.ReadFile(Home(a.KeyFile))
		if err != nil {
			return out, fmt.Errorf("spec.access.ssh.keyFile: %w", err)
		}
		out.Key = key
	}
	var err error
	if out.Passphrase, err = secret(a.KeyPassphrase); err != nil {
		return out, fmt.Errorf("spec.access.ssh.keyPassphrase: %w", err)
	}
	if out.Password, err = secret(a.Password); err != nil {
		return out, fmt.Errorf("spec.access.ssh.password: %w", err)
	}
	return out, nil
}
