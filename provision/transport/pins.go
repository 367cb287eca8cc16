package transport

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Pins remembers the certificates of nodes that were trusted on first use, in a file when it has one.
// It is safe for concurrent use.
type Pins struct {
	mu   sync.Mutex
	path string
	by   map[string]string
}

// OpenPins reads the file at path, which need not exist; "" keeps pins in memory only.
func OpenPins(path string) (*Pins, error) {
	p := &Pins{path: path, by: map[string]string{}}
	if path == "" {
		return p, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &p.by)
	}
	if err != nil {
		return nil, fmt.Errorf("read known certificates: %w", err)
	}
	return p, nil
}

// Get returns the fingerprint of a node, "" when it was never seen.
func (p *Pins) Get(node string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.by[node]
}

// Set remembers a fingerprint; "" forgets it.
func (p *Pins) Set(node, fingerprint string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by[node] == fingerprint {
		return nil
	}
	next := maps.Clone(p.by)
	next[node] = fingerprint
	if fingerprint == "" {
		delete(next, node)
	}
	p.by = next
	if p.path == "" {
		return nil
	}
	b, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(p.path), 0o700); err != nil {
		return err
	}
	// Renamed into place, so that no reader ever sees half of it.
	tmp := p.path + ".new"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, p.path)
}

// probeTimeout bounds the connection that only looks at a certificate.
const probeTimeout = 10 * time.Second

// Fingerprint returns the SHA-256 fingerprint of the certificate that addr shows, as Proxmox VE writes
// it. Nothing is believed yet: the caller decides.
func Fingerprint(ctx context.Context, addr string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	d := tls.Dialer{NetDialer: &net.Dialer{}, Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	certs := conn.(*tls.Conn).ConnectionState().PeerCertificates
	if len(certs) == 0 {
		return "", errors.New("the server shows no certificate")
	}
	sum := sha256.Sum256(certs[0].Raw)
	h := strings.ToUpper(hex.EncodeToString(sum[:]))
	parts := make([]string, 0, len(sum))
	for i := 0; i < len(h); i += 2 {
		parts = append(parts, h[i:i+2])
	}
	return strings.Join(parts, ":"), nil
}
