package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/provision/steps"
)

// A Result is how a check ended.
type Result string

// The results.
const (
	OK      Result = "ok"
	Failed  Result = "failed"
	Unknown Result = "unknown" // could not be read
)

// A Check is one thing that was looked at.
type Check struct {
	Name   string  `json:"name"`
	Result Result  `json:"result"`
	Found  string  `json:"found"`
	Want   string  `json:"want"`
	Took   float64 `json:"seconds"`
}

// A Report is all of them.
type Report struct {
	// Title is that of the JUnit suite, when it is not a verification.
	Title   string    `json:"-"`
	Cluster string    `json:"cluster"`
	At      time.Time `json:"at"`
	Checks  []Check   `json:"checks"`
}

// OK says whether every check is.
func (r Report) OK() bool {
	return !slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Result != OK })
}

// Options of a run.
type Options struct {
	// Accept are health checks of Ceph that are no fault, such as POOL_NO_REDUNDANCY.
	Accept []string
	Now    func() time.Time
}

// probe is one check: what is wanted, and how to see it. good is what was found.
type probe struct {
	name, want string
	look       func(ctx context.Context) (good bool, found string, err error)
}

// Run looks. It only reads.
func Run(ctx context.Context, e *steps.Env, opt Options) Report {
	r := Report{Cluster: e.Name(), At: opt.Now().UTC()}
	for _, p := range probes(e, opt) {
		c := Check{Name: p.name, Want: p.want, Result: OK}
		began := opt.Now()
		good, found, err := p.look(ctx)
		c.Found, c.Took = found, opt.Now().Sub(began).Seconds()
		switch {
		case err != nil:
			c.Result, c.Found = Unknown, err.Error()
		case !good:
			c.Result = Failed
		}
		r.Checks = append(r.Checks, c)
	}
	return r
}

func probes(e *steps.Env, opt Options) []probe {
	out := quorumProbes(e)
	ceph, storage, guests, ha, backup := e.Wants()
	if ceph {
		out = append(out, cephProbes(e, opt)...)
	}
	add := func(wanted bool, name, want string, list func(context.Context) ([]string, error)) {
		if wanted {
			out = append(out, probe{name, want, func(ctx context.Context) (bool, string, error) {
				bad, err := list(ctx)
				return len(bad) == 0, orAll(bad), err
			}})
		}
	}
	out = append(out, probe{"same-view", "every node sees all the others", func(ctx context.Context) (bool, string, error) {
		apart, err := e.Apart(ctx)
		if len(apart) == 0 {
			return true, "all", err
		}
		return false, strings.Join(apart, ", "), err
	}})
	add(storage, "storages", "active on every node that has them", e.Inactive)
	add(guests, "guest-disks", "on the storages of the file", e.Misplaced)
	add(ha, "ha-services", "started", e.NotStarted)
	if ha {
		out = append(out, probe{"ha-master", "an active HA manager", func(ctx context.Context) (bool, string, error) {
			node, err := e.HAMaster(ctx)
			return node != "", orNone(node), err
		}})
	}
	add(backup, "backup-jobs", "enabled, with a next run", e.JobsOff)
	add(e.WantsExporters(), "exporters", "running on every node of the file", e.ExportersDown)
	return out
}

func quorumProbes(e *steps.Env) []probe {
	return []probe{
		{"quorate", "cluster " + e.Name() + " with quorum", func(ctx context.Context) (bool, string, error) {
			q, err := e.Quorum(ctx)
			return q.Quorate && q.Name == e.Name(), fmt.Sprintf("%s says: cluster %q, quorate %t", q.Node, q.Name, q.Quorate), err
		}},
		{"votes", "all that corosync.conf expects", func(ctx context.Context) (bool, string, error) {
			q, err := e.Quorum(ctx)
			return q.Votes == q.Expected && q.Votes > 0, fmt.Sprintf("%d of %d", q.Votes, q.Expected), err
		}},
		{"nodes-online", "every node of the file", func(ctx context.Context) (bool, string, error) {
			q, err := e.Quorum(ctx)
			found := "all"
			if len(q.Offline) > 0 {
				found = "not online: " + strings.Join(q.Offline, ", ")
			}
			return len(q.Offline) == 0, found, err
		}},
	}
}

func cephProbes(e *steps.Env, opt Options) []probe {
	of := func(name, want string, judge func(v steps.CephView) (bool, string)) probe {
		return probe{name, want, func(ctx context.Context) (bool, string, error) {
			v, err := e.Ceph(ctx)
			if err != nil {
				return false, "", err
			}
			good, found := judge(v)
			return good, found, nil
		}}
	}
	health := "HEALTH_OK"
	if len(opt.Accept) > 0 {
		health += ", or no more than " + strings.Join(opt.Accept, ", ")
	}
	disks, exact := e.DisksWanted()
	osds := fmt.Sprintf("%d up and in", disks)
	if !exact {
		osds = fmt.Sprintf("at least %d, all up and in", disks)
	}
	return []probe{
		of("ceph-health", health, func(v steps.CephView) (bool, string) {
			bad := slices.ContainsFunc(v.Codes, func(c string) bool { return !slices.Contains(opt.Accept, c) })
			good := v.Health == "HEALTH_OK" || len(v.Codes) > 0 && !bad
			return good, strings.TrimSpace(v.Health + " " + strings.Join(v.Codes, ", "))
		}),
		of("ceph-monitors", "all in quorum", func(v steps.CephView) (bool, string) {
			missing := e.MonitorsMissing(v)
			if len(missing) > 0 {
				return false, "not in quorum: " + strings.Join(missing, ", ")
			}
			return true, "in quorum: " + strings.Join(v.Quorum, ", ")
		}),
		of("ceph-osds", osds, func(v steps.CephView) (bool, string) {
			good := v.Up == v.OSDs && v.In == v.OSDs && (v.OSDs == disks || !exact && v.OSDs >= disks || exact && v.OSDs > disks)
			return good, fmt.Sprintf("%d, %d up, %d in", v.OSDs, v.Up, v.In)
		}),
		of("ceph-placement-groups", "all active and clean", func(v steps.CephView) (bool, string) {
			if v.Dirty > 0 {
				return false, fmt.Sprintf("%d of %d are not: %s", v.Dirty, v.PGs, strings.Join(v.States, ", "))
			}
			return true, fmt.Sprintf("all %d", v.PGs)
		}),
	}
}

func orAll(bad []string) string {
	if len(bad) == 0 {
		return "all"
	}
	return "not: " + strings.Join(bad, ", ")
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
