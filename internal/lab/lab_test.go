package lab

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestLabsLiveSideBySide(t *testing.T) {
	t.Parallel()
	first, second := startLab(t, Options{Nodes: 2}), startLab(t, Options{Nodes: 1})
	ids := everything(t, first)
	if err := first.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	assertGone(t, first, ids)
	if err := sees(1, true, 1, 1)(t.Context(), second); err != nil {
		t.Errorf("the other lab has suffered: %v", err)
	}
	if err := first.Down(t.Context()); err != nil {
		t.Errorf("a second Down: %v", err)
	}
	if err := first.Inject(t.Context(), "link-down", "1", "0"); !errors.Is(err, ErrNoLab) {
		t.Errorf("a fault in a lab that is gone: %v", err)
	}
}

func TestLabDownLeavesNothingAfterKills(t *testing.T) {
	t.Parallel()
	for name, kill := range map[string]func(t *testing.T, l *Lab){
		"a node's holder": func(t *testing.T, l *Lab) {
			killDaemon(t, l, 1, holderName)
			if err := l.WaitQuorate(t.Context()); err != nil { // through corosync's namespaces now
				t.Errorf("the node cannot be entered any more: %v", err)
			}
		},
		"holder and corosync": func(t *testing.T, l *Lab) {
			killDaemon(t, l, 1, holderName)
			killDaemon(t, l, 1, corosyncName)
			if _, err := l.Run(t.Context(), 1, "true"); err == nil || !strings.Contains(err.Error(), "quorate-lab down") {
				t.Errorf("entering a node without namespaces: %v", err)
			}
		},
		"corosync hung, a link box and a stray process": func(t *testing.T, l *Lab) {
			for _, fault := range []string{"link-delay 1 0 5", "corosync-hang 2"} {
				words := strings.Fields(fault)
				if err := l.Inject(t.Context(), words[0], words[1:]...); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := l.Run(t.Context(), 2, "sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &"); err != nil {
				t.Fatal(err)
			}
		},
		"the records": func(t *testing.T, l *Lab) {
			if err := os.WriteFile(l.recordPath(1, corosyncName), []byte("{"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(l.procsDir(2)); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(l.Dir(), stateFile), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := startLab(t, Options{Nodes: 2})
			ids := everything(t, l)
			kill(t, l)
			ids = append(ids, everything(t, l)...)
			began := time.Now()
			if err := Remove(t.Context(), l.Dir(), nil); err != nil {
				t.Fatal(err)
			}
			t.Logf("down after %s", time.Since(began).Round(time.Millisecond))
			assertGone(t, l, ids)
		})
	}
}

func killDaemon(t *testing.T, l *Lab, node int, name string) {
	t.Helper()
	r, err := l.record(node, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Signal(node, name, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := r.gone(t.Context(), 5*time.Second); err != nil {
		t.Fatal(err)
	}
}

// The program that starts a lab may be killed at any moment of it.
func TestLabDownLeavesNothingAfterUpWasKilled(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{30, 60, 100, 150, 400} {
		after *= time.Millisecond
		t.Run(after.String(), func(t *testing.T) {
			o := labOptions(t, Options{})
			up := exec.Command(o.Self, "lab-up", o.Dir)
			if err := up.Start(); err != nil {
				t.Fatal(err)
			}
			timer := time.AfterFunc(after, func() { _ = up.Process.Kill() })
			defer timer.Stop()
			_ = up.Wait()
			l := newLab(o)
			ids := everything(t, l)
			t.Logf("%d processes were running", len(ids))
			if err := Remove(t.Context(), o.Dir, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(o.Dir); err == nil { // killed before the mark: the directory is the test's
				_ = os.Remove(o.Dir)
			}
			assertGone(t, l, ids)
		})
	}
}

func TestLabUpCleansUpWhenItIsInterrupted(t *testing.T) {
	t.Parallel()
	o := labOptions(t, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	if _, err := Up(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Up: %v", err)
	}
	assertGone(t, newLab(o), nil)
}

func TestLabExporterRunsInItsNodeAndIsScrapedOutside(t *testing.T) {
	t.Parallel()
	l := startLab(t, Options{Nodes: 2})
	ctx := t.Context()
	addr := freePort(t)
	if err := l.StartExporter(ctx, 2, ExporterOptions{Binary: l.o.Self, Listen: addr}); err != nil {
		t.Fatal(err)
	}
	if got := get(t, http.DefaultClient, "http://"+addr); got != "pve2" {
		t.Errorf("the exporter says it is on %q", got)
	}
	if err := l.Inject(ctx, "node-down", "2"); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Error("the exporter of a dead node still has its socket")
	}
	if err := l.Heal(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(context.Context) error {
		if response, err := http.Get("http://" + addr); err != nil {
			return err
		} else {
			return response.Body.Close()
		}
	})
	if got := get(t, http.DefaultClient, "http://"+addr); got != "pve2" {
		t.Errorf("after its node came back the exporter says it is on %q", got)
	}
	// Inside, over the lab's network, by name.
	listener := startDaemonListening(t, l, 1)
	if got := get(t, l.HTTPClient(2), "http://pve1:"+listener); !strings.Contains(got, "hosts") {
		t.Errorf("pve2 does not reach pve1 over HTTP: %q", got)
	}
}

// startDaemonListening runs a small web server in a node and returns its port.
func startDaemonListening(t *testing.T, l *Lab, node int) string {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not there to serve HTTP with")
	}
	const port = "8000"
	err := l.StartDaemon(t.Context(), Daemon{Node: node, Name: "web", Argv: []string{"python3", "-m", "http.server", "-d", "/etc", port}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func(ctx context.Context) error {
		conn, err := l.Dial(ctx, node, "tcp", "localhost:"+port)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	return port
}

func TestLabPrometheusEndsWithTheLab(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(prometheusPath); err != nil {
		t.Skip("prometheus is not installed")
	}
	l := startLab(t, Options{Nodes: 1})
	config := filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(config, []byte("global: {scrape_interval: 1s}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := l.StartPrometheus(t.Context(), PrometheusOptions{Listen: freePort(t), ConfigFile: config}); err != nil {
		t.Fatal(err)
	}
	ids := everything(t, l)
	if err := l.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	assertGone(t, l, ids)
}

func TestLabDaemonThatIsNoProgramIsAnError(t *testing.T) {
	t.Parallel()
	l := startLab(t, Options{Nodes: 1})
	err := l.StartDaemon(t.Context(), Daemon{Node: 1, Name: "nothing", Argv: []string{"/no/such/program"}})
	if err == nil || !strings.Contains(err.Error(), "no such program") && !strings.Contains(err.Error(), "No such file") {
		t.Errorf("StartDaemon: %v", err)
	}
	pidFile := filepath.Join(l.NodeDir(1), "run/forked.pid")
	err = l.StartDaemon(t.Context(), Daemon{Node: 1, Name: "forked", PidFile: pidFile,
		Argv: []string{"sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $! > /run/forked.pid"}})
	if err != nil || !l.Running(1, "forked") {
		t.Fatalf("a daemon that forks itself: running %t, %v", l.Running(1, "forked"), err)
	}
	for range 2 { // the second time it does not run
		if err := l.StopDaemon(t.Context(), 1, "forked", syscall.SIGTERM); err != nil || l.Running(1, "forked") {
			t.Errorf("StopDaemon: %v", err)
		}
	}
	if err := l.Signal(1, "forked", syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("Signal after its end: %v", err)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func get(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
