package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/provision/spec"
)

const (
	cephAnswers = 20 * time.Second // within which a real ceph does, also during an election
	cephMoves   = 2 * time.Second  // how long it is given to show something new
	cephLooks   = 100 * time.Millisecond
)

// command is pvefake.Options.PerformCommand: the command is given inside the node, by the real client.admin.
func (c *coupling) command(asked pvefake.CephCommand) (pvefake.Reply, bool) {
	ctx, cancel := context.WithTimeout(c.t.Context(), cephAnswers)
	defer cancel()
	begun, line := time.Now(), strings.Join(asked.Argv, " ")
	var stdout, stderr bytes.Buffer
	cmd := c.l.Command(ctx, asked.Node, asked.Argv...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	reply := pvefake.Reply{Stdout: stdout.String(), Stderr: stderr.String()}
	var ended *exec.ExitError
	switch {
	case errors.As(err, &ended):
		reply.Exit = ended.ExitCode()
	case err != nil:
		reply = pvefake.Reply{Stderr: err.Error(), Exit: 255}
	}
	c.mu.Lock()
	c.commands = append(c.commands, line)
	c.mu.Unlock()
	c.t.Logf("%s on %s: %.1f s, exit %d", line, lab.NodeName(asked.Node), time.Since(begun).Seconds(), reply.Exit)
	return reply, true
}

// status is pvefake.Options.CephStatus.
func (c *coupling) status() ([]byte, error) {
	text, err := c.asker.ask(c.t.Context(), "status")
	var s cephStatus
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.last = s
	c.mu.Unlock()
	return text, nil
}

// moved returns when Ceph shows something else than it showed last, if that was not well: on the fake's clock
// a quarter of an hour is over before a real placement group has found its OSDs.
func (c *coupling) moved(ctx context.Context) error {
	c.mu.Lock()
	last := c.last
	c.mu.Unlock()
	look := time.NewTicker(cephLooks)
	defer look.Stop()
	for limit := time.Now().Add(cephMoves); last.Health.Status != "" && !last.well() && time.Now().Before(limit); {
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if _, err := c.status(); err != nil {
			return err
		}
		c.mu.Lock()
		now := c.last
		c.mu.Unlock()
		if !reflect.DeepEqual(now, last) {
			return nil
		}
	}
	return nil
}

// well is a Ceph that nobody waits for.
func (s cephStatus) well() bool {
	return s.Health.Status == "HEALTH_OK" && s.OSDs.Up == s.OSDs.All && s.OSDs.In == s.OSDs.All &&
		(s.PGs.All == 0 || len(s.PGs.States) == 1 && s.PGs.States[0].Name == "active+clean" && s.PGs.States[0].Count == s.PGs.All)
}

// A cephAsker keeps one ceph program on pve1, for it needs longer to start than to answer.
type cephAsker struct {
	l *lab.Lab

	mu      sync.Mutex
	cmd     *exec.Cmd // nil: not started, or given up
	in      io.WriteCloser
	answers *json.Decoder
	said    *bytes.Buffer // on stderr
}

// ask gives a command whose answer is JSON. When none comes the program is given up.
func (a *cephAsker) ask(ctx context.Context, command string) (answer json.RawMessage, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cmd == nil {
		if err := a.start(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, cephAnswers)
	defer cancel()
	program := a.cmd.Process
	defer context.AfterFunc(ctx, func() { _ = program.Kill() })() // whereupon there is nothing more to read
	if _, err = io.WriteString(a.in, command+"\n"); err == nil {
		err = a.answers.Decode(&answer)
	}
	if err != nil {
		err = fmt.Errorf("ceph %s: %w (%v)", command, err, a.stop())
	}
	return answer, err
}

func (a *cephAsker) start() error {
	cmd := a.l.Command(context.Background(), 1, "ceph", "--format", "json") // stop ends it
	cmd.Env = append(cmd.Environ(), "PYTHONUNBUFFERED=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	a.said = &bytes.Buffer{}
	cmd.Stderr = a.said
	if err := cmd.Start(); err != nil {
		return err
	}
	a.cmd, a.in, a.answers = cmd, in, json.NewDecoder(out)
	return nil
}

// stop ends the program and returns what it complained of.
func (a *cephAsker) stop() error {
	_ = a.cmd.Process.Kill() // it may have ended
	err := a.cmd.Wait()
	a.cmd = nil
	return fmt.Errorf("%w: %s", err, a.said)
}

func (a *cephAsker) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cmd != nil {
		_ = a.stop() // it was killed
	}
}

// realConfig checks that the real Ceph has the file's settings.
func realConfig(t *testing.T, l *lab.Lab, file map[string]map[string]spec.Value) {
	t.Helper()
	want := map[string]map[string]string{}
	for who, settings := range file {
		want[who] = map[string]string{}
		for name, value := range settings {
			want[who][name] = string(value)
		}
	}
	type row struct{ Section, Name, Value string }
	have := map[string]map[string]string{}
	for _, r := range askCeph[[]row](t, l, "config", "dump") {
		if want[r.Section][r.Name] == "" {
			continue // the lab's own
		}
		if have[r.Section] == nil {
			have[r.Section] = map[string]string{}
		}
		have[r.Section][r.Name] = r.Value
	}
	if len(want) == 0 || !reflect.DeepEqual(have, want) {
		t.Errorf("Ceph's configuration has %v, want %v", have, want)
	}
}

// realClient checks the exporter's client, and that every node can log in as it with what it was given.
func realClient(t *testing.T, l *lab.Lab, fake *pvefake.Cluster, name, path string) {
	t.Helper()
	type entity struct {
		Entity string
		Caps   map[string]string
	}
	who := askCeph[[]entity](t, l, "auth", "get", name)
	if len(who) != 1 || who[0].Entity != name || !reflect.DeepEqual(who[0].Caps, map[string]string{"mon": "allow r", "mgr": "allow r"}) {
		t.Errorf("Ceph has %+v, want %s that may read from monitors and managers", who, name)
	}
	for _, node := range l.Nodes() {
		keyring, mode, ok := fake.FileOf(node, path)
		if !ok || mode != "0600" {
			t.Errorf("%s: %s is there: %v, mode %q; want 0600", lab.NodeName(node), path, ok, mode)
			continue
		}
		file := filepath.Join(l.NodeDir(node), "exporter.keyring")
		if err := os.WriteFile(file, []byte(keyring), 0o600); err != nil {
			t.Fatal(err)
		}
		text, err := l.Run(t.Context(), node, "ceph", "--connect-timeout", "10", "-n", name, "--keyring", file, "status", "--format", "json")
		if err != nil || !strings.Contains(text, `"HEALTH_OK"`) {
			t.Errorf("%s as %s: %v, %.100q", lab.NodeName(node), name, err, text)
		}
	}
}

// realImages checks the images of a pool: their bytes by name.
func realImages(t *testing.T, l *lab.Lab, pool string, want map[string]int64) {
	t.Helper()
	text, err := l.Run(t.Context(), 1, "rbd", "ls", "-l", pool, "--format", "json")
	var rows []struct {
		Image string
		Size  int64
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &rows)
	}
	have := map[string]int64{}
	for _, r := range rows {
		have[r.Image] = r.Size
	}
	if err != nil || !reflect.DeepEqual(have, want) {
		t.Errorf("images in %s: %v, %v; want %v", pool, have, err, want)
	}
}
