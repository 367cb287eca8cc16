package pvefake

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Timings of pve-ha-manager (src/PVE/HA/{CRM,LRM,Manager,NodeStatus}.pm) as measured on a live 9.2.
const (
	crmPeriod       = 10 * time.Second
	lrmPeriod       = 5 * time.Second // status file; services are looked at every second round
	fenceDelay      = 60 * time.Second
	oldTimestamp    = 30 // seconds, "old timestamp - dead?"
	timeDrift       = -2
	lrmIdleRounds   = 60
	goneAfter       = time.Hour
	defaultRestarts = 1
)

type haState struct {
	manager   managerStatus
	lrm       map[string]*lrmStatus // by node
	resources map[string]*haResource
	rules     []haRule
	groups    []haGroup
	commands  []crmCommand
}

// managerStatus is /etc/pve/ha/manager_status.
type managerStatus struct {
	master    string
	nodes     map[string]string
	services  map[string]*service
	requests  map[string]map[string]int // node_request: maintenance
	disarm    *disarm
	timestamp int64
	renewed   time.Time // of the manager's lock
}

type disarm struct{ mode, state string }

type service struct {
	state, node, target string
	running             bool
	failedNodes         []string
	uid                 string
	maintenanceNode     string
}

// lrmStatus is /etc/pve/nodes/NODE/lrm_status.
type lrmStatus struct {
	mode, state string
	timestamp   int64
	results     map[string]lrmResult // by uid
	empty       int                  // rounds without a service
	restarts    map[string]int       // failed starts by uid
	busy        map[string]bool      // uids whose worker runs
}

type lrmResult struct {
	sid, state string
	exit       int
}

type lrmMode string

const (
	modeActive      lrmMode = "active"
	modeMaintenance lrmMode = "maintenance"
	modeRestart     lrmMode = "restart"
	modeDisarm      lrmMode = "disarm"
)

type haResource struct {
	sid, state, comment, group string
	maxRestart, maxRelocate    int
	failback                   *bool
}

type haRule struct {
	id, typ   string
	resources []string
	nodes     map[string]int // node-affinity: priority by node
	strict    bool
	affinity  string // resource-affinity: positive, negative
	comment   string
	disabled  bool
	hasStrict bool // strict was given, even as 0
}

type haGroup struct {
	id, comment             string
	nodes                   map[string]int
	restricted, nofailback  bool
	hasRestricted, hasNoFbk bool
}

type crmCommand struct{ verb, sid, node string }

// HAResource is what AddHAResource manages.
type HAResource struct {
	SID         string // "vm:101"
	State       string // default "started"
	Comment     string
	Group       string // 8.4
	MaxRestart  *int   // default 1
	MaxRelocate *int   // default 1
	Failback    *bool  // 9.2; nil: not written
}

// AddHAResource puts a guest under HA; the manager takes it up in its next round.
func (c *Cluster) AddHAResource(r HAResource) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	setDefault(&r.State, "started")
	if c.guestBySID(c.live, r.SID) == nil {
		return fmt.Errorf("pvefake: no guest for HA resource %q", r.SID)
	}
	res := &haResource{sid: r.SID, state: r.State, comment: r.Comment, group: r.Group, maxRestart: defaultRestarts, maxRelocate: defaultRestarts, failback: r.Failback}
	if r.MaxRestart != nil {
		res.maxRestart = *r.MaxRestart
	}
	if r.MaxRelocate != nil {
		res.maxRelocate = *r.MaxRelocate
	}
	c.live.ha.resources[r.SID] = res
	c.wantsHA = true
	return nil
}

// RemoveHAResource takes a guest out of HA.
func (c *Cluster) RemoveHAResource(sid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.live.ha.resources, sid)
}

// SetHAState changes a resource's request state: started, stopped, disabled, ignored.
func (c *Cluster) SetHAState(sid, state string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.live.ha.resources[sid]
	if r == nil {
		return fmt.Errorf("pvefake: %q is not under HA", sid)
	}
	r.state = state
	return nil
}

