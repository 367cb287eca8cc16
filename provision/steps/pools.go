package steps

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/living"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/transport"
)

// poolStep makes and grows the pools.
type poolStep struct{ *Env }

// pool is one as Proxmox VE lists it.
type pool struct {
	Name        string         `json:"pool_name"`
	Size        int            `json:"size"`
	MinSize     int            `json:"min_size"`
	PGNum       int            `json:"pg_num"`
	Autoscale   string         `json:"pg_autoscale_mode"`
	Application map[string]any `json:"application_metadata"`
	Rule        string         `json:"crush_rule_name"`
	Type        string         `json:"type"`
}

type poolsSeen struct {
	pools map[string]pool
	rules []string
}

func (*poolStep) ID() engine.ID      { return idPools }
func (*poolStep) Title() string      { return "Ceph pools" }
func (*poolStep) Needs() []engine.ID { return []engine.ID{idOSDs, idConfig} }

func (s *poolStep) Settle(ctx context.Context, report engine.Reporter) error {
	return s.settle(ctx, s.cephNodes(), report, "cephcreatepool", "cephsetpool")
}

func (s *poolStep) Observe(ctx context.Context) (engine.Observed, error) {
	seen := poolsSeen{pools: map[string]pool{}}
	if len(s.want().Ceph.Pools) == 0 {
		return seen, nil
	}
	node, mons, err := s.cephNode(ctx)
	if err != nil || node == "" || len(mons) == 0 {
		return seen, err
	}
	var rows []pool
	if err := s.Nodes.API(node).Get(ctx, "/nodes/"+node+"/ceph/pool", &rows); err != nil && !living.CephAbsent(err) {
		return nil, err
	}
	for _, r := range rows {
		seen.pools[r.Name] = r
	}
	for _, p := range s.want().Ceph.Pools {
		if ruleOf(p) != "" && seen.rules == nil {
			if seen.rules, err = s.rules(ctx, node); err != nil {
				return nil, err
			}
		}
	}
	return seen, nil
}

func (s *poolStep) rules(ctx context.Context, node string) ([]string, error) {
	var rows []struct {
		Name string `json:"name"`
	}
	if err := s.Nodes.API(node).Get(ctx, "/nodes/"+node+"/ceph/rules", &rows); err != nil && !living.CephAbsent(err) {
		return nil, err
	}
	out := []string{}
	for _, r := range rows {
		out = append(out, r.Name)
	}
	return out, nil
}

// ruleOf is the CRUSH rule of a replicated pool, "" for Ceph's own, which spreads over hosts.
func ruleOf(p spec.Pool) string {
	if p.Erasure != nil || (p.FailureDomain == "" || p.FailureDomain == "host") && p.DeviceClass == "" {
		return ""
	}
	rule := "replicated_" + orHost(p.FailureDomain)
	if p.DeviceClass != "" {
		rule += "_" + p.DeviceClass
	}
	return rule
}

func orHost(domain string) string {
	if domain == "" {
		return "host"
	}
	return domain
}

func (s *poolStep) Diff(have engine.Observed) []engine.Change {
	seen := have.(poolsSeen)
	var out []engine.Change
	made := map[string]bool{}
	for _, p := range s.want().Ceph.Pools {
		if r := ruleOf(p); r != "" && !slices.Contains(seen.rules, r) && !made[r] {
			made[r] = true
			out = append(out, engine.Change{Path: "crush-rule/" + r, To: strings.TrimSpace(orHost(p.FailureDomain) + " " + p.DeviceClass), Action: engine.Create, Risk: engine.Safe, Key: r, Do: p})
		}
		is, there := seen.pools[dataPool(p)]
		if !there {
			out = append(out, engine.Change{Path: "pool/" + p.Name, To: poolText(p), Action: engine.Create, Risk: engine.Low, Do: p})
			continue
		}
		out = append(out, poolChanges(p, is)...)
	}
	return out
}

// dataPool is where the data of a pool is: Proxmox VE makes two of an erasure-coded one.
func dataPool(p spec.Pool) string {
	if p.Erasure != nil {
		return p.Name + "-data"
	}
	return p.Name
}

func poolText(p spec.Pool) string {
	if e := p.Erasure; e != nil {
		return fmt.Sprintf("erasure code %d+%d, %d PGs", e.K, e.M, p.PGNum)
	}
	return fmt.Sprintf("size %d/%d, %d PGs, autoscale %s", p.Size, p.MinSize, p.PGNum, p.Autoscale)
}

