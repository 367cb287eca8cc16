package steps

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/living"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/transport"
)

// osdStep makes OSDs of disks: side by side on different nodes, one after the other on each. A disk that
// fails does not keep the others from being used.
type osdStep struct{ *Env }

// A disk is one of a node's, as Proxmox VE lists them.
type disk struct {
	Path   string    `json:"devpath"`
	ByID   string    `json:"by_id_link"`
	Type   string    `json:"type"` // hdd, ssd, nvme, usb
	Model  string    `json:"model"`
	Serial string    `json:"serial"`
	WWN    string    `json:"wwn"`
	Size   pve.Int   `json:"size"`
	Used   string    `json:"used"`
	OSD    pve.Int   `json:"osdid"` // -1: none
	OSDs   []pve.Int `json:"osdid-list"`
	Parent string    `json:"parent"`
	Mount  pve.Bool  `json:"mounted"`
}

// osds are the ids of the disk's OSDs.
func (d disk) osds() []int64 {
	var out []int64
	for _, o := range d.OSDs {
		if o.Known && o.V >= 0 {
			out = append(out, o.V)
		}
	}
	if len(out) == 0 && d.OSD.Known && d.OSD.V >= 0 {
		out = append(out, d.OSD.V)
	}
	return out
}

// empty says that nobody uses the disk.
func (d disk) empty() bool { return d.Used == "" && len(d.osds()) == 0 && !d.Mount.V }

type osdSeen struct {
	disks map[string][]disk
	up    map[int64]bool // up and in, by id
}

func (*osdStep) ID() engine.ID         { return idOSDs }
func (*osdStep) Title() string         { return "disks as Ceph OSDs" }
func (*osdStep) Needs() []engine.ID    { return []engine.ID{idMgrs} }
func (*osdStep) Traits() engine.Traits { return engine.Traits{Spread: -1, CarryOn: true} }

// nodes are those with OSDs in the file.
func (s *osdStep) nodes() []spec.Node {
	var out []spec.Node
	for _, n := range s.want().Nodes {
		if len(n.OSDs) > 0 {
			out = append(out, n)
		}
	}
	return out
}

func (s *osdStep) Settle(ctx context.Context, report engine.Reporter) error {
	var names []string
	for _, n := range s.nodes() {
		names = append(names, n.Name)
	}
	return s.settle(ctx, names, report, "cephcreateosd", "wipedisk")
}

func (s *osdStep) Observe(ctx context.Context) (engine.Observed, error) {
	seen := osdSeen{disks: map[string][]disk{}, up: map[int64]bool{}}
	if len(s.nodes()) == 0 {
		return seen, nil
	}
	for _, n := range s.nodes() {
		var rows []disk
		if err := s.Nodes.API(n.Name).Get(ctx, "/nodes/"+n.Name+"/disks/list", &rows); err != nil {
			return nil, err
		}
		seen.disks[n.Name] = rows
	}
	node, mons, err := s.cephNode(ctx)
	if err != nil || node == "" || len(mons) == 0 {
		return seen, err
	}
	seen.up, err = s.osdsUp(ctx, node)
	return seen, err
}

// crush is a node of the OSD tree.
type crush struct {
	ID       pve.Int  `json:"id"`
	Type     string   `json:"type"`
	Status   string   `json:"status"`
	In       pve.Bool `json:"in"`
	Children []crush  `json:"children"`
}

func (c crush) walk(out map[int64]bool) {
	if c.Type == "osd" {
		out[c.ID.V] = c.Status == "up" && c.In.V
	}
	for _, k := range c.Children {
		k.walk(out)
	}
}

// osdsUp tells of every OSD in the tree whether it is up and in.
func (e *Env) osdsUp(ctx context.Context, node string) (map[int64]bool, error) {
	var tree struct {
		Root json.RawMessage `json:"root"`
	}
	out := map[int64]bool{}
	err := e.Nodes.API(node).Get(ctx, "/nodes/"+node+"/ceph/osd", &tree)
	if living.CephAbsent(err) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	var root crush
	if len(tree.Root) > 0 && string(tree.Root) != "null" {
		if err := json.Unmarshal(tree.Root, &root); err != nil {
			return nil, fmt.Errorf("%s: OSD tree: %w", node, err)
		}
	}
	root.walk(out)
	return out, nil
}

func (s *osdStep) Diff(have engine.Observed) []engine.Change {
	seen := have.(osdSeen)
	var out []engine.Change
	for _, n := range s.nodes() {
		taken := map[string]bool{}
		for _, o := range n.OSDs {
			found, lack := choose(seen.disks[n.Name], o, taken)
			if lack != "" {
				out = append(out, engine.Change{Node: n.Name, Path: "osd/" + describe(o), To: "an OSD", Action: engine.Forbidden, Note: lack})
			}
			for _, d := range found {
				taken[d.Path] = true
				if c, differs := s.diff(n.Name, d, o); differs {
					out = append(out, c)
				}
			}
		}
	}
	return out
}

