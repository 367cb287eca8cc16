package steps

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/transport"
)

// installStep installs Ceph's packages. There is no API for it, and at its end pvedaemon and pveproxy
// restart.
type installStep struct{ *Env }

// cephMajor are the major versions of Ceph's releases.
var cephMajor = map[string]int{"quincy": 17, "reef": 18, "squid": 19, "tentacle": 20}

func (*installStep) ID() engine.ID         { return idInstall }
func (*installStep) Title() string         { return "the packages of Ceph" }
func (*installStep) Needs() []engine.ID    { return []engine.ID{idJoin, idRepos} }
func (*installStep) Traits() engine.Traits { return engine.Traits{Spread: 2} }

func (s *installStep) Observe(ctx context.Context) (engine.Observed, error) {
	seen := map[string]string{} // version by node, "" when not installed
	for _, n := range s.cephNodes() {
		var rows []struct {
			Package string `json:"Package"`
			State   string `json:"CurrentState"`
			Old     string `json:"OldVersion"`
			Version string `json:"Version"`
		}
		if err := s.Nodes.API(n).Get(ctx, "/nodes/"+n+"/apt/versions", &rows); err != nil {
			return nil, err
		}
		seen[n] = ""
		for _, r := range rows {
			if r.Package == "ceph" && r.State == "Installed" {
				seen[n] = r.Version
				if r.Old != "" {
					seen[n] = r.Old // what is installed; Version is then the candidate
				}
			}
		}
	}
	return seen, nil
}

func (s *installStep) Diff(have engine.Observed) []engine.Change {
	seen, release := have.(map[string]string), s.want().Ceph.Release
	var out []engine.Change
	for _, n := range s.cephNodes() {
		version := seen[n]
		c := engine.Change{Node: n, Path: "packages/ceph", From: version, To: release, Action: engine.Create, Risk: engine.Low}
		switch {
		case version == "":
			out = append(out, c)
		case release != "" && cephMajor[release] != 0 && majorOf(version) != cephMajor[release]:
			c.Action, c.Note = engine.Forbidden, "a change of Ceph's release is an upgrade, which apply does not do; see docs/runbooks or the wiki of Proxmox VE"
			out = append(out, c)
		}
	}
	return out
}

// majorOf reads the 20 of 20.2.1-pve1 and of 1:20.2.1.
func majorOf(version string) int {
	if _, rest, ok := strings.Cut(version, ":"); ok {
		version = rest
	}
	head, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(head)
	if err != nil {
		return 0
	}
	return n
}

func (s *installStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	repo := s.want().PVE.Repository
	if repo == "" || repo == "leave" {
		repo = "no-subscription"
	}
	report.Progress(c.Node, "pveceph install")
	if _, err := s.Nodes.Shell(c.Node).Run(ctx, transport.InstallCeph(repo, c.To)); err != nil {
		return &engine.Advice{Node: c.Node, Err: err, Do: "`pveceph install` may be run again by hand there; then run apply again"}
	}
	return nil
}

func (s *installStep) Wait(ctx context.Context, report engine.Reporter) error {
	p := s.poll("Ceph's packages on all nodes", s.Limits.Reach)
	return p.Until(ctx, func(ctx context.Context) (bool, string, error) {
		have, err := s.Observe(ctx)
		if err != nil {
			return false, "", err
		}
		left := engine.Of(s.Diff(have), engine.Create)
		return len(left) == 0, fmt.Sprintf("%d nodes without", len(left)), nil
	})
}
