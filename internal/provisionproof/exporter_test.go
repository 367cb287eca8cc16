package provisionproof

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/internal/race"
	"github.com/quorate/quorate/packaging"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/program"
	"github.com/quorate/quorate/provision/verify"
)

// The files of the exporter on a node.
const (
	theProgram  = "/usr/local/bin/quorate"
	theUnit     = "/etc/systemd/system/quorate.service"
	theSettings = "/etc/systemd/system/quorate.service.d/cluster.conf"
)

// built is a program of which only the bytes matter.
func built(data string) program.Source {
	return func() (program.Program, error) {
		return program.Program{Path: "/usr/bin/quorate", OS: "linux", Arch: "amd64", Cgo: true, Data: []byte(data)}, nil
	}
}

// applied applies the file, and expects as many writes as want, or any if want is negative.
func applied(t *testing.T, w *World, what string, want int) {
	t.Helper()
	run, err := w.Apply(t.Context(), nil)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if want >= 0 && run.Writes != want {
		t.Errorf("%s: %d writes, want %d", what, run.Writes, want)
	}
	if unknown := w.Fake.SSHErrors(); len(unknown) > 0 {
		t.Errorf("%s: unknown commands %q", what, unknown)
	}
}

// everywhere checks what the exporter of every node runs.
func everywhere(t *testing.T, w *World, what, want string) {
	t.Helper()
	for i, n := range w.Spec.Spec.Nodes {
		if runs, ok := w.Fake.Runs(i+1, "quorate"); !ok || runs != want {
			t.Errorf("%s: %s runs %q (%t), want %q", what, n.Name, runs, ok, want)
		}
	}
}

func TestTheExporterOnTheNodesIsTheQuorateThatRuns(t *testing.T) {
	w := newWorld(t, pvefake.V92)
	w.Program = built("the first")
	applied(t, w, "first apply", -1)
	everywhere(t, w, "first apply", "the first")
	for i := range w.Spec.Spec.Nodes {
		unit, mode, _ := w.Fake.FileOf(i+1, theUnit)
		if mode != "0644" || !strings.HasSuffix(unit, packaging.Unit(theProgram)) || strings.Contains(unit, "/usr/bin/quorate") {
			t.Errorf("node %d: unit with mode %s:\n%s", i+1, mode, unit)
		}
		settings, _, _ := w.Fake.FileOf(i+1, theSettings)
		if want := "[Service]\nEnvironment=\"CLUSTER_ARGS=--ceph.keyring=" + w.Spec.Spec.Monitoring.Cephx.Keyring + "\"\n"; !strings.HasSuffix(settings, want) {
			t.Errorf("node %d: settings\n%s", i+1, settings)
		}
	}
	applied(t, w, "again", 0)

	w.Program = built("the second")
	applied(t, w, "upgrade", 3*7) // upload, try, stop, move; reload, enable, start
	everywhere(t, w, "upgrade", "the second")
	applied(t, w, "again", 0)

	w.Spec.Spec.Monitoring.Exporter.Port = 9100
	applied(t, w, "another port", -1)
	if text, _, _ := w.Fake.FileOf(2, theSettings); !strings.Contains(text, `"CLUSTER_ARGS=--web.listen-address=:9100 --ceph`) {
		t.Errorf("settings:\n%s", text)
	}
	applied(t, w, "again", 0)
	w.Spec.Spec.Monitoring.Exporter.Port, w.Spec.Spec.Monitoring.Cephx.Name = 9921, ""
	applied(t, w, "all as usual", -1)
	if _, _, there := w.Fake.FileOf(2, theSettings); there {
		t.Error("settings that say nothing were left behind")
	}
	applied(t, w, "again", 0)
}

