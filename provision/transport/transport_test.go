package transport

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/internal/source/pve"
)

// recorder is a Set that notes what reaches it.
type recorder struct {
	calls  []string
	stdout string
	err    error
}

func (r *recorder) API(string) API       { return r }
func (r *recorder) Shell(string) Shell   { return r }
func (r *recorder) Renew(string, string) {}

func (r *recorder) note(s string) error { r.calls = append(r.calls, s); return r.err }

func (r *recorder) Get(_ context.Context, p string, _ any) error { return r.note("GET " + p) }
func (r *recorder) Post(_ context.Context, p string, _ Params, _ any) error {
	return r.note("POST " + p)
}
func (r *recorder) Put(_ context.Context, p string, _ Params, _ any) error { return r.note("PUT " + p) }
func (r *recorder) Delete(_ context.Context, p string, _ any) error        { return r.note("DELETE " + p) }
func (r *recorder) Run(_ context.Context, c Command) (Output, error) {
	return Output{Stdout: r.stdout}, r.note(c.String())
}

func TestReadOnlyLetsNothingButReadsPass(t *testing.T) {
	r := &recorder{}
	s := ReadOnly(r)
	a, sh := s.API("pve1"), s.Shell("pve1")
	ctx := t.Context()
	if err := a.Get(ctx, "/version", nil); err != nil {
		t.Error(err)
	}
	if _, err := sh.Run(ctx, ReadFile("/etc/hostname")); err != nil {
		t.Error(err)
	}
	run := func(c Command) error { _, err := sh.Run(ctx, c); return err }
	for name, err := range map[string]error{
		"post":          a.Post(ctx, "/x", nil, nil),
		"put":           a.Put(ctx, "/x", nil, nil),
		"delete":        a.Delete(ctx, "/x", nil),
		"install":       run(InstallCeph("no-subscription", "squid")),
		"config":        run(SetCephConfig("osd", "a", "1")),
		"write":         run(WriteFile("/x", "0644", nil)),
		"packages":      run(InstallPackages("x")),
		"join":          run(JoinBySSH("192.0.2.1", nil)),
		"qdevice":       run(SetUpQDevice("192.0.2.1")),
		"cephx":         run(CreateCephClient("client.x")),
		"crush rule":    run(CreateCrushRule("r", "osd", "")),
		"dead-man":      run(armRestore(DeadManTime)),
		"copy":          run(keepInterfaces()),
		"pvesh write":   run(Command{Argv: []string{"pvesh", "create", "/x"}}),
		"setting date":  run(Command{Argv: []string{"date", "-s", "now"}}),
		"ip change":     run(Command{Argv: []string{"ip", "link", "set", "eth0", "down"}}),
		"nothing":       run(Command{}),
		"a longer name": run(Command{Argv: []string{"catapult"}}),
	} {
		var w *WriteError
		if !errors.As(err, &w) || Passing(err) {
			t.Errorf("%s: %v, want a WriteError that is not tried again", name, err)
		}
	}
	if want := []string{"GET /version", "cat /etc/hostname"}; !slices.Equal(r.calls, want) {
		t.Errorf("passed %v, want %v", r.calls, want)
	}
}

func TestPveshSpeaksTheAPI(t *testing.T) {
	for _, tt := range []struct {
		name   string
		call   func(p pvesh, out *string) error
		stdout string
		want   string
		out    string
	}{
		{"get with a query", func(p pvesh, out *string) error { return p.Get(t.Context(), "/nodes/a/tasks?source=active", out) }, `"x"`,
			"pvesh get /nodes/a/tasks --source active --output-format json", "x"},
		{"create", func(p pvesh, out *string) error {
			return p.Post(t.Context(), "/cluster/config", Params{"link0": "10.0.0.1,priority=5", "clustername": "c1", "force": true}, out)
		}, "Writing corosync config\n\"UPID:a:1\"\n", "pvesh create /cluster/config --clustername c1 --force 1 --link0 10.0.0.1,priority=5 --output-format json", "UPID:a:1"},
		{"set", func(p pvesh, out *string) error { return p.Put(t.Context(), "/x", Params{"n": 3}, nil) }, "", "pvesh set /x --n 3 --output-format json", ""},
		{"delete", func(p pvesh, out *string) error { return p.Delete(t.Context(), "/x", nil) }, "", "pvesh delete /x --output-format json", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &recorder{stdout: tt.stdout}
			var out string
			if err := tt.call(pvesh{r}, &out); err != nil || !slices.Equal(r.calls, []string{tt.want}) || out != tt.out {
				t.Errorf("ran %v, got %q, %v", r.calls, out, err)
			}
		})
	}
}

