package spec

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// redacted is all that is ever shown of a secret.
const redacted = "***"

// Secret says where a secret is to be found. It never holds the secret itself, and prints as ***.
// The zero Secret is none.
type Secret struct{ env, file, prompt string }

// SecretEnv is the environment variable name.
func SecretEnv(name string) Secret { return Secret{env: name} }

// SecretFile is the first line of a file that nobody else can read.
func SecretFile(path string) Secret { return Secret{file: path} }

// SecretPrompt asks on the terminal.
func SecretPrompt(text string) Secret { return Secret{prompt: text} }

// IsZero is true if no secret was given.
func (s Secret) IsZero() bool { return s == Secret{} }

// A Resolver fetches secrets from where they are.
type Resolver interface {
	// Env returns an environment variable, and whether it is set.
	Env(name string) (string, bool)
	// File returns the contents of a file. It refuses one that others can read.
	File(ctx context.Context, path string) (string, error)
	// Prompt asks a person. It fails if there is no terminal.
	Prompt(ctx context.Context, text string) (string, error)
}

// ErrNoSecret means that a secret is needed and the file names none.
var ErrNoSecret = errors.New("no secret given")

// Resolve fetches the secret. Its errors name the place, never the contents.
func (s Secret) Resolve(ctx context.Context, r Resolver) (string, error) {
	value, err := s.fetch(ctx, r)
	if err != nil {
		return "", err
	}
	value = strings.TrimRight(value, "\r\n")
	if value == "" {
		return "", fmt.Errorf("the secret in %s is empty", s.Source())
	}
	return value, nil
}

func (s Secret) fetch(ctx context.Context, r Resolver) (string, error) {
	switch {
	case s.env != "":
		value, ok := r.Env(s.env)
		if !ok {
			return "", fmt.Errorf("environment variable %s is not set (export it, or use file: or prompt: in the spec)", s.env)
		}
		return value, nil
	case s.file != "":
		return r.File(ctx, s.file)
	case s.prompt != "":
		return r.Prompt(ctx, s.prompt)
	}
	return "", ErrNoSecret
}

// Source says where the secret is looked for, for messages: "environment variable X".
func (s Secret) Source() string {
	switch {
	case s.env != "":
		return "environment variable " + s.env
	case s.file != "":
		return "file " + s.file
	case s.prompt != "":
		return "a prompt"
	}
	return "nowhere"
}

// String gives ***.
func (Secret) String() string { return redacted }

// GoString gives ***, for %#v.
func (Secret) GoString() string { return redacted }

// Format gives *** for every verb, so that none prints the fields.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalJSON gives "***".
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalYAML gives ***. Marshal, which writes a file to be read again, writes the place instead.
func (Secret) MarshalYAML() (any, error) { return redacted, nil }

// LogValue gives *** to log/slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
