package spec

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/provision/facts"
)

// guests takes over the virtual machines whose configuration is known and can be told.
func (i *importer) guests() {
	list := slices.Clone(i.f.Guests.Or(nil))
	slices.SortFunc(list, func(a, b facts.Guest) int { return cmp.Compare(a.VMID, b.VMID) })
	for _, f := range list {
		config, ok := i.f.Configs[f.VMID].Get()
		switch {
		case f.Type != "qemu":
			i.leave("container %d (%s)", f.VMID, f.Name)
			continue
		case f.Template:
			i.leave("template %d (%s)", f.VMID, f.Name)
			continue
		case !ok:
			i.leave("guest %d (%s): its configuration could not be read", f.VMID, f.Name)
			continue
		}
		i.c.Spec.Guests = append(i.c.Spec.Guests, i.guest(f, config))
		if errs := i.complaints("spec.guests"); len(errs) > 0 {
			i.c.Spec.Guests = i.c.Spec.Guests[:len(i.c.Spec.Guests)-1]
			i.leave("guest %d (%s): %s", f.VMID, f.Name, errs[0].Message)
		}
	}
}

func (i *importer) guest(f facts.Guest, config facts.GuestConfig) Guest {
	cpu := facts.ParseProperties(config["cpu"])
	g := Guest{
		VMID: f.VMID, Name: cmp.Or(config["name"], "VM"+strconv.Itoa(f.VMID)), Node: f.Node,
		// kvm64 is what a machine without a word about it gets.
		CPU:    CPU{Cores: number(config["cores"], 1), Sockets: number(config["sockets"], 1), Type: cmp.Or(cpu[""], cpu["cputype"], "kvm64")},
		Memory: MiB(number(facts.ParseProperties(config["memory"])[""], 512)),
		OnBoot: config["onboot"] == "1", Agent: agent(config["agent"]), HA: i.guestHA(f.VMID),
	}
	for _, key := range sortedKeys(config) {
		if diskBus.MatchString(key) {
			if d, ok := toDisk(key, config[key]); ok {
				g.Disks = append(g.Disks, d)
			}
		}
		if rest, ok := strings.CutPrefix(key, "net"); ok && number(rest, -1) >= 0 {
			g.Net = append(g.Net, toInterface(config[key]))
		}
	}
	return g
}

func number(s string, unset int) int {
	if n, err := strconv.Atoi(s); err == nil {
		return n
	}
	return unset
}

// agent reads 1, 1,fstrim_cloned_disks=1 and enabled=1.
func agent(s string) bool {
	p := facts.ParseProperties(s)
	return p[""] == "1" || p["enabled"] == "1"
}

// toDisk leaves out CD-ROMs and what is not on a storage.
func toDisk(bus, s string) (Disk, bool) {
	p := facts.ParseProperties(s)
	storage, _, ok := strings.Cut(cmp.Or(p[""], p["file"]), ":")
	size, err := ParseBytes(p["size"])
	if !ok || err != nil || p["media"] == "cdrom" {
		return Disk{}, false
	}
	return Disk{
		Bus: bus, Storage: storage, Size: size, Cache: cmp.Or(p["cache"], "none"),
		Discard: p["discard"] == "on", SSD: p["ssd"] == "1", IOThread: p["iothread"] == "1",
	}, true
}

// toInterface reads virtio=BC:24:11:…,bridge=vmbr0,tag=5.
func toInterface(s string) Interface {
	p := facts.ParseProperties(s)
	n := Interface{Bridge: p["bridge"], Model: p["model"], VLAN: number(p["tag"], 0), MAC: p["macaddr"]}
	for _, model := range []string{"virtio", "e1000", "e1000e", "rtl8139", "vmxnet3"} {
		if mac, ok := p[model]; ok {
			n.Model, n.MAC = model, mac
		}
		if p[""] == model {
			n.Model = model
		}
	}
	return n
}