func (s *osdStep) diff(node string, d disk, o spec.OSD) (engine.Change, bool) {
	c := engine.Change{Node: node, Path: "osd" + d.Path, From: "empty", To: "an OSD", Action: engine.Create, Risk: engine.Medium, Do: osdWork{d, o, false}}
	if d.Model != "" {
		c.To += fmt.Sprintf(" on %d GB %s", d.Size.V/1e9, d.Model)
	}
	switch {
	case len(d.osds()) > 0:
		return c, false
	case d.empty():
	case d.Mount.V || d.Used == "mounted" || strings.Contains(strings.ToLower(d.Used), "boot") || d.Used == "EFI":
		c.From, c.Action, c.Note = "used: "+d.Used, engine.Forbidden, "the disk is in use by the system"
	case o.Wipe && s.AllowWipe:
		c.From, c.Risk, c.Note, c.Do = "used: "+d.Used, engine.High, "what is on the disk is destroyed", osdWork{d, o, true}
	default:
		c.From, c.Action = "used: "+d.Used, engine.Forbidden
		c.Note = "the disk is not empty; if nobody needs what is on it, set wipe: true and give --allow-wipe"
	}
	return c, true
}

// choose returns the disks of one entry of the file, or what is wrong.
func choose(disks []disk, o spec.OSD, taken map[string]bool) ([]disk, string) {
	if o.Match != nil {
		return matching(disks, *o.Match, taken)
	}
	for _, d := range disks {
		if d.is(o) {
			return []disk{d}, ""
		}
	}
	return nil, "the node has no such disk"
}

func (d disk) is(o spec.OSD) bool {
	if o.Dev != "" {
		return d.Path == o.Dev || d.ByID == o.Dev
	}
	name := strings.TrimPrefix(o.ByID, "/dev/disk/by-id/")
	// A disk has several names there, of which the API tells one.
	return d.ByID == "/dev/disk/by-id/"+name ||
		d.Serial != "" && d.Serial != "unknown" && strings.HasSuffix(name, "_"+d.Serial) ||
		d.WWN != "" && d.WWN != "unknown" && (name == "wwn-"+d.WWN || name == "nvme-"+d.WWN)
}

// matching returns those that are OSDs already before those that are empty: what was chosen once stays.
func matching(disks []disk, m spec.Match, taken map[string]bool) ([]disk, string) {
	var fit []disk
	for _, d := range disks {
		size := spec.Bytes(d.Size.V)
		switch {
		case d.Parent != "" || taken[d.Path], !d.empty() && len(d.osds()) == 0:
		case m.Type != "" && d.Type != m.Type:
		case m.Model != "" && !strings.Contains(strings.ToLower(d.Model), strings.ToLower(m.Model)):
		case size < m.MinSize, m.MaxSize > 0 && size > m.MaxSize:
		default:
			fit = append(fit, d)
		}
	}
	slices.SortStableFunc(fit, func(a, b disk) int {
		return cmp.Or(-cmp.Compare(min(1, len(a.osds())), min(1, len(b.osds()))), cmp.Compare(len(a.Path), len(b.Path)), cmp.Compare(a.Path, b.Path))
	})
	if m.Count == 0 {
		return fit, ""
	}
	if len(fit) < m.Count {
		return fit, fmt.Sprintf("%d disks are wanted, %d fit", m.Count, len(fit))
	}
	return fit[:m.Count], ""
}

func describe(o spec.OSD) string {
	switch {
	case o.Dev != "":
		return o.Dev
	case o.ByID != "":
		return o.ByID
	case o.Match != nil:
		return fmt.Sprintf("match %s %s", o.Match.Type, o.Match.Model)
	}
	return "?"
}

type osdWork struct {
	disk disk
	want spec.OSD
	wipe bool
}

func (s *osdStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	w := c.Do.(osdWork)
	if w.wipe {
		if err := s.start(ctx, c.Node, "PUT", "/nodes/"+c.Node+"/disks/wipedisk", transport.Params{"disk": w.disk.Path}, report); err != nil {
			return err
		}
	}
	p := transport.Params{"dev": w.disk.Path}
	if w.want.DB != "" {
		p["db_dev"] = w.want.DB
		if w.want.DBSize > 0 {
			p["db_dev_size"] = float64(w.want.DBSize) / (1 << 30) // GiB
		}
	}
	if w.want.DeviceClass != "" {
		p["crush-device-class"] = w.want.DeviceClass
	}
	if w.want.Encrypted {
		p["encrypted"] = true
	}
	return s.start(ctx, c.Node, "POST", "/nodes/"+c.Node+"/ceph/osd", p, report)
}

// Wait implements engine.Step: the OSDs of the file's disks are up and in.
func (s *osdStep) Wait(ctx context.Context, report engine.Reporter) error {
	if len(s.nodes()) == 0 {
		return nil
	}
	p := s.poll("OSDs up and in", s.Limits.Ceph)
	return p.Until(ctx, func(ctx context.Context) (bool, string, error) {
		have, err := s.Observe(ctx)
		if err != nil {
			return false, "", err
		}
		seen, down, n := have.(osdSeen), []string{}, 0
		for node, disks := range seen.disks {
			for _, d := range disks {
				for _, id := range d.osds() {
					if n++; !seen.up[id] {
						down = append(down, fmt.Sprintf("osd.%d on %s", id, node))
					}
				}
			}
		}
		state := fmt.Sprintf("%d of %d OSDs up and in; not: %s", n-len(down), n, strings.Join(sorted(down), ", "))
		report.Progress("", state)
		return len(down) == 0 && n > 0, state, nil
	})
}
