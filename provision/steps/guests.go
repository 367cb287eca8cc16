package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/transport"
)

// guestStep makes the virtual machines. One that exists keeps what the file does not speak of, and is
// never removed.
type guestStep struct{ *Env }

type guestSeen struct {
	node   string
	config map[string]string
}

func (*guestStep) ID() engine.ID      { return idGuests }
func (*guestStep) Title() string      { return "virtual machines" }
func (*guestStep) Needs() []engine.ID { return []engine.ID{idStorage} }

func (s *guestStep) Settle(ctx context.Context, report engine.Reporter) error {
	if len(s.want().Guests) == 0 {
		return nil
	}
	nodes, err := s.clusterNodes(ctx)
	if err != nil {
		return err
	}
	return s.settle(ctx, nodes, report, "qmcreate", "qmconfig", "resize")
}

func (s *guestStep) Observe(ctx context.Context) (engine.Observed, error) {
	seen := map[int]guestSeen{}
	if len(s.want().Guests) == 0 {
		return seen, nil
	}
	m, err := s.member(ctx)
	if err != nil {
		return nil, err
	}
	var rows []struct {
		Type string  `json:"type"`
		VMID pve.Int `json:"vmid"`
		Node string  `json:"node"`
	}
	if err := s.Nodes.API(m.Node).Get(ctx, "/cluster/resources?type=vm", &rows); err != nil {
		return nil, err
	}
	for _, r := range rows {
		id := int(r.VMID.V)
		if !slices.ContainsFunc(s.want().Guests, func(g spec.Guest) bool { return g.VMID == id }) {
			continue
		}
		g := guestSeen{node: r.Node, config: map[string]string{"type": r.Type}}
		if r.Type == "qemu" {
			var raw map[string]any
			if err := s.Nodes.API(m.Node).Get(ctx, fmt.Sprintf("/nodes/%s/qemu/%d/config", r.Node, id), &raw); err != nil {
				return nil, err
			}
			g.config = asTexts(raw)
			delete(g.config, "type")
		}
		seen[id] = g
	}
	return seen, nil
}

func (s *guestStep) Diff(have engine.Observed) []engine.Change {
	seen := have.(map[int]guestSeen)
	var out []engine.Change
	for _, g := range s.want().Guests {
		is, there := seen[g.VMID]
		path := fmt.Sprintf("vm/%d", g.VMID)
		switch {
		case !there:
			out = append(out, engine.Change{Node: g.Node, Path: path, To: guestText(g), Action: engine.Create, Risk: engine.Safe, Do: g})
		case is.config["lock"] == "create":
			// Its task is at work; the name and the tags come at its end.
			out = append(out, engine.Change{Node: is.node, Path: path, From: "being created", To: guestText(g), Action: engine.Update, Risk: engine.Safe, Key: doAwait})
		case is.config["type"] != "":
			out = append(out, engine.Change{Node: is.node, Path: path, From: is.config["type"], To: "qemu", Action: engine.Forbidden, Note: "the VMID is taken by a guest of another kind"})
		case is.config["name"] != g.Name && !hasTag(is.config["tags"]):
			out = append(out, engine.Change{Node: is.node, Path: path, From: is.config["name"], To: g.Name, Action: engine.Forbidden,
				Note: "the VMID is taken by a guest that was not made from a file like this; choose another"})
		default:
			out = append(out, guestChanges(g, is)...)
		}
	}
	return out
}

func hasTag(tags string) bool {
	return slices.Contains(strings.FieldsFunc(tags, func(r rune) bool { return r == ';' || r == ',' || r == ' ' }), Tag)
}

func guestText(g spec.Guest) string {
	return fmt.Sprintf("%s, %d cores, %d MiB, %d disks", g.Name, max(1, g.CPU.Cores), g.Memory, len(g.Disks))
}