func TestAnUpgradeOfTheExporterThatIsCutOffEndsWithTheNewOneRunning(t *testing.T) {
	w := newWorld(t, pvefake.V92)
	w.Program = built("0")
	applied(t, w, "first apply", -1)
	w.Target = []engine.ID{"exporter"}
	points, every := 0, 1
	if race.Enabled {
		every = 4
	}
	for k := 1; ; k += every {
		w.Program = built(fmt.Sprint(k))
		killed := false
		w.Fake.CrashAfter(k, func() { killed = true })
		_, err := w.Apply(t.Context(), nil)
		w.Fake.CrashAfter(0, nil)
		if !killed {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		points++
		applied(t, w, fmt.Sprintf("after crash point %d", k), -1)
		everywhere(t, w, fmt.Sprintf("after crash point %d", k), fmt.Sprint(k))
		applied(t, w, fmt.Sprintf("again after crash point %d", k), 0)
	}
	if points < 3*7/every {
		t.Errorf("%d crash points, fewer than writes", points)
	}
}

func TestTheExporterFromAPackage(t *testing.T) {
	w := newWorld(t, pvefake.V92)
	put := func(version string) {
		deb, err := pvefake.Deb("quorate", version)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Files.Write("./quorate.deb", deb, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w.Program = built("copied")
	applied(t, w, "the program", -1)
	put("1.0")
	w.Spec.Spec.Monitoring.Exporter.Package = "./quorate.deb"
	applied(t, w, "the package instead", -1)
	everywhere(t, w, "the package instead", "1.0")
	if _, _, there := w.Fake.FileOf(1, theUnit); there {
		t.Error("the unit of the copied program hides that of the package")
	}
	applied(t, w, "again", 0)
	put("1.1")
	applied(t, w, "a newer package", 3*7) // upload, stop, install, move; reload, enable, start
	everywhere(t, w, "a newer package", "1.1")
	applied(t, w, "again", 0)
	if exit, _, errs := w.Fake.RunCommand(2, "install -D -m 0644 /dev/stdin "+theUnit, "[Service]\nExecStart=/opt/quorate serve\n"); exit != 0 {
		t.Fatal(errs)
	}
	applied(t, w, "with a unit of the user's own", 0)
	w.Spec.Spec.Monitoring.Exporter.Package = ""
	applied(t, w, "the program again", -1)
	everywhere(t, w, "the program again", "copied")
}

func TestAProgramThatDoesNotRunOnTheNodeReplacesNone(t *testing.T) {
	w := newWorld(t, pvefake.V92)
	w.Program = built("good")
	applied(t, w, "first apply", -1)
	w.Program = built("bad")
	defer w.Fake.Inject(pvefake.Rule{Command: "/usr/local/bin/quorate.new --version", Status: 1, Reason: "version `GLIBC_2.41' not found"})()
	_, err := w.Apply(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "GLIBC_2.41") || !strings.Contains(err.Error(), "Debian 12") {
		t.Errorf("error %v", err)
	}
	everywhere(t, w, "after the refusal", "good")
}

func TestVerifyTellsOfAnExporterThatDoesNotRun(t *testing.T) {
	w := newWorld(t, pvefake.V92)
	applied(t, w, "first apply", -1)
	look := func() verify.Check {
		e, closer, err := w.Env()
		if err != nil {
			t.Fatal(err)
		}
		defer closer.Close()
		r := verify.Run(t.Context(), e, verify.Options{Now: w.Fake.Now})
		i := slices.IndexFunc(r.Checks, func(c verify.Check) bool { return c.Name == "exporters" })
		if i < 0 {
			t.Fatalf("no such check in %+v", r.Checks)
		}
		return r.Checks[i]
	}
	if c := look(); c.Result != verify.OK {
		t.Errorf("%+v", c)
	}
	if exit, _, errs := w.Fake.RunCommand(2, "systemctl stop quorate", ""); exit != 0 {
		t.Fatal(errs)
	}
	if c := look(); c.Result != verify.Failed || !strings.Contains(c.Found, "pve2") {
		t.Errorf("%+v", c)
	}
}
