package steps

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/quorate/quorate/packaging"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/program"
	"github.com/quorate/quorate/provision/transport"
)

// The exporter on a node: either the program that runs here with a unit of ours, or a Debian package.
// What the cluster's file says about it goes into a drop-in of the unit either way.
const (
	exporterUnit    = "quorate"
	exporterPackage = "quorate"

	programPath = "/usr/local/bin/quorate"
	unitPath    = "/etc/systemd/system/quorate.service"
	dropInPath  = "/etc/systemd/system/quorate.service.d/cluster.conf"

	// packageUpload is moved to packagePath when it was installed: what lies there is what runs.
	packageUpload = "/var/cache/quorate/upload/quorate.deb"
	packagePath   = "/var/cache/quorate/quorate.deb"
)

// What serve does without flags.
const (
	servePort    = 9921
	serveUser    = "client.quorate"
	serveKeyring = "/etc/ceph/ceph.client.quorate.keyring"
)

// written begins what is ours and may be taken away again.
const written = "# Written by `quorate provision apply`.\n"

// A file belongs on every node. One without data does not: it is taken away where it is ours.
type file struct {
	what, path, mode string
	from             string // what it is, for people
	data             []byte
	sum              string // of data; "" without
}

// A software is what the exporter consists of.
type software []file

// An installed is what a node has of it.
type installed struct {
	sums map[string]string // SHA-256 by path; what is missing is not there
	ours map[string]bool   // that is there without belonging there
	// done is true if dpkg has the version that lies at packagePath.
	done bool
}

// software says what belongs on the nodes.
func (s *exporterStep) software() (software, error) {
	settings := file{what: "settings", path: dropInPath, mode: "0644", from: "port, user and keyring of the file", data: s.dropIn()}
	if deb := s.want().Monitoring.Exporter.Package; deb != "" {
		b, err := s.Files.Read(deb)
		if err != nil {
			return nil, fmt.Errorf("spec.monitoring.exporter.package: %w", err)
		}
		// A unit in /etc hides that of the package. It goes last, so that systemd always knows one to stop.
		return software{settings, {what: "package", path: packagePath, from: filepath.Base(deb), data: b}, {what: "unit", path: unitPath}}.summed(), nil
	}
	if s.Program == nil {
		return nil, errors.New("there is no program to copy to the nodes; give a .deb in spec.monitoring.exporter.package")
	}
	p, err := s.Program()
	if err != nil {
		return nil, err
	}
	return software{settings,
		{what: "program", path: programPath, mode: "0755", from: "this quorate", data: p.Data},
		{what: "unit", path: unitPath, mode: "0644", from: "as in this quorate", data: []byte(written + packaging.Unit(programPath))},
	}.summed(), nil
}

func (w software) summed() software {
	for i, f := range w {
		if f.data != nil {
			w[i].sum = program.Sum(f.data)
		}
	}
	return w
}

// dropIn has the flags by which the file differs from what serve does by itself; nil if there are none.
func (s *exporterStep) dropIn() []byte {
	w := s.want().Monitoring
	var flags []string
	if w.Exporter.Port != servePort {
		flags = append(flags, fmt.Sprintf("--web.listen-address=:%d", w.Exporter.Port))
	}
	if w.Cephx.Name != "" && w.Cephx.Name != serveUser {
		flags = append(flags, "--ceph.user="+w.Cephx.Name)
	}
	if w.Cephx.Name != "" && w.Cephx.Keyring != serveKeyring {
		flags = append(flags, "--ceph.keyring="+w.Cephx.Keyring)
	}
	if flags == nil {
		return nil
	}
	return []byte(written + "[Service]\nEnvironment=\"CLUSTER_ARGS=" + strings.Join(flags, " ") + "\"\n")
}

