package pve

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/quorate/quorate/internal/source"
)

// dialTimeout bounds one connection attempt, certificates included. net/http lets a dial outlive the
// request it was begun for, so the request's context is not enough.
const dialTimeout = 5 * time.Second

// idleTimeout is shorter than the time after which a server gives up a silent connection: a write
// must not meet one that is just being closed.
const idleTimeout = 4 * time.Second

// connsPerEndpoint is more than one scrape needs and less than a pvedaemon's workers mind.
const connsPerEndpoint = 4

// A dialer makes connections that have been checked as TLSConfig says.
type dialer struct {
	base     context.Context // ends with the Client
	net      net.Dialer
	caFile   string
	caRead   *source.Flight[[]byte] // CAFile may lie on a hanging cluster file system
	caPEM    []byte
	pins     map[string][32]byte
	insecure bool
}

func newDialer(base context.Context, c TLSConfig, now func() time.Time) (*dialer, error) {
	d := &dialer{
		base: base, caFile: c.CAFile, caPEM: c.CAPEM, insecure: c.Insecure, pins: map[string][32]byte{},
		caRead: source.NewFlight[[]byte](source.NewStats("certificate file", now)),
	}
	if c.CAFile != "" && len(c.CAPEM) > 0 {
		return nil, errors.New("tls: give CAs as a file or as text, not both")
	}
	if len(c.CAPEM) > 0 && !x509.NewCertPool().AppendCertsFromPEM(c.CAPEM) {
		return nil, errors.New("tls: the CA text holds no PEM certificate")
	}
	for host, s := range c.Fingerprints {
		fp, err := parseFingerprint(s)
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		d.pins[host] = fp
	}
	return d, nil
}

// roundTripper returns the HTTP/1.1 transport of one endpoint; pveproxy speaks nothing newer.
func (d *dialer) roundTripper(endpoint *url.URL) *http.Transport {
	return &http.Transport{
		DialContext: d.dial,
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return d.dialTLS(ctx, network, addr, endpoint.Hostname())
		},
		MaxConnsPerHost:        connsPerEndpoint,
		MaxIdleConnsPerHost:    connsPerEndpoint,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // it would cost pveproxy more than the network
	}
}

// bounded is ctx ended by dialTimeout and by the Client's end.
func (d *dialer) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	stop := context.AfterFunc(d.base, cancel)
	return ctx, func() { stop(); cancel() }
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	conn, err := d.net.DialContext(ctx, network, addr)
	if err != nil {
		return nil, &stageError{Dial, err}
	}
	return conn, nil
}

func (d *dialer) dialTLS(ctx context.Context, network, addr, host string) (net.Conn, error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	config, err := d.config(ctx, addr, host)
	if err != nil {
		return nil, &stageError{TLS, err}
	}
	raw, err := d.net.DialContext(ctx, network, addr)
	if err != nil {
		return nil, &stageError{Dial, err}
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, &stageError{TLS, err}
	}
	return conn, nil
}

// config says what to expect of the certificate of addr.
func (d *dialer) config(ctx context.Context, addr, host string) (*tls.Config, error) {
	c := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if want, ok := d.pin(addr, host); ok {
		// VerifyConnection runs for every handshake and decides alone.
		c.InsecureSkipVerify = true
		c.VerifyConnection = func(s tls.ConnectionState) error { return checkPin(s, want) }
		return c, nil
	}
	if d.insecure {
		c.InsecureSkipVerify = true
		return c, nil
	}
	pem := d.caPEM
	if d.caFile != "" {
		var err error
		if pem, err = d.caRead.Do(ctx, func() ([]byte, error) { return os.ReadFile(d.caFile) }); err != nil {
			return nil, fmt.Errorf("read CAs: %w", err)
		}
	}
	if pem != nil {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no PEM certificate", d.caFile)
		}
	}
	return c, nil
}

func (d *dialer) pin(addr, host string) (fp [32]byte, ok bool) {
	for _, key := range []string{addr, host, ""} {
		if fp, ok = d.pins[key]; ok {
			return fp, true
		}
	}
	return fp, false
}

// pinError says that a certificate is not the pinned one.
type pinError struct{ got, want [32]byte }

func (e *pinError) Error() string {
	return fmt.Sprintf("the certificate's fingerprint is %s, pinned is %s", colons(e.got), colons(e.want))
}

func checkPin(s tls.ConnectionState, want [32]byte) error {
	if len(s.PeerCertificates) == 0 {
		return errors.New("the server shows no certificate")
	}
	if got := sha256.Sum256(s.PeerCertificates[0].Raw); got != want {
		return &pinError{got, want}
	}
	return nil
}

// colons writes a fingerprint as PVE does.
func colons(fp [32]byte) string {
	h := strings.ToUpper(hex.EncodeToString(fp[:]))
	parts := make([]string, 0, len(fp))
	for i := 0; i < len(h); i += 2 {
		parts = append(parts, h[i:i+2])
	}
	return strings.Join(parts, ":")
}
