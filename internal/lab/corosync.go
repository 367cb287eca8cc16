package lab

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	corosyncName = "corosync"
	qdeviceName  = "qdevice"
	clusterName  = "quorate-lab"
	authkeySize  = 256 // bytes, as corosync-keygen makes it

	waitLimit    = 90 * time.Second
	waitInterval = 150 * time.Millisecond
)

// corosyncSettings are what faults and the makers of a bare lab change in corosync.conf.
type corosyncSettings struct {
	WaitForAll bool
	Name       string // of the cluster; empty: the lab's own
}

// corosyncConf renders corosync.conf in the order and with the settings of Proxmox VE (secauth means
// aes256 and sha256). Differences: it logs to a file, since a lab has no syslog.
func corosyncConf(o Options, addr func(node, network int) string, s corosyncSettings, version int) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("logging {\n  debug: off\n  to_syslog: no\n  to_logfile: yes\n  logfile: /var/log/corosync/corosync.log\n  timestamp: hires\n}\n")
	line("nodelist {")
	for node := 1; node <= o.Nodes; node++ {
		line("  node {\n    name: %s\n    nodeid: %d\n    quorum_votes: 1\n    ring0_addr: %s\n    ring1_addr: %s\n  }",
			NodeName(node), node, addr(node, Link0), addr(node, Link1))
	}
	line("}\n\nquorum {\n  provider: corosync_votequorum")
	if s.WaitForAll {
		line("  wait_for_all: 1")
	}
	if o.QDevice {
		algorithm, votes := qdeviceAlgorithm(o.Nodes)
		line("  device {\n    model: net\n    votes: %d\n    net {\n      algorithm: %s\n      host: %s\n      tls: on\n    }\n  }",
			votes, algorithm, addr(qnetdNode, management))
	}
	line("}\n\ntotem {\n  cluster_name: %s\n  config_version: %d", cmp.Or(s.Name, clusterName), version)
	line("  interface {\n    linknumber: 0\n  }\n  interface {\n    linknumber: 1\n  }")
	line("  ip_version: ipv4-6\n  link_mode: passive\n  secauth: on")
	if o.Token > 0 {
		line("  token: %d", o.Token.Milliseconds())
	}
	line("  token_coefficient: 125\n  version: 2\n}")
	return b.String()
}

// qdeviceAlgorithm is what pvecm chooses: one vote that decides an even split, or with an odd number
// of nodes as many votes as let the last node go on.
func qdeviceAlgorithm(nodes int) (algorithm string, votes int) {
	if nodes%2 == 0 {
		return "ffsplit", 1
	}
	return "lms", max(nodes-1, 1)
}

// configuredVotes are the expected votes of a lab that nobody has tampered with.
func configuredVotes(o Options) int {
	if !o.QDevice {
		return o.Nodes
	}
	_, votes := qdeviceAlgorithm(o.Nodes)
	return o.Nodes + votes
}

