package pvefake

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

func machineHandlers() map[string]handler {
	const n = "/nodes/{node}/"
	return map[string]handler{
		"GET " + n + "dns":               dns,
		"PUT " + n + "dns":               dnsSet,
		"GET " + n + "hosts":             hosts,
		"POST " + n + "hosts":            hostsSet,
		"PUT " + n + "time":              timeSet,
		"POST " + n + "status":           nodeCommand,
		"GET " + n + "apt/repositories":  aptRepositories,
		"PUT " + n + "apt/repositories":  aptAddRepository,
		"POST " + n + "apt/repositories": aptChangeRepository,
		"GET " + n + "apt/update":        aptUpdates,
		"POST " + n + "apt/update":       aptRefresh,
		"GET " + n + "apt/versions":      aptVersions,
		"GET " + n + "disks/list":        disksList,
		"PUT " + n + "disks/wipedisk":    diskWipe,
		"POST " + n + "disks/initgpt":    diskInit,
	}
}

// withMore is a reply with keys beside "data".
type withMore struct {
	data any
	more obj
}

func dns(q *call) (any, error) {
	m := q.n.box
	row := obj{}
	if m.search != "" {
		row["search"] = m.search
	}
	for i, v := range m.dns {
		if v != "" {
			row[fmt.Sprintf("dns%d", i+1)] = v
		}
	}
	return row, nil
}

func dnsSet(q *call) (any, error) {
	m := q.n.box
	m.search = q.str("search")
	m.dns = [3]string{q.str("dns1"), q.str("dns2"), q.str("dns3")}
	return nil, nil
}

func (n *node) hostsText() string {
	if n.box.hosts != "" {
		return n.box.hosts
	}
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n")
	for _, m := range n.mates() {
		fmt.Fprintf(&b, "%s %s.lab %s\n", m.ip, m.name, m.name)
	}
	return b.String()
}

func hosts(q *call) (any, error) {
	text := q.n.hostsText()
	return obj{"data": text, "digest": sha1hex(text)}, nil
}

const modified = "detected modified configuration - file changed by other user? Try again."

// hostsSet needs no quorum: the file is not in pmxcfs.
func hostsSet(q *call) (any, error) {
	if q.has("digest") && q.str("digest") != sha1hex(q.n.hostsText()) {
		return nil, fail(500, modified)
	}
	q.n.box.hosts = q.str("data")
	return nil, nil
}

func timeSet(q *call) (any, error) {
	q.n.box.timezone = q.str("timezone")
	return nil, nil
}

// nodeCommand reboots or powers off.
func nodeCommand(q *call) (any, error) {
	n, reboot := q.n, q.str("command") == "reboot"
	n.c.later(3*time.Second, func() { n.goDown(reboot) })
	return nil, nil
}

// bootTime is how long a machine is away when it boots, unless Options.BootTime says otherwise.
const bootTime = 60 * time.Second

// goDown cuts the power; a reboot brings it back.
func (n *node) goDown(reboot bool) {
	if !n.up {
		return
	}
	n.c.powerOff(n)
	if reboot {
		n.c.later(n.c.opt.BootTime, func() {
			if n.up || n.box.stuck {
				return
			}
			n.box.activate()
			if err := n.c.powerOn(n); err != nil {
				n.logLine("systemd", "root@pam", err.Error())
			}
		})
	}
}

// repoHandles are the standard repositories of a release, each with its title.
func (c *Cluster) repoHandles() [][2]string {
	out := [][2]string{{"enterprise", "Enterprise"}, {"no-subscription", "No-Subscription"}, {"test", "Test"}}
	for _, r := range c.cephReleases() {
		title := "Ceph " + strings.ToUpper(r[:1]) + r[1:] + " "
		for _, kind := range [][2]string{{"enterprise", "Enterprise"}, {"no-subscription", "No-Subscription"}, {"test", "Test"}} {
			out = append(out, [2]string{"ceph-" + r + "-" + kind[0], title + kind[1]})
		}
	}
	return out
}

// cephReleases are those pveceph install accepts, oldest first (pve-manager PVE/Ceph/Releases.pm).
func (c *Cluster) cephReleases() []string {
	if c.opt.Version == V84 {
		return []string{"quincy", "reef", "squid"}
	}
	return []string{"squid", "tentacle"}
}

