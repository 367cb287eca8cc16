package steps

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/transport"
)

// optionsStep is datacenter.cfg: the migration network and what HA does at a shutdown.
type optionsStep struct{ *Env }

// optionsSeen are the property strings of datacenter.cfg, taken apart.
type optionsSeen map[string]map[string]string

func (*optionsStep) ID() engine.ID      { return idOptions }
func (*optionsStep) Title() string      { return "migration network and shutdown policy" }
func (*optionsStep) Needs() []engine.ID { return []engine.ID{idJoin} }

func (s *optionsStep) Observe(ctx context.Context) (engine.Observed, error) {
	if len(s.wanted()) == 0 {
		return optionsSeen{}, nil
	}
	m, err := s.member(ctx)
	if err != nil {
		return nil, err
	}
	var raw map[string]json.RawMessage
	if err := s.Nodes.API(m.Node).Get(ctx, "/cluster/options", &raw); err != nil {
		return nil, err
	}
	seen := optionsSeen{}
	for _, k := range []string{"migration", "ha"} {
		seen[k] = properties(raw[k])
	}
	return seen, nil
}

// properties reads a property string, which the API gives as text or as an object.
func properties(raw json.RawMessage) map[string]string {
	out := map[string]string{}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		for _, part := range strings.Split(text, ",") {
			if k, v, ok := strings.Cut(part, "="); ok {
				out[strings.TrimSpace(k)] = strings.TrimSpace(v)
			}
		}
		return out
	}
	var fields map[string]any
	if json.Unmarshal(raw, &fields) == nil {
		for k, v := range fields {
			out[k] = fmt.Sprint(v)
		}
	}
	return out
}

// propertyString is the way back, with the keys in order.
func propertyString(p map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(p)) {
		parts = append(parts, k+"="+p[k])
	}
	return strings.Join(parts, ",")
}

// wanted are the options that the file declares.
func (s *optionsStep) wanted() map[string]map[string]string {
	out := map[string]map[string]string{}
	for _, n := range s.want().Networks {
		if n.Migration {
			out["migration"] = map[string]string{"network": n.CIDR.Masked().String()}
		}
	}
	if p := s.want().HA.ShutdownPolicy; p != "" {
		out["ha"] = map[string]string{"shutdown_policy": p}
	}
	return out
}

func (s *optionsStep) Diff(have engine.Observed) []engine.Change {
	seen := have.(optionsSeen)
	var out []engine.Change
	wanted := s.wanted()
	for _, option := range slices.Sorted(maps.Keys(wanted)) {
		merged := maps.Clone(seen[option])
		if merged == nil {
			merged = map[string]string{}
		}
		maps.Copy(merged, wanted[option])
		if maps.Equal(merged, seen[option]) {
			continue
		}
		if option == "migration" && merged["type"] == "" {
			merged["type"] = "secure" // its default, which the API wants said once another key is set
		}
		out = append(out, engine.Change{
			Path: "datacenter/" + option, From: propertyString(seen[option]), To: propertyString(merged), Action: engine.Update, Risk: engine.Safe,
			Key: option,
		})
	}
	return out
}

func (s *optionsStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	m, err := s.member(ctx)
	if err != nil {
		return err
	}
	report.Keep("datacenter-"+c.Key, []byte(c.From))
	return s.Nodes.API(m.Node).Put(ctx, "/cluster/options", transport.Params{c.Key: c.To}, nil)
}

func (*optionsStep) Wait(context.Context, engine.Reporter) error { return nil }
