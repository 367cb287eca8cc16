package steps

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/transport"
)

// reposStep enables the package repositories of Proxmox VE and of Ceph, and disables the enterprise ones
// where they are not what the file asks for: without a subscription they make every update fail.
type reposStep struct{ *Env }

type reposSeen struct {
	on         map[string]bool // by handle, of those that this release knows
	enterprise []repoEntry     // enabled entries that need a subscription
}

type repoEntry struct {
	path  string
	index int
	uri   string
}

// enterpriseHost serves those who have a subscription.
const enterpriseHost = "://enterprise.proxmox.com/"

func (*reposStep) ID() engine.ID         { return idRepos }
func (*reposStep) Title() string         { return "package repositories" }
func (*reposStep) Needs() []engine.ID    { return nil }
func (*reposStep) Traits() engine.Traits { return engine.Traits{Spread: -1} }

// handles are the standard repositories that the file asks for.
func (s *reposStep) handles() []string {
	repo := s.want().PVE.Repository
	if repo == "" || repo == "leave" {
		return nil
	}
	out := []string{repo}
	if r := s.want().Ceph.Release; r != "" && s.want().Ceph.Declared() {
		out = append(out, "ceph-"+r+"-"+repo)
	}
	return out
}

func (s *reposStep) Settle(ctx context.Context, report engine.Reporter) error {
	return s.settle(ctx, s.names(), report, "aptupdate")
}

func (s *reposStep) Observe(ctx context.Context) (engine.Observed, error) {
	seen := map[string]reposSeen{}
	if len(s.handles()) == 0 {
		return seen, nil
	}
	for _, n := range s.names() {
		v, err := s.observe(ctx, n)
		if err != nil {
			return nil, err
		}
		seen[n] = v
	}
	return seen, nil
}

func (s *reposStep) observe(ctx context.Context, node string) (reposSeen, error) {
	var r struct {
		Standard []struct {
			Handle string   `json:"handle"`
			Status pve.Bool `json:"status"` // on, off; absent: not configured
		} `json:"standard-repos"`
		Files []struct {
			Path  string `json:"path"`
			Repos []struct {
				Enabled pve.Bool `json:"Enabled"`
				URIs    []string `json:"URIs"`
			} `json:"repositories"`
		} `json:"files"`
	}
	v := reposSeen{on: map[string]bool{}}
	if err := s.Nodes.API(node).Get(ctx, "/nodes/"+node+"/apt/repositories", &r); err != nil {
		return v, err
	}
	for _, h := range r.Standard {
		v.on[h.Handle] = h.Status.V
	}
	for _, f := range r.Files {
		for i, e := range f.Repos {
			for _, u := range e.URIs {
				if e.Enabled.V && strings.Contains(u, enterpriseHost) {
					v.enterprise = append(v.enterprise, repoEntry{f.Path, i, u})
				}
			}
		}
	}
	return v, nil
}

// repoWork is one entry to be switched. The last of a node reads the lists of packages again.
type repoWork struct {
	handle  string    // to enable
	entry   repoEntry // to disable
	refresh bool
}

func (s *reposStep) Diff(have engine.Observed) []engine.Change {
	seen := have.(map[string]reposSeen)
	var out []engine.Change
	for _, n := range s.names() {
		out = append(out, s.diff(n, seen[n])...)
	}
	return out
}

func (s *reposStep) diff(node string, seen reposSeen) []engine.Change {
	var out []engine.Change
	if s.want().PVE.Repository != "enterprise" {
		for _, e := range seen.enterprise {
			out = append(out, engine.Change{Node: node, Path: "repository" + e.path, From: "on", To: "off", Action: engine.Update, Risk: engine.Safe,
				Note: "it needs a subscription", Do: repoWork{entry: e}})
		}
	}
	for _, h := range s.handles() {
		on, known := seen.on[h]
		c := engine.Change{Node: node, Path: "repository/" + h, From: "off", To: "on", Action: engine.Update, Risk: engine.Safe, Do: repoWork{handle: h}}
		switch {
		case on:
			continue
		case !known:
			c.Action = engine.Forbidden
			c.Note = fmt.Sprintf("this release of Proxmox VE has no such repository; it has %s", strings.Join(slices.Sorted(maps.Keys(seen.on)), ", "))
		}
		out = append(out, c)
	}
	if last := len(out) - 1; last >= 0 {
		w := out[last].Do.(repoWork)
		w.refresh = true
		out[last].Do = w
	}
	return out
}

func (s *reposStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	w, api, path := c.Do.(repoWork), s.Nodes.API(c.Node), "/nodes/"+c.Node+"/apt/repositories"
	var err error
	if w.handle != "" {
		err = api.Put(ctx, path, transport.Params{"handle": w.handle}, nil)
	} else {
		err = api.Post(ctx, path, transport.Params{"path": w.entry.path, "index": w.entry.index, "enabled": false}, nil)
	}
	if err != nil || !w.refresh {
		return err
	}
	return s.start(ctx, c.Node, "POST", "/nodes/"+c.Node+"/apt/update", nil, report)
}

func (*reposStep) Wait(context.Context, engine.Reporter) error { return nil }