func (c *Cluster) suite() string {
	if c.opt.Version == V84 {
		return "bookworm"
	}
	return "trixie"
}

func (n *node) repoDigest() string {
	if n.box.repos == nil {
		return strings.Repeat("0", 64)
	}
	var b strings.Builder
	for _, h := range sortedKeys(n.box.repos) {
		fmt.Fprintf(&b, "%s=%v\n", h, n.box.repos[h])
	}
	return sha256hex(b.String())
}

func aptRepositories(q *call) (any, error) {
	m := q.n.box
	files, standard, infos := list{}, list{}, list{}
	if m.repos != nil {
		for _, h := range q.c.repoHandles() {
			row := obj{"handle": h[0], "name": h[1]}
			if on, there := m.repos[h[0]]; there {
				row["status"] = bit(on)
			}
			standard = append(standard, row)
		}
		for _, h := range sortedKeys(m.repos) {
			files = append(files, q.n.repoFile(h))
		}
	}
	return obj{"digest": q.n.repoDigest(), "errors": list{}, "files": files, "infos": infos, "standard-repos": standard}, nil
}

// repoFile is the file of one repository: a list on 8, deb822 on 9.
func (n *node) repoFile(handle string) obj {
	uri, component, name := "http://download.proxmox.com/debian/pve", "pve-"+handle, "pve-"+handle
	if rest, ok := strings.CutPrefix(handle, "ceph-"); ok {
		release, kind, _ := strings.Cut(rest, "-")
		uri, component, name = "http://download.proxmox.com/debian/ceph-"+release, kind, "ceph"
	}
	if strings.HasSuffix(handle, "enterprise") {
		uri = strings.Replace(uri, "http://download", "https://enterprise", 1)
	}
	ext := "sources"
	if n.c.opt.Version == V84 {
		ext = "list"
	}
	return obj{
		"path": "/etc/apt/sources.list.d/" + name + "." + ext, "file-type": ext, "digest": list{0, 1, 2, 3},
		"repositories": list{obj{
			"Types": list{"deb"}, "URIs": list{uri}, "Suites": list{n.c.suite()}, "Components": list{component}, "FileType": ext, "Enabled": bit(n.box.repos[handle]),
		}},
	}
}

func (q *call) repoChecks() error {
	if q.n.box.repos == nil {
		return fail(500, "no repositories are configured on this machine")
	}
	if q.has("digest") && q.str("digest") != q.n.repoDigest() {
		return fail(500, modified)
	}
	return nil
}

// aptAddRepository adds or enables a standard repository (PVE/API2/APT.pm add_repository).
func aptAddRepository(q *call) (any, error) {
	if err := q.repoChecks(); err != nil {
		return nil, err
	}
	handle := q.str("handle")
	if !slices.ContainsFunc(q.c.repoHandles(), func(h [2]string) bool { return h[0] == handle }) {
		return nil, fail(500, "unknown repository handle '"+handle+"'")
	}
	q.n.box.repos[handle] = true
	return nil, nil
}

// aptChangeRepository switches one repository of a file on or off.
func aptChangeRepository(q *call) (any, error) {
	if err := q.repoChecks(); err != nil {
		return nil, err
	}
	for h := range q.n.box.repos {
		if q.n.repoFile(h)["path"] == q.str("path") {
			if q.has("enabled") {
				q.n.box.repos[h] = q.flag("enabled")
			}
			return nil, nil
		}
	}
	return nil, fail(500, "invalid path or index of repository '"+q.str("path")+"'")
}

func (n *node) packageRow(name, version string) obj {
	return obj{
		"Package": name, "Version": version, "OldVersion": version, "CurrentState": "Installed", "Arch": "amd64", "Origin": "Proxmox", "Priority": "optional",
		"Section": "admin", "Title": name, "Description": name,
	}
}

