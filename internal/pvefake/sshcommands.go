package pvefake

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// invocation is a command on its way.
type invocation struct {
	n     *node
	args  []string // without the program
	stdin string
}

// flagValue returns the value of --name V or --name=V.
func (v *invocation) flagValue(name string) string {
	for i, a := range v.args {
		if a == name && i+1 < len(v.args) {
			return v.args[i+1]
		}
		if rest, ok := strings.CutPrefix(a, name+"="); ok {
			return rest
		}
	}
	return ""
}

// sshCommand is one that is known: the first words and what it does under Cluster.mu.
type sshCommand struct {
	words string
	run   func(*invocation) output
}

// sshCommands are all; doc.go lists them for readers. The longest match wins.
func sshCommands() []sshCommand {
	all := hostCommands()
	all = append(all, fileCommands()...)
	all = append(all, serviceCommands()...)
	all = append(all, strikeCommands()...)
	return append(all, clusterCommands()...)
}

// runCommand runs a command line as root. A command nobody knows ends with 127 and is remembered.
func (n *node) runCommand(line, stdin string) output {
	c := n.c
	c.mu.Lock()
	defer c.mu.Unlock()
	rec := Call{Node: n.id, Method: "SSH", Path: line, Identity: "root", ReceivedAt: c.now}
	rule := c.matchCommand(n, line)
	out := output{}
	switch {
	case rule != nil && (rule.CloseBefore || rule.Hang):
		out.cut = true
	case rule != nil && rule.Status != 0:
		out = failed(rule.Status, "%s", rule.Reason)
	default:
		out = n.execute(line, stdin)
	}
	rec.Status = out.exit
	c.record(rec)
	if rule != nil && rule.LoseReply {
		out.cut = true
	}
	if c.countRequest() {
		out.cut = true
	}
	return out
}

func (n *node) execute(line, stdin string) output {
	argv, err := shellWords(line)
	if err != nil || len(argv) == 0 {
		return n.unknownCommand(line, err)
	}
	for len(argv) > 1 && (argv[0] == "env" || strings.Contains(argv[0], "=")) { // VAR=value command
		argv = argv[1:]
	}
	for len(argv) > 1 && strings.Contains(argv[0], "=") {
		argv = argv[1:]
	}
	var best *sshCommand
	for _, cmd := range sshCommands() {
		words := strings.Fields(cmd.words)
		if len(argv) >= len(words) && slices.Equal(argv[:len(words)], words) && (best == nil || len(words) > len(strings.Fields(best.words))) {
			best = &cmd
		}
	}
	if best == nil {
		if out, ok := n.runFile(argv); ok {
			return out
		}
		return n.unknownCommand(line, nil)
	}
	return best.run(&invocation{n: n, args: argv[len(strings.Fields(best.words)):], stdin: stdin})
}

func (n *node) unknownCommand(line string, err error) output {
	if err != nil {
		line += ": " + err.Error()
	}
	n.c.sshErrors = append(n.c.sshErrors, n.name+": "+line)
	return failed(127, "bash: %s: command not found", line)
}

