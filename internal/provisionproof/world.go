package provisionproof

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/program"
	"github.com/quorate/quorate/provision/session"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/steps"
	"github.com/quorate/quorate/provision/transport"
)

// Secrets of the file. They are long and odd, so that one that leaks is found.
const (
	RootPassword = "canary-root-9f31c2"
	PBSPassword  = "canary-pbs-77ab04"
)

// A World is a fake cluster and the operator's machine beside it. A run that is killed leaves both as
// they are.
type World struct {
	Fake  *pvefake.Cluster
	Spec  *spec.Cluster
	Files *MemFiles
	// Program is what the nodes get as their exporter; NewWorld has a small one that says of itself what a
	// real one says.
	Program program.Source
	Pins    *transport.Pins

	// Target is engine.Options.Target.
	Target []engine.ID
	// BySSH uses pvesh instead of the API.
	BySSH bool
	// Timeout of one request; default 20 s.
	Timeout time.Duration
	// Log is of the connections; nil is nowhere.
	Log *slog.Logger
	// Parallel is engine.Options.Parallel.
	Parallel int
	// Wrap, when not nil, stands between the steps and the nodes.
	Wrap func(transport.Set) transport.Set
	// Change, when not nil, alters what the steps are given.
	Change func(*steps.Env)
	// Idle, when not nil, returns when nobody works for the fake any more (pvefake.Options.Perform): before
	// that its clock stands still, for such work takes real time.
	Idle func(context.Context) error
}

// Close ends the fake.
func (w *World) Close() { w.Fake.Close() }

// clock moves the fake.
type clock struct {
	fake *pvefake.Cluster
	idle func(context.Context) error
}

func (c clock) Now() time.Time { return c.fake.Now() }

func (c clock) Sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if c.idle != nil {
		if err := c.idle(ctx); err != nil {
			return err
		}
	}
	c.fake.Advance(max(d, time.Second).Round(time.Second))
	return ctx.Err()
}

// resolver knows the secrets of the file.
type resolver struct{}

func (resolver) Env(name string) (string, bool) {
	v, ok := map[string]string{"PVE_ROOT_PASSWORD": RootPassword, "PBS_PASSWORD": PBSPassword}[name]
	return v, ok
}

func (resolver) File(context.Context, string) (string, error) { return "", errors.New("no such file") }
func (resolver) Prompt(context.Context, string) (string, error) {
	return "", errors.New("nobody is here")
}

// standIn is a program that can be copied in no time.
func standIn() (program.Program, error) {
	return program.Program{Path: "/usr/bin/quorate", OS: "linux", Arch: "amd64", Cgo: true, Data: []byte("\x7fELF of quorate")}, nil
}

// Here is the operator's machine as the checks see it.
func (w *World) Here() session.Here { return session.Here{Program: w.Program, Files: w.Files} }

// Resolver knows the secrets of the file.
func (w *World) Resolver() spec.Resolver { return resolver{} }

// Clock moves the fake instead of waiting.
func (w *World) Clock() engine.Clock { return clock{w.Fake, w.Idle} }

// Fleet connects to the fake's nodes as a program that was just started.
func (w *World) Fleet() (*transport.Fleet, error) {
	var hosts []transport.Host
	for i, n := range w.Spec.Spec.Nodes {
		f := w.Fake.Node(i + 1)
		hosts = append(hosts, transport.Host{Name: n.Name, API: f.Addr(), SSH: f.SSHAddr(), HostKey: f.SSHHostKey()})
	}
	via := transport.ViaAPI
	if w.BySSH {
		via = transport.ViaSSH
	}
	return transport.NewFleet(transport.Config{
		Hosts: hosts, Via: via, User: "root@pam", Password: pve.NewSecret(RootPassword), Pin: transport.PinFirstUse, Pins: w.Pins,
		SSH: transport.SSHConfig{User: "root", Password: RootPassword}, Now: w.Fake.Now, Timeout: cmp.Or(w.Timeout, 20*time.Second), Log: w.Log,
	})
}

