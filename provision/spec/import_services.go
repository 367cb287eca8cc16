package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/provision/facts"
)

// cephReleases by the first number of the version.
var cephReleases = map[string]string{"16": "pacific", "17": "quincy", "18": "reef", "19": "squid", "20": "tentacle"}

func (i *importer) ceph() {
	f, c := i.f.Ceph, &i.c.Spec.Ceph
	if !f.Ready.Or(false) {
		return
	}
	c.Release = defaultRelease(i.c.Spec.PVE.Major)
	for _, d := range slices.Concat(f.Mons.Or(nil), f.Mgrs.Or(nil)) {
		major, _, _ := strings.Cut(d.Version, ".")
		if name, ok := cephReleases[major]; ok {
			c.Release = name
			break
		}
	}
	c.Monitors, c.Managers, c.MDS = i.hosts(f.Mons.Or(nil)), i.hosts(f.Mgrs.Or(nil)), i.hosts(f.MDSs.Or(nil))
	for _, s := range f.Config.Or(nil) {
		who := s.Section
		if s.Mask != "" {
			who += "/" + s.Mask
		}
		if !cephWho.MatchString(who) || !cephKey.MatchString(s.Name) {
			i.leave("Ceph's setting %s %s", who, s.Name)
			continue
		}
		if c.Config == nil {
			c.Config = map[string]map[string]Value{}
		}
		if c.Config[who] == nil {
			c.Config[who] = map[string]Value{}
		}
		c.Config[who][s.Name] = Value(s.Value)
	}
	i.pools()
}

// hosts are the nodes of daemons. On Proxmox VE a daemon has the name of its node.
func (i *importer) hosts(daemons []facts.Daemon) []string {
	var out []string
	for _, d := range daemons {
		for _, name := range []string{d.Host, d.Name} {
			if _, ok := i.c.Node(name); ok && !slices.Contains(out, name) {
				out = append(out, name)
				break
			}
		}
	}
	slices.Sort(out)
	return out
}

func (i *importer) pools() {
	f, c := i.f.Ceph, &i.c.Spec.Ceph
	part := map[string]bool{} // pools that belong to something else
	for _, fs := range f.Filesystems.Or(nil) {
		part[fs.MetadataPool], part[fs.DataPool] = true, true
		c.Filesystems = append(c.Filesystems, Filesystem{Name: fs.Name, PGNum: i.pgNum(fs.DataPool)})
	}
	for _, p := range f.Pools.Or(nil) {
		base, isData := strings.CutSuffix(p.Name, "-data")
		meta, ok := i.pool(base + "-metadata")
		if !p.Erasure || !isData || !ok {
			continue
		}
		part[p.Name], part[meta.Name] = true, true
		e := &Erasure{K: p.MinSize - 1, M: p.Size - p.MinSize + 1}
		if e.M < 2 || e.K < 2 { // Ceph's min_size is k for m = 1, else k+1
			e = &Erasure{K: p.MinSize, M: p.Size - p.MinSize}
		}
		c.Pools = append(c.Pools, i.toPool(p, base, meta.Size, meta.MinSize, e))
	}
	for _, p := range f.Pools.Or(nil) {
		switch {
		case part[p.Name], strings.HasPrefix(p.Name, "."):
		case p.Erasure:
			i.leave("pool %s: an erasure-coded pool that Proxmox VE did not make", p.Name)
		default:
			c.Pools = append(c.Pools, i.toPool(p, p.Name, p.Size, p.MinSize, nil))
		}
	}
}

func (i *importer) pool(name string) (facts.Pool, bool) {
	for _, p := range i.f.Ceph.Pools.Or(nil) {
		if p.Name == name {
			return p, true
		}
	}
	return facts.Pool{}, false
}

func (i *importer) pgNum(pool string) int {
	p, _ := i.pool(pool)
	return max(p.PGNum, 8)
}

func (i *importer) toPool(p facts.Pool, name string, size, minSize int, e *Erasure) Pool {
	out := Pool{Name: name, Size: size, MinSize: minSize, PGNum: p.PGNum, Autoscale: p.Autoscale, Application: "rbd", FailureDomain: "host", Erasure: e}
	if len(p.Applications) > 0 && slices.Contains([]string{"rbd", "cephfs", "rgw"}, p.Applications[0]) {
		out.Application = p.Applications[0]
	}
	if p.PGNumFinal > 0 {
		out.PGNum = p.PGNumFinal // the number it is on its way to
	}
	return out
}