// shellWords splits a command line into words as a shell does; what a shell would do more with it
// (pipes, redirections, variables) it refuses, except the forms of specialWords.
func shellWords(line string) ([]string, error) {
	if special := specialWords(line); special != nil {
		return special, nil
	}
	var words []string
	var cur strings.Builder
	inWord := false
	var quote rune
	escaped := false
	for _, r := range line {
		switch {
		case escaped:
			cur.WriteRune(r)
			escaped = false
		case quote == '\'' && r != '\'', quote == '"' && r != '"' && r != '\\':
			cur.WriteRune(r)
		case quote != 0 && r == quote:
			quote = 0
		case r == '\\':
			escaped, inWord = true, true
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == ' ' || r == '\t' || r == '\n':
			if inWord {
				words = append(words, cur.String())
				cur.Reset()
				inWord = false
			}
		case strings.ContainsRune("|&;<>()$`*?", r):
			return nil, fmt.Errorf("%q outside of quotes", r)
		default:
			cur.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 || escaped {
		return nil, fmt.Errorf("unfinished quotes")
	}
	if inWord {
		words = append(words, cur.String())
	}
	return words, nil
}

// specialWords are the lines that need a shell.
func specialWords(line string) []string {
	image, ok := strings.CutSuffix(line, " - | sha256sum")
	if rest, isRBD := strings.CutPrefix(image, "rbd export "); ok && isRBD {
		return []string{"rbd-checksum", strings.Trim(strings.TrimPrefix(rest, "--no-progress "), "'")}
	}
	if line == "echo b > /proc/sysrq-trigger" {
		return []string{"sysrq", "b"}
	}
	return nil
}

// hostCommands tell of a machine and change nothing.
func hostCommands() []sshCommand {
	say := func(f func(*node) string) func(*invocation) output {
		return func(v *invocation) output { return output{stdout: f(v.n) + "\n"} }
	}
	return []sshCommand{
		{"true", say(func(*node) string { return "" })},
		{"uname -m", say(func(*node) string { return "x86_64" })},
		{"uname -r", say(func(n *node) string { return n.kernel() })},
		{"uname -a", say(func(n *node) string {
			return "Linux " + n.name + " " + n.kernel() + " #1 SMP PREEMPT_DYNAMIC x86_64 GNU/Linux"
		})},
		{"uname", say(func(*node) string { return "Linux" })},
		{"hostname --ip-address", say(func(n *node) string { return n.ip.String() })},
		{"hostname -f", say(func(n *node) string { return n.name + ".lab" })},
		{"hostname", say(func(n *node) string { return n.name })},
		{"date +%s.%N", say(func(n *node) string {
			t := n.c.now.Add(n.box.spec.ClockSkew)
			return fmt.Sprintf("%d.%09d", t.Unix(), t.Nanosecond())
		})},
		{"date", say(func(n *node) string { return n.c.now.Add(n.box.spec.ClockSkew).Format(time.UnixDate) })},
		{"timedatectl show", timedatectl},
		{"chronyc tracking", say(func(*node) string { return "Reference ID    : C0000235 (192.0.2.53)\nLeap status     : Normal" })},
		{"pveversion", say(func(n *node) string {
			v, _, repo := n.c.opt.Version.release()
			return "pve-manager/" + v + "/" + repo + " (running kernel: " + n.kernel() + ")"
		})},
		{"lsmod", say(func(n *node) string { return "Module Size Used by\n" + n.box.spec.Watchdog + " 16384 1" })},
		{"ping", ping},
		{"dpkg-query", dpkgQuery},
		{"dpkg-deb -f", dpkgField},
		{"lsblk", lsblk},
		{"ls /boot", listBoot},
		{"blkid", blkid},
		{"readlink -f", readlink},
		{"bash -c", bashC},
		{"sh -c", bashC},
		{"/bin/sh -c", bashC},
	}
}

func timedatectl(v *invocation) output {
	if strings.Contains(strings.Join(v.args, " "), "--value") {
		return output{stdout: "yes\n"}
	}
	return output{stdout: "NTPSynchronized=yes\n"}
}

// ping answers from nodes that are up, in 0.2 ms; packets larger than the smaller MTU of both are lost.
func ping(v *invocation) output {
	n, to := v.n, v.args[len(v.args)-1]
	count := numberOr(v.flagValue("-c"), 4)
	target := n.c.nodeByAddress(to)
	received := count
	if target == nil || !target.up || target.group != n.group || v.flagValue("-s") != "" && numberOr(v.flagValue("-s"), 0)+28 > min(n.mtuTo(to), target.mtuTo(to)) {
		received = 0
	}
	var b strings.Builder
	fmt.Fprintf(&b, "PING %s (%s) 56(84) bytes of data.\n", to, to)
	for i := range received {
		fmt.Fprintf(&b, "64 bytes from %s: icmp_seq=%d ttl=64 time=0.2%02d ms\n", to, i+1, i%10)
	}
	fmt.Fprintf(&b, "\n--- %s ping statistics ---\n%d packets transmitted, %d received, %d%% packet loss, time 0ms\n", to, count, received, 100-100*received/max(count, 1))
	if received == 0 {
		return output{stdout: b.String(), exit: 1}
	}
	b.WriteString("rtt min/avg/max/mdev = 0.200/0.204/0.209/0.003 ms\n")
	return output{stdout: b.String()}
}

// mtuTo is that of the interface in the same network as an address.
func (n *node) mtuTo(addr string) int {
	for _, f := range n.box.interfaces {
		host, prefix, _ := strings.Cut(f.cidr(), "/")
		if host != "" && sameNetwork(host, addr, prefix) {
			return numberOr(f.fields["mtu"], 1500)
		}
	}
	return 1500
}

func lsblk(v *invocation) output {
	devices := list{}
	for _, d := range v.n.box.disks {
		devices = append(devices, obj{
			"name": strings.TrimPrefix(d.Dev, "/dev/"), "path": d.Dev, "size": d.Bytes, "type": "disk", "model": d.Model, "serial": d.Serial, "rota": d.Type == "hdd",
			"fstype": nil, "mountpoint": nil,
		})
	}
	return output{stdout: string(encode(obj{"blockdevices": devices})) + "\n"}
}

func blkid(v *invocation) output {
	d := v.n.box.findDisk(v.args[len(v.args)-1])
	switch {
	case d == nil || d.used() == "":
		return output{exit: 2}
	case d.used() == "LVM":
		return output{stdout: d.Dev + `: TYPE="LVM2_member"` + "\n"}
	}
	return output{stdout: d.Dev + `: PTTYPE="gpt"` + "\n"}
}

func readlink(v *invocation) output {
	path := v.args[len(v.args)-1]
	if d := v.n.box.findDisk(path); d != nil {
		path = d.Dev
	}
	return output{stdout: path + "\n"}
}

// bashC knows a few scripts, by what is in them.
func bashC(v *invocation) output {
	if len(v.args) == 0 {
		return v.n.unknownCommand("bash -c", nil)
	}
	script, rest := v.args[0], v.args[1:]
	switch {
	case strings.Contains(script, "/dev/tcp/") && len(rest) == 2:
		return output{stdout: map[bool]string{true: "yes\n", false: "no\n"}[v.n.canReach(rest[0], rest[1])]}
	case strings.Contains(script, "test -e") && len(rest) == 1:
		_, there := v.n.readFile(rest[0])
		return output{stdout: map[bool]string{true: "yes\n", false: "no\n"}[there]}
	case strings.Contains(script, "/sys/class/net/") && len(rest) > 0:
		var b strings.Builder
		for _, name := range rest[1:] {
			fmt.Fprintf(&b, "%s %s\n", name, v.n.speed(name))
		}
		return output{stdout: b.String()}
	case len(rest) == 0:
		return v.n.execute(script, v.stdin)
	}
	return v.n.unknownCommand("bash -c "+script, nil)
}

// canReach says whether a TCP port of an address is open: of nodes that are up all that Proxmox VE uses
// are, of other machines all unless SetServerOnline says no.
func (n *node) canReach(host, port string) bool {
	target := n.c.nodeByAddress(host)
	switch {
	case target == nil:
		return !n.c.offline[host]
	case port == "8006":
		return target.running() && target.group == n.group
	}
	return target.up && target.group == n.group
}

// speed is what /sys says of a card, in Mbit/s; nothing for what is no card.
func (n *node) speed(name string) string {
	for _, nic := range n.box.spec.NICs {
		if nic.Name == name {
			return fmt.Sprint(nic.SpeedMbit)
		}
	}
	return ""
}
