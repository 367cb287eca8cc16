package pvefake

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// What takes a node away from the others, over SSH.

// mendCommand is how rules named by a rehearsal are taken away, by root or by a timer.
const mendCommand = "nft delete table inet quorate_drill"

func strikeCommands() []sshCommand {
	return []sshCommand{
		{"systemctl poweroff --force --force", func(v *invocation) output { v.n.goDown(false); return output{cut: true} }},
		{"nft -f -", cutCorosync},
		{"nft --version", func(*invocation) output { return output{stdout: "nftables v1.1.3 (Commodore Bullmoose #4)\n"} }},
		{mendCommand, func(v *invocation) output {
			if !v.n.cut && v.n.cutLink == nil {
				return failed(1, "Error: Could not process rule: No such file or directory")
			}
			v.n.cut, v.n.cutLink = false, nil
			return output{}
		}},
		{"corosync-cfgtool -s", linkStatus},
	}
}

// mend is what a boot does: rules are gone, and every OSD starts.
func (n *node) mend() {
	n.cut, n.cutLink = false, nil
	if n.c.ceph == nil {
		return
	}
	for _, o := range n.c.ceph.osds {
		if o.n == n {
			o.stopped = false
		}
	}
}

var cutRules = regexp.MustCompile(`^table inet quorate_drill \{\n\tchain in \{ type filter hook input priority -300; udp dport (5404-5412|\{ (\d+) \}) drop; \}\n\}\n$`)

// cutCorosync knows one set of rules: what comes to the ports of all links, or of one, is dropped.
func cutCorosync(v *invocation) output {
	m := cutRules.FindStringSubmatch(v.stdin)
	switch {
	case m == nil:
		return v.n.unknownCommand("nft -f - with "+v.stdin, nil)
	case m[2] == "":
		v.n.cut = true
	default:
		v.n.cutLink = append(v.n.cutLink, numberOr(m[2], 0)-5405)
	}
	return output{}
}

// heardOn says whether two nodes hear each other on a link.
func (n *node) heardOn(link int, m *node) bool {
	return n == m || m.up && m.group == n.group && !n.cut && !m.cut && !slices.Contains(n.cutLink, link) && !slices.Contains(m.cutLink, link)
}

// heard says whether two nodes hear each other on any link.
func (n *node) heard(m *node) bool {
	return slices.ContainsFunc(n.rings(), func(ring [2]string) bool { return n.heardOn(linkOf(ring), m) })
}

func linkOf(ring [2]string) int {
	return numberOr(strings.TrimSuffix(strings.TrimPrefix(ring[0], "ring"), "_addr"), 0)
}

// linkStatus is what corosync 3.1 prints.
func linkStatus(v *invocation) output {
	n := v.n
	var b strings.Builder
	fmt.Fprintf(&b, "Local node ID %d, transport knet\n", n.nodeID)
	for _, ring := range n.rings() {
		fmt.Fprintf(&b, "LINK ID %d udp\n\taddr\t= %s\n\tstatus:\n", linkOf(ring), ring[1])
		for _, m := range n.mates() {
			state := "disconnected"
			switch {
			case m == n:
				state = "localhost"
			case n.heardOn(linkOf(ring), m):
				state = "connected"
			}
			fmt.Fprintf(&b, "\t\tnodeid: %10d:\t%s\n", m.nodeID, state)
		}
	}
	return output{stdout: b.String()}
}

var osdUnitRE = regexp.MustCompile(`^ceph-osd@(\d+)(\.service)?$`)

// osdUnit starts or stops an OSD of this node by its unit; known is false for any other unit.
func (n *node) osdUnit(unit string, start bool) (known bool) {
	m := osdUnitRE.FindStringSubmatch(unit)
	if m == nil || n.c.ceph == nil {
		return false
	}
	o := n.c.ceph.osd(numberOr(m[1], -1))
	if o == nil || o.n != n {
		return false
	}
	if o.stopped && start {
		o.since = n.c.now.Add(2 * time.Second)
	}
	o.stopped = !start
	return true
}

// laterDoes is what a timer of systemd-run does, nil if that is not known.
func (n *node) laterDoes(args []string) func() {
	command := strings.Join(args, " ")
	switch {
	case strings.HasSuffix(command, mendCommand):
		return func() { n.cut, n.cutLink = false, nil }
	case strings.Contains(command, "systemctl start ceph-osd@"):
		return func() { n.osdUnit(args[len(args)-1], true) }
	case strings.Contains(command, "ifreload -a"):
		return func() {
			n.box.staged = n.box.kept
			n.box.activate()
		}
	}
	return nil
}

// Hears says whether node i has node j in its membership.
func (c *Cluster) Hears(i, j int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.node(i).members[j]
}

// AddLink gives corosync one more link: in corosync.conf node i has the address made of prefix and i.
func (c *Cluster) AddLink(link int, prefix string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes {
		if len(n.links) == 0 {
			n.links = map[int]string{0: n.ip.String()}
		}
		n.links[link] = fmt.Sprintf("%s%d", prefix, n.id)
	}
}
