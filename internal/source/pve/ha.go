package pve

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// An HA is what Proxmox's HA manager said at one moment. What it did not say is empty or zero.
//
// Without quorum all of it is frozen: dead nodes stay "online" and their services "started". Only
// Quorate and the ages of the timestamps say so.
type HA struct {
	At      time.Time // when it was read, by the reader's clock
	Quorate bool      // of the partition that answered
	Master  string    // node whose CRM holds the manager lock, "" if there never was one
	Updated time.Time // when the master last wrote its status, zero if never
	Arming  string    // one of HAArmed, HAStandby, HADisarming, HADisarmed

	Nodes    []HANode    // as the manager sees them, sorted by name; none if HA was never used
	LRMs     []HALRM     // of the nodes whose local manager wrote a status, sorted by name
	Services []HAService // configured or known to the manager, sorted by id

	// Unmanaged are the ids (qemu/100) of guests without HA. Empty unless HAWatch was asked for them.
	Unmanaged []string
}

// What HA.Arming can be: the words of the API's fencing entry (pve-ha-manager 5.1.3). Where the
// entry is missing they follow from the same facts.
const (
	HAArmed     = "armed"
	HAStandby   = "standby"   // no CRM is at work: no HA resource, no quorum, or the master is gone
	HADisarming = "disarming" // somebody asked for disarm-ha and it is under way
	HADisarmed  = "disarmed"
)

// The states of a node.
const (
	HANodeOnline      = "online"
	HANodeMaintenance = "maintenance"
	HANodeUnknown     = "unknown" // not a member of the partition
	HANodeFence       = "fence"   // to be fenced, not yet confirmed
	HANodeGone        = "gone"    // no longer configured; forgotten an hour later
)

// HANodeStates are all states of a node (PVE::HA::NodeStatus).
func HANodeStates() []string {
	return []string{HANodeOnline, HANodeMaintenance, HANodeUnknown, HANodeFence, HANodeGone}
}

// The states of a service that decide something here.
const (
	HAServiceStarted  = "started"
	HAServiceStopped  = "stopped"
	HAServiceFence    = "fence"    // its node is to be fenced
	HAServiceRecovery = "recovery" // its node is fenced, a new one is looked for
	HAServiceFreeze   = "freeze"   // left alone: its LRM restarts, or HA is disarmed
	HAServiceMigrate  = "migrate"
	HAServiceRelocate = "relocate"
	HAServiceError    = "error"
)

// HAServiceStates are all states of a service in the CRM (PVE::HA::Manager).
func HAServiceStates() []string {
	return []string{
		HAServiceStopped, "request_stop", "request_start", "request_start_balance", HAServiceStarted,
		HAServiceFence, HAServiceRecovery, HAServiceMigrate, HAServiceRelocate, HAServiceFreeze, HAServiceError,
	}
}

// HARequestedStates are the states that can be asked for; "enabled" is an old word for started.
func HARequestedStates() []string {
	return []string{"started", "stopped", "disabled", "ignored"}
}

// An HANode is a node as the manager sees it.
type HANode struct{ Name, State string }

// An HALRM is the local resource manager of a node, as it last said.
type HALRM struct {
	Node    string
	State   string    // wait_for_agent_lock, active, maintenance, lost_agent_lock
	Mode    string    // active, restart, shutdown, maintenance, disarm
	Updated time.Time // zero if it never said
	Started []string  // sorted ids of the services whose last order there was a successful start
}

// An HAService is a resource under HA.
type HAService struct {
	SID         string // vm:100, ct:101
	Known       bool   // the manager has it: ignored and just configured ones it has not
	State       string // of HAServiceStates; "" if not Known
	Node        string // "" if not Known
	Target      string // of a migration or relocation, else ""
	Running     bool   // the manager knows that it was started; false for a round after it was
	Confirmed   bool   // its node's LRM reports that the start which is its present order succeeded
	FailedNodes int    // nodes on which its start failed since it last ran

	Requested   string // of HARequestedStates, "" if not configured
	MaxRestart  Int
	MaxRelocate Int
}

