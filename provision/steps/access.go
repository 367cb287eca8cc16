package steps

import (
	"context"
	"fmt"
	"net/url"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/transport"
)

// accessStep is the account of the exporter: user, token, rights. Proxmox VE shows the secret of a token
// once; it goes into a file of this machine and nowhere else.
type accessStep struct{ *Env }

type accessSeen struct {
	user, token, role   bool
	userRole, tokenRole bool // on /, with what is below
	secret              bool // secretOut is there
	lost                bool // a run of ours made the token and was cut off before it had the secret
}

func (*accessStep) ID() engine.ID { return idAccess }
func (*accessStep) Title() string { return "the account of the exporter" }

// Needs implements engine.Step: a node that joins loses its own users and takes those of the cluster.
func (*accessStep) Needs() []engine.ID { return []engine.ID{idJoin} }

func (s *accessStep) tokenID() string {
	m := s.want().Monitoring
	if m.Token.ID == "" {
		return ""
	}
	return m.User + "!" + m.Token.ID
}

func (s *accessStep) Observe(ctx context.Context) (engine.Observed, error) {
	w := s.want().Monitoring
	var seen accessSeen
	if !w.Declared() {
		return seen, nil
	}
	m, err := s.member(ctx)
	if err != nil {
		return nil, err
	}
	api := s.Nodes.API(m.Node)
	var users []struct {
		ID string `json:"userid"`
	}
	if err := api.Get(ctx, "/access/users", &users); err != nil {
		return nil, err
	}
	for _, u := range users {
		seen.user = seen.user || u.ID == w.User
	}
	var roles []struct {
		ID string `json:"roleid"`
	}
	if err := api.Get(ctx, "/access/roles", &roles); err != nil {
		return nil, err
	}
	for _, r := range roles {
		seen.role = seen.role || r.ID == w.Role
	}
	if err := s.observeACL(ctx, api, &seen); err != nil {
		return nil, err
	}
	if seen.user && w.Token.ID != "" {
		if err := s.observeToken(ctx, api, &seen); err != nil {
			return nil, err
		}
	}
	return seen, s.observeFiles(&seen)
}

func (s *accessStep) observeACL(ctx context.Context, api transport.API, seen *accessSeen) error {
	var rows []struct {
		Path      string   `json:"path"`
		Who       string   `json:"ugid"`
		Role      string   `json:"roleid"`
		Propagate pve.Bool `json:"propagate"`
	}
	if err := api.Get(ctx, "/access/acl", &rows); err != nil {
		return err
	}
	for _, r := range rows {
		if r.Path != "/" || r.Role != s.want().Monitoring.Role || !r.Propagate.V {
			continue
		}
		seen.userRole = seen.userRole || r.Who == s.want().Monitoring.User
		seen.tokenRole = seen.tokenRole || r.Who == s.tokenID()
	}
	return nil
}

func (s *accessStep) observeToken(ctx context.Context, api transport.API, seen *accessSeen) error {
	var tokens []struct {
		ID string `json:"tokenid"`
	}
	w := s.want().Monitoring
	if err := api.Get(ctx, "/access/users/"+url.PathEscape(w.User)+"/token", &tokens); err != nil {
		return err
	}
	for _, t := range tokens {
		seen.token = seen.token || t.ID == w.Token.ID
	}
	return nil
}

// pending marks that a token is being made whose secret is not written down yet.
func (s *accessStep) pending() string { return s.want().Monitoring.Token.SecretOut + ".pending" }

func (s *accessStep) observeFiles(seen *accessSeen) (err error) {
	out := s.want().Monitoring.Token.SecretOut
	if out == "" {
		seen.secret = true
		return nil
	}
	if seen.secret, err = s.Files.Exists(out); err != nil {
		return err
	}
	seen.lost, err = s.Files.Exists(s.pending())
	return err
}

// The things that are to be done, in this order.
const (
	doUser     = "user"
	doUserACL  = "acl-user"
	doToken    = "token"
	doRotate   = "rotate"
	doTokenACL = "acl-token"
)