// plainFields are the settings of a guest that are one word each.
func plainFields(g spec.Guest) map[string]string {
	f := map[string]string{"name": g.Name, "onboot": bit(g.OnBoot)}
	if g.CPU.Cores > 0 {
		f["cores"] = strconv.Itoa(g.CPU.Cores)
	}
	if g.CPU.Sockets > 0 {
		f["sockets"] = strconv.Itoa(g.CPU.Sockets)
	}
	if g.CPU.Type != "" {
		f["cpu"] = g.CPU.Type
	}
	if g.Memory > 0 {
		f["memory"] = strconv.FormatInt(int64(g.Memory), 10)
	}
	if g.Agent {
		f["agent"] = "enabled=1"
	}
	return f
}

// nothingSaid are the values that Proxmox VE takes for fields that are not in the configuration.
var nothingSaid = map[string]string{"onboot": "0", "cores": "1", "sockets": "1", "memory": "512"}

func guestChanges(g spec.Guest, is guestSeen) []engine.Change {
	var out []engine.Change
	path := fmt.Sprintf("vm/%d/", g.VMID)
	update := func(key, from, to string, p transport.Params) {
		out = append(out, engine.Change{Node: is.node, Path: path + key, From: from, To: to, Action: engine.Update, Risk: engine.Low,
			Note: "a running guest takes some settings only at its next start", Key: strconv.Itoa(g.VMID), Do: p})
	}
	want := plainFields(g)
	for _, k := range slices.Sorted(maps.Keys(want)) {
		have := is.config[k]
		switch {
		case have == want[k], have == "" && nothingSaid[k] == want[k]:
		case k == "agent" && (have == "1" || strings.HasPrefix(have, "1,") || strings.Contains(have, "enabled=1")):
		case k == "cpu" && strings.SplitN(strings.TrimPrefix(have, "cputype="), ",", 2)[0] == want[k]:
		default:
			update(k, have, want[k], transport.Params{k: want[k]})
		}
	}
	for _, d := range g.Disks {
		out = append(out, diskChanges(g, is, d)...)
	}
	for i, n := range g.Net {
		key := fmt.Sprintf("net%d", i)
		if have := is.config[key]; !sameNet(have, n) {
			update(key, have, netText(n, macOf(have)), transport.Params{key: netText(n, macOf(have))})
		}
	}
	return out
}

// doAwait is about a guest that is being created.
const doAwait = "await"

func (s *guestStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	base := "/nodes/" + c.Node + "/qemu"
	if c.Key == doAwait {
		// Settle has waited for the task: what is still locked has none any more.
		return &engine.Advice{Node: c.Node, Err: errors.New("the guest is locked (create), and no task is making it"),
			Do: "remove it with `qm unlock` and `qm destroy`, then run apply again"}
	}
	if c.Action == engine.Create {
		return s.start(ctx, c.Node, "POST", base, guestParams(c.Do.(spec.Guest)), report)
	}
	p := c.Do.(transport.Params)
	report.Keep("vm-"+c.Key, []byte(c.Path+" "+c.From))
	if _, ok := p["size"]; ok {
		// A task on 8 and 9.
		return s.start(ctx, c.Node, "PUT", base+"/"+c.Key+"/resize", p, report)
	}
	return s.Nodes.API(c.Node).Put(ctx, base+"/"+c.Key+"/config", p, nil)
}

func guestParams(g spec.Guest) transport.Params {
	p := transport.Params{"vmid": g.VMID, "ostype": "l26", "tags": Tag, "scsihw": "virtio-scsi-single"}
	for k, v := range plainFields(g) {
		p[k] = v
	}
	for i, d := range g.Disks {
		source := ""
		if i == 0 {
			source = g.Template.Import
		}
		p[d.Bus] = newDisk(d, source)
	}
	for i, n := range g.Net {
		p[fmt.Sprintf("net%d", i)] = netText(n, "")
	}
	var boot []string
	if len(g.Disks) > 0 {
		boot = append(boot, g.Disks[0].Bus)
	}
	if g.Template.ISO != "" {
		p["ide2"] = g.Template.ISO + ",media=cdrom"
		boot = append(boot, "ide2")
	}
	if len(boot) > 0 {
		p["boot"] = "order=" + strings.Join(boot, ";")
	}
	return p
}

func (*guestStep) Wait(context.Context, engine.Reporter) error { return nil }
