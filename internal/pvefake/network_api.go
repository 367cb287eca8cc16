package pvefake

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

func networkHandlers() map[string]handler {
	const base = "/nodes/{node}/network"
	return map[string]handler{
		"GET " + base:                 networkList,
		"POST " + base:                networkCreate,
		"PUT " + base:                 networkReload,
		"DELETE " + base:              networkRevert,
		"GET " + base + "/{iface}":    networkRead,
		"PUT " + base + "/{iface}":    networkUpdate,
		"DELETE " + base + "/{iface}": networkDelete,
	}
}

// iface is a section of /etc/network/interfaces.
type iface struct {
	name, typ      string
	fields         map[string]string
	exists, active bool // there is such hardware; it is up
}

func bridge(name, cidr, ports string) iface {
	f := iface{name: name, typ: "bridge", active: true, fields: map[string]string{"autostart": "1", "bridge_ports": ports, "bridge_stp": "off", "bridge_fd": "0"}}
	f.setAddress(cidr)
	return f
}

func (f iface) cidr() string { return f.fields["cidr"] }

func (f iface) setAddress(cidr string) {
	if cidr == "" {
		return
	}
	host, prefix, _ := strings.Cut(cidr, "/")
	f.fields["cidr"], f.fields["address"], f.fields["netmask"] = cidr, host, prefix
}

func cloneIfaces(in []iface) []iface {
	out := slices.Clone(in)
	for i := range out {
		out[i].fields = maps.Clone(out[i].fields)
	}
	return out
}

func (f iface) row(priority int, withName bool) obj {
	row := obj{"type": f.typ, "priority": priority, "method": "manual", "method6": "manual", "families": list{"inet"}}
	if f.cidr() != "" {
		row["method"] = "static"
	}
	if f.fields["cidr6"] != "" {
		row["method6"], row["families"] = "static", list{"inet", "inet6"}
	}
	for k, v := range f.fields {
		row[k] = v
		if n, err := strconv.Atoi(v); err == nil && (k == "autostart" || k == "bridge_fd" || k == "bridge_vlan_aware") {
			row[k] = n
		}
	}
	if withName {
		row["iface"] = f.name
		if f.active {
			row["active"] = 1
		}
		if f.exists {
			row["exists"] = 1
		}
	}
	return row
}

// effective is what the API shows: interfaces.new if there is one.
func (m *machine) effective() []iface {
	if m.staged != nil {
		return m.staged
	}
	return m.interfaces
}

// firstPriority is the number PVE gives the first section: loopback has the two before.
const firstPriority = 3

func networkList(q *call) (any, error) {
	m := q.n.box
	rows := list{}
	for i, f := range m.effective() {
		if want := q.str("type"); q.has("type") && !strings.HasPrefix(want, "any_") && want != "include_sdn" && f.typ != want || strings.HasPrefix(want, "any_") && f.typ != "bridge" {
			continue
		}
		rows = append(rows, f.row(firstPriority+i, true))
	}
	if m.staged == nil {
		return rows, nil
	}
	return withMore{rows, obj{"changes": "--- /etc/network/interfaces\n+++ /etc/network/interfaces.new\n" + diffText(interfacesText(m.interfaces), interfacesText(m.staged))}}, nil
}

func interfacesText(all []iface) string {
	var b strings.Builder
	for _, f := range all {
		fmt.Fprintf(&b, "iface %s inet %s\n", f.name, map[bool]string{true: "static", false: "manual"}[f.cidr() != ""])
		for _, k := range slices.Sorted(maps.Keys(f.fields)) {
			fmt.Fprintf(&b, "\t%s %s\n", strings.ReplaceAll(k, "_", "-"), f.fields[k])
		}
	}
	return b.String()
}

// diffText lists the lines that only one of both has.
func diffText(a, b string) string {
	var out strings.Builder
	old, now := strings.Split(a, "\n"), strings.Split(b, "\n")
	for _, l := range old {
		if !slices.Contains(now, l) {
			out.WriteString("-" + l + "\n")
		}
	}
	for _, l := range now {
		if !slices.Contains(old, l) {
			out.WriteString("+" + l + "\n")
		}
	}
	return out.String()
}

