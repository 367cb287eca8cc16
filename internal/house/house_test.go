package house

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/quorate/quorate/"
)

// file is one Go file that is not a test.
type file struct {
	name    string // from the project's root
	dir     string
	text    []byte
	ast     *ast.File
	imports []string
}

func files(t *testing.T) []file {
	t.Helper()
	var all []file
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && p != root {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), p, text, parser.ParseComments)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		f := file{name: filepath.ToSlash(name), text: text, ast: syntax}
		f.dir = path.Dir(f.name)
		for _, i := range syntax.Imports {
			target, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, target)
		}
		all = append(all, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d files found below %s", len(all), root)
	}
	return all
}

// rule forbids imports that match banned in folders that match dir.
type rule struct {
	claim       string
	dir, banned string
}

var rules = []rule{
	{"collectors do no I/O", `^collector$`, `^(os|os/.*|net|net/.*|syscall|io/fs|io/ioutil|path/filepath|log|golang\.org/x/sys.*|.*go-ceph.*)$`},
	{"sources know no Prometheus", `^internal/source(/|$)`, `prometheus`},
	{"sources know no collectors", `^internal/source(/|$)`, `quorate/(collector|provision|operate|alerts|dashboards)`},
	{"flags stand in cmd only", `^(collector|alerts|dashboards|provision|operate|internal)(/|$)`, `^(flag|github\.com/alecthomas/kingpin/v2|github\.com/prometheus/exporter-toolkit/web/kingpinflag)$`},
	{"nothing imports cmd", ``, `quorate/cmd`},
	{"only sources speak to librados", `^(cmd|collector|alerts|dashboards|provision|operate|internal/(server|lab|dropin))(/|$)`, `go-ceph`},
	{"the program knows no lab", `^(cmd/quorate|collector|alerts|dashboards|provision|operate|internal/(source|server).*)$`, `quorate/internal/lab`},
}

func TestImportsFollowTheLayout(t *testing.T) {
	all := files(t)
	for _, r := range rules {
		t.Run(r.claim, func(t *testing.T) {
			dir, banned := regexp.MustCompile(r.dir), regexp.MustCompile(r.banned)
			for _, f := range all {
				for _, i := range f.imports {
					if dir.MatchString(f.dir) && banned.MatchString(i) {
						t.Errorf("%s imports %s", f.name, i)
					}
				}
			}
		})
	}
}

func TestCgoStandsInTwoPackagesBehindItsTag(t *testing.T) {
	cgo := regexp.MustCompile(`"C"|github\.com/ceph/go-ceph/.*`)
	allowed := regexp.MustCompile(`^internal/source/(corosync|ceph)$`)
	for _, f := range files(t) {
		for _, i := range f.imports {
			if !cgo.MatchString(strconv.Quote(i)) && !cgo.MatchString(i) {
				continue
			}
			if !allowed.MatchString(f.dir) {
				t.Errorf("%s uses cgo", f.name)
			}
			if !bytes.Contains(f.text, []byte("//go:build cgo")) {
				t.Errorf("%s imports %s without //go:build cgo", f.name, i)
			}
		}
	}
}

func TestNoInitFunctions(t *testing.T) {
	for _, f := range files(t) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function", f.name)
			}
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	for _, f := range files(t) {
		if n := bytes.Count(f.text, []byte("\n")); n > 500 {
			t.Errorf("%s has %d lines; one file is about one thing", f.name, n)
		}
	}
}

func TestPackagesSayWhatTheyAreFor(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range files(t) {
		documented[f.dir] = documented[f.dir] || f.ast.Doc != nil
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package in %s has no package comment", dir)
		}
	}
}
