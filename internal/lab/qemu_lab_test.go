package lab

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// playVM is what the lab starts for qmp-held: vm hold SOCKET.
func playVM(args []string) error { return HoldSocket(context.Background(), args[1], os.Stdout) }

const testVM = 120

func TestLabVMs(t *testing.T) {
	if err := VMRequirements(); err != nil {
		t.Skip(err)
	}
	t.Parallel()
	l := startLab(t, Options{Nodes: 3, PVE: true})
	if err := l.StartVM(t.Context(), 1, VMOptions{ID: testVM, WorkingSetPages: 6144, DirtyPagesPerMs: 1}); err != nil {
		t.Fatal(err)
	}
	t.Run("one that runs is not started again", func(t *testing.T) {
		if err := l.StartVM(t.Context(), 1, VMOptions{ID: testVM}); err == nil {
			t.Error("it was")
		}
	})
	t.Run("migrations end as they are made to", func(t *testing.T) { migrationsEnd(t, l) })
	t.Run("the API migrates them", func(t *testing.T) { migratedByAPI(t, l) })
	t.Run("a stopped task ends the migration", func(t *testing.T) { taskStopped(t, l) })
	t.Run("faults", func(t *testing.T) { vmFaults(t, l) })
	t.Run("they come back with their node", func(t *testing.T) { vmNodeDown(t, l) })
}

func migrationsEnd(t *testing.T, l *Lab) {
	for _, c := range []struct {
		name   string
		o      MigrateOptions
		status string // of the task
		qemu   string
		log    string
	}{
		{"as Proxmox VE does it", MigrateOptions{}, MigrationOK, "completed", "migration finished successfully"},
		{"over several connections", MigrateOptions{Multifd: true}, MigrationOK, "completed", "migration finished successfully"},
		{"the guest first", MigrateOptions{Postcopy: true, Bandwidth: 16 << 20}, MigrationOK, "completed", "migration status: completed"},
		{"cancelled", MigrateOptions{Bandwidth: 8 << 20, NoAutoConverge: true, CancelAfter: 1300 * time.Millisecond},
			MigrationProblems, "cancelled", "migration status error: cancelled"},
		{"its destination dies", MigrateOptions{Bandwidth: 8 << 20, KillDestinationAfter: 1300 * time.Millisecond},
			MigrationProblems, "failed", "ERROR: online migrate failure - aborting"},
		{"its destination is dead", MigrateOptions{Refuse: RefusedByDestination},
			MigrationProblems, "failed", "Connection refused"},
		{"its disk is local", MigrateOptions{Refuse: RefusedByStorage}, MigrationAborted, "", "Problem found while scanning volumes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, err := l.vm(testVM)
			if err != nil {
				t.Fatal(err)
			}
			to := 1 + before.Node%3
			r, err := l.Migrate(t.Context(), testVM, to, c.o)
			if err != nil {
				t.Fatal(err)
			}
			t.Log(r)
			if r.Status != c.status || r.Stats.Status != c.qemu || !strings.Contains(strings.Join(r.Log, "\n"), c.log) {
				t.Errorf("%s, by QEMU %q, want %s and %q; its log:\n%s", r.Status, r.Stats.Status, c.status, c.qemu, strings.Join(r.Log, "\n"))
			}
			want := before.Node
			if r.OK() {
				want = to
				if r.GuestPause <= 0 || r.LostBeats != 0 {
					t.Errorf("the guest stood %v and lost %d beats", r.GuestPause, r.LostBeats)
				}
			}
			agree(t, l, r, want)
		})
	}
}

// agree checks that QEMU, /etc/pve and the task list tell the same of a migration.
func agree(t *testing.T, l *Lab, r MigrationResult, node int) {
	t.Helper()
	// Each node's files are written in turn.
	eventually(t, func(context.Context) error {
		var errs []error
		for _, n := range l.Nodes() {
			errs = append(errs, agrees(l, n, node))
		}
		return errors.Join(errs...)
	})
	index, err := os.ReadFile(filepath.Join(l.pveTasksDir(r.From), "index"))
	if err != nil {
		t.Fatal(err)
	}
	if line := lastLine(string(index)); !strings.HasPrefix(line, r.UPID) || !strings.HasSuffix(line, " "+r.Status) {
		t.Errorf("the last task is %q, want %s %s", line, r.UPID, r.Status)
	}
	if state, err := l.vmState(t.Context(), testVM); err != nil || state != "running" {
		t.Errorf("the guest is %q: %v", state, err)
	}
}