func (q *call) findIface() (int, error) {
	i := slices.IndexFunc(q.n.box.effective(), func(f iface) bool { return f.name == q.str("iface") })
	if i < 0 {
		return 0, invalid(map[string]string{"iface": "interface does not exist"})
	}
	return i, nil
}

func networkRead(q *call) (any, error) {
	i, err := q.findIface()
	if err != nil {
		return nil, err
	}
	return q.n.box.effective()[i].row(firstPriority+i, false), nil
}

// ifaceText says which parameters are not fields of the section.
var notIfaceFields = []string{"node", "iface", "type", "delete"}

func (q *call) applyIface(f *iface) error {
	for _, o := range q.n.box.effective() {
		for _, key := range []string{"gateway", "gateway6"} {
			if q.has(key) && o.name != q.str("iface") && o.fields[key] != "" {
				return invalid(map[string]string{key: "Default gateway already exists on interface '" + o.name + "'."})
			}
		}
	}
	f.typ = q.str("type")
	for _, key := range listSepRE.Split(q.str("delete"), -1) {
		delete(f.fields, key)
		if key == "cidr" || key == "address" {
			delete(f.fields, "cidr")
			delete(f.fields, "address")
			delete(f.fields, "netmask")
		}
	}
	for k, v := range q.params {
		if !slices.Contains(notIfaceFields, k) {
			f.fields[k] = v
		}
	}
	if q.has("address") && !q.has("cidr") {
		f.fields["cidr"] = q.str("address") + "/" + prefixOf(q.str("netmask"))
	}
	f.setAddress(f.fields["cidr"])
	if f.fields["comments"] != "" {
		f.fields["comments"] = strings.TrimSuffix(f.fields["comments"], "\n") + "\n"
	}
	if f.typ == "bridge" {
		for k, v := range map[string]string{"bridge_ports": "", "bridge_stp": "off", "bridge_fd": "0"} {
			if _, ok := f.fields[k]; !ok {
				f.fields[k] = v
			}
		}
		if truth(f.fields["bridge_vlan_aware"]) && f.fields["bridge_vids"] == "" {
			f.fields["bridge_vids"] = "2-4094"
		}
	}
	return nil
}

func prefixOf(mask string) string {
	if ip := net.ParseIP(mask).To4(); ip != nil {
		ones, _ := net.IPMask(ip).Size()
		return strconv.Itoa(ones)
	}
	return mask
}

func (m *machine) stage() []iface {
	if m.staged == nil {
		m.staged = cloneIfaces(m.interfaces)
	}
	return m.staged
}

func networkCreate(q *call) (any, error) {
	if _, err := q.findIface(); err == nil {
		return nil, invalid(map[string]string{"iface": "interface already exists"})
	}
	f := iface{name: q.str("iface"), fields: map[string]string{}}
	if err := q.applyIface(&f); err != nil {
		return nil, err
	}
	q.n.box.staged = append(q.n.box.stage(), f)
	return nil, nil
}

func networkUpdate(q *call) (any, error) {
	i, err := q.findIface()
	if err != nil {
		return nil, err
	}
	return nil, q.applyIface(&q.n.box.stage()[i])
}

func networkDelete(q *call) (any, error) {
	i, err := q.findIface()
	if err != nil {
		return nil, err
	}
	all := q.n.box.stage()
	q.n.box.staged = slices.Delete(all, i, i+1)
	return nil, nil
}

func networkRevert(q *call) (any, error) {
	q.n.box.staged = nil
	return nil, nil
}

// networkReload makes the staged configuration the active one, with ifupdown2 (PVE::API2::Network).
func networkReload(q *call) (any, error) {
	n := q.n
	if n.packages()["ifupdown2"] == "" {
		return nil, fail(500, "you need ifupdown2 to reload network configuration")
	}
	t := n.startTask("srvreload", "networking", q.id.name(), 2*time.Second, func(*task) string {
		n.box.activate()
		return "OK"
	})
	return t.upid(), nil
}

func (m *machine) activate() {
	if m.staged == nil {
		return
	}
	m.interfaces, m.staged = m.staged, nil
	for i := range m.interfaces {
		m.interfaces[i].active = true
	}
}
