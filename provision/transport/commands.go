package transport

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// The commands that change something on a node. What has an API goes that way instead.

// InstallCeph installs Ceph's packages. pveceph runs apt-get without -y, so it needs its yes on stdin,
// and asks a question of its own unless told the version.
func InstallCeph(repository, release string) Command {
	return Command{
		Argv:  []string{"pveceph", "install", "--repository", repository, "--version", release},
		Stdin: []byte("yes\n"),
	}
}

// SetCephConfig is `ceph config set`; the API can only read the configuration database.
func SetCephConfig(who, key, value string) Command {
	return Command{Argv: []string{"ceph", "config", "set", who, key, value}}
}

// CreateCephClient makes a client with caps, or shows its key if it is there.
func CreateCephClient(name string, caps ...string) Command {
	return Command{Argv: append([]string{"ceph", "auth", "get-or-create", name}, caps...)}
}

// WriteFile puts data into a file, with a mode such as 0644, and makes the directories above it.
func WriteFile(path, mode string, data []byte) Command {
	return Command{Argv: []string{"install", "-D", "-m", mode, "/dev/stdin", path}, Stdin: data}
}

// JoinBySSH joins the node it runs on to the cluster of a member. It needs root's key to be accepted there.
func JoinBySSH(member string, links map[int]string) Command {
	argv := []string{"pvecm", "add", member, "--use_ssh"}
	for n := range 8 {
		if l := links[n]; l != "" {
			argv = append(argv, "--link"+strconv.Itoa(n), l)
		}
	}
	return Command{Argv: argv}
}

// ShowCephClient shows a client's keyring; it ends with 2 if there is no such client.
func ShowCephClient(name string) Command {
	return Command{Argv: []string{"ceph", "auth", "get", name}}
}

// PackageVersion shows the state of a Debian package and its version: "installed 1.2". It ends with 1 if
// dpkg has never heard of it.
func PackageVersion(name string) Command {
	return Command{Argv: []string{"dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}\\n", name}}
}

// ServiceActive ends with 3 if a service is not running.
func ServiceActive(unit string) Command {
	return Command{Argv: []string{"systemctl", "is-active", unit}}
}

// StartService starts a service anew, now and at every boot, whatever its unit was before.
func StartService(unit string) []Command {
	return []Command{
		{Argv: []string{"systemctl", "daemon-reload"}},
		{Argv: []string{"systemctl", "reenable", unit}}, // enable leaves a link to what the unit was before
		{Argv: []string{"systemctl", "restart", unit}},
	}
}

// StopService stops a service that is known to systemd.
func StopService(unit string) Command { return Command{Argv: []string{"systemctl", "stop", unit}} }

// FileSums shows the SHA-256 of files; it ends with 1 if one is missing, and shows the others.
func FileSums(paths ...string) Command {
	return Command{Argv: append([]string{"sha256sum"}, paths...)}
}

// MoveFile gives a file another name; what had that name is gone.
func MoveFile(from, to string) Command { return Command{Argv: []string{"mv", "-f", from, to}} }

// RemoveFile removes a file that need not be there.
func RemoveFile(path string) Command { return Command{Argv: []string{"rm", "-f", path}} }

// ProgramVersion runs a program that says its version: that shows whether it can run on the node at all.
func ProgramVersion(path string) Command { return Command{Argv: []string{path, "--version"}} }

// DebVersion shows the version that is in a .deb.
func DebVersion(path string) Command {
	return Command{Argv: []string{"dpkg-deb", "-f", path, "Version"}}
}

// InstallDeb installs a .deb of the node, even if it is older than what is installed or calls itself
// the same.
func InstallDeb(path string) Command {
	return InstallPackages("--reinstall", "--allow-downgrades", path)
}

// SetUpQDevice adds a qnetd host to the cluster.
func SetUpQDevice(address string) Command {
	return Command{Argv: []string{"pvecm", "qdevice", "setup", address}}
}

// InstallPackages installs Debian packages, or upgrades all when none is named.
func InstallPackages(names ...string) Command {
	argv := []string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-o", "Dpkg::Options::=--force-confold"}
	if len(names) == 0 {
		return Command{Argv: append(argv, "dist-upgrade")}
	}
	return Command{Argv: append(append(argv, "install"), names...)}
}

// OKToStop asks Ceph whether OSDs may stop together. It ends with 16 if placement groups would go offline,
// with 11 if it does not know of all of them; since Pacific it says why in JSON.
func OKToStop(ids ...int) Command {
	argv := []string{"ceph", "osd", "ok-to-stop"}
	for _, id := range ids {
		argv = append(argv, strconv.Itoa(id))
	}
	return Command{Argv: argv}
}

// NodeMaintenance asks the HA manager to put a node into maintenance, or to end that. It works on any node
// that sees quorum, and takes effect a round or two later.
func NodeMaintenance(node string, on bool) Command {
	verb := "disable"
	if on {
		verb = "enable"
	}
	return Command{Argv: []string{"ha-manager", "crm-command", "node-maintenance", verb, node}}
}

// QuorumStatus shows how a node sees the cluster when its API does not answer.
func QuorumStatus() Command { return Command{Argv: []string{"pvecm", "status"}} }

// SimulateUpgrade shows what InstallPackages() would do. It needs no lock.
func SimulateUpgrade() Command {
	return Command{Argv: []string{"apt-get", "--simulate", "dist-upgrade"}}
}

