package packaging

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// need skips in short tests, and where the machine is not one that builds packages.
func need(t *testing.T, programs ...string) {
	t.Helper()
	if testing.Short() || os.Getenv("CGO_ENABLED") == "0" {
		t.Skip("builds the program with cgo")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("needs %s", p)
		}
	}
}

func command(t *testing.T, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), "LC_ALL=C")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// built builds quorate as `make build` does.
func built(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "quorate")
	build := exec.Command("go", "build", "-trimpath", "-o", file, "../cmd/quorate")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

// linked are the packages whose libraries a program is linked with.
func linked(t *testing.T, program string) []string {
	t.Helper()
	paths := map[string]string{}
	for _, l := range strings.Split(command(t, "ldd", program), "\n") {
		if f := strings.Fields(l); len(f) > 2 && f[1] == "=>" {
			paths[f[0]] = f[2]
		}
	}
	var out []string
	for _, l := range strings.Split(command(t, "objdump", "-p", program), "\n") {
		f := strings.Fields(l)
		if len(f) != 2 || f[0] != "NEEDED" {
			continue
		}
		real, err := filepath.EvalSymlinks(paths[f[1]])
		if err != nil {
			t.Fatal(err)
		}
		// A machine with /usr merged may know a library by its name in /lib.
		owner, err := exec.Command("dpkg", "-S", real).Output()
		if err != nil {
			owner = []byte(command(t, "dpkg", "-S", strings.TrimPrefix(real, "/usr")))
		}
		name, _, _ := strings.Cut(string(owner), ":")
		out = append(out, name)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestThePackageIsInstalledEnabledAndPurged(t *testing.T) {
	need(t, "dpkg", "dpkg-deb", "objdump", "strip", "ldd")
	program := built(t)
	deb := command(t, "deb/build", program, "v1.2.3-4-gabc", t.TempDir())
	if name := filepath.Base(deb); !strings.HasPrefix(name, "quorate_1.2.3+4+gabc_") {
		t.Errorf("it is called %s", name)
	}
	var depends []string
	for _, d := range strings.Split(command(t, "dpkg-deb", "-f", deb, "Depends"), ", ") {
		depends = append(depends, strings.Fields(d)[0])
	}
	slices.Sort(depends)
	if want := linked(t, program); !slices.Equal(depends, want) {
		t.Errorf("depends on %q, and is linked with %q", depends, want)
	}

	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "var/lib/dpkg/updates"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"status", "available"} {
		if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg", f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dpkg := func(args ...string) {
		command(t, "dpkg", append([]string{"--root=" + root, "--force-script-chrootless", "--force-depends", "--force-not-root", "--log=/dev/null"}, args...)...)
	}
	dpkg("--install", deb)
	const link = "/etc/systemd/system/multi-user.target.wants/quorate.service"
	want := []string{
		"/etc/default/quorate", link, "/usr/bin/quorate", "/usr/lib/systemd/system/quorate.service",
		"/usr/share/doc/quorate/changelog.gz", "/usr/share/doc/quorate/copyright",
	}
	if have := found(t, root, "/var"); !slices.Equal(have, want) {
		t.Errorf("installed %q", have)
	}
	if to, err := os.Readlink(root + link); err != nil || to != "/usr/lib/systemd/system/quorate.service" {
		t.Errorf("enabled is %q (%v)", to, err)
	}
	if has, err := os.ReadFile(root + "/usr/lib/systemd/system/quorate.service"); err != nil || string(has) != Unit("/usr/bin/quorate") {
		t.Errorf("another unit than that in the program (%v)", err)
	}
	command(t, root+"/usr/bin/quorate", "--version")
	dpkg("--remove", "quorate")
	if have := found(t, root, "/var"); !slices.Equal(have, []string{"/etc/default/quorate", link}) {
		t.Errorf("left when removed: %q", have)
	}
	dpkg("--purge", "quorate")
	if have := found(t, root, "/var"); len(have) > 0 {
		t.Errorf("left when purged: %q", have)
	}
}

// found are the files and links below root, without those below except.
func found(t *testing.T, root, except string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if name := strings.TrimPrefix(p, root); err == nil && !d.IsDir() && !strings.HasPrefix(name, except) {
			out = append(out, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestAProgramWithoutCgoIsNotPackaged(t *testing.T) {
	need(t, "dpkg-deb", "objdump")
	out, err := exec.Command("deb/build", "/bin/true", "1.0", t.TempDir()).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "built without cgo") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestSystemdUnderstandsTheUnit(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("needs systemd-analyze")
	}
	file := filepath.Join(t.TempDir(), "quorate.service")
	// That the program exists is checked too.
	if err := os.WriteFile(file, []byte(Unit("/bin/true")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := command(t, "systemd-analyze", "verify", "--man=no", file); strings.Contains(out, "quorate.service") {
		t.Errorf("%s", out)
	}
}
