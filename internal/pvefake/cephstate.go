package pvefake

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// cephState is the Ceph of the cluster: the small one of Options.Ceph, or what the API has made.
type cephState struct {
	fsid     string
	made     bool              // through the API
	conf     map[string]string // [global] of ceph.conf
	mons     []cephDaemon
	mgrs     []cephDaemon // the first that runs is active
	mds      []cephDaemon
	osds     []*cephOSD
	pools    []*cephPool
	nextPool int
	rules    []string
	profiles map[string]map[string]string
	fs       []cephFS
	db       map[string]map[string]string // ceph config set WHO KEY VALUE
	health   string                       // set by SetCephHealth; "": as it is
	checks   map[string]string
	flags    map[string]bool
	keys     map[string]string // of clients, by name
}

type cephDaemon struct {
	name string
	n    *node
	addr string
	// since is when it began to serve.
	since time.Time
}

func (d cephDaemon) runs() bool { return d.n.up && !d.since.After(d.n.c.now) }

type cephOSD struct {
	id    int
	n     *node
	dev   string
	bytes int64
	class string
	in    bool
	since time.Time // it is up from then on
	// stopped is its service, by systemctl; the node's next boot starts it.
	stopped bool
}

func (o *cephOSD) up() bool { return o.n.up && !o.stopped && !o.since.After(o.n.c.now) }

type cephPool struct {
	id, size, minSize, pgs  int
	name, rule, kind, app   string
	autoscale, profile      string
	pgMin                   string
	targetSize, targetRatio string
	needs                   int // hosts a PG of it wants
	since                   time.Time
	healed                  time.Time        // copies are missing until then, though all OSDs are up
	images                  map[string]int64 // bytes by name
}

type cephFS struct{ name, metadata, data string }

const (
	cephOSDBytes = 2 << 30
	cephVersion  = "19.2.3"
	cephLong     = "ceph version 19.2.3 (c92aebb279828e9c3c1f5d24613efca272649e62) squid (stable)"
)

func newCeph(fsid string) *cephState {
	return &cephState{
		fsid: fsid, conf: map[string]string{}, nextPool: 1, rules: []string{"replicated_rule"}, profiles: map[string]map[string]string{},
		db: map[string]map[string]string{}, flags: map[string]bool{},
	}
}

// enableCeph makes the small one: one monitor and manager, an OSD a node.
func (c *Cluster) enableCeph() {
	s := newCeph(c.newUUID())
	first := c.nodes[0]
	s.health, s.checks = "HEALTH_OK", map[string]string{}
	s.rules = []string{"replicated_rule", "ecpool"}
	s.mons = []cephDaemon{{name: "a", n: first, addr: first.ip.String()}}
	s.mgrs = []cephDaemon{{name: "x", n: first, addr: first.ip.String()}}
	for i, n := range c.nodes {
		s.osds = append(s.osds, &cephOSD{id: i, n: n, bytes: cephOSDBytes, class: "ssd", in: true})
	}
	for i, p := range []cephPool{
		{size: 3, minSize: 2, pgs: 32, name: "rbd", rule: "replicated_rule", kind: "replicated"},
		{size: 3, minSize: 2, pgs: 8, name: "ecpool", rule: "ecpool", kind: "erasure"},
		{size: 3, minSize: 2, pgs: 32, name: "vmpool", rule: "replicated_rule", kind: "replicated"},
	} {
		p.id, p.app, p.autoscale, p.needs = i+1, "rbd", "off", p.size
		s.pools = append(s.pools, &p)
	}
	s.nextPool = 4
	s.db["mgr"] = map[string]string{"mgr/prometheus/server_port": "9283", "mgr/prometheus/server_addr": "::"}
	c.ceph = s
}

// SetCephHealth sets the health and its checks (code to message).
func (c *Cluster) SetCephHealth(status string, checks map[string]string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ceph == nil {
		return fmt.Errorf("pvefake: this cluster has no Ceph (Options.Ceph)")
	}
	c.ceph.health, c.ceph.checks = status, checks
	return nil
}

func (s *cephState) pool(name string) *cephPool {
	for _, p := range s.pools {
		if p.name == name {
			return p
		}
	}
	return nil
}

func (s *cephState) osd(id int) *cephOSD {
	for _, o := range s.osds {
		if o.id == id {
			return o
		}
	}
	return nil
}

// quorum are the monitors that run, if they are a majority.
func (s *cephState) quorum() []cephDaemon {
	var up []cephDaemon
	for _, m := range s.mons {
		if m.runs() {
			up = append(up, m)
		}
	}
	if 2*len(up) <= len(s.mons) {
		return nil
	}
	return up
}

func (s *cephState) activeMgr() *cephDaemon {
	for i := range s.mgrs {
		if s.mgrs[i].runs() {
			return &s.mgrs[i]
		}
	}
	return nil
}

// hosts counts the nodes with an OSD that is up and in.
func (s *cephState) hosts() int {
	seen := map[*node]bool{}
	for _, o := range s.osds {
		if o.up() && o.in {
			seen[o.n] = true
		}
	}
	return len(seen)
}