// ID returns the service's id in the form of /cluster/resources: qemu/100, lxc/101.
func (s HAService) ID() string {
	kind, name, ok := strings.Cut(s.SID, ":")
	switch {
	case !ok:
		return s.SID
	case kind == "vm":
		kind = "qemu"
	case kind == "ct":
		kind = "lxc"
	}
	return kind + "/" + name
}

// haWireManager is the file ha/manager_status, and the member manager_status of the API's reply.
type haWireManager struct {
	Master    Text                     `json:"master_node"`
	Timestamp Int                      `json:"timestamp"`
	Nodes     map[string]Text          `json:"node_status"`
	Services  map[string]haWireService `json:"service_status"`
	Disarm    *struct {
		State Text `json:"state"`
	} `json:"disarm"`
}

type haWireService struct {
	State       Text       `json:"state"`
	Node        Text       `json:"node"`
	Target      Text       `json:"target"`
	Running     Bool       `json:"running"`
	FailedNodes haWireList `json:"failed_nodes"`
	UID         Text       `json:"uid"`
}

// A haWireList counts the members of an array; anything else has none.
type haWireList int

func (l *haWireList) UnmarshalJSON(b []byte) error {
	var all []json.RawMessage
	*l = 0
	if json.Unmarshal(b, &all) == nil {
		*l = haWireList(len(all))
	}
	return nil
}

// haWireLRM is the file nodes/NODE/lrm_status, and a member of lrm_status of the API's reply.
type haWireLRM struct {
	State     Text                    `json:"state"`
	Mode      Text                    `json:"mode"`
	Timestamp Int                     `json:"timestamp"`
	Results   map[string]haWireResult `json:"results"`
}

type haWireResult struct {
	SID   Text `json:"sid"`
	State Text `json:"state"`
	Exit  Int  `json:"exit_code"`
}

// haWireEntry is a row of /cluster/ha/status/current.
type haWireEntry struct {
	ID          Text `json:"id"`
	Type        Text `json:"type"`
	Quorate     Bool `json:"quorate"`
	ArmedState  Text `json:"armed-state"` // since pve-ha-manager 5.1.3
	SID         Text `json:"sid"`
	Requested   Text `json:"request_state"`
	MaxRestart  Int  `json:"max_restart"`
	MaxRelocate Int  `json:"max_relocate"`
}

// An haResource is what the configuration says of a service.
type haResource struct {
	requested               string
	maxRestart, maxRelocate Int
}

// ParseHAReplies makes an HA of the data of two replies: /cluster/ha/status/current, which alone has
// what was requested, and /cluster/ha/status/manager_status, which alone has node states.
func ParseHAReplies(current, manager []byte, at time.Time) (HA, error) {
	var status struct {
		Manager haWireManager        `json:"manager_status"`
		LRMs    map[string]haWireLRM `json:"lrm_status"`
		Quorum  struct {
			Quorate Bool `json:"quorate"` // "1" or "": a string here, a number in the other reply
		} `json:"quorum"`
	}
	if err := json.Unmarshal(manager, &status); err != nil {
		return HA{}, fmt.Errorf("read the reply of /cluster/ha/status/manager_status: %w", err)
	}
	var entries []haWireEntry
	if err := json.Unmarshal(current, &entries); err != nil {
		return HA{}, fmt.Errorf("read the reply of /cluster/ha/status/current: %w", err)
	}
	config := map[string]haResource{}
	quorate, arming := status.Quorum.Quorate.V, ""
	for _, e := range entries {
		switch e.Type {
		case "fencing":
			arming = string(e.ArmedState)
		case "quorum":
			quorate = quorate || e.Quorate.V
		case "service":
			sid := string(e.SID) // missing in old versions
			if sid == "" {
				sid = strings.TrimPrefix(string(e.ID), "service:")
			}
			config[sid] = haResource{haRequested(string(e.Requested)), e.MaxRestart, e.MaxRelocate}
		}
	}
	h := status.Manager.snapshot(config, status.LRMs, at)
	h.Quorate = quorate
	if arming != "" {
		h.Arming = arming
	}
	return h, nil
}

