package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/living"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/transport"
)

// joinStep adds the other nodes, strictly one after the other: corosync takes in one at a time, and the
// next must find a quorum.
type joinStep struct{ *Env }

type joinSeen struct {
	member living.View
	config map[string]map[int]string // links by node, as corosync.conf has them
	nodes  map[string]joinerSeen
}

// joinerSeen is a node as it shows itself.
type joinerSeen struct {
	silent error // listed by the cluster, but it does not answer
	own    living.View
	guests int
}

func (*joinStep) ID() engine.ID      { return idJoin }
func (*joinStep) Title() string      { return "the other nodes join" }
func (*joinStep) Needs() []engine.ID { return []engine.ID{idCreate} }

func (s *joinStep) Observe(ctx context.Context) (engine.Observed, error) {
	m, err := s.member(ctx)
	if err != nil {
		return nil, err
	}
	seen := joinSeen{member: m, config: map[string]map[int]string{}, nodes: map[string]joinerSeen{}}
	if m.Name != "" {
		if seen.config, err = s.ring(ctx, m.Node); err != nil {
			return nil, err
		}
	}
	for _, n := range s.names() {
		if n == m.Node {
			continue
		}
		listed := seen.config[n] != nil
		j, err := s.joiner(ctx, m, n, listed)
		if err != nil {
			return nil, err
		}
		seen.nodes[n] = j
	}
	return seen, nil
}

// joiner looks at one node. The silence of a node that the cluster lists is a fact, that of another is not.
func (s *joinStep) joiner(ctx context.Context, m living.View, name string, listed bool) (joinerSeen, error) {
	own, err := s.view(ctx, name)
	if listed && err != nil && pve.IsKind(err, pve.TLS) {
		// It joined in a run that was cut off, and has a new certificate.
		if prints, perr := s.fingerprints(ctx, m.Node); perr == nil && prints[name] != "" {
			s.Nodes.Renew(name, prints[name])
			own, err = s.view(ctx, name)
		}
	}
	if err != nil {
		if listed && ctx.Err() == nil && (transport.Passing(err) || transport.Unreachable(err)) {
			return joinerSeen{silent: err}, nil
		}
		return joinerSeen{}, err
	}
	j := joinerSeen{own: own}
	if own.Name == "" {
		if j.guests, err = s.guests(ctx, name); err != nil {
			return joinerSeen{}, err
		}
	}
	return j, nil
}

// guests counts the virtual machines and containers of a node.
func (e *Env) guests(ctx context.Context, node string) (int, error) {
	n := 0
	for _, kind := range []string{"qemu", "lxc"} {
		var rows []struct{}
		if err := e.Nodes.API(node).Get(ctx, "/nodes/"+node+"/"+kind, &rows); err != nil {
			return 0, err
		}
		n += len(rows)
	}
	return n, nil
}

// ring returns the links of all nodes in corosync.conf.
func (s *joinStep) ring(ctx context.Context, node string) (map[string]map[int]string, error) {
	var rows []map[string]any
	if err := s.Nodes.API(node).Get(ctx, "/cluster/config/nodes", &rows); err != nil {
		return nil, err
	}
	out := map[string]map[int]string{}
	for _, r := range rows {
		links := map[int]string{}
		for i := range 8 {
			if addr, ok := r[fmt.Sprintf("ring%d_addr", i)].(string); ok {
				links[i] = addr
			}
		}
		if name, ok := r["name"].(string); ok {
			out[name] = links
		}
	}
	return out, nil
}

func (s *joinStep) Diff(have engine.Observed) []engine.Change {
	seen := have.(joinSeen)
	var out []engine.Change
	for _, n := range s.want().Nodes {
		links := seen.config[n.Name]
		if n.Name != seen.member.Node {
			if c, ok := s.diff(seen, n, links != nil); ok {
				out = append(out, c)
			}
		}
		if c, ok := s.differentLinks(n, links); ok {
			out = append(out, c)
		}
	}
	return out
}

func (s *joinStep) diff(seen joinSeen, n spec.Node, listed bool) (engine.Change, bool) {
	j := seen.nodes[n.Name]
	c := engine.Change{Node: n.Name, Path: "member/" + n.Name, To: linkText(s.linkParams(n, nil)), Action: engine.Create, Risk: engine.Low}
	_, online := seen.member.Has(n.Name)
	switch {
	case listed && j.silent == nil && online && j.own.Name == s.name() && j.own.Quorate:
		return c, false
	case listed:
		c.Action, c.Risk, c.From = engine.Update, engine.Safe, "listed, but not up"
		c.Note = "waits for the node to finish joining"
		if s.RepairJoin {
			c.Risk, c.Note = engine.Low, "--repair-join takes the node out of the cluster and joins it again"
		}
	case j.own.Name == s.name():
		c.Action, c.From, c.Note = engine.Forbidden, "believes to be a member", "the cluster does not list it; clean it as `man pvecm` says under \"separate a node\""
	case j.own.Name != "":
		c.Action, c.From, c.Note = engine.Forbidden, "in cluster "+j.own.Name, "a node is in one cluster only"
	case j.guests > 0:
		c.Action, c.From = engine.Forbidden, fmt.Sprintf("%d guests", j.guests)
		c.Note = "a node with guests cannot join, as their IDs may be taken; back them up and remove them"
	}
	return c, true
}

