package pvefake

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// dialSSH logs in as root and pins the host key.
func dialSSH(t *testing.T, c *Cluster, i int, password string) (*ssh.Client, error) {
	t.Helper()
	n := c.Node(i)
	cfg := &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.Password(password)}, HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
		HostKeyCallback: ssh.FixedHostKey(c.Node(i).n.ssh.key.PublicKey()), Timeout: 5 * time.Second,
	}
	if got := ssh.FingerprintSHA256(n.n.ssh.key.PublicKey()); got != n.SSHHostKey() {
		t.Errorf("host key %s, told %s", got, n.SSHHostKey())
	}
	client, err := ssh.Dial("tcp", n.SSHAddr(), cfg)
	if err == nil {
		t.Cleanup(func() { _ = client.Close() }) // may be broken by the test
	}
	return client, err
}

// runSSH runs one command; a lost connection is an error, an exit status is not.
func runSSH(t *testing.T, client *ssh.Client, command, stdin string) (exit int, stdout, stderr string, err error) {
	t.Helper()
	s, err := client.NewSession()
	if err != nil {
		return 0, "", "", err
	}
	defer s.Close()
	var out, errs bytes.Buffer
	s.Stdout, s.Stderr, s.Stdin = &out, &errs, strings.NewReader(stdin)
	err = s.Run(command)
	var ended *ssh.ExitError
	if errors.As(err, &ended) {
		return ended.ExitStatus(), out.String(), errs.String(), nil
	}
	return 0, out.String(), errs.String(), err
}

func TestSSHServesTheCommandsOfAProvisionerAndNoOthers(t *testing.T) {
	c := fresh(t, V92)
	client, err := dialSSH(t, c, 1, "fake-root")
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, command, stdin string
		exit                 int
		says                 string
	}{
		{"kernel", "uname -r", "", 0, kernel},
		{"name's address", "hostname --ip-address", "", 0, "10.0.10.11"},
		{"quoted words", "'cat' '/etc/machine-id'", "", 0, "fa4e0000"},
		{"a file is written with its mode", "install -m 0600 /dev/stdin /etc/quorate/token", "geheim", 0, ""},
		{"its mode", "stat -c %a /etc/quorate/token", "", 0, "600"},
		{"its content", "cat /etc/quorate/token", "", 0, "geheim"},
		{"no such file", "cat /etc/nothing", "", 1, "No such file"},
		{"a script that tests for a file", `bash -c 'if test -e "$0"; then echo yes; else echo no; fi' /etc/corosync/authkey`, "", 0, "no"},
		{"a ping", "ping -n -c 20 -i 0.2 -W 1 10.0.100.12", "", 0, "20 packets transmitted, 20 received"},
		{"a packet too large", "ping -n -M do -s 8972 -c 2 10.0.100.12", "", 1, "2 packets transmitted, 0 received"},
		{"pvesh", "pvesh get /version --output-format json", "", 0, `"9.2.11"`},
		{"pvesh refuses parameters", "pvesh create /cluster/config --clustername abcdefghijklmnop", "", 255, "may only be 15 characters long"},
		{"pvesh knows its paths", "pvesh get /nope", "", 255, "No 'get' handler defined for '/nope'"},
		{"Ceph without a yes", "pveceph install --repository no-subscription --version tentacle", "", 1, "Abort"},
		{"Ceph's old release", "pveceph install --repository no-subscription --version quincy", "yes\n", 255, "does not have a value in the enumeration"},
		{"Ceph with enterprise repository", "pveceph install --repository enterprise --version tentacle", "yes\n", 1, "401 Unauthorized"},
		{"ceph before it is installed", "ceph config set osd osd_scrub_begin_hour 2", "", 127, "command not found"},
		{"apt without -y", "env DEBIAN_FRONTEND=noninteractive apt-get install corosync-qdevice", "", 1, "Abort"},
		{"apt", "env DEBIAN_FRONTEND=noninteractive apt-get -y -o Dpkg::Options::=--force-confold install corosync-qdevice", "", 0, ""},
		{"a package nobody has", "env DEBIAN_FRONTEND=noninteractive apt-get -y install quorate", "", 100, "E: Unable to locate package quorate"},
		{"a package that was not uploaded", "apt-get -y install /tmp/quorate.deb", "", 100, "E: Unsupported file /tmp/quorate.deb"},
		{"sums of what is not there", "sha256sum /etc/nothing", "", 1, "sha256sum: /etc/nothing: No such file"},
		{"a service that is not there", "systemctl is-active quorate", "", 3, "inactive"},
		{"enabling it", "systemctl enable quorate", "", 1, "Failed to enable unit: Unit file quorate.service does not exist."},
		{"starting it", "systemctl restart quorate", "", 5, "Unit quorate.service not found."},
		{"stopping it", "systemctl stop quorate", "", 5, "Unit quorate.service not loaded."},
		{"its unit", "install -D -m 0644 /dev/stdin /etc/systemd/system/quorate.service", "ExecStart=/usr/local/bin/quorate serve\n", 0, ""},
		{"systemd reads it", "systemctl daemon-reload", "", 0, ""},
		{"enabling starts nothing", "systemctl enable quorate", "", 0, ""},
		{"it does not run yet", "systemctl is-active quorate", "", 3, "inactive"},
		{"a unit without its program", "systemctl restart quorate", "", 1, "Job for quorate.service failed"},
		{"its program", "install -D -m 0755 /dev/stdin /usr/local/bin/quorate", "abc", 0, ""},
		{"the program's sum", "sha256sum /usr/local/bin/quorate", "", 0, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  /usr/local/bin/quorate"},
		{"the program's version", "/usr/local/bin/quorate --version", "", 0, "quorate, version"},
		{"starting all of it", "systemctl restart quorate", "", 0, ""},
		{"it runs", "systemctl is-active quorate", "", 0, "active"},
		{"maintenance of nobody", "ha-manager crm-command node-maintenance enable pve9", "", 255, "no such cluster node 'pve9'"},
		{"qdevice without cluster", "pvecm qdevice setup 10.0.10.9", "", 255, "no quorum"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			exit, stdout, stderr, err := runSSH(t, client, tc.command, tc.stdin)
			if err != nil || exit != tc.exit || !strings.Contains(stdout+stderr, tc.says) {
				t.Errorf("exit %d, stdout %q, stderr %q (%v), want exit %d and %q", exit, stdout, stderr, err, tc.exit, tc.says)
			}
		})
	}
	if got := c.SSHErrors(); got != nil {
		t.Errorf("unknown: %v", got)
	}
	for _, unknown := range []string{"rm -rf /", "cat /etc/shadow | mail", "curl http://x", "dd if=/dev/zero of=/dev/sdb"} {
		if exit, _, _, err := runSSH(t, client, unknown, ""); err != nil || exit != 127 {
			t.Errorf("%s: exit %d (%v), want 127", unknown, exit, err)
		}
	}
	if got := c.SSHErrors(); len(got) != 4 {
		t.Errorf("%d commands were remembered as unknown: %v", len(got), got)
	}
}

