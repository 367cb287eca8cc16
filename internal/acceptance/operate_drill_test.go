package acceptance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
	"github.com/quorate/quorate/internal/lab/labtest"
)

// labSSH is the ssh of a lab, whose nodes have no such server: it gives commands inside the node. One that resets
// a node is a note to the test, which does it; systemd, which a lab has not, is always content.
func labSSH(t *testing.T, l *lab.Lab) (program, note string) {
	t.Helper()
	dir := t.TempDir()
	program, note = filepath.Join(dir, "ssh"), filepath.Join(dir, "struck")
	var enter strings.Builder
	for _, node := range l.Nodes() {
		in := l.Command(t.Context(), node, "true").Args
		fmt.Fprintf(&enter, "root@%s) in='%s';;\n", l.Addr(node, lab.Link0), strings.Join(in[:len(in)-1], " "))
	}
	script := `#!/bin/sh
for a in "$@"; do
	case "$a" in
	'+enter+'	esac
	command="$a"
done
case "$command" in
*sysrq-trigger*) touch '+note+'; exit 255;;
systemd-run*|"systemctl stop "*) exit 0;;
esac
exec $in sh -c "$command"
`
	script = strings.NewReplacer("'+enter+'", enter.String(), "'+note+'", note).Replace(script)
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return program, note
}

// sshFile is clusterFile with an ssh of its own.
func sshFile(t *testing.T, ssh string) string {
	t.Helper()
	file := clusterFile(t)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), "ssh: {user: root, agent: true,", "ssh: {user: root, agent: false, command: ["+ssh+"],", 1))
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// drillReport is what `quorate drill -o json` says.
type drillReport struct {
	Phases []struct {
		Name  string
		After *float64 `json:"seconds"`
	}
	Services []struct {
		SID, Node string
		Started   float64 `json:"seconds"`
	}
}

func (r drillReport) after(phase string) (seconds float64, seen bool) {
	for _, p := range r.Phases {
		if p.Name == phase && p.After != nil {
			return *p.After, true
		}
	}
	return 0, false
}

func parseDrill(t *testing.T, out string) (r drillReport) {
	t.Helper()
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return r
}

// TestLabOperateDrillNetworkCutsARealLink cuts a link of a real corosync with `quorate drill network`: only that
// link is lost, and the others keep the cluster together.
func TestLabOperateDrillNetworkCutsARealLink(t *testing.T) {
	needNFT(t)
	t.Parallel()
	l := newLab(t, lab.Options{Nodes: 3, PVE: true, PVEStill: true, Token: time.Second})
	ssh, _ := labSSH(t, l)
	file := sshFile(t, ssh)
	for _, link := range []string{"0", "1"} {
		out, err := operates(t, l, 1, "drill", "network", "pve2", link, "-f", file, "--state-dir", t.TempDir(), "-o", "json")
		if err != nil {
			t.Fatal(err)
		}
		r := parseDrill(t, out)
		down, wasDown := r.after("down")
		up, wasUp := r.after("up")
		_, lost := r.after("lost")
		if !wasDown || !wasUp || lost || down > 10 || up < 15 || up > 40 {
			t.Errorf("link %s: down after %.1f s, up after %.1f s, a member lost: %v\n%s", link, down, up, lost, out)
		}
		t.Logf("link %s: down after %.1f s, up after %.1f s", link, down, up)
		if q, err := l.Quorum(t.Context(), 1); err != nil || !q.Quorate || len(q.Members) != 3 {
			t.Errorf("%+v, %v", q, err)
		}
	}
}

func needNFT(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		if os.Getenv("QUORATE_LAB") == "required" {
			t.Fatalf("QUORATE_LAB=required: %v", err)
		}
		t.Skip("needs nft (apt install nftables)")
	}
}

// TestLabOperateDrillIsolateCutsARealNodeOff cuts a real corosync off on all links: the HA manager recovers what
// ran there, and afterwards the node is a member again.
func TestLabOperateDrillIsolateCutsARealNodeOff(t *testing.T) {
	labtest.Soak(t)
	needNFT(t)
	l := newLab(t, lab.Options{Nodes: 3, PVE: true, PVEStill: true, Token: time.Second, HAPace: 10})
	ssh, _ := labSSH(t, l)
	out, err := operates(t, l, 1, "drill", "node-down", "pve2", "--i-understand", "pve2", "--way", "isolate", "--lose-guests",
		"-f", sshFile(t, ssh), "--state-dir", t.TempDir(), "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	r := parseDrill(t, out)
	t.Log(out)
	offline, wasOffline := r.after("offline")
	started, wasStarted := r.after("started")
	back, wasBack := r.after("back")
	if !wasOffline || !wasStarted || !wasBack || offline > 8 || started < 12 || back < started {
		t.Errorf("offline after %.1f s, started after %.1f s, back after %.1f s", offline, started, back)
	}
	if q, err := l.Quorum(t.Context(), 2); err != nil || !q.Quorate || len(q.Members) != 3 {
		t.Errorf("pve2: %+v, %v", q, err)
	}
}

// TestLabOperateDrillNodeDownSeesARealNodeGo resets a node of a lab with `quorate drill node-down`: its real
// corosync dies, the others' real corosync notices, and the HA manager follows that, at ten times its pace.
func TestLabOperateDrillNodeDownSeesARealNodeGo(t *testing.T) {
	labtest.Soak(t)
	const token = time.Second
	l := newLab(t, lab.Options{Nodes: 3, PVE: true, PVEStill: true, Token: token, HAPace: 10})
	ssh, note := labSSH(t, l)
	file := sshFile(t, ssh)
	// Longer than the HA manager needs to give the node up and to recover its services.
	const away = 45 * time.Second
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- strikeAndHeal(ctx, l, note, "2", away) }()
	out, err := operates(t, l, 1, "drill", "node-down", "pve2", "--i-understand", "pve2", "--lose-guests", "-f", file, "--state-dir", t.TempDir(), "-o", "json")
	if err != nil {
		cancel() // it may never have been asked to strike
	}
	if err := errors.Join(err, <-ended); err != nil {
		t.Fatal(err)
	}
	r := parseDrill(t, out)
	t.Log(out)
	// Two seconds: one of the drill's look and one of the coupling of Proxmox VE to corosync, on a busy machine.
	consensus := 1.2 * token.Seconds()
	if o, _ := r.after("offline"); o < token.Seconds()*.7 || o > token.Seconds()+consensus+3 {
		t.Errorf("offline after %.1f s; token and consensus are %.1f s", o, token.Seconds()+consensus)
	}
	if b, _ := r.after("back"); b < away.Seconds() || b > away.Seconds()+20 {
		t.Errorf("back after %.1f s; it was away for %s", b, away)
	}
	if len(r.Services) != 2 {
		t.Errorf("services %+v; want vm:102 and ct:202", r.Services)
	}
	for _, s := range r.Services {
		if s.Node == "pve2" || s.Started < 12 || s.Started > away.Seconds() {
			t.Errorf("%+v; want it elsewhere, after the 120 s of its lock at ten times their pace and before the node is back", s)
		}
	}
}

// strikeAndHeal takes a node's power once the drill has asked for it, and gives it back.
func strikeAndHeal(ctx context.Context, l *lab.Lab, note, node string, away time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	wait := func(d time.Duration) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for {
		_, err := os.Stat(note)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := wait(20 * time.Millisecond); err != nil {
			return errors.New("the drill did not reset the node")
		}
	}
	if err := l.Inject(ctx, "node-down", node); err != nil {
		return err
	}
	if err := wait(away); err != nil {
		return err
	}
	return l.Heal(ctx)
}
