package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/transport"
)

// exporterStep puts quorate itself on every node, with its token and its Ceph client, and writes the
// list of targets for Prometheus.
type exporterStep struct{ *Env }

// exporterToken is where the exporter looks for its token, on a node.
const exporterToken = "/etc/quorate/pve-token"

// The rights of the exporter's Ceph client. Narrower ones make commands to managers hang.
var cephCaps = []string{"mon", "allow r", "mgr", "allow r"}

type exporterSeen struct {
	keyring string // of the Ceph client, "" without one
	nodes   map[string]exporterNode
	targets string
	token   string // what secretOut holds
	wanted  software
}

type exporterNode struct {
	token, keyring string
	installed      installed
	active         bool
}

func (*exporterStep) ID() engine.ID         { return idExporter }
func (*exporterStep) Title() string         { return "the exporter on every node" }
func (*exporterStep) Needs() []engine.ID    { return []engine.ID{idAccess, idMgrs} }
func (*exporterStep) Traits() engine.Traits { return engine.Traits{Spread: -1} }

func (s *exporterStep) Observe(ctx context.Context) (engine.Observed, error) {
	w := s.want().Monitoring
	seen := exporterSeen{nodes: map[string]exporterNode{}}
	var err error
	if seen.targets, err = s.local(w.Targets); err != nil {
		return nil, err
	}
	if w.Exporter.Install {
		if seen.token, err = s.local(w.Token.SecretOut); err != nil {
			return nil, err
		}
		_, secret, _ := strings.Cut(strings.TrimSpace(seen.token), "=")
		s.Hide(secret)
		if seen.wanted, err = s.software(); err != nil {
			return nil, err
		}
	}
	if seen.keyring, err = s.client(ctx); err != nil {
		return nil, err
	}
	for _, n := range s.names() {
		if seen.nodes[n], err = s.observe(ctx, n, seen.wanted); err != nil {
			return nil, err
		}
	}
	return seen, nil
}

// local reads a file of this machine, "" if there is none.
func (s *exporterStep) local(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	if there, err := s.Files.Exists(path); err != nil || !there {
		return "", err
	}
	b, err := s.Files.Read(path)
	return string(b), err
}

// client returns the keyring of the Ceph client as Ceph has it.
func (s *exporterStep) client(ctx context.Context) (string, error) {
	name := s.want().Monitoring.Cephx.Name
	if name == "" {
		return "", nil
	}
	node, mons, err := s.cephNode(ctx)
	if err != nil || node == "" || len(mons) == 0 {
		return "", err
	}
	text, err := s.ask(ctx, node, transport.ShowCephClient(name))
	s.Hide(keyOf(text))
	return text, err
}

