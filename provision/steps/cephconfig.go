package steps

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/living"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/transport"
)

// configStep is the configuration database of Ceph. The API only reads it.
type configStep struct{ *Env }

type configKey struct{ who, key string }

func (*configStep) ID() engine.ID      { return idConfig }
func (*configStep) Title() string      { return "Ceph's configuration database" }
func (*configStep) Needs() []engine.ID { return []engine.ID{idMgrs} }

func (s *configStep) Observe(ctx context.Context) (engine.Observed, error) {
	seen := map[configKey]string{}
	if len(s.want().Ceph.Config) == 0 {
		return seen, nil
	}
	node, mons, err := s.cephNode(ctx)
	if err != nil || node == "" || len(mons) == 0 {
		return seen, err
	}
	var rows []struct {
		Section string `json:"section"`
		Name    string `json:"name"`
		Value   string `json:"value"`
		Mask    string `json:"mask"`
	}
	if err := s.Nodes.API(node).Get(ctx, "/nodes/"+node+"/ceph/cfg/db", &rows); err != nil {
		if living.CephAbsent(err) {
			return seen, nil
		}
		return nil, err
	}
	for _, r := range rows {
		who := r.Section
		if r.Mask != "" {
			who += "/" + r.Mask
		}
		seen[configKey{who, r.Name}] = r.Value
	}
	return seen, nil
}

func (s *configStep) Diff(have engine.Observed) []engine.Change {
	seen := have.(map[configKey]string)
	var out []engine.Change
	config := s.want().Ceph.Config
	for _, who := range slices.Sorted(maps.Keys(config)) {
		for _, key := range slices.Sorted(maps.Keys(config[who])) {
			want := string(config[who][key])
			is, there := seen[configKey{who, key}]
			if there && sameValue(is, want) {
				continue
			}
			c := engine.Change{Path: "ceph-config/" + who + "/" + key, From: is, To: want, Action: engine.Create, Risk: engine.Low, Do: configKey{who, key}}
			if there {
				c.Action = engine.Update
			}
			out = append(out, c)
		}
	}
	return out
}

// sameValue knows that Ceph writes true for 1, and bytes for 64M.
func sameValue(a, b string) bool {
	if a == b {
		return true
	}
	if x, err := strconv.ParseBool(a); err == nil {
		if y, err := strconv.ParseBool(b); err == nil {
			return x == y
		}
	}
	if x, err := strconv.ParseFloat(a, 64); err == nil {
		if y, err := strconv.ParseFloat(b, 64); err == nil {
			return x == y
		}
	}
	x, errX := spec.ParseBytes(a)
	y, errY := spec.ParseBytes(b)
	return a != "" && b != "" && errX == nil && errY == nil && x == y
}

func (s *configStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	node, _, err := s.cephNode(ctx)
	if err != nil {
		return err
	}
	if c.From != "" {
		report.Keep("ceph-config-"+c.Do.(configKey).who+"-"+c.Do.(configKey).key, []byte(c.From))
	}
	k := c.Do.(configKey)
	_, err = s.Nodes.Shell(node).Run(ctx, transport.SetCephConfig(k.who, k.key, c.To))
	return err
}

func (*configStep) Wait(context.Context, engine.Reporter) error { return nil }
