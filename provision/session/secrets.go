package session

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// OSResolver fetches secrets from the environment, from files and from the person at the terminal, whom
// it asks only once for the same thing.
type OSResolver struct {
	In  *os.File // the terminal
	Out io.Writer

	mu    sync.Mutex
	asked map[string]string
}

// Env implements spec.Resolver.
func (*OSResolver) Env(name string) (string, bool) { return os.LookupEnv(name) }

// File implements spec.Resolver.
func (*OSResolver) File(_ context.Context, path string) (string, error) {
	path = Home(path)
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	// Of the open file, so that nobody can exchange it in between.
	i, err := f.Stat()
	if err != nil {
		return "", err
	}
	if m := i.Mode().Perm(); m&0o077 != 0 {
		return "", fmt.Errorf("%s can be read by others (mode %04o); chmod 600 it", path, m)
	}
	line, err := bufio.NewReader(io.LimitReader(f, 64<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return line, nil
}

// Prompt implements spec.Resolver. What is typed is not shown.
func (r *OSResolver) Prompt(_ context.Context, text string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v, ok := r.asked[text]; ok {
		return v, nil
	}
	if r.In == nil {
		return "", errors.New("there is no terminal to ask on; use env: or file: for this secret")
	}
	fd := int(r.In.Fd())
	old, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return "", errors.New("there is no terminal to ask on; use env: or file: for this secret")
	}
	silent := *old
	silent.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &silent); err != nil {
		return "", fmt.Errorf("hide what is typed: %w", err)
	}
	fmt.Fprintf(r.Out, "%s: ", text)
	line, err := bufio.NewReader(r.In).ReadString('\n')
	err = errors.Join(err, unix.IoctlSetTermios(fd, unix.TCSETS, old))
	fmt.Fprintln(r.Out)
	if err != nil {
		return "", err
	}
	if r.asked == nil {
		r.asked = map[string]string{}
	}
	r.asked[text] = strings.TrimRight(line, "\r\n")
	return r.asked[text], nil
}

// Home replaces a ~ at the beginning of a path.
func Home(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return path
}

// IsTerminal says whether f is one.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
