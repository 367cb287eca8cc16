package transport

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Params are the parameters of a call: strings, whole numbers and truth values.
type Params map[string]any

// An API is the API of one node. Paths are as in `pvesh`: /nodes/pve1/hosts.
//
// Get may be sent more than once; the others never are. out may be nil.
type API interface {
	Get(ctx context.Context, path string, out any) error
	Post(ctx context.Context, path string, params Params, out any) error
	Put(ctx context.Context, path string, params Params, out any) error
	Delete(ctx context.Context, path string, out any) error
}

// A Shell runs commands as root on one node.
type Shell interface {
	// Run runs c to its end. A command that ends with a code other than 0 is a *CommandError.
	Run(ctx context.Context, c Command) (Output, error)
}

// A Command is a program with its arguments, not a line for a shell to take apart. Secrets go into
// Stdin: arguments can be seen by everybody on the node.
type Command struct {
	Argv  []string
	Stdin []byte
}

// String is the command as one would type it.
func (c Command) String() string {
	words := make([]string, len(c.Argv))
	for i, w := range c.Argv {
		words[i] = quote(w)
	}
	return strings.Join(words, " ")
}

// quote makes one word of s for a POSIX shell.
func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:=,@%+", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Output is what a command wrote.
type Output struct{ Stdout, Stderr string }

// A CommandError is a command that failed.
type CommandError struct {
	Node    string
	Command string
	Code    int // exit status; -1: ended by a signal or without one
	Stderr  string
}

func (e *CommandError) Error() string {
	text := strings.TrimSpace(e.Stderr)
	if text == "" {
		text = "no message"
	}
	return fmt.Sprintf("%s: `%s` ended with %d: %s", e.Node, e.Command, e.Code, text)
}

// A Set gives access to all nodes.
type Set interface {
	API(node string) API
	Shell(node string) Shell
	// Renew forgets the login and the certificate of a node's API, because it joined a cluster. The
	// fingerprint is that of its new certificate, "" when not known.
	Renew(node, fingerprint string)
}

// wire are the parameters as they are sent: truth values as 1 and 0, which every method accepts.
func (p Params) wire() map[string]any {
	if p == nil {
		return map[string]any{}
	}
	out := maps.Clone(map[string]any(p))
	for k, v := range out {
		if b, ok := v.(bool); ok {
			out[k] = 0
			if b {
				out[k] = 1
			}
		}
	}
	return out
}

// Names are the parameters' names, sorted.
func (p Params) Names() []string { return slices.Sorted(maps.Keys(p)) }