// agrees checks what node n has and sees of the guest, which is to be on another or the same.
func agrees(l *Lab, n, on int) error {
	_, sock := os.Stat(l.vmSocket(n, testVM, "qmp"))
	if runs := l.Running(n, vmDaemon(testVM)); runs != (n == on) || (sock == nil) != (n == on) {
		return fmt.Errorf("%s: process %t, socket %w; the guest is on %s", NodeName(n), runs, sock, NodeName(on))
	}
	conf, err := os.ReadFile(filepath.Join(l.PVEDir(n), "nodes", NodeName(on), "qemu-server", fmt.Sprintf("%d.conf", testVM)))
	if err != nil || strings.Contains(string(conf), "lock:") {
		return fmt.Errorf("%s sees the configuration as %q: %w", NodeName(n), conf, err)
	}
	return nil
}

// pvePost is a request of root's.
func pvePost(t *testing.T, l *Lab, method, path, form string) (data string) {
	t.Helper()
	ca, err := os.ReadFile(l.PVECA())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	client := l.HTTPClient(1)
	client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}
	ask := func(method, path, body string, header http.Header) []byte {
		req, err := http.NewRequestWithContext(t.Context(), method, l.PVEURL()+"/api2/json"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		if _, err := b.ReadFrom(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %s %v", method, path, resp.Status, err)
		}
		return b.Bytes()
	}
	var ticket struct {
		Data struct{ Ticket, CSRFPreventionToken string }
	}
	if err := json.Unmarshal(ask("POST", "/access/ticket", "username=root@pam&password="+PVEPassword, http.Header{}), &ticket); err != nil {
		t.Fatal(err)
	}
	var out struct{ Data any }
	body := ask(method, path, form, http.Header{"Cookie": {"PVEAuthCookie=" + ticket.Data.Ticket}, "Csrfpreventiontoken": {ticket.Data.CSRFPreventionToken}})
	if err := json.Unmarshal(body, &out); err != nil {
		t.Fatal(err)
	}
	data, _ = out.Data.(string)
	return data
}

func migratedByAPI(t *testing.T, l *Lab) {
	vm, err := l.vm(testVM)
	if err != nil {
		t.Fatal(err)
	}
	to := 1 + vm.Node%3
	path := fmt.Sprintf("/nodes/%s/qemu/%d/migrate", NodeName(vm.Node), testVM)
	upid := pvePost(t, l, "POST", path, fmt.Sprintf("target=%s&online=1", NodeName(to)))
	ended := waitTask(t, l, vm.Node, upid)
	agree(t, l, MigrationResult{UPID: upid, From: vm.Node, Status: ended}, to)
	if ended != MigrationOK {
		t.Errorf("the task ended with %q", ended)
	}
}

// waitTask returns how a task ended.
func waitTask(t *testing.T, l *Lab, node int, upid string) (status string) {
	t.Helper()
	eventually(t, func(context.Context) error {
		index, err := os.ReadFile(filepath.Join(l.pveTasksDir(node), "index"))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(index)) {
			if rest, is := strings.CutPrefix(line, upid+" "); is {
				_, status, _ = strings.Cut(strings.TrimSpace(rest), " ")
				return nil
			}
		}
		return errors.New("the task has not ended")
	})
	return status
}

func taskStopped(t *testing.T, l *Lab) {
	vm, err := l.vm(testVM)
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan MigrationResult, 1)
	go func() {
		r, err := l.Migrate(t.Context(), testVM, 1+vm.Node%3, MigrateOptions{Bandwidth: 2 << 20, NoAutoConverge: true})
		if err != nil {
			t.Error(err)
		}
		results <- r
	}()
	var upid string
	eventually(t, func(context.Context) error {
		active, err := os.ReadFile(filepath.Join(l.pveTasksDir(vm.Node), "active"))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(active)) {
			if f := strings.Fields(line); len(f) == 2 && strings.Contains(f[0], fmt.Sprintf(":qmigrate:%d:", testVM)) {
				upid = f[0]
				return nil
			}
		}
		return errors.New("no migration runs")
	})
	pvePost(t, l, "DELETE", fmt.Sprintf("/nodes/%s/tasks/%s", NodeName(vm.Node), upid), "")
	r := <-results
	if r.Status != MigrationProblems || !strings.Contains(strings.Join(r.Log, "\n"), "online migrate failure - interrupted by signal") {
		t.Errorf("%s, its log:\n%s", r.Status, strings.Join(r.Log, "\n"))
	}
	agree(t, l, r, vm.Node)
}

