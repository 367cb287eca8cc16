package acceptance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/internal/lab"
)

// guestPort is where a guest of these tests answers.
const guestPort = "10.77.0.3:2222"

// gate answers for a guest, which has no network of its own: it takes connections while the guest's heart beats,
// and none while it stands. Nobody hears the heart but in a migration; before and after, the guest answers.
type gate struct {
	t     *testing.T
	l     *lab.Lab
	beats net.PacketConn
	open  net.Listener
	ended chan struct{}
	pause time.Duration // the longest time between two beats
}

// standing is how long a heart that beats every 5 ms has to be silent to be one that stands.
const standing = 25 * time.Millisecond

func newGate(t *testing.T, l *lab.Lab, vm int) *gate {
	t.Helper()
	beats, err := l.ListenBeats(vm)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{t: t, l: l, beats: beats, ended: make(chan struct{})}
	g.set(true)
	go g.follow()
	return g
}

// set opens or closes the guest's port.
func (g *gate) set(open bool) {
	switch {
	case open == (g.open != nil):
	case open:
		l, err := g.l.Listen(g.t.Context(), 3, "tcp4", guestPort)
		if err != nil {
			g.t.Errorf("the guest's port: %v", err)
			return
		}
		g.open = l
	default:
		_ = g.open.Close() // that is the purpose
		g.open = nil
	}
}

// follow ends with the migration's last beat, or with stop.
func (g *gate) follow() {
	defer close(g.ended)
	buffer := make([]byte, 512)
	var last time.Time
	for {
		deadline := time.Time{}
		if !last.IsZero() {
			deadline = time.Now().Add(standing)
		}
		if err := g.beats.SetReadDeadline(deadline); err != nil {
			return
		}
		n, _, err := g.beats.ReadFrom(buffer)
		switch {
		case os.IsTimeout(err):
			g.set(false)
			continue
		case err != nil:
			return
		case n > 0 && buffer[0] == 0: // the migration is over
			g.set(true)
			return
		}
		if now := time.Now(); slices.ContainsFunc(buffer[1:n], func(b byte) bool { return b >= 0x80 }) {
			if !last.IsZero() {
				g.pause = max(g.pause, now.Sub(last))
			}
			last = now
			g.set(true)
		}
	}
}

// stop returns how long the guest stood at most.
func (g *gate) stop() time.Duration {
	select {
	case <-g.ended:
	case <-time.After(10 * time.Second):
		g.t.Error("the guest's heart is heard no more, and nobody said that its migration is over")
	}
	_ = g.beats.Close()
	<-g.ended
	g.set(false)
	return g.pause
}

// clusterFile is the documentation's home lab with the addresses of the lab's nodes.
func clusterFile(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../examples/homelab.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.NewReplacer("name: homelab-cluster", "name: quorate-lab", "10.0.10.11", "10.77.0.1", "10.0.10.12", "10.77.0.2", "10.0.10.13", "10.77.0.3",
		"10.0.10.", "10.77.0.", "10.0.100.11", "10.77.1.1", "10.0.100.12", "10.77.1.2", "10.0.100.13", "10.77.1.3", "10.0.100.", "10.77.1.").Replace(string(text)))
	path := filepath.Join(t.TempDir(), "cluster.yaml")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// moveReport is what `quorate migrate -o json` says.
type moveReport struct {
	Source, Target, UPID string
	Moved                bool
	Duration             float64  `json:"durationSeconds"`
	Transferred          int64    `json:"transferredBytes"`
	Downtime             *float64 `json:"qemuDowntimeSeconds"` // in whole milliseconds: 0 is one
	Gap                  float64  `json:"probeGapSeconds"`
	Answers              int      `json:"probeAnswers"`
}

// operates runs the program on a node of the lab, as its administrator would.
func operates(t *testing.T, l *lab.Lab, node int, args ...string) (stdout string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := l.Command(ctx, node, append([]string{program(t)}, args...)...)
	cmd.Env = append(os.Environ(), "PVE_ROOT_PASSWORD="+lab.PVEPassword)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("quorate %s: %w\n%s%s", strings.Join(args, " "), err, out.String(), stderr.String())
	}
	return out.String(), err
}