func (s *accessStep) Diff(have engine.Observed) []engine.Change {
	seen, w := have.(accessSeen), s.want().Monitoring
	if !w.Declared() {
		return nil
	}
	var out []engine.Change
	if !seen.role {
		return []engine.Change{{Path: "role/" + w.Role, To: "exists", Action: engine.Forbidden, Note: "there is no such role; PVEAuditor is what the exporter needs"}}
	}
	add := func(missing bool, path, to, key string) {
		if missing {
			out = append(out, engine.Change{Path: path, To: to, Action: engine.Create, Risk: engine.Safe, Key: key})
		}
	}
	add(!seen.user, "user/"+w.User, "exists", doUser)
	add(!seen.userRole, "acl/"+w.User, w.Role+" on /", doUserACL)
	if w.Token.ID == "" {
		return out
	}
	path, tokenRole := "token/"+s.tokenID(), seen.tokenRole
	switch {
	case !seen.token:
		add(true, path, "secret to "+w.Token.SecretOut, doToken)
	case !seen.secret && (s.RotateToken || seen.lost):
		out = append(out, engine.Change{Path: path, From: "secret lost", To: "new secret to " + w.Token.SecretOut, Action: engine.Update, Risk: engine.Low, Key: doRotate})
		tokenRole = false // it goes with the old token
	case !seen.secret:
		out = append(out, engine.Change{Path: path, From: "exists", Action: engine.Noop,
			Note: "its secret is not in " + w.Token.SecretOut + " and cannot be read again; --rotate-token makes a new one"})
	case s.RotateToken:
		out = append(out, engine.Change{Path: path, From: "secret in " + w.Token.SecretOut, Action: engine.Noop, Note: "--rotate-token: remove that file first"})
	}
	if w.Token.PrivSep {
		add(!tokenRole, "acl/"+s.tokenID(), w.Role+" on /", doTokenACL)
	}
	return out
}

func (s *accessStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	m, err := s.member(ctx)
	if err != nil {
		return err
	}
	api, w := s.Nodes.API(m.Node), s.want().Monitoring
	acl := func(kind, who string) error {
		return api.Put(ctx, "/access/acl", transport.Params{"path": "/", "roles": w.Role, kind: who, "propagate": true}, nil)
	}
	switch c.Key {
	case doUser:
		return api.Post(ctx, "/access/users", transport.Params{"userid": w.User, "comment": "made by quorate for monitoring"}, nil)
	case doUserACL:
		return acl("users", w.User)
	case doTokenACL:
		return acl("tokens", s.tokenID())
	case doRotate:
		if err := api.Delete(ctx, s.tokenPath(), nil); err != nil {
			return err
		}
	}
	return s.makeToken(ctx, api)
}

func (s *accessStep) tokenPath() string {
	w := s.want().Monitoring
	return "/access/users/" + url.PathEscape(w.User) + "/token/" + url.PathEscape(w.Token.ID)
}

// makeToken makes the token and writes its secret down. The mark is written first: whoever finds it
// later knows that the secret was lost on its way to us and that nobody else has it.
func (s *accessStep) makeToken(ctx context.Context, api transport.API) error {
	w := s.want().Monitoring
	if w.Token.SecretOut != "" {
		if err := s.Files.Write(s.pending(), []byte("the token is being made\n"), 0o600); err != nil {
			return fmt.Errorf("before making a token: %w", err)
		}
	}
	var reply struct {
		Value string `json:"value"`
	}
	if err := api.Post(ctx, s.tokenPath(), transport.Params{"privsep": w.Token.PrivSep, "comment": "quorate"}, &reply); err != nil {
		return err
	}
	s.Hide(reply.Value)
	if w.Token.SecretOut == "" {
		return nil
	}
	if err := s.Files.Write(w.Token.SecretOut, []byte(s.tokenID()+"="+reply.Value+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the secret of the token: %w", err)
	}
	return s.Files.Remove(s.pending())
}

func (*accessStep) Wait(context.Context, engine.Reporter) error { return nil }