func vmFaults(t *testing.T, l *Lab) {
	connect := func(ctx context.Context, node int) error {
		ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		return qmp(ctx, l.vmSocket(node, testVM, "qmp"), "query-status", nil, nil)
	}
	timesOut := func(err error) error {
		if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%w, want no answer", err)
		}
		return nil
	}
	for name, c := range map[string]func(ctx context.Context, node int) error{
		"qemu-hung": func(ctx context.Context, node int) error { return timesOut(connect(ctx, node)) },
		"qmp-held":  func(ctx context.Context, node int) error { return timesOut(connect(ctx, node)) },
		"qemu-killed": func(ctx context.Context, node int) error {
			if err := connect(ctx, node); !errors.Is(err, syscall.ECONNREFUSED) {
				return fmt.Errorf("%w, want a socket that refuses", err)
			}
			return nil
		},
		"vm-paused": func(ctx context.Context, node int) error {
			if state, err := l.vmState(ctx, testVM); err != nil || state != "paused" {
				return fmt.Errorf("%q, %w", state, err)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			arg := fmt.Sprint(testVM)
			if err := l.Inject(t.Context(), name, arg); err != nil {
				t.Fatal(err)
			}
			vm, err := l.vm(testVM)
			if err != nil {
				t.Fatal(err)
			}
			if err := c(t.Context(), vm.Node); err != nil {
				t.Error(err)
			}
			if err := l.Heal(t.Context()); err != nil {
				t.Fatal(err)
			}
			if state, err := l.vmState(t.Context(), testVM); err != nil || state != "running" {
				t.Errorf("healed, the guest is %q: %v", state, err)
			}
		})
	}
	for _, args := range [][]string{{"qemu-hung", "pve1"}, {"qemu-killed", "999"}} {
		if err := l.Inject(t.Context(), args[0], args[1]); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
	if active := l.Active(); len(active) > 0 {
		t.Errorf("faults left: %v", active)
	}
}

func vmNodeDown(t *testing.T, l *Lab) {
	vm, err := l.vm(testVM)
	if err != nil {
		t.Fatal(err)
	}
	old := l.VMPid(testVM)
	if err := l.Inject(t.Context(), "node-down", fmt.Sprint(vm.Node)); err != nil {
		t.Fatal(err)
	}
	if l.VMPid(testVM) != 0 {
		t.Error("it runs on a node without power")
	}
	if err := l.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(ctx context.Context) error {
		if now := l.VMPid(testVM); now == 0 || now == old {
			return fmt.Errorf("pid %d, was %d", now, old)
		}
		state, err := l.vmState(ctx, testVM)
		if err == nil && state != "running" { // not waiting for a migration either
			err = fmt.Errorf("it is %q", state)
		}
		return err
	})
}

func TestLabVMDisksAreInCeph(t *testing.T) {
	if err := VMRequirements(); err != nil {
		t.Skip(err)
	}
	if !qemuKnowsRBD() {
		t.Skip("QEMU knows no RBD (apt install qemu-block-extra)")
	}
	if err := cephRequirements(); err != nil {
		t.Skip(err)
	}
	t.Parallel()
	l := startLab(t, Options{Nodes: 2, Ceph: true})
	if err := l.StartVM(t.Context(), 1, VMOptions{ID: testVM}); err != nil {
		t.Fatal(err)
	}
	out, err := l.cephRun(t.Context(), "", "rbd", "status", "rbd/vm-120-disk-0")
	if err != nil || !strings.Contains(out, l.Addr(1, Storage).String()) {
		t.Errorf("nobody on pve1 watches the image: %s %v", out, err)
	}
	for _, to := range []int{2, 1} {
		r, err := l.Migrate(t.Context(), testVM, to, MigrateOptions{})
		if err != nil || !r.OK() {
			t.Fatalf("%s: %v\n%s", r, err, strings.Join(r.Log, "\n"))
		}
		t.Log(r)
	}
}