func TestSSHLetsOnlyRootInWithThePassword(t *testing.T) {
	c := fresh(t, V92)
	if _, err := dialSSH(t, c, 1, "wrong"); err == nil {
		t.Error("a wrong password was taken")
	}
}

func TestSSHFaults(t *testing.T) {
	c := fresh(t, V92)
	client, err := dialSSH(t, c, 1, "fake-root")
	if err != nil {
		t.Fatal(err)
	}
	remove := c.Inject(Rule{Command: "uname", Status: 5, Reason: "cannot"})
	if exit, _, stderr, err := runSSH(t, client, "uname -r", ""); err != nil || exit != 5 || !strings.Contains(stderr, "cannot") {
		t.Errorf("exit %d %q (%v)", exit, stderr, err)
	}
	remove()
	remove = c.Inject(Rule{Command: "install", LoseReply: true})
	if _, _, _, err := runSSH(t, client, "install -m 0644 /dev/stdin /root/x", "text"); err == nil {
		t.Error("the reply came although it was to be lost")
	}
	remove()
	if content, mode, ok := c.FileOf(1, "/root/x"); !ok || content != "text" || mode != "0644" {
		t.Errorf("the effect of the lost reply: %q %q %v", content, mode, ok)
	}
}

func TestPveshRunsATaskToItsEndAndPrintsItsLogBeforeTheUPID(t *testing.T) {
	c := fresh(t, V92)
	exit, stdout, stderr := c.RunCommand(1, "pvesh create /cluster/config --clustername lab --output-format json", "")
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if exit != 0 || !strings.HasPrefix(lines[len(lines)-1], `"UPID:pve1:`) || len(lines) < 3 {
		t.Errorf("exit %d, stdout %q, stderr %q", exit, stdout, stderr)
	}
	if !c.InCluster(1) {
		t.Error("the cluster was not made")
	}
}

func TestAResetOverSSHTakesTheNodeDownUntilItHasBooted(t *testing.T) {
	c := fresh(t, V92)
	client, err := dialSSH(t, c, 2, "fake-root")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := runSSH(t, client, "echo b > /proc/sysrq-trigger", ""); err == nil {
		t.Error("the connection outlived the reset")
	}
	if _, err := dialSSH(t, c, 2, "fake-root"); err == nil {
		t.Error("a node without power answers")
	}
	c.Advance(bootTime + time.Second)
	if _, err := dialSSH(t, c, 2, "fake-root"); err != nil {
		t.Errorf("after the boot: %v", err)
	}
}

func TestSSHInstallsAPackageFromAFile(t *testing.T) {
	c := fresh(t, V92)
	deb, err := Deb("quorate", "1.2")
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		command, stdin string
		exit           int
		says           string
	}{
		{"install -D -m 0644 /dev/stdin /tmp/quorate.deb", string(deb), 0, ""},
		{"dpkg-deb -f /tmp/quorate.deb Version", "", 0, "1.2\n"},
		{"dpkg-query -W quorate", "", 1, "no packages found matching quorate"},
		{"apt-get -y install --reinstall /tmp/quorate.deb", "", 0, ""},
		{`dpkg-query -W -f '${db:Status-Status} ${Version}\n' quorate`, "", 0, "installed 1.2\n"},
		{"systemctl restart quorate", "", 0, ""},
		{"systemctl is-active quorate", "", 0, "active"},
		{"install -D -m 0644 /dev/stdin /tmp/other.deb", "PK", 0, ""},
		{"dpkg-deb -f /tmp/other.deb Version", "", 2, "not a Debian format archive"},
		{"apt-get -y install /tmp/other.deb", "", 100, "E: Invalid archive signature"},
	} {
		if exit, stdout, stderr := c.RunCommand(1, step.command, step.stdin); exit != step.exit || !strings.Contains(stdout+stderr, step.says) {
			t.Errorf("%s: exit %d, %q %q; want %d and %q", step.command, exit, stdout, stderr, step.exit, step.says)
		}
	}
	if runs, ok := c.Runs(1, "quorate"); !ok || runs != "1.2" {
		t.Errorf("runs %q %t", runs, ok)
	}
}

func FuzzDebControl(f *testing.F) {
	deb, err := Deb("quorate", "1.2")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(deb))
	f.Add("!<arch>\n")
	f.Fuzz(func(t *testing.T, text string) {
		if control, err := debControl(text); (err == nil) != (control != nil) {
			t.Errorf("%v, %v", control, err)
		}
	})
}