// haRequested gives the states that can be asked for one spelling.
func haRequested(s string) string {
	if s == "enabled" {
		return HAServiceStarted
	}
	return s
}

// snapshot joins what the manager, the configuration and the LRMs say.
func (m haWireManager) snapshot(config map[string]haResource, lrms map[string]haWireLRM, at time.Time) HA {
	h := HA{At: at, Master: string(m.Master), Updated: haTime(m.Timestamp)}
	h.Arming = m.arming(at)
	for _, name := range slices.Sorted(maps.Keys(m.Nodes)) {
		h.Nodes = append(h.Nodes, HANode{name, string(m.Nodes[name])})
	}
	for _, name := range slices.Sorted(maps.Keys(lrms)) {
		if l := lrms[name]; l.Timestamp.Known { // a file that could not be read is {"mode":"unknown"}
			h.LRMs = append(h.LRMs, l.lrm(name))
		}
	}
	sids := map[string]bool{}
	for sid := range m.Services {
		sids[sid] = true
	}
	for sid := range config {
		sids[sid] = true
	}
	for _, sid := range slices.Sorted(maps.Keys(sids)) {
		s, known := m.Services[sid]
		c := config[sid]
		h.Services = append(h.Services, HAService{
			SID: sid, Known: known, State: string(s.State), Node: string(s.Node), Target: string(s.Target),
			Running: s.Running.V, Confirmed: s.confirmed(lrms[string(s.Node)]), FailedNodes: int(s.FailedNodes),
			Requested: c.requested, MaxRestart: c.maxRestart, MaxRelocate: c.maxRelocate,
		})
	}
	return h
}

// haOldTimestamp is the age at which Proxmox takes a CRM or LRM for dead.
const haOldTimestamp = 30 * time.Second

// arming says what the API says in its fencing entry, from the same facts. Quorum is none of them.
func (m haWireManager) arming(at time.Time) string {
	if m.Disarm != nil && m.Disarm.State != "" {
		return string(m.Disarm.State)
	}
	age := at.Sub(haTime(m.Timestamp))
	// A few seconds ahead is a clock that differs, more is "detected time drift!".
	if m.Timestamp.Known && age >= -2*time.Second && age.Truncate(time.Second) <= haOldTimestamp {
		return HAArmed
	}
	return HAStandby
}

// confirmed reports whether l, the LRM of the service's node, has carried out the order to start it.
// Orders have an id of their own, so the result of an older one is no match.
func (s haWireService) confirmed(l haWireLRM) bool {
	r, ok := l.Results[string(s.UID)]
	return ok && s.State == HAServiceStarted && r.ok()
}

// ok reports whether the order was a start, and succeeded.
func (r haWireResult) ok() bool { return r.State == HAServiceStarted && r.Exit.Known && r.Exit.V == 0 }

func (l haWireLRM) lrm(node string) HALRM {
	started := map[string]bool{}
	for _, r := range l.Results {
		if r.SID != "" && r.ok() {
			started[string(r.SID)] = true
		}
	}
	return HALRM{
		Node: node, State: string(l.State), Mode: string(l.Mode), Updated: haTime(l.Timestamp),
		Started: slices.Sorted(maps.Keys(started)),
	}
}

// haTime is the time n seconds after 1970, zero if that is not known.
func haTime(n Int) time.Time {
	if !n.Known || n.V <= 0 || n.V > 1<<40 { // what is beyond is no time that a cluster has seen
		return time.Time{}
	}
	return time.Unix(n.V, 0)
}
