package steps

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/transport"
)

// networkStep gives each node its addresses, bridges and MTUs, one node at a time and under a dead-man
// switch: a node that is not heard of again takes its old configuration back by itself.
type networkStep struct{ *Env }

// iface is an interface as the API shows it.
type iface struct {
	Name    string   `json:"iface"`
	Type    string   `json:"type"`
	CIDR    string   `json:"cidr"`
	CIDR6   string   `json:"cidr6"`
	Gateway string   `json:"gateway"`
	Ports   string   `json:"bridge_ports"`
	MTU     pve.Int  `json:"mtu"`
	VLAN    pve.Bool `json:"bridge_vlan_aware"`
	Auto    pve.Bool `json:"autostart"`
	Comment string   `json:"comments"`
}

func (*networkStep) ID() engine.ID      { return idNetwork }
func (*networkStep) Title() string      { return "addresses, bridges and MTUs" }
func (*networkStep) Needs() []engine.ID { return nil }

// networkSeen is what a node has, and what a run that was cut off left behind.
type networkSeen struct {
	ifaces map[string]iface
	staged bool // the API shows a configuration that is not active yet
	armed  bool // the dead-man switch is going to put the old one back
}

func (s *networkStep) Observe(ctx context.Context) (engine.Observed, error) {
	seen := map[string]networkSeen{}
	for _, n := range s.want().Nodes {
		if len(n.NICs) == 0 {
			continue
		}
		v, err := s.observe(ctx, n.Name)
		if err != nil {
			return nil, err
		}
		seen[n.Name] = v
	}
	return seen, nil
}

func (s *networkStep) observe(ctx context.Context, node string) (networkSeen, error) {
	v := networkSeen{ifaces: map[string]iface{}}
	var rows []iface
	if err := s.Nodes.API(node).Get(ctx, "/nodes/"+node+"/network", &rows); err != nil {
		return v, err
	}
	for _, r := range rows {
		v.ifaces[r.Name] = r
	}
	shell := s.Nodes.Shell(node)
	_, err := shell.Run(ctx, transport.StagedInterfaces())
	var missing *transport.CommandError
	if err != nil && !errors.As(err, &missing) {
		return v, err
	}
	v.staged = err == nil
	guard, err := transport.LeftArmed(ctx, shell)
	v.armed = guard != nil
	return v, err
}

func (s *networkStep) Diff(have engine.Observed) []engine.Change {
	seen := have.(map[string]networkSeen)
	var out []engine.Change
	for _, n := range s.want().Nodes {
		v := seen[n.Name]
		if v.armed {
			out = append(out, engine.Change{Node: n.Name, Path: "dead-man-switch", From: "armed by a run that was cut off", To: "released",
				Action: engine.Update, Risk: engine.Low, Key: doRelease})
		}
		begun := len(out)
		for _, name := range slices.Sorted(maps.Keys(n.NICs)) {
			net, ok := s.want().Networks[name]
			if !ok {
				continue
			}
			if c, differs := s.diff(v.ifaces, n, net, n.NICs[name]); differs {
				out = append(out, c)
			}
		}
		if v.staged && len(out) == begun {
			out = append(out, engine.Change{Node: n.Name, Path: "staged-network", From: "staged", To: "active", Action: engine.Update, Risk: engine.Medium,
				Key: doReload, Note: "all of /etc/network/interfaces.new"})
		}
	}
	return out
}

// diff compares one interface. What the file does not say is taken as it is.
func (s *networkStep) diff(have map[string]iface, n spec.Node, net spec.Network, nic spec.NIC) (engine.Change, bool) {
	want := wantedIface(n, net, nic)
	c := engine.Change{Node: n.Name, Path: "interface/" + want.Name, To: want.String(), Risk: engine.Medium, Do: want}
	for _, other := range have {
		// A file that names no bridge and no port is content with whichever interface has the address.
		if want.at(other) && (other.Name == want.Name || want.Name == "") {
			return s.sameAddress(c, other, want)
		}
	}
	is, exists := have[want.Name]
	switch {
	case want.Name == "":
		c.Path, c.Action, c.Note = "interface", engine.Forbidden, "no interface has this address; name the bridge or the port in the file"
	case !exists && want.Type == "eth":
		c.Action, c.Note = engine.Forbidden, "the node has no such port"
	case !exists:
		c.Action = engine.Create
	case want.CIDR != "" && is.CIDR != "", want.CIDR6 != "" && is.CIDR6 != "": // and another
		c.Action, c.From, c.Note = engine.Forbidden, is.String(), "the address of an interface in use is not changed by a program"
	default:
		c.Action, c.From = engine.Update, is.String()
	}
	return c, true
}

// at says whether another interface has the address that this one wants.
func (i iface) at(other iface) bool {
	return i.CIDR != "" && sameCIDR(i.CIDR, other.CIDR) || i.CIDR6 != "" && sameCIDR(i.CIDR6, other.CIDR6)
}

