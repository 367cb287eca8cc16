package facts

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
)

func toVersion(r *row) Version {
	v := Version{Full: r.text("version")}
	// "9.2.11", or "8.4.1" of releases that add "-1".
	if n, err := fmt.Sscanf(v.Full, "%d.%d", &v.Major, &v.Minor); (err != nil || n != 2) && r.err == nil {
		r.err = fmt.Errorf("%q is no version of Proxmox VE", v.Full)
	}
	return v
}

func toMembership(list []*row) (Membership, error) {
	m := Membership{}
	for _, r := range list {
		switch r.text("type") {
		case "cluster":
			m.Name, m.Quorate, m.ConfigVersion = r.text("name"), r.bool("quorate"), r.int("version")
		case "node":
			m.Nodes = append(m.Nodes, MemberState{Name: r.text("name"), ID: r.int("nodeid"), IP: r.text("ip"), Online: r.bool("online"), Local: r.bool("local")})
		}
		if r.err != nil {
			return m, r.err
		}
	}
	slices.SortFunc(m.Nodes, func(a, b MemberState) int { return strings.Compare(a.Name, b.Name) })
	return m, nil
}

func toMember(r *row) Member {
	m := Member{Name: r.text("name"), ID: r.int("nodeid"), Votes: r.int("quorum_votes"), Links: map[int]string{}}
	for i := range 8 {
		if a := r.text(fmt.Sprintf("ring%d_addr", i)); a != "" {
			m.Links[i] = a
		}
	}
	return m
}

func toTotem(r *row) Totem {
	t := Totem{ClusterName: r.text("cluster_name"), ConfigVersion: r.int("config_version"), TokenCoefficient: r.int("token_coefficient"), Priorities: map[int]int{}}
	links := r.object("interface")
	for _, key := range slices.Sorted(maps.Keys(links.fields)) {
		link := links.object(key)
		if n, err := strconv.Atoi(key); err == nil && link.has("knet_link_priority") {
			t.Priorities[n] = link.int("knet_link_priority")
		}
	}
	return t
}

func toOptions(r *row) Options {
	migration, ha := r.properties("migration"), r.properties("ha")
	return Options{MigrationNetwork: migration["network"], MigrationType: migration["type"], ShutdownPolicy: ha["shutdown_policy"]}
}

func toHardware(r *row) Hardware {
	cpu := r.object("cpuinfo")
	h := Hardware{
		CPUs: cpu.int("cpus"), CPUModel: cpu.text("model"), Vendor: cpu.text("vendor"),
		MemoryTotal: r.object("memory").int64("total"),
		Kernel:      r.object("current-kernel").text("release"), PVEVersion: r.text("pveversion"),
		Uptime: time.Duration(r.int64("uptime")) * time.Second,
	}
	if h.Vendor == "" {
		// The API of PVE 8 tells the vendor in the model's name only.
		for name, vendor := range map[string]string{"Intel": "GenuineIntel", "AMD": "AuthenticAMD"} {
			if strings.Contains(h.CPUModel, name) {
				h.Vendor = vendor
			}
		}
	}
	return h
}

func toInterface(r *row) Interface {
	i := Interface{
		Name: r.text("iface"), Type: r.text("type"), Method: r.text("method"), CIDR: cmp.Or(r.text("cidr"), r.text("cidr6")), Gateway: cmp.Or(r.text("gateway"), r.text("gateway6")),
		MTU: r.int("mtu"), VLAN: r.int("vlan-id"), Active: r.bool("active"),
	}
	i.Ports = append(r.list("bridge_ports"), r.list("slaves")...)
	return i
}

func toDisk(r *row) Disk {
	d := Disk{
		Dev: r.text("devpath"), ByID: r.text("by_id_link"), Size: r.int64("size"), Type: r.text("type"), Model: strings.TrimSpace(r.text("model")),
		Serial: r.text("serial"), WWN: r.text("wwn"), Health: r.text("health"), Wearout: -1, Used: r.text("used"),
		Mounted: r.bool("mounted"), GPT: r.bool("gpt"), Parent: r.text("parent"),
	}
	// "N/A" for disks that do not wear.
	if n, err := strconv.Atoi(r.text("wearout")); err == nil {
		d.Wearout = n
	}
	var ids []pve.Int
	r.get("osdid-list", &ids)
	for _, id := range ids {
		d.OSDs = append(d.OSDs, int(id.V))
	}
	if len(ids) == 0 && r.has("osdid") && r.int("osdid") >= 0 {
		d.OSDs = []int{r.int("osdid")}
	}
	return d
}

func toHosts(r *row) Hosts { return Hosts{Data: r.text("data"), Digest: r.text("digest")} }

