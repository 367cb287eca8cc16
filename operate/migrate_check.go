package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/quorate/quorate/internal/source/pve"
)

// mayMove says why a guest cannot go to its target now. Proxmox VE itself finds most of that out only in the
// task, if at all: it takes a dead node for a target, and the HA manager then forgets the request in silence.
func (c *Cluster) mayMove(ctx context.Context, s State, g Guest, m Move) (reasons []string, err error) {
	for _, check := range moveChecks {
		if why := check(s, g, m.Target); why != "" {
			reasons = append(reasons, why)
		}
	}
	if m.Probe != nil {
		if err := answersAgain(ctx, m.Probe, answerFirst); err != nil {
			reasons = append(reasons, fmt.Sprintf("%s does not answer, so nothing could be measured: %v", m.Probe, err))
		}
	}
	if len(reasons) > 0 || g.Kind != "qemu" { // asking the guest's node means little if it is away
		return reasons, ctx.Err()
	}
	pre, err := c.preconditions(ctx, s.Members.Node, g, m.Target)
	if err != nil {
		return nil, err
	}
	return pre.reasons(m.Target), nil
}

// moveChecks are what State alone can tell.
var moveChecks = []func(s State, g Guest, target string) string{
	func(s State, _ Guest, target string) string {
		n, ok := s.Node(target)
		switch {
		case !ok:
			var names []string
			for _, n := range s.Nodes {
				names = append(names, n.Name)
			}
			return fmt.Sprintf("%s is no node of the cluster; it has %s", target, strings.Join(names, ", "))
		case !n.Online:
			return target + " is offline"
		case n.HA == pve.HANodeMaintenance:
			return fmt.Sprintf("%s is in maintenance; end that first (`quorate maintenance disable %s`)", target, target)
		case n.HA != "" && n.HA != pve.HANodeOnline:
			return fmt.Sprintf("the HA manager says %q of %s; wait until it says online", n.HA, target)
		}
		return ""
	},
	func(s State, g Guest, _ string) string {
		if n, ok := s.Node(g.Node); ok && !n.Online {
			return fmt.Sprintf("%s is on %s, which is offline", g.SID(), g.Node)
		}
		return ""
	},
	func(_ State, g Guest, _ string) string {
		if g.Lock != "" {
			return fmt.Sprintf("%s is locked (%s); wait for what holds it, or if no task does any more, `%s unlock %d` on %s", g.SID(), g.Lock, program(g), g.VMID, g.Node)
		}
		return ""
	},
	func(_ State, g Guest, _ string) string {
		if g.Template {
			return g.SID() + " is a template"
		}
		return ""
	},
	func(s State, g Guest, target string) string {
		n, ok := s.Node(target)
		if free := n.Memory - n.MemoryUsed; ok && n.Online && g.Status == "running" && g.Memory > free {
			return fmt.Sprintf("%s may use %s of memory, and %s has %s free", g.SID(), bytesText(g.Memory), target, bytesText(free))
		}
		return ""
	},
	func(s State, g Guest, _ string) string {
		v, ok := s.Service(g.SID())
		switch {
		case !ok || v.Requested == "ignored":
			return ""
		case s.HA.Arming == pve.HADisarmed || s.HA.Arming == pve.HADisarming:
			return "HA is " + s.HA.Arming + " and would not move it; arm it first (`ha-manager crm-command arm-ha`)"
		case s.HA.Arming == pve.HAStandby:
			return "no HA manager is at work; it takes one up within a minute (`ha-manager status`)"
		case v.State != pve.HAServiceStarted && v.State != pve.HAServiceStopped:
			return fmt.Sprintf("the HA manager has %s in state %q; wait until it is started, or see `ha-manager status`", v.SID, v.State)
		}
		return ""
	},
}

// program is that of Proxmox VE for guests of a kind.
func program(g Guest) string {
	if g.Kind == "lxc" {
		return "pct"
	}
	return "qm"
}

// preconditions are what GET /nodes/NODE/qemu/VMID/migrate says.
type preconditions struct {
	Running pve.Bool                   `json:"running"`
	Allowed *[]string                  `json:"allowed_nodes"` // releases before 9 have it of stopped guests only
	Not     map[string]json.RawMessage `json:"not_allowed_nodes"`
	Disks   []localDisk                `json:"local_disks"`
	Local   []string                   `json:"local_resources"`
}

type localDisk struct {
	VolID string   `json:"volid"`
	CDROM pve.Bool `json:"cdrom"`
}

func (c *Cluster) preconditions(ctx context.Context, node string, g Guest, target string) (p preconditions, err error) {
	err = c.Nodes.API(node).Get(ctx, fmt.Sprintf("/nodes/%s/qemu/%d/migrate?target=%s", g.Node, g.VMID, target), &p)
	return p, err
}

func (p preconditions) reasons(target string) (out []string) {
	for _, r := range p.Local {
		out = append(out, "it uses "+r+", which only its own node has")
	}
	if p.Running.V {
		for _, d := range p.Disks {
			out = append(out, fmt.Sprintf("%s is on storage that only its own node has; move it to shared storage first", d.VolID))
		}
	}
	if p.Allowed != nil && !slices.Contains(*p.Allowed, target) {
		out = append(out, fmt.Sprintf("Proxmox VE does not allow %s: %s", target, p.obstacles(target)))
	}
	return out
}

// obstacles are why a node is not allowed: storages or mapped devices that it has not, or services that must
// not be on it.
func (p preconditions) obstacles(target string) string {
	var why map[string]json.RawMessage
	if json.Unmarshal(p.Not[target], &why) != nil || len(why) == 0 {
		return "it gives no reason"
	}
	var words []string
	for _, what := range slices.Sorted(maps.Keys(why)) {
		words = append(words, strings.ReplaceAll(what, "_", " ")+" "+strings.Trim(string(why[what]), "[]"))
	}
	return strings.Join(words, ", ")
}
