package hareplay

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/internal/source/pve"
)

// A comparison is of one step.
type comparison struct {
	t    int64
	got  series
	want *expectation
}

func (c *comparison) differ(format string, args ...any) {
	c.want.differ = append(c.want.differ, fmt.Sprintf("t=%d ", c.t)+fmt.Sprintf(format, args...))
}

// same compares one series, of which absent is nil.
func (c *comparison) same(series string, want *float64) {
	got, there := c.got[series]
	switch {
	case want == nil && there:
		c.differ("%s is %g, want none", series, got)
	case want != nil && !there:
		c.differ("%s is missing, want %g", series, *want)
	case want != nil && got != *want:
		c.differ("%s is %g, want %g", series, got, *want)
	}
}

// only compares all series of name with want; what is not in want must not be there.
func (c *comparison) only(name string, want map[string]float64) {
	for series := range c.got {
		if _, ok := want[series]; !ok && strings.HasPrefix(series, name+"{") {
			c.same(series, nil)
		}
	}
	for series, v := range want {
		c.same(series, &v)
	}
}

// one compares a series without labels.
func (c *comparison) one(name string, v float64) { c.same(name, &v) }

func (c *comparison) step(s Step, h pve.HA, counts pve.HACounts) error {
	c.want.counters(c, s, h, counts)
	if !s.answered() {
		for series := range c.got {
			if !slices.ContainsFunc(countNames, func(n string) bool { return strings.HasPrefix(series, n) }) {
				c.differ("%s is there although nobody answers", series)
			}
		}
		return nil
	}
	rows, err := s.rows()
	if err != nil {
		return err
	}
	c.states(rows)
	c.managers(rows)
	c.services(rows)
	return nil
}

// countNames are those that outlive an answer.
var countNames = []string{
	"pve_ha_fence_total", "pve_ha_failover_total", "pve_ha_failover_failed_total", "pve_ha_failover_duration_seconds",
}

// states: what the index calls the state of a node or service is the one series of its set at 1. The
// index joins intervals across steps in which a service is ignored; the manager has no state then.
func (c *comparison) states(rows []current) {
	e, known := c.want.entry, map[string]bool{}
	for _, r := range rows {
		known[r.SID] = r.CRMState != ""
	}
	want := map[string]float64{}
	set := func(id, now string, all []string) {
		for _, s := range all {
			want[key("pve_ha_state", "id", id, "state", s)] = 0
		}
		if now != "" {
			want[key("pve_ha_state", "id", id, "state", now)] = 1
		}
	}
	for node, list := range e.NodeStates {
		if now := at(list, c.t); now != "" {
			set("node/"+node, now, pve.HANodeStates())
		}
	}
	for sid, list := range e.ServiceStates {
		if now := at(list, c.t); now != "" && known[sid] {
			set(pve.HAService{SID: sid}.ID(), now, pve.HAServiceStates())
		}
	}
	for series := range c.got { // configured but not known to the manager: all zero
		if _, ok := want[series]; !ok && strings.HasPrefix(series, "pve_ha_state{") && c.got[series] == 0 {
			want[series] = 0
		}
	}
	c.only("pve_ha_state", want)
}

// managers: who is master, quorate and armed is in the index; when they last wrote is in the step.
func (c *comparison) managers(rows []current) {
	e := c.want.entry
	want := map[string]float64{}
	if m := at(e.Masters, c.t); m != "" {
		want[key("pve_ha_manager_info", "node", m)] = 1
	}
	c.only("pve_ha_manager_info", want)
	quorate := slices.ContainsFunc(e.Quorate, func(f Flag) bool { return f.Yes && f.From <= c.t && c.t <= f.To })
	c.one("pve_ha_quorate", bit(quorate))
	c.one("pve_ha_armed", bit(at(e.Armed, c.t) == pve.HAArmed))
	lrms := map[string]float64{}
	for _, r := range rows {
		switch {
		case r.Type == "master" && r.Timestamp != 0:
			c.one("pve_ha_manager_last_update_timestamp_seconds", float64(r.Timestamp))
		case r.Type == "lrm" && r.Timestamp != 0:
			lrms[key("pve_ha_lrm_last_update_timestamp_seconds", "node", r.Node)] = float64(r.Timestamp)
		}
	}
	c.only("pve_ha_lrm_last_update_timestamp_seconds", lrms)
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// services: where the manager has them is in the step. Where they truly run is in the index, and must
// be the same once the manager has called them started for two steps.
func (c *comparison) services(rows []current) {
	e := c.want.entry
	nodes, requested := map[string]float64{}, map[string]float64{}
	for _, r := range rows {
		if r.Type != "service" {
			continue
		}
		id := pve.HAService{SID: r.SID}.ID()
		for _, s := range pve.HARequestedStates() {
			requested[key("pve_ha_requested_state", "id", id, "state", s)] = bit(s == r.Requested)
		}
		if r.CRMState == "" {
			continue
		}
		nodes[key("pve_ha_service_node_info", "id", id, "node", r.Node)] = 1
		truth, before := at(e.RunningIntervals[r.SID], c.t), at(e.RunningIntervals[r.SID], c.t-step)
		state, earlier := at(e.ServiceStates[r.SID], c.t), at(e.ServiceStates[r.SID], c.t-step)
		// Two nodes at once is a mistake of the simulator, or of somebody who starts a guest by hand.
		one := truth != "" && !strings.Contains(truth, ",")
		if one && truth == before && state == pve.HAServiceStarted && earlier == state && truth != r.Node {
			c.differ("%s runs on %s, pve_ha_service_node_info says %s", r.SID, truth, r.Node)
		}
	}
	c.only("pve_ha_service_node_info", nodes)
	c.only("pve_ha_requested_state", requested)
}