// env is what the steps of one run share.
func (w *World) env(nodes transport.Set, redact *engine.Redactor) *steps.Env {
	if w.Wrap != nil {
		nodes = w.Wrap(nodes)
	}
	e := &steps.Env{
		Spec: w.Spec, Nodes: nodes, Clock: w.Clock(), Files: w.Files, Program: w.Program, Hide: redact.Add, BySSH: w.BySSH,
		Secret: func(ctx context.Context, s spec.Secret) (string, error) { return s.Resolve(ctx, resolver{}) },
	}
	if w.Change != nil {
		w.Change(e)
	}
	return e
}

// A Run is what one start of the program did.
type Run struct {
	Result   *engine.Result
	Writes   int // requests that were not reads, logins not counted
	Requests int
}

// Apply runs `apply` once, as a new process would, and counts.
func (w *World) Apply(ctx context.Context, tell func(engine.Event)) (run Run, err error) {
	fleet, err := w.Fleet()
	if err != nil {
		return run, err
	}
	defer func() { err = errors.Join(err, fleet.Close()) }()
	before, writes := w.Fake.Requests(), len(w.Writes())
	e := w.env(fleet, &engine.Redactor{})
	if err = e.Connect(ctx, true); err == nil {
		run.Result, err = engine.Apply(ctx, steps.All(e), nil, w.options(tell))
	}
	run.Requests, run.Writes = w.Fake.Requests()-before, len(w.Writes())-writes
	return run, err
}

func (w *World) options(tell func(engine.Event)) engine.Options {
	return engine.Options{Cluster: w.Spec.Metadata.Name, Target: w.Target, Parallel: w.Parallel, Clock: w.Clock(), Again: transport.Passing, Tell: tell}
}

// Plan plans on a transport that can only read.
func (w *World) Plan(ctx context.Context) (p *engine.Plan, err error) {
	fleet, err := w.Fleet()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, fleet.Close()) }()
	e := w.env(transport.ReadOnly(fleet), &engine.Redactor{})
	if err := e.Connect(ctx, true); err != nil {
		return nil, err
	}
	return engine.MakePlan(ctx, steps.All(e), w.options(nil))
}

// Env gives direct access to the steps' view, for verify. close ends its connections.
func (w *World) Env() (e *steps.Env, closer io.Closer, err error) {
	fleet, err := w.Fleet()
	if err != nil {
		return nil, nil, err
	}
	return w.env(transport.ReadOnly(fleet), &engine.Redactor{}), fleet, nil
}

// Writes are the requests and commands that the fake has received and that were not reads, logins left out.
func (w *World) Writes() []string {
	var out []string
	for _, c := range w.Fake.Calls() {
		switch {
		case c.Method == "GET", c.Path == "/access/ticket":
		case c.Method == "SSH" && (transport.Command{Argv: strings.Fields(c.Path)}).Reads():
		default:
			out = append(out, c.Method+" "+c.Path)
		}
	}
	return out
}

// MemFiles are the files of the operator's machine.
type MemFiles struct {
	mu  sync.Mutex
	all map[string][]byte
}

// NewMemFiles has none.
func NewMemFiles() *MemFiles { return &MemFiles{all: map[string][]byte{}} }

// Exists implements steps.Files.
func (f *MemFiles) Exists(path string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.all[path]) > 0, nil
}

// Read implements steps.Files.
func (f *MemFiles) Read(path string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, ok := f.all[path]
	if !ok {
		return nil, fmt.Errorf("%s: no such file", path)
	}
	return b, nil
}

// Write implements steps.Files.
func (f *MemFiles) Write(path string, data []byte, _ uint32) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[path] = data
	return nil
}

// Remove implements steps.Files.
func (f *MemFiles) Remove(path string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.all, path)
	return nil
}