// TestLabOperateMigrateTellsWhatTheGuestFelt moves a real guest with `quorate migrate`, and holds the pauses that
// it tells against the guest's own heartbeat.
func TestLabOperateMigrateTellsWhatTheGuestFelt(t *testing.T) {
	needVMs(t)
	l := newLab(t, lab.Options{Nodes: 3, PVE: true, PVEStill: true, Token: time.Second})
	if err := l.StartVM(t.Context(), 1, quietVM); err != nil {
		t.Fatal(err)
	}
	file, state := clusterFile(t), t.TempDir()
	for _, to := range []string{"pve2", "pve3"} {
		from := lab.NodeName(whereabouts(t, l, quietVM.ID))
		g := newGate(t, l, quietVM.ID)
		out, err := operates(t, l, 3, "migrate", "-f", file, "--state-dir", state, "-o", "json", "--probe", guestPort, fmt.Sprint(quietVM.ID), to)
		pause := g.stop()
		if err != nil {
			t.Fatal(err)
		}
		var r moveReport
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if r.Downtime == nil {
			t.Fatalf("QEMU's downtime is missing: %s", out)
		}
		t.Logf("%s to %s: %.1f s, %.1f MiB, QEMU's downtime %.0f ms, probe's gap %.0f ms of %d answers; the guest stood %s", from, to,
			r.Duration, float64(r.Transferred)/float64(mibps), 1000**r.Downtime, 1000*r.Gap, r.Answers, pause.Round(time.Millisecond))
		if !r.Moved || r.Source != from || r.Target != to || lab.NodeName(whereabouts(t, l, quietVM.ID)) != to || r.Transferred == 0 {
			t.Errorf("%s\nthe guest is on %s", out, lab.NodeName(whereabouts(t, l, quietVM.ID)))
		}
		if *r.Downtime > pause.Seconds()+.05 {
			t.Errorf("QEMU's downtime %.3f s; it is part of the %s that the guest stood", *r.Downtime, pause)
		}
		// The probe asks every 100 ms: it may be late by that at both ends, and the machine is busy.
		if gap := r.Gap; gap < pause.Seconds()-.15 || gap > pause.Seconds()+.6 || r.Answers < 5 {
			t.Errorf("probe's gap %.3f s with %d answers; the guest stood %s", gap, r.Answers, pause)
		}
	}
	out, err := operates(t, l, 3, "migrate", "-f", file, "--state-dir", state, fmt.Sprint(quietVM.ID), "pve3")
	if err != nil || !strings.Contains(out, "is on pve3 already") {
		t.Errorf("again: %v\n%s", err, out)
	}

	interruptMigration(t, l, file, state)
}

// interruptMigration ends the program by SIGINT once the task of its migration runs: the guest moves all the same.
func interruptMigration(t *testing.T, l *lab.Lab, file, state string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := l.Command(ctx, 3, program(t), "migrate", "-f", file, "--state-dir", state, "--verbose", fmt.Sprint(quietVM.ID), "pve1")
	cmd.Env = append(os.Environ(), "PVE_ROOT_PASSWORD="+lab.PVEPassword)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for lines, asked := bufio.NewScanner(stderr), false; lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), ": task UPID:pve3:") && !asked {
			asked = true
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Error(err)
			}
		}
	}
	err = cmd.Wait()
	if cmd.ProcessState.ExitCode() != 130 || !strings.Contains(said.String(), "goes on without us") || !strings.Contains(said.String(), "pvesh get /nodes/pve3/tasks/UPID:pve3:") {
		t.Errorf("interrupted: %v\n%s", err, said.String())
	}
	for deadline := time.Now().Add(30 * time.Second); whereabouts(t, l, quietVM.ID) != 1; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the guest has not moved")
		}
	}
}