// differ are the files that a node has not, or otherwise.
func (w software) differ(have installed) []file {
	var out []file
	for _, f := range w {
		switch {
		case f.data == nil && have.ours[f.path], f.data != nil && have.sums[f.path] != f.sum, f.path == packagePath && !have.done:
			out = append(out, f)
		}
	}
	return out
}

// installed looks at a node.
func (s *exporterStep) installed(ctx context.Context, node string, want software) (installed, error) {
	v := installed{sums: map[string]string{}, ours: map[string]bool{}}
	var paths []string
	for _, f := range want {
		paths = append(paths, f.path)
	}
	out, err := s.Nodes.Shell(node).Run(ctx, transport.FileSums(paths...))
	var failed *transport.CommandError
	if err != nil && !errors.As(err, &failed) {
		return v, err
	}
	for _, line := range strings.Split(out.Stdout, "\n") {
		if sum, path, ok := strings.Cut(line, "  "); ok {
			v.sums[path] = sum
		}
	}
	for _, f := range want {
		if f.data == nil && v.sums[f.path] != "" {
			text, err := s.ask(ctx, node, transport.ReadFile(f.path))
			if err != nil {
				return v, err
			}
			v.ours[f.path] = strings.HasPrefix(text, written)
		}
	}
	if v.sums[packagePath] == "" {
		return v, nil
	}
	lies, err := s.ask(ctx, node, transport.DebVersion(packagePath))
	if err != nil {
		return v, err
	}
	is, err := s.ask(ctx, node, transport.PackageVersion(exporterPackage))
	v.done = strings.TrimSpace(is) == "installed "+strings.TrimSpace(lies)
	return v, err
}

// then puts a stop of the exporter before commands: a run that is cut off in their midst leaves it
// stopped, and the next one starts it with all that is new.
func (p putting) then(commands ...transport.Command) []transport.Command {
	if !p.running {
		return commands
	}
	return append([]transport.Command{transport.StopService(exporterUnit)}, commands...)
}

// install puts one file on a node.
func (s *exporterStep) install(ctx context.Context, node string, p putting, report engine.Reporter) error {
	f := p.file
	switch {
	case f.data == nil:
		return s.run(ctx, node, p.then(transport.RemoveFile(f.path))...)
	case f.path == packagePath:
		return s.installPackage(ctx, node, p, report)
	case f.path == programPath:
		return s.installProgram(ctx, node, p, report)
	}
	return s.run(ctx, node, p.then(transport.WriteFile(f.path, f.mode, f.data))...)
}

func (s *exporterStep) installPackage(ctx context.Context, node string, p putting, report engine.Reporter) error {
	report.Progress(node, "installing "+p.file.from)
	if err := s.run(ctx, node, transport.WriteFile(packageUpload, "0644", p.file.data)); err != nil {
		return err
	}
	return s.run(ctx, node, p.then(transport.InstallDeb(packageUpload), transport.MoveFile(packageUpload, packagePath))...)
}

// installProgram tries the program on the node before it takes the old one's place.
func (s *exporterStep) installProgram(ctx context.Context, node string, p putting, report engine.Reporter) error {
	const upload = programPath + ".new"
	report.Progress(node, fmt.Sprintf("copying quorate, %d MiB", len(p.file.data)>>20))
	if err := s.run(ctx, node, transport.WriteFile(upload, p.file.mode, p.file.data)); err != nil {
		return err
	}
	err := s.run(ctx, node, transport.ProgramVersion(upload))
	var failed *transport.CommandError
	if errors.As(err, &failed) {
		return &engine.Advice{Node: node, Err: err, Do: "run a quorate that was built on Debian 12, or give a .deb in spec.monitoring.exporter.package"}
	}
	if err != nil {
		return err
	}
	return s.run(ctx, node, p.then(transport.MoveFile(upload, programPath))...)
}

// WantsExporters says whether the file asks for the exporter on its nodes.
func (e *Env) WantsExporters() bool { return e.want().Monitoring.Exporter.Install }
