package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	cephCommandTimeout  = 30 * time.Second // of one client program, if ctx has no earlier deadline
	cephConnectTimeout  = "10"             // seconds the ceph program tries to reach a monitor
	cephElectionTimeout = 10 * time.Second // the monitors' own is 2 s, and they may hold several
	cephSocketTimeout   = 3 * time.Second  // of one admin socket command
	maxSocketReply      = 64 << 20
)

// errNoMon is returned when no monitor of the lab is in a quorum.
var errNoMon = errors.New("no Ceph monitor is in a quorum (heal the fault that broke it)")

// CephConf is the path of ceph.conf, valid on the machine and inside every node.
func (l *Lab) CephConf() string { return l.cephPlan().conf() }

// CephKeyring is the path of the keyring of client.quorate, which may read from monitors and
// managers and nothing else.
func (l *Lab) CephKeyring() string { return l.cephPlan().keyring(cephClient) }

// CephCLI runs the ceph program as client.admin on a node whose monitor is in quorum, connected to
// that monitor, and returns its standard output. It fails when there is no such node, at once
// if too few monitors run.
// The call gets 30 seconds, or less if ctx ends earlier: commands for a manager that hangs do not
// return by themselves.
func (l *Lab) CephCLI(ctx context.Context, args ...string) (string, error) {
	return l.cephRun(ctx, "", "ceph", append([]string{"--connect-timeout", cephConnectTimeout}, args...)...)
}

// cephJSON runs a ceph command and decodes its answer.
func (l *Lab) cephJSON(ctx context.Context, into any, args ...string) error {
	out, err := l.CephCLI(ctx, append(args, "--format", "json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("ceph %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// ceph reports a failed command of a batch on stderr and goes on.
var cephFailed = regexp.MustCompile(`(?m)^Error E.*$`)

// cephBatch runs several commands in one ceph program, which spares most of their time: the
// program needs longer to start than any command to run. It fails if one of them failed; those
// after it have run nevertheless.
func (l *Lab) cephBatch(ctx context.Context, commands ...string) (string, error) {
	return l.cephRun(ctx, strings.Join(commands, "\n")+"\n", "ceph", "--connect-timeout", cephConnectTimeout)
}

// cephRun runs a client program of Ceph beside a monitor that is in quorum.
func (l *Lab) cephRun(ctx context.Context, stdin, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, cephCommandTimeout)
	defer cancel()
	node, err := l.electedMon(ctx)
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", program, strings.Join(args, " "), err)
	}
	plan := l.cephPlan()
	var stdout, stderr bytes.Buffer
	cmd := l.Command(ctx, node, append([]string{program, "-c", plan.conf(), "-m", plan.monAddrs(node)}, args...)...)
	cmd.Env = append(cmd.Environ(), "CEPH_ARGS=")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err = cmd.Run()
	failed := cephFailed.FindString(stderr.String())
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case err == nil && stdin != "" && failed != "":
		err = errors.New(failed)
	case err == nil:
		return stdout.String(), nil
	default:
		err = fmt.Errorf("%w: %s", err, lastLine(stderr.String()))
	}
	what := strings.Join(args, " ")
	if stdin != "" {
		what = strings.ReplaceAll(strings.TrimSpace(stdin), "\n", "; ")
	}
	return stdout.String(), fmt.Errorf("%s: %s %s: %w", NodeName(node), program, what, err)
}

// electedMon is answeringMon that waits for an election: while most monitors run there is none in
// quorum for a moment whenever one joins or leaves.
func (l *Lab) electedMon(ctx context.Context) (node int, err error) {
	mons := l.cephPlan().mons()
	alive := chosen(slices.Clone(mons), func(d cephDaemon) bool { return l.Running(d.node, d.name()) && !l.hangs(d) })
	if len(alive) <= len(mons)/2 {
		return 0, errNoMon
	}
	err = poll(ctx, cephElectionTimeout, 50*time.Millisecond, func() error {
		node, err = l.answeringMon(ctx)
		return err
	})
	return node, err
}

