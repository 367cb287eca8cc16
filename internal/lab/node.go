package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	holderName     = "holder"
	commandTimeout = 30 * time.Second // of a command whose context has no deadline
)

// holderScript makes a node's namespaces and stays in them as a sleep that does nothing.
//
//   - With a third argument the node gets directories that the machine lacks and must not get: their
//     parent is covered by one that refers to all it had, read-only.
//   - The copies of other labs' network namespaces in /run/netns go first: a private mount
//     namespace would keep them alive for ever.
//   - /dev/shm is a tmpfs (libqb's ring buffers); it ends with the namespace.
//   - /run comes last, because the paths that the script uses must not change before.
const holderScript = `set -e
dir=$1; name=$2
hostname "$name"
umount --lazy --recursive /run/netns
mount -t tmpfs -o mode=1777 lab /dev/shm
mount --bind "$dir/hosts" /etc/hosts
if [ "$3" = pve ]; then
	for target in /etc:pve /var/log:pve/tasks; do
		parent=${target%%:*}; lacking=$parent/${target#*:}; kept=$dir/machine$parent
		if [ -d "$lacking" ]; then continue; fi
		mkdir -p "$kept"
		mount --rbind "$parent" "$kept"
		mount -o remount,bind,ro "$kept"
		mount -t tmpfs -o mode=755 lab "$parent"
		find "$kept" -mindepth 1 -maxdepth 1 ! -type l -exec ln -s -t "$parent" {} +
		find "$kept" -mindepth 1 -maxdepth 1 -type l -exec cp -P -t "$parent" {} +
		mkdir -p "$lacking"
	done
fi
for pair in etc:/etc/corosync lib:/var/lib/corosync log:/var/log/corosync ceph-etc:/etc/ceph \
	pve:/etc/pve pve-tasks:/var/log/pve/tasks; do
	if [ -d "$dir/${pair%%:*}" ] && [ -d "${pair#*:}" ]; then mount --bind "$dir/${pair%%:*}" "${pair#*:}"; fi
done
: > "$dir/ready"
mount --bind "$dir/run" /run
exec sleep infinity`

// makeNodes creates the namespaces of all nodes and plugs them into the switches.
func (l *Lab) makeNodes(ctx context.Context) error {
	nodes := l.Nodes()
	if l.o.QDevice {
		nodes = append(nodes, qnetdNode)
	}
	return each(nodes, func(node int) error {
		if err := l.makeNode(ctx, node); err != nil {
			return fmt.Errorf("%s: %w", NodeName(node), err)
		}
		return nil
	})
}

func (l *Lab) makeNode(ctx context.Context, node int) error {
	dir := l.NodeDir(node)
	subs, kind := []string{"etc/uidgid.d", "etc/qnetd", "lib", "log", "run/corosync-qnetd", "ceph-etc"}, ""
	if l.o.PVE && node != qnetdNode {
		subs, kind = append(subs, "pve", "pve-tasks"), "pve"
	}
	for _, sub := range subs {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "hosts"), []byte(l.hosts()), 0o644); err != nil {
		return err
	}
	if err := l.makeNodeNetwork(ctx, node); err != nil {
		return err
	}
	err := l.StartDaemon(ctx, Daemon{
		Name: holderName, // recorded as the node's, yet started from outside: there is nothing to enter yet
		Node: node,
		Argv: []string{"ip", "netns", "exec", l.names.node(node),
			"unshare", "--mount", "--uts", "--propagation", "private",
			"sh", "-c", holderScript, "sh", dir, NodeName(node), kind},
		Log:     filepath.Join(dir, "holder.log"),
		outside: true,
	})
	if err != nil {
		return err
	}
	return l.waitHolder(ctx, node)
}

// waitHolder returns when the last mount of the node is in place.
func (l *Lab) waitHolder(ctx context.Context, node int) error {
	return poll(ctx, 10*time.Second, 10*time.Millisecond, func() error {
		pid := l.Pid(node, holderName)
		if pid == 0 {
			log, _ := os.ReadFile(filepath.Join(l.NodeDir(node), "holder.log"))
			return permanent(fmt.Errorf("its namespaces cannot be made: %s", lastLine(string(log))))
		}
		// The shell becomes the sleep only after the last mount.
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err == nil && strings.TrimSpace(string(comm)) == "sleep" {
			return nil
		}
		return errors.New("its namespaces are not ready")
	})
}

func (l *Lab) hosts() string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n")
	for _, node := range l.Nodes() {
		fmt.Fprintf(&b, "%s %s\n", l.Addr(node, Link0), NodeName(node))
	}
	if l.o.QDevice {
		fmt.Fprintf(&b, "%s %s\n", l.Addr(qnetdNode, management), NodeName(qnetdNode))
	}
	return b.String()
}

// entry is the pid of a process whose namespaces are the node's: its holder, or if that was killed
// any other daemon in there.
func (l *Lab) entry(node int) (int, error) {
	if pid := l.Pid(node, holderName); pid != 0 {
		return pid, nil
	}
	records, err := l.records(node)
	if err != nil {
		return 0, err
	}
	for _, r := range records {
		if !r.Outside && r.alive() {
			return r.Pid, nil
		}
	}
	return 0, fmt.Errorf("%s: its namespaces are gone (run quorate-lab down, then up)", NodeName(node))
}

// Command prepares a command that runs inside a node, in its root directory and with this process's
// environment. Node 0 is the machine itself. If the node is gone, running it fails and says so.
func (l *Lab) Command(ctx context.Context, node int, argv ...string) *exec.Cmd {
	argv, err := l.enter(node, argv)
	if err != nil {
		return &exec.Cmd{Err: err}
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.WaitDelay = time.Second // a grandchild that keeps the pipe open must not hold us
	return cmd
}

// enter prefixes argv with what takes it into the node. The pid does not change on the way.
func (l *Lab) enter(node int, argv []string) ([]string, error) {
	if len(argv) == 0 {
		return nil, errors.New("no command given")
	}
	if node == 0 {
		return argv, nil
	}
	pid, err := l.entry(node)
	if err != nil {
		return nil, err
	}
	return append([]string{"nsenter", "-t", strconv.Itoa(pid), "-m", "-n", "-u", "--"}, argv...), nil
}

// Run runs a command inside a node and returns its standard output, also when it fails. The error
// carries the last line of standard error. Without a deadline in ctx it gets 30 seconds.
func (l *Lab) Run(ctx context.Context, node int, argv ...string) (stdout string, err error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, commandTimeout)
		defer cancel()
	}
	var out, stderr bytes.Buffer
	cmd := l.Command(ctx, node, argv...)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err = cmd.Run()
	if err == nil {
		return out.String(), nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	where := "machine"
	if node != 0 {
		where = NodeName(node)
	}
	if text := lastLine(stderr.String()); text != "" {
		return out.String(), fmt.Errorf("%s: %s: %w: %s", where, strings.Join(argv, " "), err, text)
	}
	return out.String(), fmt.Errorf("%s: %s: %w", where, strings.Join(argv, " "), err)
}

// listenFile opens a listening socket on the machine, to be handed to a daemon inside a node.
func listenFile(ctx context.Context, addr string) (*os.File, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	tcp, ok := listener.(*net.TCPListener)
	if !ok {
		return nil, fmt.Errorf("listen on %s: not a TCP socket", addr)
	}
	return tcp.File()
}

// detached makes a process the leader of its own session, so that a Ctrl-C at the terminal of the
// lab program does not reach it.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