// keyOf is the key in a keyring.
func keyOf(keyring string) string {
	for _, l := range strings.Split(keyring, "\n") {
		if k, v, ok := strings.Cut(l, "="); ok && strings.TrimSpace(k) == "key" {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// ask runs a command that only reads; what fails on the node has nothing to show.
func (s *exporterStep) ask(ctx context.Context, node string, c transport.Command) (string, error) {
	out, err := s.Nodes.Shell(node).Run(ctx, c)
	var failed *transport.CommandError
	if errors.As(err, &failed) {
		return "", nil
	}
	return out.Stdout, err
}

func (s *exporterStep) observe(ctx context.Context, node string, wanted software) (exporterNode, error) {
	w := s.want().Monitoring
	var v exporterNode
	var err error
	if w.Cephx.Name != "" {
		if v.keyring, err = s.ask(ctx, node, transport.ReadFile(w.Cephx.Keyring)); err != nil {
			return v, err
		}
		s.Hide(keyOf(v.keyring))
	}
	if !w.Exporter.Install {
		return v, nil
	}
	if v.installed, err = s.installed(ctx, node, wanted); err != nil {
		return v, err
	}
	if v.token, err = s.ask(ctx, node, transport.ReadFile(exporterToken)); err != nil {
		return v, err
	}
	active, err := s.ask(ctx, node, transport.ServiceActive(exporterUnit))
	v.active = active != ""
	return v, err
}

// What a change is about.
const (
	doClient  = "client"
	doKeyring = "keyring"
	doInstall = "install"
	doSecret  = "secret"
	doService = "service"
	doTargets = "targets"
)

// A putting is a piece of software that is put on a node, or the token.
type putting struct {
	file    file
	running bool // the exporter, until now
}

func (s *exporterStep) Diff(have engine.Observed) []engine.Change {
	seen, w := have.(exporterSeen), s.want().Monitoring
	var out []engine.Change
	add := func(node, path, from, to, key string, do any) {
		c := engine.Change{Node: node, Path: path, From: from, To: to, Action: engine.Create, Risk: engine.Safe, Key: key, Do: do}
		if from != "" {
			c.Action = engine.Update
		}
		out = append(out, c)
	}
	if w.Cephx.Name != "" && seen.keyring == "" {
		add("", "cephx/"+w.Cephx.Name, "", strings.Join(cephCaps, " "), doClient, nil)
	}
	for _, n := range s.names() {
		v := seen.nodes[n]
		if w.Cephx.Name != "" && (seen.keyring == "" || keyOf(v.keyring) != keyOf(seen.keyring)) {
			add(n, "keyring"+w.Cephx.Keyring, old(v.keyring), "key of "+w.Cephx.Name, doKeyring, nil)
		}
		if !w.Exporter.Install {
			continue
		}
		before := len(out)
		for _, f := range seen.wanted.differ(v.installed) {
			to := f.from
			if f.data == nil {
				to = "none"
			}
			add(n, f.what+f.path, old(v.installed.sums[f.path]), to, doInstall, putting{f, v.active})
		}
		lost := seen.token == "" && (v.token == "" || s.RotateToken) // there will be another
		if w.Token.SecretOut != "" && (lost || seen.token != "" && v.token != seen.token) {
			add(n, "token"+exporterToken, old(v.token), "as in "+w.Token.SecretOut, doSecret, putting{running: v.active})
		}
		if !v.active || len(out) > before {
			add(n, "service/"+exporterUnit, "", "running", doService, nil)
		}
	}
	if w.Targets != "" && seen.targets != s.targets() {
		add("", "targets/"+w.Targets, old(seen.targets), fmt.Sprintf("%d targets", len(s.names())), doTargets, nil)
	}
	return out
}

// old says in a word, which is no secret, that something else is there.
func old(s string) string {
	if s == "" {
		return ""
	}
	return "another"
}

// targets is the file for Prometheus' file_sd_configs. Targets are host names, from which the alerts
// take the name of the node.
func (s *exporterStep) targets() string {
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	g := group{Labels: map[string]string{"cluster": s.name()}}
	for _, n := range s.names() {
		g.Targets = append(g.Targets, fmt.Sprintf("%s:%d", n, s.want().Monitoring.Exporter.Port))
	}
	b, err := json.MarshalIndent([]group{g}, "", "  ")
	if err != nil {
		return "" // strings only: it cannot fail
	}
	return string(b) + "\n"
}

func (s *exporterStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	w := s.want().Monitoring
	switch c.Key {
	case doClient:
		_, err := s.makeClient(ctx)
		return err
	case doKeyring:
		keyring, err := s.makeClient(ctx)
		if err != nil {
			return err
		}
		return s.run(ctx, c.Node, transport.WriteFile(w.Cephx.Keyring, "0600", []byte(keyring)))
	case doInstall:
		return s.install(ctx, c.Node, c.Do.(putting), report)
	case doSecret:
		token, err := s.local(w.Token.SecretOut)
		if err != nil {
			return err
		}
		if token == "" {
			return &engine.Advice{Node: c.Node, Err: fmt.Errorf("the secret of the token is not in %s", w.Token.SecretOut), Do: "--rotate-token makes a new one"}
		}
		return s.run(ctx, c.Node, c.Do.(putting).then(transport.WriteFile(exporterToken, "0600", []byte(token)))...)
	case doService:
		return s.run(ctx, c.Node, transport.StartService(exporterUnit)...)
	}
	return s.Files.Write(w.Targets, []byte(s.targets()), 0o644)
}

// run runs commands on a node, one after the other.
func (s *exporterStep) run(ctx context.Context, node string, commands ...transport.Command) error {
	for _, c := range commands {
		if _, err := s.Nodes.Shell(node).Run(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// makeClient returns the client's keyring, making it if need be.
func (s *exporterStep) makeClient(ctx context.Context) (string, error) {
	node, _, err := s.cephNode(ctx)
	if err != nil {
		return "", err
	}
	out, err := s.Nodes.Shell(node).Run(ctx, transport.CreateCephClient(s.want().Monitoring.Cephx.Name, cephCaps...))
	s.Hide(keyOf(out.Stdout))
	return out.Stdout, err
}

// Wait implements engine.Step.
func (s *exporterStep) Wait(ctx context.Context, report engine.Reporter) error {
	if !s.want().Monitoring.Exporter.Install {
		return nil
	}
	p := s.poll("the exporter running on all nodes", s.Limits.Reach)
	return p.Until(ctx, func(ctx context.Context) (bool, string, error) {
		out, err := s.down(ctx)
		return len(out) == 0, "not on " + strings.Join(out, ", ") + " (`journalctl -u " + exporterUnit + "` there says why)", err
	})
}

// down are the nodes on which the exporter does not run.
func (s *exporterStep) down(ctx context.Context) ([]string, error) {
	var out []string
	for _, n := range s.names() {
		active, err := s.ask(ctx, n, transport.ServiceActive(exporterUnit))
		if err != nil {
			return out, err
		}
		if active == "" {
			out = append(out, n)
		}
	}
	return out, nil
}
