package operate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/provision/living"
	"github.com/quorate/quorate/provision/transport"
)

// The phases of an OSD's failure, beside those of a node's.
const (
	phaseDown     = "down"
	phaseInactive = "inactive"
	phaseUp       = "up"
)

// OSDBudgets are what a drill of an OSD can have a budget for.
func OSDBudgets() []string { return []string{phaseDown, phaseUp, phaseClean} }

// OSDDown stops an OSD, sees what Ceph makes of it, and starts it again. The error is a *RefusedError if nothing
// was begun.
func (c *Cluster) OSDDown(ctx context.Context, id int, budget Budget) (*DrillReport, error) {
	what := fmt.Sprintf("stop osd.%d", id)
	s, err := c.lookToDrill(ctx, what)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.OSDs, func(o OSD) bool { return o.ID == id })
	switch {
	case s.Ceph == nil:
		return nil, &RefusedError{what, []string{"there is no Ceph"}}
	case i < 0:
		return nil, &RefusedError{what, []string{fmt.Sprintf("there is no osd.%d", id)}}
	case !s.OSDs[i].Up || !s.OSDs[i].In:
		return nil, &RefusedError{what, []string{fmt.Sprintf("osd.%d is not up and in", id)}}
	}
	node := s.OSDs[i].Node
	reasons := append(cephHealth(s, "", nil), placementGroups(s, "", nil)...)
	reasons = append(reasons, c.sshWorks(ctx, node)...)
	why, err := c.okToStop(ctx, s.CephNode, []int{id})
	if err != nil {
		return nil, err
	}
	if why != "" {
		reasons = append(reasons, "Ceph must keep it: "+why)
	}
	if err := refuse(what, reasons); err != nil {
		return nil, err
	}
	tell := c.teller("drill")
	r := &rehearsal{
		c: c, tell: tell, node: node, says: fmt.Sprintf("osd.%d is stopped, for 10 minutes at most", id), struck: phaseDown,
		strike: []transport.Command{transport.ArmDrillUndo(transport.StartOSD(id)), transport.StopOSD(id)},
		undo:   []transport.Command{transport.StartOSD(id), transport.DisarmDrillUndo()},
		watch:  &watch{c: c, observer: s.CephNode, tell: tell, phases: osdPhases(s.Ceph.OSDMap.Up)},
	}
	return r.run(ctx, &DrillReport{Drill: "osd", Cluster: c.Name, What: fmt.Sprintf("osd.%d of %s", id, node)}, budget)
}

// osdPhases are those of one OSD of some that are up.
func osdPhases(up int) []watchPhase {
	ceph := func(is func(w *watch, s *living.Ceph) bool) func(*watch, sight) bool {
		return func(w *watch, s sight) bool { return s.ceph != nil && is(w, s.ceph) }
	}
	degraded := func(s *living.Ceph) bool { n, _ := s.Dirty(); return n > 0 }
	return []watchPhase{
		{Phase{Name: phaseDown, Says: "Ceph counts it as down", Expected: "some seconds, and 25s if its peers have to find out", Needed: true}, 30 * time.Second,
			ceph(func(_ *watch, s *living.Ceph) bool { return s.OSDMap.Up < up })},
		{Phase{Name: phaseDegraded, Says: "placement groups miss a copy"}, 0, ceph(func(_ *watch, s *living.Ceph) bool { return degraded(s) })},
		{Phase{Name: phaseInactive, Says: "placement groups serve nobody", Bad: true}, 0, ceph(func(w *watch, s *living.Ceph) bool {
			// Peering is over in a moment; what is seen in two looks is not.
			before := w.wasInactive
			w.wasInactive = inactive(s)
			return w.wasInactive && before
		})},
		{Phase{Name: phaseUp, Says: "it is up again", Needed: true}, 0, ceph(func(w *watch, s *living.Ceph) bool { return w.seen(phaseDown) && s.OSDMap.Up >= up })},
		{Phase{Name: phaseClean, Says: "Ceph has all copies again", Needed: true}, 0, ceph(func(w *watch, s *living.Ceph) bool { return w.seen(phaseUp) && !degraded(s) })},
	}
}

// inactive says whether some placement group serves nobody.
func inactive(s *living.Ceph) bool {
	for _, g := range s.PGMap.States {
		if g.Count > 0 && !strings.Contains(g.Name, "active") {
			return true
		}
	}
	return false
}
