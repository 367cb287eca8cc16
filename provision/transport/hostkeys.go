package transport

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// A HostKeyError is a host key that is not known, or not the known one.
type HostKeyError struct {
	Node, Addr string
	Got        string // SHA256:…
	Want       string // "" when no key is known
}

func (e *HostKeyError) Error() string {
	if e.Want == "" {
		return fmt.Sprintf("%s: the SSH host key of %s is not known; it is %s. Compare it with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the node, then set hostKey of the node in the file, or log in once with ssh", e.Node, e.Addr, e.Got)
	}
	return fmt.Sprintf("%s: the SSH host key of %s is %s, but %s was expected: another machine answers, or the node was installed anew", e.Node, e.Addr, e.Got, e.Want)
}

// hostKeys decides whether a node's host key is believed.
type hostKeys struct {
	host  Host
	known ssh.HostKeyCallback // nil without files
}

func newHostKeys(files []string, h Host) (*hostKeys, error) {
	k := &hostKeys{host: h}
	var there []string
	for _, f := range files {
		if _, err := os.Stat(f); err == nil {
			there = append(there, f)
		}
	}
	if len(there) == 0 {
		return k, nil
	}
	known, err := knownhosts.New(there...)
	if err != nil {
		return nil, fmt.Errorf("read known hosts: %w", err)
	}
	k.known = known
	return k, nil
}

// check is an ssh.HostKeyCallback.
func (k *hostKeys) check(addr string, remote net.Addr, key ssh.PublicKey) error {
	got := ssh.FingerprintSHA256(key)
	fail := &HostKeyError{Node: k.host.Name, Addr: addr, Got: got, Want: k.host.HostKey}
	if k.host.HostKey != "" {
		if got == k.host.HostKey {
			return nil
		}
		return fail
	}
	if k.known == nil {
		return fail
	}
	err := k.known(addr, remote, key)
	var other *knownhosts.KeyError
	if errors.As(err, &other) {
		if len(other.Want) > 0 {
			fail.Want = ssh.FingerprintSHA256(other.Want[0].Key)
		}
		return fail
	}
	return err
}

// algorithms are those of the keys that are known for addr: asked for any, the server may show a key of
// another type than the known one, which would look like a stranger's.
func (k *hostKeys) algorithms(addr string) []string {
	if k.known == nil || k.host.HostKey != "" {
		return nil
	}
	var want *knownhosts.KeyError
	if err := k.known(addr, &net.TCPAddr{}, noKey{}); !errors.As(err, &want) {
		return nil
	}
	var out []string
	for _, w := range want.Want {
		switch t := w.Key.Type(); t {
		case ssh.KeyAlgoRSA:
			out = append(out, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, t)
		default:
			out = append(out, t)
		}
	}
	return out
}

// noKey is a key that nobody has: knownhosts answers it with the keys it knows.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }
