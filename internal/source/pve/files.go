package pve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"

	"github.com/quorate/quorate/internal/source"
)

// DefaultFilesRoot is where pmxcfs is mounted.
const DefaultFilesRoot = "/etc/pve"

// maxFileBytes is far above pmxcfs's own limit of 1 MiB a file.
const maxFileBytes = 8 << 20

// Kinds of errors about files.
const (
	NotMounted Kind = "not_mounted" // pmxcfs does not run, or died
	Access     Kind = "access"      // we are neither root nor in group www-data
	Missing    Kind = "missing"     // there is no such file
	IO         Kind = "io"          // reading failed otherwise
)

// A FileError is a file of /etc/pve that cannot be read, or understood. Its Kind may also be Timeout,
// Type or TooLarge. errors.Is finds fs.ErrNotExist in one of kind Missing, and only in that.
type FileError struct {
	Kind Kind
	Name string // below the root
	err  error
}

var fileHints = map[Kind]string{
	NotMounted: " (see `systemctl status pve-cluster`)",
	Access:     " (run as root or in group www-data)",
	Timeout:    " (pmxcfs hangs, see `systemctl status pve-cluster`)",
}

// Error says which file, what, and what to look at.
func (e *FileError) Error() string {
	return fmt.Sprintf("read %s: %v%s", e.Name, e.err, fileHints[e.Kind])
}

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.err }

// Reason is the value of label reason for this error.
func (e *FileError) Reason() string { return string(e.Kind) }

var errNotMounted = errors.New("the cluster file system is not mounted")

// Files reads the cluster file system of this node. It answers without pveproxy and without quorum;
// what it says about other nodes is then as old as the quorum. A read can hang for ever: callers
// leave when their context ends, and until that read returns all others are refused.
type Files struct {
	root  string
	fsys  fs.FS
	lanes *lanes
}

// NewFiles returns the Files below root, DefaultFilesRoot when empty. now may be nil.
func NewFiles(root string, now func() time.Time) *Files {
	if root == "" {
		root = DefaultFilesRoot
	}
	return newFiles(root, os.DirFS(root), now)
}

func newFiles(root string, fsys fs.FS, now func() time.Time) *Files {
	reasons := []string{string(NotMounted), string(Access), string(IO), string(Type), string(TooLarge)}
	return &Files{root: root, fsys: fsys, lanes: newLanes("pmxcfs", now, reasons)}
}

// Status says how the cluster file system is.
func (f *Files) Status() source.Status { return f.lanes.status() }

// ReadFile returns the file called name, such as "ha/manager_status". It fails with a *FileError or a
// *source.StuckError.
func (f *Files) ReadFile(ctx context.Context, name string) ([]byte, error) {
	return InFiles(ctx, f, name, func(fsys fs.FS) ([]byte, error) { return readFile(fsys, name) })
}

// InFiles runs fn, which reads what it wants from the root of f, where it can hang without harm. fn
// must not use the caller's context. Calls with the same key share one run and its value, which must
// not be changed then.
func InFiles[T any](ctx context.Context, f *Files, key string, fn func(fs.FS) (T, error)) (T, error) {
	var zero T
	if age := f.lanes.stuck(); age > 0 {
		return zero, f.lanes.refuse(key, age)
	}
	type outcome struct {
		v       T
		missing error // is an answer and no failure of the file system
	}
	o, err := inLane(ctx, f.lanes, key, answeredByFiles, func() (o outcome, err error) {
		o.v, err = fn(f.fsys)
		if err = f.explain(key, err); errors.Is(err, fs.ErrNotExist) {
			o.missing, err = err, nil
		}
		return o, err
	})
	if err == nil {
		err = o.missing
	}
	var file *FileError
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		if !errors.As(err, &file) {
			err = &FileError{Kind: Timeout, Name: path.Join(f.root, key), err: err}
		}
	}
	return o.v, err
}

func answeredByFiles(err error) bool {
	var e *FileError
	return err == nil || errors.As(err, &e) && (e.Kind == Missing || e.Kind == Type || e.Kind == TooLarge)
}

// explain makes a *FileError of what fn returned. It runs in the lane, for it reads.
func (f *Files) explain(key string, err error) error {
	if err == nil {
		return nil
	}
	name := key
	var known *FileError
	if errors.As(err, &known) {
		return &FileError{Kind: known.Kind, Name: path.Join(f.root, known.Name), err: known.err}
	}
	var of *fs.PathError
	if errors.As(err, &of) {
		name, err = of.Path, of.Err
	}
	e := &FileError{Kind: IO, Name: path.Join(f.root, name), err: err}
	switch {
	case errors.Is(err, fs.ErrPermission):
		e.Kind = Access
	case errors.Is(err, fs.ErrNotExist):
		e.Kind = Missing
		// Without pmxcfs there is an empty directory.
		if _, err := fs.Stat(f.fsys, ".members"); errors.Is(err, fs.ErrNotExist) {
			e.Kind, e.err = NotMounted, errNotMounted
		}
	case errors.Is(err, syscall.ENOTCONN):
		// What a FUSE mount gives whose daemon died.
		e.Kind, e.err = NotMounted, fmt.Errorf("%w any more: %w", errNotMounted, err)
	}
	return e
}

// readFile reads one file of bounded size.
func readFile(fsys fs.FS, name string) ([]byte, error) {
	r, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFileBytes {
		return nil, &FileError{Kind: TooLarge, Name: name, err: fmt.Errorf("it is larger than %d bytes", maxFileBytes)}
	}
	return b, nil
}

// malformed is the error of a file that is not of its documented form.
func malformed(name string, err error) error {
	return &FileError{Kind: Type, Name: name, err: err}
}