// sameCIDR knows that an address of IPv6 can be written in several ways.
func sameCIDR(a, b string) bool {
	p, perr := netip.ParsePrefix(a)
	q, qerr := netip.ParsePrefix(b)
	return a == b || perr == nil && qerr == nil && p == q
}

func (s *networkStep) sameAddress(c engine.Change, is, want iface) (engine.Change, bool) {
	c.From, c.Action = is.String(), engine.Update
	differs := want.MTU.Known && mtu(is) != want.MTU.V || want.Ports != "" && is.Ports != want.Ports && is.Type == "bridge"
	return c, differs
}

// mtu is the interface's; nothing said is Ethernet's.
func mtu(i iface) int64 {
	if i.MTU.Known && i.MTU.V > 0 {
		return i.MTU.V
	}
	return 1500
}

func wantedIface(n spec.Node, net spec.Network, nic spec.NIC) iface {
	port := nic.Port
	if net.VLAN > 0 && port != "" {
		port += "." + strconv.Itoa(net.VLAN)
	}
	w := iface{Type: "eth", Name: port}
	if cidr := fmt.Sprintf("%s/%d", nic.Address, net.CIDR.Bits()); nic.Address.Is4() {
		w.CIDR = cidr
	} else {
		w.CIDR6 = cidr
	}
	switch {
	case net.Bridge != "":
		w.Name, w.Type, w.Ports = net.Bridge, "bridge", port
	case net.VLAN > 0 && port != "":
		w.Type = "vlan"
	}
	if net.MTU > 0 {
		w.MTU = pve.Int{V: int64(net.MTU), Known: true}
	}
	if net.Gateway.IsValid() {
		w.Gateway = net.Gateway.String()
	}
	return w
}

// String is the interface for people.
func (i iface) String() string {
	text := strings.TrimSpace(i.CIDR + " " + i.CIDR6)
	if text == "" {
		text = "no address"
	}
	if i.Ports != "" {
		text += " on " + i.Ports
	}
	return fmt.Sprintf("%s, MTU %d", text, mtu(i))
}

// What a change is about that is no interface.
const (
	doRelease = "release"
	doReload  = "reload"
)

func (s *networkStep) Apply(ctx context.Context, c engine.Change, report engine.Reporter) error {
	switch c.Key {
	case doRelease:
		guard, err := transport.LeftArmed(ctx, s.Nodes.Shell(c.Node))
		if err != nil || guard == nil {
			return err
		}
		return guard.Release(ctx)
	case doReload:
		return s.reload(ctx, c.Node, report)
	}
	want := c.Do.(iface)
	node, api := c.Node, s.Nodes.API(c.Node)
	path := "/nodes/" + node + "/network"
	p := transport.Params{"type": want.Type, "autostart": true}
	address, gateway := "cidr", "gateway"
	if want.CIDR6 != "" {
		address, gateway = "cidr6", "gateway6"
	}
	p[address] = want.CIDR + want.CIDR6
	if want.Ports != "" {
		p["bridge_ports"] = want.Ports
	}
	if want.Gateway != "" {
		p[gateway] = want.Gateway
	}
	if want.MTU.Known {
		p["mtu"] = want.MTU.V
	}
	var err error
	if c.Action == engine.Create {
		p["iface"] = want.Name
		err = api.Post(ctx, path, p, nil)
	} else {
		err = api.Put(ctx, path+"/"+want.Name, p, nil)
	}
	if err != nil {
		return err
	}
	return s.reload(ctx, node, report)
}

// reload activates what is staged on a node.
func (s *networkStep) reload(ctx context.Context, node string, report engine.Reporter) error {
	old, err := s.Nodes.Shell(node).Run(ctx, transport.ReadFile("/etc/network/interfaces"))
	if err != nil {
		return err
	}
	report.Keep(node+"-interfaces", []byte(old.Stdout))
	guard, err := transport.ArmDeadMan(ctx, s.Nodes.Shell(node))
	if err != nil {
		return err
	}
	if err := s.start(ctx, node, "PUT", "/nodes/"+node+"/network", nil, report); err != nil {
		return &engine.Advice{Node: node, Err: err, Do: fmt.Sprintf("the node takes its old network back after %s", transport.DeadManTime)}
	}
	p := s.poll(node+" to answer at its new network", transport.DeadManTime/2)
	err = p.Until(ctx, func(ctx context.Context) (bool, string, error) {
		var v struct{}
		err := s.Nodes.API(node).Get(ctx, "/version", &v)
		return err == nil, "no answer", err
	})
	if err != nil {
		return &engine.Advice{Node: node, Err: err, Do: fmt.Sprintf("the node takes its old network back after %s", transport.DeadManTime)}
	}
	return guard.Release(ctx)
}

func (*networkStep) Wait(context.Context, engine.Reporter) error { return nil }