// settleTime is how long PGs peer after something changed.
const settleTime = 3 * time.Second

// state is that of a pool's PGs.
func (s *cephState) state(p *cephPool, now time.Time) string {
	hosts := s.hosts()
	switch {
	case !s.made:
		return "active+clean"
	case hosts < p.minSize:
		return "undersized+degraded+peered"
	case now.Sub(p.since) < settleTime:
		return "creating+peering"
	case hosts < p.needs, slices.ContainsFunc(s.osds, func(o *cephOSD) bool { return o.in && !o.up() }):
		return "active+undersized+degraded"
	case now.Before(p.healed):
		return "active+recovering+degraded"
	}
	return "active+clean"
}

// health is what Ceph would say of its state.
func (c *Cluster) cephHealth() (string, map[string]string) {
	s := c.ceph
	if s.health != "" {
		return s.health, s.checks
	}
	checks := map[string]string{}
	up, in := 0, 0
	for _, o := range s.osds {
		if o.in {
			in++
			up += bit(o.up())
		}
	}
	if len(s.osds) < 3 {
		checks["TOO_FEW_OSDS"] = fmt.Sprintf("OSD count %d < osd_pool_default_size 3", len(s.osds))
	}
	if up < in {
		checks["OSD_DOWN"] = fmt.Sprintf("%d osds down", in-up)
	}
	if down := len(s.mons) - len(s.quorum()); down > 0 {
		checks["MON_DOWN"] = fmt.Sprintf("%d/%d mons down", down, len(s.mons))
	}
	if s.activeMgr() == nil {
		checks["MGR_DOWN"] = "no active mgr"
	}
	var set []string
	for _, f := range sortedKeys(s.flags) {
		if s.flags[f] {
			set = append(set, f)
		}
	}
	if len(set) > 0 {
		checks["OSDMAP_FLAGS"] = strings.Join(set, ",") + " flag(s) set"
	}
	degraded := 0
	for _, p := range s.pools {
		switch st := s.state(p, c.now); {
		case strings.Contains(st, "degraded"):
			degraded += p.pgs
		case strings.Contains(st, "creating"):
			checks["PG_AVAILABILITY"] = "Reduced data availability: pgs inactive"
		}
		if p.app == "" {
			checks["POOL_APP_NOT_ENABLED"] = "1 pool(s) do not have an application enabled"
		}
	}
	if degraded > 0 {
		checks["PG_DEGRADED"] = fmt.Sprintf("Degraded data redundancy: %d pgs undersized", degraded)
	}
	if len(checks) > 0 {
		return "HEALTH_WARN", checks
	}
	return "HEALTH_OK", checks
}

// pgsPerOSD counts placement groups times their size on each OSD, with extra more.
func (s *cephState) pgsPerOSD(extra int) int {
	total := extra
	for _, p := range s.pools {
		total += p.pgs * p.size
	}
	return total / max(len(s.osds), 1)
}

// ready says why no command of Ceph works on this node, "" if they do.
func (n *node) cephMissing() string {
	s := n.c.ceph
	switch {
	case !n.box.recorded && n.box.cephRelease == "":
		return "binary not installed: /usr/bin/ceph-mon"
	case (s == nil || n.alone != nil) && n.box.files["/etc/pve/ceph.conf"].content != "":
		return "pveceph configuration not initialized - missing '/etc/pve/ceph'" // somebody wrote the file by hand
	case s == nil || n.alone != nil:
		return "pveceph configuration not initialized - missing '/etc/pve/ceph.conf', missing '/etc/pve/ceph'"
	}
	return ""
}

// confText is /etc/pve/ceph.conf.
func (s *cephState) confText() string {
	var b strings.Builder
	b.WriteString("[global]\n")
	conf := maps.Clone(s.conf)
	conf["fsid"] = s.fsid
	var hosts []string
	for _, m := range s.mons {
		hosts = append(hosts, m.addr)
	}
	if len(hosts) > 0 {
		conf["mon_host"] = strings.Join(hosts, " ")
	}
	for _, k := range slices.Sorted(maps.Keys(conf)) {
		fmt.Fprintf(&b, "\t%s = %s\n", k, conf[k])
	}
	b.WriteString("\n[client]\n\tkeyring = /etc/pve/priv/$cluster.$name.keyring\n\n[client.crash]\n\tkeyring = /etc/pve/ceph/$cluster.$name.keyring\n")
	for _, m := range s.mons {
		fmt.Fprintf(&b, "\n[mon.%s]\n\tpublic_addr = %s\n", m.name, m.addr)
	}
	return b.String()
}

func (c *Cluster) versionOf(n *node) (short, long string) {
	r := n.box.cephRelease
	if r == "" {
		return cephVersion, cephLong
	}
	short, _, _ = strings.Cut(cephPackage[r], "-")
	return short, "ceph version " + short + " (c92aebb279828e9c3c1f5d24613efca272649e62) " + r + " (stable)"
}
