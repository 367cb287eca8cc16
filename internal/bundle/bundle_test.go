package bundle

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// parts is a bundle with one rule file, and others by name.
func parts(files map[string]string) []Part {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return []Part{{Dir: "rules", Files: m, Pattern: "*.yaml"}}
}

func write(t *testing.T, dir string, files map[string]string) Report {
	t.Helper()
	r, err := Write(dir, parts(files), false)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func edit(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// tree is what lies below dir, without the checksums.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || p == Sums {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, p))
		all[p] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestWriteMakesTheDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	r := write(t, dir, map[string]string{"a.yaml": "1", "b.yaml": "2", "c.txt": "not matched"})
	if diff := cmp.Diff(Report{New: []string{"rules/a.yaml", "rules/b.yaml"}}, r); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"rules/a.yaml": "1", "rules/b.yaml": "2"}, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
	info, err := os.Stat(filepath.Join(dir, "rules/a.yaml"))
	if err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("Prometheus runs as another user and may not read the file: %v, %v", info.Mode(), err)
	}
}

func TestWriteAgainChangesNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"a.yaml": "1"})
	before, _ := os.Stat(filepath.Join(dir, "rules/a.yaml"))
	r := write(t, dir, map[string]string{"a.yaml": "1"})
	after, _ := os.Stat(filepath.Join(dir, "rules/a.yaml"))
	if !slices.Equal(r.Same, []string{"rules/a.yaml"}) || !os.SameFile(before, after) {
		t.Errorf("%+v", r)
	}
}

func TestWriteUpdatesWhatNobodyChanged(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"a.yaml": "1", "gone.yaml": "1"})
	r := write(t, dir, map[string]string{"a.yaml": "2", "new.yaml": "1"})
	want := Report{New: []string{"rules/new.yaml"}, Updated: []string{"rules/a.yaml"}, Removed: []string{"rules/gone.yaml"}}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"rules/a.yaml": "2", "rules/new.yaml": "1"}, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestWriteRefusesToOverwriteChanges(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, dir string){
		"of a file that it wrote": func(t *testing.T, dir string) {
			write(t, dir, map[string]string{"a.yaml": "1", "b.yaml": "1"})
			edit(t, dir, "rules/b.yaml", "mine")
		},
		"of a file that it never wrote": func(t *testing.T, dir string) {
			if err := os.Mkdir(filepath.Join(dir, "rules"), 0o755); err != nil {
				t.Fatal(err)
			}
			edit(t, dir, "rules/a.yaml", "1")
			edit(t, dir, "rules/b.yaml", "mine")
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			prepare(t, dir)
			next := parts(map[string]string{"a.yaml": "1", "b.yaml": "2", "c.yaml": "2"})
			_, err := Write(dir, next, false)
			var changed *ChangedError
			if !errors.As(err, &changed) || !slices.Equal(changed.Files, []string{"rules/b.yaml"}) || !strings.Contains(err.Error(), "--force") {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(map[string]string{"rules/a.yaml": "1", "rules/b.yaml": "mine"}, tree(t, dir)); diff != "" {
				t.Errorf("half of the bundle was written: %s", diff)
			}
			if _, err := Write(dir, next, true); err != nil {
				t.Fatal(err)
			}
			if got := tree(t, dir)["rules/b.yaml"]; got != "2" {
				t.Errorf("with force the file is %q", got)
			}
		})
	}
}

func TestWriteLeavesFilesOfOthersAlone(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"old.yaml": "1", "a.yaml": "1"})
	edit(t, dir, "rules/own.yaml", "mine")
	edit(t, dir, "rules/old.yaml", "changed")
	r := write(t, dir, map[string]string{"a.yaml": "1"})
	if !slices.Equal(r.Kept, []string{"rules/old.yaml"}) {
		t.Errorf("%+v", r)
	}
	want := map[string]string{"rules/a.yaml": "1", "rules/own.yaml": "mine", "rules/old.yaml": "changed"}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestWriteFailsClearly(t *testing.T) {
	dir := t.TempDir()
	edit(t, dir, "file", "")
	edit(t, dir, Sums, "hello\n")
	hostile := t.TempDir()
	edit(t, hostile, Sums, strings.Repeat("0", 64)+"  ../../etc/passwd\n")
	twice := append(parts(map[string]string{"a.yaml": "1"}), parts(map[string]string{"a.yaml": "2"})...)
	for name, c := range map[string]struct {
		dir   string
		parts []Part
		want  string
	}{
		"the directory is a file":           {filepath.Join(dir, "file"), parts(map[string]string{"a.yaml": "1"}), "not a directory"},
		"the checksums are something else":  {dir, parts(map[string]string{"a.yaml": "1"}), Sums + ":1"},
		"the checksums name a file outside": {hostile, parts(map[string]string{"a.yaml": "1"}), Sums + ":1"},
		"a part is empty":                   {t.TempDir(), parts(nil), "nothing in the program"},
		"two files of one name":             {t.TempDir(), twice, "rules/a.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Write(c.dir, c.parts, true); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q in it", err, c.want)
			}
		})
	}
}

func FuzzReadSums(f *testing.F) {
	f.Add(string(formatSums(map[string][]byte{"rules/a.yaml": []byte("1")})))
	f.Add("x  ..\n")
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), Sums)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		sums, err := readSums(file)
		if err != nil {
			return
		}
		for name := range sums {
			if !filepath.IsLocal(filepath.FromSlash(name)) {
				t.Errorf("%q leads out of the bundle", name)
			}
		}
	})
}