func poolChanges(p spec.Pool, is pool) []engine.Change {
	var out []engine.Change
	number := func(field string, have, want int, grows bool, risk engine.Risk) {
		if want == 0 || have == want {
			return
		}
		c := engine.Change{Path: "pool/" + p.Name + "/" + field, From: strconv.Itoa(have), To: strconv.Itoa(want), Action: engine.Update, Risk: risk,
			Key: is.Name, Do: transport.Params{field: want}}
		if grows && want < have {
			c.Action, c.Note = engine.Forbidden, "making it smaller loses copies or moves all data; do it by hand if you mean it"
		}
		out = append(out, c)
	}
	if p.Erasure == nil {
		number("size", is.Size, p.Size, true, engine.Medium)
		number("min_size", is.MinSize, p.MinSize, false, engine.Low)
	}
	if p.Autoscale != "on" {
		number("pg_num", is.PGNum, p.PGNum, true, engine.Medium)
	}
	text := func(field, have, want string) {
		if want != "" && have != want {
			out = append(out, engine.Change{Path: "pool/" + p.Name + "/" + field, From: have, To: want, Action: engine.Update, Risk: engine.Low,
				Key: is.Name, Do: transport.Params{field: want}})
		}
	}
	text("pg_autoscale_mode", is.Autoscale, p.Autoscale)
	if _, ok := is.Application[p.Application]; !ok {
		text("application", strings.Join(slices.Sorted(maps.Keys(is.Application)), ","), p.Application)
	}
	text("crush_rule", is.Rule, ruleOf(p))
	return out
}

func (s *poolStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	node, _, err := s.cephNode(ctx)
	if err != nil {
		return err
	}
	if c.Action == engine.Update {
		return s.start(ctx, node, "PUT", "/nodes/"+node+"/ceph/pool/"+c.Key, c.Do.(transport.Params), report)
	}
	p := c.Do.(spec.Pool)
	if c.Key != "" {
		_, err := s.Nodes.Shell(node).Run(ctx, transport.CreateCrushRule(c.Key, orHost(p.FailureDomain), p.DeviceClass))
		return err
	}
	return s.start(ctx, node, "POST", "/nodes/"+node+"/ceph/pool", poolParams(p), report)
}

func poolParams(p spec.Pool) transport.Params {
	out := transport.Params{"name": p.Name}
	for k, v := range map[string]int{"size": p.Size, "min_size": p.MinSize, "pg_num": p.PGNum} {
		if v > 0 && (p.Erasure == nil || k == "pg_num") {
			out[k] = v
		}
	}
	for k, v := range map[string]string{"pg_autoscale_mode": p.Autoscale, "application": p.Application, "crush_rule": ruleOf(p)} {
		if v != "" {
			out[k] = v
		}
	}
	if e := p.Erasure; e != nil {
		code := fmt.Sprintf("k=%d,m=%d,failure-domain=%s", e.K, e.M, orHost(p.FailureDomain))
		if p.DeviceClass != "" {
			code += ",device-class=" + p.DeviceClass
		}
		out["erasure-coding"] = code
	}
	return out
}

// Wait implements engine.Step: all placement groups are active and clean.
func (s *poolStep) Wait(ctx context.Context, report engine.Reporter) error {
	if len(s.want().Ceph.Pools) == 0 {
		return nil
	}
	return s.clean(ctx, report)
}

// clean waits for the placement groups.
func (e *Env) clean(ctx context.Context, report engine.Reporter) error {
	p := e.poll("placement groups active and clean", e.Limits.Clean)
	err := p.Until(ctx, func(ctx context.Context) (bool, string, error) {
		node, _, err := e.cephNode(ctx)
		if err != nil {
			return false, "", err
		}
		st, err := living.ReadCeph(ctx, e.Nodes, node)
		if err != nil {
			return false, "", err
		}
		n, states := st.Dirty()
		state := fmt.Sprintf("%d of %d placement groups are not: %s", n, st.PGMap.Num, strings.Join(states, ", "))
		report.Progress("", state)
		return n == 0, state, nil
	})
	if err != nil {
		return &engine.Advice{Err: err, Do: "see `ceph health detail`"}
	}
	return nil
}
