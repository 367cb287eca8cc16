package pve

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// A Secret is a password, a token's secret or a ticket. However it is printed or marshalled, *** is
// what appears; Reveal gives it away.
type Secret struct {
	// Behind a pointer, because fmt prints unexported fields without asking their methods.
	v *string
}

// NewSecret makes a Secret of s.
func NewSecret(s string) Secret { return Secret{&s} }

// Reveal returns the secret itself, "" for the zero Secret.
func (s Secret) Reveal() string {
	if s.v == nil {
		return ""
	}
	return *s.v
}

const hidden = "***"

// Format prints *** for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// String returns ***.
func (Secret) String() string { return hidden }

// MarshalText returns ***; encoding/json and YAML use it.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue is *** in logs.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// redact replaces what of secrets stands in s.
func redact(s string, secrets ...string) string {
	for _, secret := range secrets {
		if secret != "" {
			s = strings.ReplaceAll(s, secret, hidden)
		}
	}
	return s
}

// libraryLog is the logger handed to go-proxmox. At debug level the library prints the bodies it
// sends and gets, which hold the root password of a join and the secrets of new tokens: only its
// lines about method, path and status pass.
type libraryLog struct {
	log   *slog.Logger
	clean func(string) string
}

func (l libraryLog) Debugf(format string, v ...any) {
	if strings.HasPrefix(format, "SEND:") || strings.HasPrefix(format, "RECV:") {
		l.log.Debug(l.clean(fmt.Sprintf(format, v...)))
	}
}

func (l libraryLog) Infof(format string, v ...any) { l.log.Info(l.clean(fmt.Sprintf(format, v...))) }
func (l libraryLog) Warnf(format string, v ...any) { l.log.Warn(l.clean(fmt.Sprintf(format, v...))) }
func (l libraryLog) Errorf(format string, v ...any) {
	l.log.Error(l.clean(fmt.Sprintf(format, v...)))
}