// writeConfigs gives every node the same configuration, one version newer than before, and the key.
func (l *Lab) writeConfigs(s corosyncSettings) error {
	version, err := configVersion(l.confPath(1))
	if err != nil {
		return err
	}
	key, err := l.authkey()
	if err != nil {
		return err
	}
	addr := func(node, network int) string { return l.Addr(node, network).String() }
	text := corosyncConf(l.o, addr, s, version+1)
	for _, node := range l.Nodes() {
		if err := writeFile(l.confPath(node), []byte(text), 0o644); err != nil {
			return err
		}
		if err := writeFile(filepath.Join(l.NodeDir(node), "etc/authkey"), key, 0o400); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) confPath(node int) string { return filepath.Join(l.NodeDir(node), "etc/corosync.conf") }

func (l *Lab) authkey() ([]byte, error) {
	path := filepath.Join(l.o.Dir, "authkey")
	key, err := os.ReadFile(path)
	if err == nil {
		return key, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key = make([]byte, authkeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	return key, writeFile(path, key, 0o400)
}

var configVersionLine = regexp.MustCompile(`(?m)^\s*config_version:\s*(\d+)\s*$`)

// configVersion is 0 for a file that is not there.
func configVersion(path string) (int, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	match := configVersionLine.FindSubmatch(text)
	if match == nil {
		return 0, fmt.Errorf("%s: no config_version", path)
	}
	return strconv.Atoi(string(match[1]))
}

func (l *Lab) startAllCorosync(ctx context.Context) error {
	return each(l.shouldRun(), func(node int) error { return l.startCorosync(ctx, node) })
}

// startCorosync starts corosync, and where there is one its QDevice, unless they run.
func (l *Lab) startCorosync(ctx context.Context, node int) error {
	if !l.Running(node, corosyncName) {
		if err := l.StartDaemon(ctx, Daemon{Node: node, Name: corosyncName, Argv: []string{"corosync", "-f"}}); err != nil {
			return err
		}
	}
	if !l.o.QDevice || slices.Contains(l.qdevicesDown(), node) {
		return nil
	}
	return l.startQdevice(ctx, node)
}

// stopCorosync ends the QDevice first, which otherwise ends with an error when corosync goes.
func (l *Lab) stopCorosync(ctx context.Context, node int, sig syscall.Signal) error {
	if err := l.StopDaemon(ctx, node, qdeviceName, sig); err != nil {
		return err
	}
	return l.StopDaemon(ctx, node, corosyncName, sig)
}

// expectedMembers says which nodes each node should see, for the nodes where corosync should run.
// Two nodes see each other when a corosync link is up at both and on the same side of each partition.
func expectedMembers(nodes []int, faults []ActiveFault) map[int][]int {
	down := map[int]bool{}
	for _, f := range faults {
		switch f.Name {
		case faultNodeDown, faultCorosyncStop, faultCorosyncKill, faultCorosyncHang:
			for _, node := range numbers(f.Args) {
				down[node] = true
			}
		case faultWaitForAll:
			down[nodes[len(nodes)-1]] = true
		}
	}
	links := []int{Link0, Link1}
	c := wantedCabling(nodes, links, faults)
	see := func(a, b int) bool {
		return a == b || slices.ContainsFunc(links, func(link int) bool {
			pa, pb := port{a, link}, port{b, link}
			return !c.down[pa] && !c.down[pb] && c.bridge[pa] == c.bridge[pb]
		})
	}
	members := map[int][]int{}
	for _, node := range nodes {
		if down[node] {
			continue
		}
		for _, other := range nodes {
			if !down[other] && see(node, other) {
				members[node] = append(members[node], other)
			}
		}
	}
	return members
}

// shouldRun are the nodes whose corosync the faults in effect leave running.
func (l *Lab) shouldRun() []int {
	members := expectedMembers(l.Nodes(), l.inEffect())
	return slices.DeleteFunc(l.Nodes(), func(node int) bool { return members[node] == nil })
}

// settle returns when the cluster is what the faults in effect make of it. With none of them it
// must be whole: every node quorate with the configured votes and all links connected.
func (l *Lab) settle(ctx context.Context) error {
	faults := l.inEffect()
	if slices.ContainsFunc(faults, func(f ActiveFault) bool { return f.Name == faultLinkLoss }) {
		return nil // what a lossy cluster looks like is not to be foretold
	}
	members := expectedMembers(l.Nodes(), faults)
	return poll(ctx, waitLimit, waitInterval, func() error {
		rings := map[int]string{}
		// One after the other and no further than the first that is not ready: each question costs
		// corosync real-time CPU, of which twenty nodes on one machine have little.
		for _, node := range l.shouldRun() {
			q, err := l.Quorum(ctx, node)
			if err != nil {
				return err
			}
			if !slices.Equal(q.Members, members[node]) {
				return fmt.Errorf("%s sees the members %v, not %v", NodeName(node), q.Members, members[node])
			}
			rings[node] = q.RingID
			if len(faults) > 0 {
				continue
			}
			if err := l.whole(ctx, node, q); err != nil {
				return err
			}
		}
		return sameRing(rings, members)
	})
}

// sameRing says who is not in one ring with the members it sees: it has not noticed yet that they
// left or came back.
func sameRing(rings map[int]string, members map[int][]int) error {
	for node, seen := range members {
		for _, other := range seen {
			if rings[node] != rings[other] {
				return fmt.Errorf("%s is in ring %s, %s in ring %s", NodeName(node), rings[node], NodeName(other), rings[other])
			}
		}
	}
	return nil
}

// whole says what is not as it is in a lab without faults.
func (l *Lab) whole(ctx context.Context, node int, q Quorum) error {
	switch want := configuredVotes(l.o); {
	case !q.Quorate:
		return fmt.Errorf("%s is not quorate", NodeName(node))
	case q.Expected != want || q.Total != want:
		return fmt.Errorf("%s has %d of %d votes, not all %d", NodeName(node), q.Total, q.Expected, want)
	}
	links, err := l.Links(ctx, node)
	if err != nil {
		return err
	}
	for _, peer := range l.Nodes() {
		for _, link := range []int{Link0, Link1} {
			if peer != node && !links[KnetLink{Peer: peer, Link: link}] {
				return fmt.Errorf("%s: link %d to %s is not connected", NodeName(node), link, NodeName(peer))
			}
		}
	}
	return nil
}