func (i *importer) storages() {
	for _, f := range i.f.Storages.Or(nil) {
		if slices.Contains(builtin, f.ID) {
			continue
		}
		s := Storage{ID: f.ID, Type: f.Type, Content: slices.Clone(f.Content), Nodes: slices.Clone(f.Nodes), Prune: toPrune(f.Prune)}
		switch f.Type {
		case StorageRBD:
			s.Pool, s.KRBD = strings.TrimSuffix(f.Fields["pool"], "-metadata"), f.Fields["krbd"] == "1"
			if f.Fields["data-pool"] == "" {
				s.Pool = f.Fields["pool"]
			}
		case StorageCephFS:
			s.Filesystem = f.Fields["fs-name"]
			if fs := i.c.Spec.Ceph.Filesystems; s.Filesystem == "" && len(fs) == 1 {
				s.Filesystem = fs[0].Name
			}
		case StoragePBS:
			s.Server, s.Datastore, s.Namespace = f.Fields["server"], f.Fields["datastore"], f.Fields["namespace"]
			s.Username, s.Fingerprint = f.Fields["username"], f.Fields["fingerprint"]
			s.Password = SecretEnv("PBS_PASSWORD")
		case StorageNFS:
			s.Server, s.Export, s.Options = f.Fields["server"], f.Fields["export"], f.Fields["options"]
		case StorageDir:
			s.Path, s.Shared = f.Fields["path"], f.Shared
		}
		i.c.Spec.Storage = append(i.c.Spec.Storage, s)
		if errs := i.complaints("spec.storage"); len(errs) > 0 {
			i.c.Spec.Storage = i.c.Spec.Storage[:len(i.c.Spec.Storage)-1]
			i.leave("storage %s of type %s: %s", f.ID, f.Type, errs[0].Message)
		} else if f.Disabled {
			i.leave("storage %s: it is disabled, and apply would not change that", f.ID)
		}
	}
}

// complaints are what Validate says about a part of the file.
func (i *importer) complaints(path string) Errors {
	return slices.DeleteFunc(i.c.Validate(), func(e Error) bool { return !strings.HasPrefix(e.Path, path) })
}

func toPrune(keep map[string]int) Prune {
	return Prune{Last: keep["last"], Hourly: keep["hourly"], Daily: keep["daily"], Weekly: keep["weekly"], Monthly: keep["monthly"], Yearly: keep["yearly"]}
}

func (i *importer) ha() {
	h := &i.c.Spec.HA
	h.ShutdownPolicy = i.f.Options.Or(facts.Options{}).ShutdownPolicy
	for j, n := range i.f.Nodes {
		w, ok := n.Host.Watchdog.Get()
		if !ok || j > 0 && w != h.Watchdog || !slices.Contains([]string{"softdog", "ipmi_watchdog", "iTCO_wdt"}, w) {
			h.Watchdog = ""
			break
		}
		h.Watchdog = w
	}
	for _, g := range i.f.HAGroups.Or(nil) {
		h.Groups = append(h.Groups, HAGroup{Name: g.Name, Nodes: g.Nodes, Restricted: g.Restricted, NoFailback: g.NoFailback})
	}
	for _, r := range i.f.HARules.Or(nil) {
		if r.Type != "node-affinity" || r.Disabled {
			i.leave("HA rule %s of type %s", r.Name, r.Type)
			continue
		}
		g := HAGroup{Name: r.Name, Nodes: r.Nodes, Restricted: r.Strict}
		for _, s := range i.f.HAResources.Or(nil) {
			g.NoFailback = g.NoFailback || slices.Contains(r.Resources, s.SID) && !s.Failback
		}
		h.Groups = append(h.Groups, g)
	}
}

// guestHA is what the HA manager knows of a guest.
func (i *importer) guestHA(vmid int) *GuestHA {
	sid := fmt.Sprintf("vm:%d", vmid)
	for _, s := range i.f.HAResources.Or(nil) {
		if s.SID != sid {
			continue
		}
		h := &GuestHA{State: s.State, Group: s.Group, MaxRestart: s.MaxRestart, MaxRelocate: s.MaxRelocate}
		if h.State == "enabled" { // an older word
			h.State = "started"
		}
		for _, r := range i.f.HARules.Or(nil) {
			if _, ok := i.c.Group(r.Name); ok && slices.Contains(r.Resources, sid) {
				h.Group = r.Name
			}
		}
		return h
	}
	return nil
}

func (i *importer) jobs() {
	for _, f := range i.f.BackupJobs.Or(nil) {
		j := BackupJob{
			ID: f.ID, Schedule: f.Schedule, Storage: f.Storage, Mode: f.Mode, Compress: f.Compress, All: f.All, VMIDs: f.VMIDs, Exclude: f.Exclude,
			Enabled: f.Enabled, Notify: f.Notify, Prune: toPrune(f.Prune),
		}
		or(&j.Mode, "snapshot")
		or(&j.Compress, "none")
		if j.Compress == "0" {
			j.Compress = "none"
		}
		i.c.Spec.Backup.Jobs = append(i.c.Spec.Backup.Jobs, j)
		if errs := i.complaints("spec.backup"); len(errs) > 0 || f.Node != "" {
			i.c.Spec.Backup.Jobs = i.c.Spec.Backup.Jobs[:len(i.c.Spec.Backup.Jobs)-1]
			i.leave("backup job %s", f.ID)
		}
	}
}