// answeringMon finds a node whose monitor is in quorum.
func (l *Lab) answeringMon(ctx context.Context) (node int, err error) {
	for _, mon := range l.cephPlan().mons() {
		if l.hangs(mon) {
			continue // it would keep us waiting
		}
		state, err := l.monState(ctx, mon)
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err == nil && (state == "leader" || state == "peon") {
			return mon.node, nil
		}
	}
	return 0, errNoMon
}

// hangs is true for a daemon that was stopped by SIGSTOP.
func (l *Lab) hangs(d cephDaemon) bool {
	_, state, err := processStart(l.Pid(d.node, d.name()))
	return err == nil && state == 'T'
}

// monState is what a monitor says of itself: leader, peon, electing, probing, synchronizing.
func (l *Lab) monState(ctx context.Context, mon cephDaemon) (string, error) {
	var status struct{ State string }
	err := l.cephSocket(ctx, mon, &status, "mon_status", nil)
	return status.State, err
}

// cephSocket sends one command to a daemon's admin socket. That works without a quorum and without
// the network.
func (l *Lab) cephSocket(ctx context.Context, d cephDaemon, into any, prefix string, args map[string]any) error {
	if !l.Running(d.node, d.name()) {
		return fmt.Errorf("%s does not run", d.name())
	}
	reply, err := askSocket(ctx, l.cephPlan().socket(d), prefix, args)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", d.name(), prefix, err)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(reply, into); err != nil {
		return fmt.Errorf("%s: %s: %w: %.200s", d.name(), prefix, err, reply)
	}
	return nil
}

// askSocket speaks Ceph's admin socket protocol: a JSON command that ends with a zero byte, then
// the reply's length as a big-endian uint32, and the reply.
func askSocket(ctx context.Context, path, prefix string, args map[string]any) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, cephSocketTimeout)
	defer cancel()
	command := map[string]any{"prefix": prefix, "format": "json"}
	for key, value := range args {
		command[key] = value
	}
	request, err := json.Marshal(command)
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write(append(request, 0)); err != nil {
		return nil, err
	}
	reply, err := readSocketReply(conn)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return reply, err
}

func readSocketReply(r io.Reader) ([]byte, error) {
	var length uint32
	if err := binary.Read(r, binary.BigEndian, &length); err != nil {
		return nil, err
	}
	if length > maxSocketReply {
		return nil, fmt.Errorf("a reply of %d bytes is no answer of an admin socket", length)
	}
	var reply bytes.Buffer // grows with what arrives, not with what was promised
	if _, err := io.CopyN(&reply, r, int64(length)); err != nil {
		return nil, err
	}
	return reply.Bytes(), nil
}

// ActiveMgr finds the active manager. It fails when there is none.
func (l *Lab) ActiveMgr(ctx context.Context) (node int, name string, err error) {
	var stat struct {
		Available  bool
		ActiveName string `json:"active_name"`
	}
	if err := l.cephJSON(ctx, &stat, "mgr", "stat"); err != nil {
		return 0, "", err
	}
	for _, mgr := range l.cephPlan().mgrs() {
		if stat.Available && mgr.id == stat.ActiveName {
			return mgr.node, mgr.name(), nil
		}
	}
	return 0, "", errors.New("no Ceph manager is active")
}

// MgrMetrics scrapes the active manager's own prometheus module. Without a deadline in ctx it gets
// 30 seconds.
func (l *Lab) MgrMetrics(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, cephCommandTimeout)
	defer cancel()
	node, name, err := l.ActiveMgr(ctx)
	if err != nil {
		return nil, err
	}
	url := fmt.Sprintf("http://%s/metrics", net.JoinHostPort(l.Addr(node, Storage).String(), "9283"))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := l.HTTPClient(node).Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || len(body) == 0) {
		// A manager that only stands by answers 200 and nothing.
		err = fmt.Errorf("HTTP status %s, %d bytes", resp.Status, len(body))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: scrape %s: %w", name, url, err)
	}
	return body, nil
}