// differentLinks is about a member whose corosync addresses are not those of the file.
func (s *joinStep) differentLinks(n spec.Node, have map[int]string) (engine.Change, bool) {
	if len(have) == 0 {
		return engine.Change{}, false
	}
	want := s.links(n)
	same := len(want) == len(have)
	for i, addr := range want {
		same = same && (have[i] == addr || have[i] == n.Name && i == 0)
	}
	if same {
		return engine.Change{}, false
	}
	return engine.Change{
		Node: n.Name, Path: "member/" + n.Name + "/links", From: plainLinks(have), To: plainLinks(want), Action: engine.Forbidden,
		Note: "links of a running cluster are changed by hand in /etc/pve/corosync.conf (config_version + 1), or correct the file",
	}, true
}

func plainLinks(links map[int]string) string {
	var parts []string
	for _, i := range sortedLinks(links) {
		parts = append(parts, fmt.Sprintf("link%d %s", i, links[i]))
	}
	return strings.Join(parts, "; ")
}

func (s *joinStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	m, err := s.member(ctx)
	if err != nil {
		return err
	}
	upid := ""
	if c.Action == engine.Update && s.RepairJoin {
		if err := s.repair(ctx, m, c.Node, report); err != nil {
			return err
		}
	}
	if c.Action == engine.Create || s.RepairJoin {
		if upid, err = s.join(ctx, m, c.Node, report); err != nil {
			return err
		}
	}
	return s.joined(ctx, m.Node, c.Node, upid, report)
}

// join tells a node to join and returns its task.
func (s *joinStep) join(ctx context.Context, m living.View, name string, report engine.Reporter) (upid string, err error) {
	n, _ := s.node(name)
	through, _ := s.node(m.Node)
	if s.BySSH {
		_, err := s.Nodes.Shell(name).Run(ctx, transport.JoinBySSH(through.Management.String(), s.linkParams(n, nil)))
		return "", err
	}
	prints, err := s.fingerprints(ctx, m.Node)
	if err != nil {
		return "", err
	}
	password, err := s.Secret(ctx, s.want().Access.API.Password)
	if err != nil {
		return "", fmt.Errorf("password of root@pam, which joining needs: %w", err)
	}
	p := transport.Params{"hostname": through.Management.String(), "password": password, "fingerprint": prints[m.Node]}
	s.linkParams(n, p)
	if err := s.Nodes.API(name).Post(ctx, "/cluster/config/join", p, &upid); err != nil {
		return "", err
	}
	report.Task(name, upid)
	return upid, nil
}

// joined waits until the cluster sees the node, the node sees the cluster, and both have quorum. The
// node's API restarts meanwhile with another key and certificate, so it is the member that is asked first.
func (s *joinStep) joined(ctx context.Context, member, name, upid string, report engine.Reporter) error {
	p := s.poll("node "+name+" in cluster "+s.name(), s.Limits.Join)
	var failed error
	var last living.View
	err := p.Until(ctx, func(ctx context.Context) (bool, string, error) {
		if failed = s.taskFailed(ctx, name, upid); failed != nil {
			return true, "", nil
		}
		m, err := s.view(ctx, member)
		if err != nil {
			return false, "", err
		}
		last = m
		listed, online := m.Has(name)
		state := fmt.Sprintf("%s lists it: %t, online: %t, quorate: %t", member, listed, online, m.Quorate)
		report.Progress(name, state)
		if !listed || !online || !m.Quorate {
			return false, state, nil
		}
		prints, err := s.fingerprints(ctx, member)
		if err != nil {
			return false, state, err
		}
		s.Nodes.Renew(name, prints[name])
		own, err := s.view(ctx, name)
		if err != nil {
			// Its certificate, its key and its daemons change one after the other.
			return false, state + "; it does not answer: " + err.Error(), nil
		}
		return own.Name == s.name() && own.Quorate, state + "; it does not see the cluster yet", nil
	})
	switch {
	case failed != nil:
		return failed
	case err == nil && upid != "":
		if t, err := s.tasks().Status(ctx, upid); err == nil {
			s.tasks().Warn(ctx, upid, t.Exit, report)
		}
		return nil
	case err == nil || ctx.Err() != nil:
		return err
	}
	return &engine.Advice{Node: name, Err: err, Do: repairAdvice(last, member, name)}
}

// taskFailed returns how the joining task ended, if it did badly and its node still tells.
func (s *joinStep) taskFailed(ctx context.Context, node, upid string) error {
	if upid == "" {
		return nil
	}
	t, err := s.tasks().Status(ctx, upid)
	if err != nil || t.Status != "stopped" || t.Good() {
		return nil // not known is not failed
	}
	return s.tasks().Failure(ctx, upid, t.Exit)
}

func (s *joinStep) Wait(ctx context.Context, report engine.Reporter) error {
	p := s.poll("all nodes online and quorate", s.Limits.Join)
	return p.Until(ctx, func(ctx context.Context) (bool, string, error) {
		m, err := s.member(ctx)
		if err != nil {
			return false, "", err
		}
		var missing []string
		for _, n := range s.names() {
			if _, online := m.Has(n); !online {
				missing = append(missing, n)
			}
		}
		if m.Name == s.name() && m.Quorate && len(missing) == 0 {
			return true, "", nil
		}
		return false, fmt.Sprintf("quorate: %t, not online: %s", m.Quorate, strings.Join(missing, ", ")), nil
	})
}

// Settle implements engine.Settler: a join that an earlier run has begun goes on without us.
func (s *joinStep) Settle(ctx context.Context, report engine.Reporter) error {
	for _, n := range s.names() {
		err := s.settle(ctx, []string{n}, report, "clusterjoin")
		var advice *engine.Advice
		// Its API restarts in the middle of it, and its old login is void: that is for joined to see.
		if err != nil && ctx.Err() == nil && (transport.Passing(err) || transport.Unreachable(err) || errors.As(err, &advice)) {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
