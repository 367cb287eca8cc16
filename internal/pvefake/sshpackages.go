package pvefake

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// repository are the packages that apt finds, beside those that are installed. It has nothing called
// quorate, as no repository of Debian and Proxmox has.
var repository = []string{
	"ceph-mds", "chrony", "corosync-qdevice", "corosync-qnetd", "ethtool", "ifupdown2", "libpve-network-perl", "open-iscsi", "prometheus-node-exporter",
}

// dpkgQuery is dpkg-query -W [-f FORMAT] [NAME].
func dpkgQuery(v *invocation) output {
	format, name := "${Package} ${Version}\\n", ""
	for i := 0; i < len(v.args); i++ {
		switch a := v.args[i]; {
		case (a == "-f" || a == "--showformat") && i+1 < len(v.args):
			i++
			format = v.args[i]
		case strings.HasPrefix(a, "-f="), strings.HasPrefix(a, "--showformat="):
			_, format, _ = strings.Cut(a, "=")
		case !strings.HasPrefix(a, "-"):
			name = a
		}
	}
	var b strings.Builder
	pkgs := v.n.packages()
	for _, p := range slices.Sorted(maps.Keys(pkgs)) {
		if name == "" || p == name {
			b.WriteString(strings.NewReplacer("${Package}", p, "${binary:Package}", p, "${Version}", pkgs[p], "${db:Status-Status}", "installed", `\n`, "\n", `\t`, "\t").Replace(format))
		}
	}
	if b.Len() == 0 {
		return failed(1, "dpkg-query: no packages found matching %s", name)
	}
	return output{stdout: b.String()}
}

// dpkgField is dpkg-deb -f FILE FIELD.
func dpkgField(v *invocation) output {
	if len(v.args) != 2 {
		return v.n.unknownCommand("dpkg-deb -f "+strings.Join(v.args, " "), nil)
	}
	text, ok := v.n.readFile(v.args[0])
	if !ok {
		return failed(2, "dpkg-deb: error: failed to read archive '%s': No such file or directory", v.args[0])
	}
	control, err := debControl(text)
	if err != nil {
		return failed(2, "dpkg-deb: error: '%s' is not a Debian format archive", v.args[0])
	}
	return output{stdout: control[v.args[1]] + "\n"}
}

// aptGet installs or upgrades; without -y and a yes it aborts as apt does.
func aptGet(v *invocation) output {
	args := strings.Join(v.args, " ")
	agreed := slices.Contains(v.args, "-y") || strings.HasPrefix(v.stdin, "y")
	switch {
	case strings.HasSuffix(args, "update"):
		return output{}
	case slices.Contains(v.args, "--simulate") && slices.Contains(v.args, "dist-upgrade"):
		return v.n.upgrade(true)
	case !agreed:
		return failed(1, "Do you want to continue? [Y/n] Abort.")
	case slices.Contains(v.args, "dist-upgrade"):
		return v.n.upgrade(false)
	}
	i := slices.Index(v.args, "install")
	if i < 0 {
		return v.n.unknownCommand("apt-get "+args, nil)
	}
	news := map[string]string{}
	for _, name := range v.args[i+1:] {
		if strings.HasPrefix(name, "-") {
			continue
		}
		p, version, refused := v.n.find(name)
		if refused != "" {
			return failed(100, "E: %s", refused)
		}
		if v.n.packages()[p] == "" || strings.Contains(name, "/") {
			news[p] = version
		}
	}
	all := maps.Clone(v.n.box.spec.Packages)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, news)
	v.n.box.spec.Packages = all
	return output{}
}

// find looks for a package by its name, or in a file. It returns apt's words if there is none.
func (n *node) find(name string) (p, version, refused string) {
	if !strings.Contains(name, "/") {
		if have := n.packages()[name]; have != "" {
			return name, have, ""
		}
		if !slices.Contains(repository, name) {
			return "", "", "Unable to locate package " + name
		}
		return name, "1.0-" + strconv.Itoa(len(name)), ""
	}
	text, ok := n.readFile(name)
	if !ok {
		return "", "", "Unsupported file " + name + " given on commandline"
	}
	control, err := debControl(text)
	if err != nil {
		return "", "", "Invalid archive signature"
	}
	if a := control["Architecture"]; a != "amd64" && a != "all" {
		return "", "", "package architecture (" + a + ") does not match system (amd64)"
	}
	return control["Package"], control["Version"], ""
}

// debControl reads the fields of a .deb: an archive of ar(1) with a tar of control files in it.
func debControl(deb string) (map[string]string, error) {
	rest, ok := strings.CutPrefix(deb, "!<arch>\n")
	if !ok {
		return nil, errors.New("no archive")
	}
	for len(rest) >= 60 {
		size, err := strconv.Atoi(strings.TrimSpace(rest[48:58]))
		if err != nil || size < 0 || size > len(rest)-60 {
			return nil, errors.New("a damaged archive")
		}
		name, data := strings.TrimRight(rest[:16], " /"), rest[60:60+size]
		if name == "control.tar.gz" {
			return controlFields(data)
		}
		rest = rest[min(60+size+size%2, len(rest)):]
	}
	return nil, errors.New("no control.tar.gz in the archive")
}

func controlFields(packed string) (map[string]string, error) {
	unpacked, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		return nil, err
	}
	files := tar.NewReader(unpacked)
	for {
		h, err := files.Next()
		if err != nil {
			return nil, err
		}
		if strings.TrimPrefix(h.Name, "./") != "control" {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(files, 1<<20))
		if err != nil {
			return nil, err
		}
		out := map[string]string{}
		lines := bufio.NewScanner(bytes.NewReader(text))
		for lines.Scan() {
			if k, value, ok := strings.Cut(lines.Text(), ": "); ok && !strings.HasPrefix(k, " ") {
				out[k] = value
			}
		}
		return out, lines.Err()
	}
}

// Deb is a Debian package that a node takes, with nothing in it but its name and its version.
func Deb(name, version string) ([]byte, error) {
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	control := tar.NewWriter(zip)
	text := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: all\n", name, version)
	err := control.WriteHeader(&tar.Header{Name: "./control", Mode: 0o644, Size: int64(len(text))})
	if err == nil {
		_, err = io.WriteString(control, text)
	}
	if err = errors.Join(err, control.Close(), zip.Close()); err != nil {
		return nil, err
	}
	out := bytes.NewBufferString("!<arch>\n")
	for _, m := range []struct{ name, data string }{{"debian-binary", "2.0\n"}, {"control.tar.gz", packed.String()}} {
		fmt.Fprintf(out, "%-16s%-12d%-6d%-6d%-8s%-10d`\n%s", m.name, 0, 0, 0, "100644", len(m.data), m.data)
		if len(m.data)%2 == 1 {
			out.WriteByte('\n')
		}
	}
	return out.Bytes(), nil
}