func toDNS(r *row) DNS {
	d := DNS{Search: r.text("search")}
	for _, key := range []string{"dns1", "dns2", "dns3"} {
		if s := r.text(key); s != "" {
			d.Servers = append(d.Servers, s)
		}
	}
	return d
}

func toTime(r *row) Time { return Time{Zone: r.text("timezone"), Unix: r.int64("time")} }

// toPackages keeps what is installed. Version is what an upgrade would bring; OldVersion is there.
func toPackages(list []*row) (map[string]string, error) {
	out := map[string]string{}
	for _, r := range list {
		if r.text("CurrentState") == "Installed" {
			out[r.text("Package")] = r.text("OldVersion")
			if out[r.text("Package")] == "" {
				out[r.text("Package")] = r.text("Version")
			}
		}
		if r.err != nil {
			return nil, r.err
		}
	}
	return out, nil
}

func toRepositories(r *row) []Repository {
	out := []Repository{}
	for _, f := range r.objects("files") {
		for _, repo := range f.objects("repositories") {
			out = append(out, Repository{
				File: f.text("path"), Enabled: repo.bool("Enabled"),
				URIs: repo.texts("URIs"), Suites: repo.texts("Suites"), Components: repo.texts("Components"),
			})
			if r.err == nil {
				r.err = repo.err
			}
		}
	}
	return out
}

func toStorageState(r *row) StorageState {
	return StorageState{ID: r.text("storage"), Type: r.text("type"), Active: r.bool("active"), Enabled: r.boolOr("enabled", true), Total: r.int64("total"), Used: r.int64("used")}
}

func toStorage(r *row) Storage {
	s := Storage{
		ID: r.text("storage"), Type: r.text("type"), Digest: r.text("digest"), Content: r.list("content"), Nodes: r.list("nodes"),
		Disabled: r.bool("disable"), Shared: r.bool("shared"), Prune: r.keep("prune-backups"), Fields: map[string]string{},
	}
	for name, raw := range r.fields {
		var t pve.Text
		if json.Unmarshal(raw, &t) == nil { // lists and objects are not among what is compared
			s.Fields[name] = string(t)
		}
	}
	return s
}

func toHAResource(r *row) HAResource {
	h := HAResource{
		SID: r.text("sid"), Type: r.text("type"), State: r.text("state"), Group: r.text("group"), Comment: r.text("comment"),
		MaxRestart: 1, MaxRelocate: 1, Failback: r.boolOr("failback", true),
	}
	if h.State == "" {
		h.State = "started"
	}
	if r.has("max_restart") {
		h.MaxRestart = r.int("max_restart")
	}
	if r.has("max_relocate") {
		h.MaxRelocate = r.int("max_relocate")
	}
	return h
}

func toHAGroup(r *row) HAGroup {
	return HAGroup{Name: r.text("group"), Nodes: priorities(r.list("nodes")), Restricted: r.bool("restricted"), NoFailback: r.bool("nofailback")}
}

func toHARule(r *row) HARule {
	return HARule{
		Name: r.text("rule"), Type: r.text("type"), Resources: r.list("resources"), Nodes: priorities(r.list("nodes")),
		Strict: r.bool("strict"), Affinity: r.text("affinity"), Disabled: r.bool("disable"),
	}
}

// toGuest leaves out nodes, storages and networks, which the same list has.
func toGuest(r *row) (Guest, bool) {
	g := Guest{
		VMID: r.int("vmid"), Name: r.text("name"), Node: r.text("node"), Type: r.text("type"), Status: r.text("status"),
		Template: r.bool("template"), Tags: r.list("tags"), MaxMemory: r.int64("maxmem"), CPUs: r.int("maxcpu"), HAState: r.text("hastate"),
	}
	return g, g.Type == "qemu" || g.Type == "lxc"
}

func toBackupJob(r *row) BackupJob {
	return BackupJob{
		ID: r.text("id"), Schedule: r.text("schedule"), Storage: r.text("storage"), Mode: r.text("mode"), Compress: r.text("compress"),
		Notify: r.text("mailnotification"), Node: r.text("node"), All: r.bool("all"), Enabled: r.boolOr("enabled", true),
		VMIDs: r.numbers("vmid"), Exclude: r.numbers("exclude"), Prune: r.keep("prune-backups"),
	}
}

func toUser(r *row) User {
	u := User{ID: r.text("userid"), Comment: r.text("comment"), Enabled: r.boolOr("enable", true)}
	for _, t := range r.objects("tokens") {
		u.Tokens = append(u.Tokens, Token{ID: t.text("tokenid"), PrivSep: t.boolOr("privsep", true)})
	}
	return u
}

func toACL(r *row) ACLEntry {
	return ACLEntry{Path: r.text("path"), Type: r.text("type"), Subject: r.text("ugid"), Role: r.text("roleid"), Propagate: r.boolOr("propagate", true)}
}
