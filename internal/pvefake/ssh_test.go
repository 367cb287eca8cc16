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