func TestPveshNeverPutsASecretOnACommandLine(t *testing.T) {
	r := &recorder{}
	err := pvesh{r}.Post(t.Context(), "/storage", Params{"password": "hunter2", "storage": "pbs"}, nil)
	if err == nil || len(r.calls) > 0 || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("ran %v, error %v; want a refusal", r.calls, err)
	}
}

func TestPveshFailuresAreLikeThoseOfTheAPI(t *testing.T) {
	for _, tt := range []struct {
		stderr  string
		kind    pve.Kind
		passing bool
	}{
		{"400 Parameter verification failed.\nfoo: property is not defined", pve.Client4xx, false},
		{"cluster not ready - no quorum?", pve.NoQuorum, true},
		{"storage 'x' does not exist", pve.Server, false},
		{"can't lock file '/var/lock/x' - got timeout", pve.Server, true},
	} {
		r := &recorder{err: &CommandError{Node: "pve1", Code: 255, Stderr: tt.stderr}}
		err := pvesh{r}.Get(t.Context(), "/x", nil)
		if !pve.IsKind(err, tt.kind) || Passing(err) != tt.passing || !strings.Contains(err.Error(), "pve1") {
			t.Errorf("%q: %v (passing %t), want kind %s", tt.stderr, err, Passing(err), tt.kind)
		}
	}
}

func TestWhichErrorsAreWorthLookingAgain(t *testing.T) {
	server := func(text string) error { return &pve.Error{Kind: pve.Server, Status: 500, Text: text, Sent: true} }
	for _, tt := range []struct {
		name string
		err  error
		want bool
	}{
		{"nothing", nil, false},
		{"595", &pve.Error{Kind: pve.NodeUnreachable, Status: 595}, true},
		{"596", &pve.Error{Kind: pve.NodeUnreachable, Status: 596}, true},
		{"a lost reply", &pve.Error{Kind: pve.Truncated, Sent: true}, true},
		{"nobody listens", &pve.Error{Kind: pve.Refused}, true},
		{"too late", &pve.Error{Kind: pve.Timeout, Sent: true}, true},
		{"no quorum", &pve.Error{Kind: pve.NoQuorum, Status: 500}, true},
		{"503", &pve.Error{Kind: pve.Server, Status: 503}, true},
		{"cfs lock", server("error with cfs lock 'file-storage_cfg': got lock request timeout"), true},
		{"file lock", server("can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout"), true},
		{"migrating", server("VM is locked (migrate)"), true},
		{"digest", server("detected modified configuration - file changed by other user? Try again."), true},
		{"wrapped", fmt.Errorf("pve2: %w", server("got lock request timeout")), true},
		{"exists already", server("create storage failed: storage ID 'x' already defined"), false},
		{"other 500", server("not a valid block device"), false},
		{"400", &pve.Error{Kind: pve.Client4xx, Status: 400}, false},
		{"403", &pve.Error{Kind: pve.Forbidden, Status: 403}, false},
		{"501", &pve.Error{Kind: pve.NotImplemented, Status: 501}, false},
		{"401", &pve.Error{Kind: pve.Unauthorized, Status: 401}, false},
		{"another certificate", &pve.Error{Kind: pve.TLS}, false},
		{"a broken SSH connection", &LostError{"pve1", "x", errors.New("EOF")}, true},
		{"a failed command", &CommandError{Node: "pve1", Code: 1}, false},
		{"we gave up", &LostError{"pve1", "x", context.Canceled}, false},
	} {
		if got := Passing(tt.err); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}

func TestPinsAreRememberedAcrossRuns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir", "pins.json")
	p, err := OpenPins(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Set("pve1", "AA"), p.Set("pve2", "BB"), p.Set("pve1", "CC"), p.Set("pve2", "")); err != nil {
		t.Fatal(err)
	}
	q, err := OpenPins(path)
	if err != nil || q.Get("pve1") != "CC" || q.Get("pve2") != "" {
		t.Errorf("pve1 %q, pve2 %q, %v; want CC and none", q.Get("pve1"), q.Get("pve2"), err)
	}
}

func TestTheDeadManSwitchIsArmedBeforeAndReleasedAfter(t *testing.T) {
	r := &recorder{}
	d, err := ArmDeadMan(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"cp --preserve /etc/network/interfaces /etc/network/interfaces.quorate",
		"systemd-run --unit=quorate-network-restore --on-active=120 /bin/sh -c 'cp --preserve /etc/network/interfaces.quorate /etc/network/interfaces && ifreload -a'",
		"systemctl stop quorate-network-restore.timer",
	}
	if !slices.Equal(r.calls, want) {
		t.Errorf("ran\n%s", strings.Join(r.calls, "\n"))
	}
}
