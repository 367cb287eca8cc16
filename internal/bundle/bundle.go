package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Sums is the name of the file that remembers what was written, in the format of sha256sum.
const Sums = "SHA256SUMS"

// A Part is a directory of the bundle. All files of Files that match Pattern are in it.
type Part struct {
	Dir     string // slash-separated, below the bundle's directory
	Files   fs.FS
	Pattern string // as of fs.Glob; only the last element of a name is kept
}

// files returns the files of parts by their slash-separated paths. Two files of one path are an error.
func files(parts []Part) (map[string][]byte, error) {
	all := map[string][]byte{}
	for _, p := range parts {
		names, err := fs.Glob(p.Files, p.Pattern)
		if err != nil {
			return nil, err
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("nothing in the program matches %s for %s", p.Pattern, p.Dir)
		}
		for _, name := range names {
			text, err := fs.ReadFile(p.Files, name)
			if err != nil {
				return nil, err
			}
			target := path.Join(p.Dir, path.Base(name))
			if _, dup := all[target]; dup {
				return nil, fmt.Errorf("two files are named %s", target)
			}
			all[target] = text
		}
	}
	return all, nil
}

// A Report tells what Write did, as sorted slash-separated paths.
type Report struct {
	New, Updated, Same []string
	Removed            []string // in no newer bundle, and unchanged
	Kept               []string // in no newer bundle, but somebody changed them
}

// A ChangedError lists files that differ from what was written, and from what is to be written.
type ChangedError struct {
	Dir   string
	Files []string
}

// Error names the files and what can be done.
func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s: nothing is written, because these files are not as the bundle wrote them: %s "+
		"(keep changes in files of your own, or overwrite these with --force)", e.Dir, strings.Join(e.Files, ", "))
}

// Write makes dir hold the files of parts. Files that it did not write it leaves alone. Where it
// would overwrite one that was changed it fails with a ChangedError, and nothing has been written,
// unless force is set.
func Write(dir string, parts []Part, force bool) (Report, error) {
	want, err := files(parts)
	if err != nil {
		return Report{}, err
	}
	before, err := readSums(filepath.Join(dir, Sums))
	if err != nil {
		return Report{}, err
	}
	report, changed, err := compare(dir, want, before)
	if err != nil {
		return Report{}, err
	}
	if len(changed) > 0 && !force {
		return Report{}, &ChangedError{dir, changed}
	}
	report.Updated = append(report.Updated, changed...)
	slices.Sort(report.Updated)
	for _, name := range slices.Concat(report.New, report.Updated) {
		if err := replace(filepath.Join(dir, filepath.FromSlash(name)), want[name]); err != nil {
			return Report{}, err
		}
	}
	for _, name := range report.Removed {
		if err := os.Remove(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return Report{}, err
		}
	}
	return report, replace(filepath.Join(dir, Sums), formatSums(want))
}

// compare tells what has to be done, and which files somebody changed.
func compare(dir string, want map[string][]byte, before map[string]string) (r Report, changed []string, err error) {
	read := func(name string) ([]byte, bool, error) {
		text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, false, nil
		}
		return text, err == nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		have, there, err := read(name)
		switch {
		case err != nil:
			return r, nil, err
		case !there:
			r.New = append(r.New, name)
		case bytes.Equal(have, want[name]):
			r.Same = append(r.Same, name)
		case before[name] == sum(have):
			r.Updated = append(r.Updated, name)
		default:
			changed = append(changed, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, ok := want[name]; ok {
			continue
		}
		have, there, err := read(name)
		switch {
		case err != nil:
			return r, nil, err
		case there && before[name] == sum(have):
			r.Removed = append(r.Removed, name)
		case there:
			r.Kept = append(r.Kept, name)
		}
	}
	return r, changed, nil
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func formatSums(files map[string][]byte) []byte {
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&b, "%s  %s\n", sum(files[name]), name)
	}
	return b.Bytes()
}

// readSums reads what formatSums wrote. Without the file nothing was ever written.
func readSums(file string) (map[string]string, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	sums := map[string]string{}
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		hash, name, ok := strings.Cut(line, "  ")
		// What a line names is removed one day, so it must lie in the bundle.
		if !ok || len(hash) != 2*sha256.Size || !fs.ValidPath(name) || name == "." {
			return nil, fmt.Errorf("%s:%d: not a line of a bundle's checksums (remove the file if it is not the bundle's)", file, i+1)
		}
		sums[name] = hash
	}
	return sums, nil
}

// replace writes a file in one step: a Prometheus that reloads now sees the old or the new one.
func replace(file string, text []byte) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".bundle-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // of what failed; after the rename it is not there
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