// FinishPackages configures packages that were unpacked when an upgrade was cut off.
func FinishPackages() Command {
	return Command{Argv: []string{"env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--force-confold", "--configure", "-a"}}
}

// RunningKernel shows its version.
func RunningKernel() Command { return Command{Argv: []string{"uname", "-r"}} }

// InstalledKernels lists /boot.
func InstalledKernels() Command { return Command{Argv: []string{"ls", "/boot"}} }

// PinnedKernel shows the kernel that proxmox-boot-tool(8) was told to boot; it ends with 1 if none was.
func PinnedKernel() Command { return ReadFile("/etc/kernel/proxmox-boot-pin") }

// BootID is another one after each boot.
func BootID() Command { return ReadFile("/proc/sys/kernel/random/boot_id") }

// Reboot boots a node; the connection ends with it.
func Reboot() Command { return Command{Argv: []string{"systemctl", "reboot"}} }

// The files of a node's network and of the switch that puts them back.
const (
	interfacesFile = "/etc/network/interfaces" // .new: as it shall be, written by the API
	interfacesKept = "/etc/network/interfaces.quorate"
	restoreUnit    = "quorate-network-restore"
)

// keepInterfaces copies the network configuration.
func keepInterfaces() Command {
	return Command{Argv: []string{"cp", "--preserve", interfacesFile, interfacesKept}}
}

// armRestore puts the copy back after d, unless stopped before.
func armRestore(d time.Duration) Command {
	script := "cp --preserve " + interfacesKept + " " + interfacesFile + " && ifreload -a"
	return Command{Argv: []string{"systemd-run", "--unit=" + restoreUnit, "--on-active=" + strconv.Itoa(int(d/time.Second)), "/bin/sh", "-c", script}}
}

// RestoreArmed tells whether the dead-man switch of a node is armed: it ends with 3 if not.
func RestoreArmed() Command {
	return Command{Argv: []string{"systemctl", "is-active", restoreUnit + ".timer"}}
}

// StagedInterfaces shows the network configuration that waits to be activated. There is none as a rule.
func StagedInterfaces() Command { return ReadFile(interfacesFile + ".new") }

func disarmRestore() Command {
	return Command{Argv: []string{"systemctl", "stop", restoreUnit + ".timer"}}
}

// ReadFile shows a file of a node.
func ReadFile(path string) Command { return Command{Argv: []string{"cat", path}} }

// reads are the beginnings of commands that change nothing.
var reads = [][]string{
	{"cat"}, {"uname"}, {"hostname"}, {"ls"}, {"test"}, {"readlink"}, {"lsmod"}, {"ping"}, {"true"}, {"stat"},
	{"sha256sum"}, {"dpkg-query"}, {"dpkg-deb", "-f"}, {"pveversion"}, {"timedatectl", "show"}, {"chronyc", "tracking"}, {"date"}, {"ip"}, {"ethtool"},
	{"systemctl", "is-active"}, {"systemctl", "show"}, {"pvesh", "get"}, {"pvecm", "status"},
	{"ceph", "config", "get"}, {"ceph", "config", "dump"}, {"ceph", "auth", "get"}, {"ceph", "status"}, {"ceph", "health"}, {"ceph", "osd", "ok-to-stop"},
	{"ha-manager", "status"}, {"corosync-cfgtool", "-s"}, {"nft", "--version"}, {"apt-get", "--simulate"},
	// The scripts of package facts, word for word: what varies comes as an argument and is only looked at.
	{"bash", "-c", `if test -e "$0"; then echo yes; else echo no; fi`},
	{"bash", "-c", `for i in "$@"; do echo "$i $(cat "/sys/class/net/$i/speed" 2>/dev/null)"; done`},
	{"bash", "-c", `if timeout 3 bash -c "</dev/tcp/$0/$1" 2>/dev/null; then echo yes; else echo no; fi`},
}

// Reads says whether the command changes nothing.
func (c Command) Reads() bool {
	for _, r := range reads {
		if len(c.Argv) >= len(r) && slices.Equal(c.Argv[:len(r)], r) {
			// ip and date can also set what they show.
			return !slices.ContainsFunc(c.Argv[1:], func(w string) bool {
				return (r[0] == "ip" && (w == "add" || w == "del" || w == "set" || w == "flush")) ||
					r[0] == "date" && (w == "-s" || strings.HasPrefix(w, "--set"))
			})
		}
	}
	return false
}

// ExpectVotes lowers the votes that make a quorum, until the membership changes. It is safe only where
// no other node of the cluster runs corosync.
func ExpectVotes(n int) Command {
	return Command{Argv: []string{"pvecm", "expected", strconv.Itoa(n)}}
}

// LeaveCluster undoes a join on the node it runs on, as pvecm(1) describes it.
func LeaveCluster() []Command {
	return []Command{
		{Argv: []string{"systemctl", "stop", "pve-cluster", "corosync"}},
		{Argv: []string{"pmxcfs", "-l"}},
		{Argv: []string{"rm", "-f", "/etc/pve/corosync.conf", "/etc/corosync/corosync.conf", "/etc/corosync/authkey"}},
		{Argv: []string{"killall", "pmxcfs"}},
		{Argv: []string{"systemctl", "start", "pve-cluster"}},
	}
}

// CreateCrushRule makes a rule for replicated pools; class may be "".
func CreateCrushRule(name, domain, class string) Command {
	argv := []string{"ceph", "osd", "crush", "rule", "create-replicated", name, "default", domain}
	if class != "" {
		argv = append(argv, class)
	}
	return Command{Argv: argv}
}
