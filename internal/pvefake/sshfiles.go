package pvefake

import (
	"crypto/sha256"
	"fmt"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
)

const (
	haDefaults = "/etc/default/pve-ha-manager"
	interfaces = "/etc/network/interfaces"
)

// sameNetwork says whether two addresses are in one network of this prefix length.
func sameNetwork(a, b, prefix string) bool {
	_, network, err := net.ParseCIDR(a + "/" + prefix)
	ip := net.ParseIP(b)
	return err == nil && ip != nil && network.Contains(ip)
}

// readFile returns what a file of the machine holds.
func (n *node) readFile(path string) (string, bool) {
	if f, ok := n.box.files[path]; ok {
		return f.content, true
	}
	switch path {
	case "/etc/machine-id":
		return n.box.machineID + "\n", true
	case "/sys/class/dmi/id/product_uuid":
		id := n.box.machineID
		return fmt.Sprintf("%s-%s-%s-%s-%s\n", id[:8], id[8:12], id[12:16], id[16:20], id[20:32]), true
	case "/etc/ssh/ssh_host_ed25519_key.pub":
		return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(n.ssh.key.PublicKey()))) + " root@" + n.name + "\n", true
	case "/proc/sys/kernel/random/boot_id":
		return fmt.Sprintf("%08x-0000-4000-8000-%012x\n", n.booted.Unix(), n.id), true
	case "/proc/uptime":
		return fmt.Sprintf("%.2f 0.00\n", n.c.since(n.booted).Seconds()), true
	case "/etc/hosts":
		return n.hostsText(), true
	case interfaces:
		return interfacesText(n.box.interfaces), true
	case interfaces + ".new":
		return interfacesText(n.box.staged), n.box.staged != nil
	case "/etc/corosync/authkey":
		return "key\n", n.inCluster() || n.joining() || n.stale
	case "/etc/pve/corosync.conf", "/etc/corosync/corosync.conf":
		return n.c.corosyncText(), n.inCluster() || n.joining() || n.stale
	case "/etc/pve/ceph.conf", "/etc/ceph/ceph.conf":
		if n.c.ceph == nil || n.alone != nil {
			return "", false
		}
		return n.c.ceph.confText(), true
	}
	if name, ok := strings.CutPrefix(path, "/sys/class/net/"); ok {
		card, what, _ := strings.Cut(name, "/")
		if what == "speed" && n.speed(card) != "" {
			return n.speed(card) + "\n", true
		}
		return "", false
	}
	if name, ok := strings.CutPrefix(path, "/etc/pve/"); ok {
		text, there := n.etcPVE()[name]
		return text, there
	}
	return "", false
}

// fileCommands read and write files.
func fileCommands() []sshCommand {
	return []sshCommand{
		{"cat", catFile},
		{"test -e", testFile},
		{"test -f", testFile},
		{"stat -c %a", statFile},
		{"sha256sum", sumFiles},
		{"install", installFile},
		{"cp", copyFile},
		{"mv", moveFile},
		{"rm -f", removeFiles},
		{"mkdir -p", func(*invocation) output { return output{} }},
	}
}

func noSuchFile(program, path string) output {
	return failed(1, "%s: %s: No such file or directory", program, path)
}

func catFile(v *invocation) output {
	var b strings.Builder
	for _, path := range v.args {
		text, ok := v.n.readFile(path)
		if !ok {
			return noSuchFile("cat", path)
		}
		b.WriteString(text)
	}
	return output{stdout: b.String()}
}

func testFile(v *invocation) output {
	if _, ok := v.n.readFile(v.args[0]); !ok {
		return output{exit: 1}
	}
	return output{}
}

func statFile(v *invocation) output {
	path := v.args[len(v.args)-1]
	if f, ok := v.n.box.files[path]; ok {
		return output{stdout: strings.TrimPrefix(f.mode, "0") + "\n"}
	}
	if _, ok := v.n.readFile(path); ok {
		return output{stdout: "644\n"}
	}
	return noSuchFile("stat", path)
}

// sumFiles tells of the files that are there, and fails if one is not.
func sumFiles(v *invocation) output {
	var out output
	for _, path := range v.args {
		text, ok := v.n.readFile(path)
		if !ok {
			out.stderr += noSuchFile("sha256sum", path).stderr
			out.exit = 1
			continue
		}
		out.stdout += fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(text)), path)
	}
	return out
}

// runFile is a program that was put on the node and is asked for its version.
func (n *node) runFile(argv []string) (output, bool) {
	f, ok := n.box.files[argv[0]]
	if !ok || len(argv) != 2 || argv[1] != "--version" {
		return output{}, false
	}
	if f.mode != "0755" {
		return failed(126, "bash: line 1: %s: Permission denied", argv[0]), true
	}
	return output{stdout: "quorate, version 0 (of the fake)\n"}, true
}

// installFile is install -m MODE /dev/stdin PATH.
func installFile(v *invocation) output {
	mode := v.flagValue("-m")
	if mode == "" || len(v.args) < 4 || v.args[len(v.args)-2] != "/dev/stdin" {
		return v.n.unknownCommand("install "+strings.Join(v.args, " "), nil)
	}
	v.n.box.files[v.args[len(v.args)-1]] = nodeFile{mode, v.stdin}
	return output{}
}

// twoPaths are the last arguments of cp and mv.
func (v *invocation) twoPaths() (from, to string, ok bool) {
	if len(v.args) < 2 {
		return "", "", false
	}
	return v.args[len(v.args)-2], v.args[len(v.args)-1], true
}

func copyFile(v *invocation) output {
	from, to, ok := v.twoPaths()
	text, there := v.n.readFile(from)
	if !ok || !there {
		return noSuchFile("cp", from)
	}
	if from == interfaces {
		v.n.box.kept = cloneIfaces(v.n.box.interfaces)
	}
	if to == interfaces && v.n.box.kept != nil {
		v.n.box.staged = v.n.box.kept // ifreload makes it the active one
		return output{}
	}
	v.n.box.files[to] = nodeFile{"0644", text}
	return output{}
}

func moveFile(v *invocation) output {
	from, to, ok := v.twoPaths()
	if f, there := v.n.box.files[from]; ok && there {
		v.n.box.files[to] = f
		delete(v.n.box.files, from)
		return output{}
	}
	return noSuchFile("mv", from)
}

func removeFiles(v *invocation) output {
	for _, path := range v.args {
		delete(v.n.box.files, path)
		if path == "/etc/corosync/authkey" || path == "/etc/pve/corosync.conf" {
			v.n.stale = false
		}
	}
	return output{}
}

// FileOf returns what was written to a file of node i over SSH, and its mode.
func (c *Cluster) FileOf(i int, path string) (content, mode string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.node(i).box.files[path]
	return f.content, f.mode, ok
}