func aptVersions(q *call) (any, error) {
	rows := list{}
	pkgs := q.n.packages()
	for _, name := range slices.Sorted(maps.Keys(pkgs)) {
		row := q.n.packageRow(name, pkgs[name])
		switch name {
		case "proxmox-ve":
			row["RunningKernel"] = q.n.kernel()
		case "pve-manager":
			row["ManagerVersion"], row["RunningKernel"] = pkgs[name]+"/"+q.n.c.opt.Version.repo(), q.n.kernel()
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (v Version) repo() string { _, _, repo := v.release(); return repo }

func aptUpdates(q *call) (any, error) {
	rows := list{}
	for _, u := range q.n.updates() {
		row := q.n.packageRow(u.Package, u.To)
		row["OldVersion"] = u.From
		rows = append(rows, row)
	}
	return rows, nil
}

// aptRefresh fails as apt does when the enterprise repository is on without a subscription.
func aptRefresh(q *call) (any, error) {
	n := q.n
	t := n.startTask("aptupdate", "", q.id.name(), 5*time.Second, func(t *task) string {
		t.log = append(t.log, "starting apt-get update")
		for _, h := range sortedKeys(n.box.repos) {
			if n.box.repos[h] && strings.HasSuffix(h, "enterprise") {
				t.log = append(t.log, "Err:1 https://enterprise.proxmox.com/debian "+n.c.suite()+" InRelease", "  401  Unauthorized")
				return "command 'apt-get update' failed: exit code 100"
			}
		}
		return "OK"
	})
	return t.upid(), nil
}

func disksList(q *call) (any, error) {
	rows := list{}
	for _, d := range q.n.box.disks {
		if q.str("type") == "unused" && d.used() != "" {
			continue
		}
		row := obj{
			"devpath": d.Dev, "size": d.Bytes, "type": d.Type, "model": d.Model, "serial": d.Serial, "vendor": "FAKE", "wwn": "unknown", "gpt": bit(d.Used != ""),
			"health": d.Health, "wearout": d.Wearout, "rpm": 0, "by_id_link": d.byID(), "osdid": d.osd, "osdid-list": nil, "mounted": 0,
		}
		if d.Type == "hdd" {
			row["rpm"], row["wearout"] = 7200, "N/A"
		}
		if u := d.used(); u != "" {
			row["used"] = u
		}
		if d.osd >= 0 {
			row["osdid-list"], row["bluestore"], row["osdencrypted"] = list{d.osd}, 1, 0
		}
		rows = append(rows, row)
		if q.flag("include-partitions") && d.Used == "BIOS boot" {
			rows = append(rows, d.partitions()...)
		}
	}
	return rows, nil
}

// partitions are those of an installed system.
func (d *disk) partitions() list {
	var rows list
	for i, used := range []string{"BIOS boot", "EFI", "LVM"} {
		rows = append(rows, obj{
			"devpath": fmt.Sprintf("%s%d", d.Dev, i+1), "parent": d.Dev, "size": d.Bytes / 4, "type": "partition", "used": used, "gpt": 1, "mounted": 0,
			"osdid": -1, "osdid-list": nil,
		})
	}
	return rows
}

func (q *call) namedDisk() (*disk, error) {
	d := q.n.box.findDisk(q.str("disk"))
	switch {
	case d == nil:
		return nil, fail(500, "not a valid block device")
	case d.Used == "BIOS boot" || d.Used == "mounted":
		return nil, fail(500, "disk/partition '"+d.Dev+"' has a holder")
	case d.osd >= 0:
		return nil, fail(500, "disk/partition '"+d.Dev+"' has a holder")
	}
	return d, nil
}

func diskWipe(q *call) (any, error) {
	d, err := q.namedDisk()
	if err != nil {
		return nil, err
	}
	n := q.n
	t := n.startTask("wipedisk", strings.TrimPrefix(d.Dev, "/dev/"), q.id.name(), 2*time.Second, func(*task) string {
		d.Used = ""
		n.box.wiped = append(n.box.wiped, d.Dev)
		return "OK"
	})
	return t.upid(), nil
}

func diskInit(q *call) (any, error) {
	d, err := q.namedDisk()
	if err != nil {
		return nil, err
	}
	if d.used() != "" {
		return nil, fail(500, "disk "+d.Dev+" already in use")
	}
	return q.n.startTask("diskinit", strings.TrimPrefix(d.Dev, "/dev/"), q.id.name(), time.Second, nil).upid(), nil
}