// MigrateHA asks the manager to move a service, as ha-manager migrate does.
func (c *Cluster) MigrateHA(sid string, to int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.node(to)
	if n == nil || c.live.ha.resources[sid] == nil {
		return fmt.Errorf("pvefake: cannot migrate %q to node %d", sid, to)
	}
	c.live.ha.commands = append(c.live.ha.commands, crmCommand{"migrate", sid, n.name})
	return nil
}

// AddNodeAffinity adds a rule (9.2) or, on 8.4, a group that its resources name.
func (c *Cluster) AddNodeAffinity(id string, nodes map[string]int, strict bool, sids ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.opt.Version == V84 {
		c.live.ha.groups = append(c.live.ha.groups, haGroup{id: id, nodes: nodes, restricted: strict, hasRestricted: strict})
		for _, sid := range sids {
			if r := c.live.ha.resources[sid]; r != nil {
				r.group = id
			}
		}
		return
	}
	c.live.ha.rules = append(c.live.ha.rules, haRule{id: id, typ: "node-affinity", nodes: nodes, strict: strict, resources: sids})
}

// AddResourceAffinity adds a rule that keeps services together or apart (9.2).
func (c *Cluster) AddResourceAffinity(id string, together bool, sids ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	affinity := "negative"
	if together {
		affinity = "positive"
	}
	c.live.ha.rules = append(c.live.ha.rules, haRule{id: id, typ: "resource-affinity", affinity: affinity, resources: sids})
}

// FailStart makes every start of a service fail, or lets it start again.
func (c *Cluster) FailStart(sid string, failing bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failing[sid] = failing
}

// SetMaintenance is ha-manager crm-command node-maintenance enable or disable.
func (c *Cluster) SetMaintenance(i int, on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.node(i)
	verb := "disable-node-maintenance"
	if on {
		verb = "enable-node-maintenance"
	}
	c.live.ha.commands = append(c.live.ha.commands, crmCommand{verb: verb, node: n.name})
}

// Freeze puts a node's LRM into restart mode, as a package update does: its services freeze.
func (c *Cluster) Freeze(i int, on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.node(i)
	n.mode = ""
	if on {
		n.mode = modeRestart
	}
}

// ServiceState returns the manager's state of a service and its node; "" when it knows none.
func (c *Cluster) ServiceState(sid string) (state, node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.live.ha.manager.services[sid]; s != nil {
		return s.state, s.node
	}
	return "", ""
}

// NodeStatus returns the manager's word for a node: online, unknown, fence, maintenance, gone.
func (c *Cluster) NodeStatus(i int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.live.ha.manager.nodes[c.node(i).name]
}

// Master is the node whose CRM manages, "" if none.
func (c *Cluster) Master() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.live.ha.manager.master
}

func (c *Cluster) guestBySID(f *cfs, sid string) *guestConf {
	typ, id, _ := strings.Cut(sid, ":")
	vmid, err := strconv.Atoi(id)
	if err != nil {
		return nil
	}
	g := f.guests[vmid]
	if g == nil || g.lxc != (typ == "ct") {
		return nil
	}
	return g
}

// newUID is 16 random bytes in base64 without padding.
func (c *Cluster) newUID() string {
	raw := make([]byte, 16)
	for i := range raw {
		raw[i] = byte(c.rnd.Uint32())
	}
	return base64.RawStdEncoding.EncodeToString(raw)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// priorityList writes "pve1:2,pve2:1"; a priority of 0 is left out.
func priorityList(nodes map[string]int) string {
	var parts []string
	for _, n := range sortedKeys(nodes) {
		if p := nodes[n]; p != 0 {
			n = fmt.Sprintf("%s:%d", n, p)
		}
		parts = append(parts, n)
	}
	return strings.Join(parts, ",")
}
