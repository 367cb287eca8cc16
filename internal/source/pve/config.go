package pve

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"
)

// Defaults of Config.
const (
	DefaultTimeout  = 10 * time.Second
	DefaultMaxReply = 32 << 20 // bytes; 2,000 guests on 20 nodes are under 1 MiB
	DefaultPort     = "8006"
)

// A Config says which cluster to ask, and as whom.
type Config struct {
	// Endpoints are nodes of one cluster, in the order of preference: https://HOST[:PORT], HOST:PORT
	// or HOST.
	Endpoints []string
	Auth      Auth
	TLS       TLSConfig

	Timeout  time.Duration    // of a request whose context has no earlier deadline; 0 means DefaultTimeout
	MaxReply int64            // bytes; 0 means DefaultMaxReply
	Log      *slog.Logger     // nil means nowhere
	Now      func() time.Time // nil means time.Now
}

// Auth is an API token, or a user with a password, of which the token is to be preferred: it needs no
// login, and it can have less rights than its user.
type Auth struct {
	TokenID     string // USER@REALM!NAME
	TokenSecret Secret

	User     string // USER@REALM
	Password Secret
}

// TLSConfig says which certificates to believe. The zero value is the system's CAs.
type TLSConfig struct {
	// CAFile holds the CAs to believe instead, such as /etc/pve/pve-root-ca.pem. It is read at every
	// new connection, so that it may appear or change later.
	CAFile string
	CAPEM  []byte // the same as text
	// Fingerprints pins certificates: host, or host:port, or "" for every host, to the SHA-256
	// fingerprint as `pvenode cert info` prints it. A pinned certificate is believed whatever it says.
	Fingerprints map[string]string
	// Insecure believes any certificate, and allows http://. Whoever sits between then has the token.
	Insecure bool
}

// apiPrefix stands before every path of the API.
const apiPrefix = "/api2/json"

// parseEndpoint makes an endpoint's base URL, without apiPrefix.
func parseEndpoint(s string, insecure bool) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		if ip := net.ParseIP(s); ip != nil && ip.To4() == nil {
			s = "[" + s + "]" // a bare IPv6 address
		}
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		// url's error would show the whole text, which may hold a password.
		return nil, errors.New("endpoint: this is no URL, want https://HOST:PORT")
	}
	if u.User != nil {
		return nil, errors.New("endpoint: the URL must not hold a user or password; set them in Auth")
	}
	switch p := strings.TrimSuffix(u.Path, "/"); {
	case u.Hostname() == "":
		return nil, fmt.Errorf("endpoint %q: no host", s)
	case u.RawQuery != "" || u.Fragment != "" || p != "" && p != apiPrefix:
		return nil, fmt.Errorf("endpoint %q: want https://HOST:PORT and no more", s)
	case u.Scheme != "https" && (u.Scheme != "http" || !insecure):
		return nil, fmt.Errorf("endpoint %q: the scheme must be https", s)
	}
	port := u.Port()
	if port == "" {
		port = DefaultPort
	}
	return &url.URL{Scheme: u.Scheme, Host: net.JoinHostPort(u.Hostname(), port)}, nil
}

// parseFingerprint reads AA:BB:… or hex digits, 32 bytes of them.
func parseFingerprint(s string) (fp [32]byte, err error) {
	s = strings.ReplaceAll(strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(s)), "SHA256:"), ":", "")
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(fp) {
		return fp, fmt.Errorf("fingerprint %q: want 32 bytes in hex, as `pvenode cert info` prints them", shorten(s, 100))
	}
	return [32]byte(b), nil
}

// check says what is wrong with a.
func (a Auth) check() error {
	token, ticket := a.TokenID != "" || a.TokenSecret.Reveal() != "", a.User != "" || a.Password.Reveal() != ""
	switch {
	case token && ticket:
		return errors.New("auth: give a token or a user with a password, not both")
	case !token && !ticket:
		return errors.New("auth: neither a token nor a user is given")
	case token && (!strings.Contains(a.TokenID, "!") || !strings.Contains(a.TokenID, "@")):
		return fmt.Errorf("auth: token id %q is not of the form USER@REALM!NAME", a.TokenID)
	case token && a.TokenSecret.Reveal() == "":
		return fmt.Errorf("auth: no secret for token %s", a.TokenID)
	case ticket && !strings.Contains(a.User, "@"):
		return fmt.Errorf("auth: user %q is not of the form USER@REALM", a.User)
	case ticket && a.Password.Reveal() == "":
		return fmt.Errorf("auth: no password for user %s", a.User)
	case strings.ContainsAny(a.TokenID+a.TokenSecret.Reveal(), "\r\n\x00"):
		return errors.New("auth: token id or secret has a line break in it; was the file read with its last newline?")
	}
	return nil
}
