package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/living"
)

// The phases of a node's failure.
const (
	phaseOffline  = "offline"
	phaseFence    = "fence"
	phaseRecovery = "recovery"
	phaseStarted  = "started"
	phaseDegraded = "degraded"
	phaseBack     = "back"
	phaseClean    = "clean"
	phaseFailback = "failback"
)

// A watchPhase is one of them and how it is seen.
type watchPhase struct {
	Phase
	slow time.Duration // longer than that is slower than expected; 0: nobody knows
	seen func(w *watch, s sight) bool
}

// A sight is what one look shows.
type sight struct {
	view living.View
	ha   pve.HA
	ceph *living.Ceph
	// heard says whether the observer hears the node on the link of the drill; nil: nobody knows.
	heard *bool
}

// nodePhases are those of a node that goes down. Fencing takes 60 s until the node is given up and 120 s until
// its lock is free (pve-ha-manager's fence_delay, pmxcfs's lock lifetime).
func nodePhases(offline time.Duration, services, returns, osds bool) []watchPhase {
	after := func(name string) func(*watch) bool { return func(w *watch) bool { return w.seen(name) } }
	clean := func(s sight) bool {
		n, _ := s.ceph.Dirty()
		return n == 0 && s.ceph.OSDMap.Up == s.ceph.OSDMap.In
	}
	all := []watchPhase{
		{Phase{Name: phaseOffline, Says: "the others no longer hear it", Expected: fmt.Sprintf("about %s, corosync's token and consensus", offline.Round(100*time.Millisecond)), Needed: true},
			offline + 5*time.Second, func(w *watch, s sight) bool { _, online := s.view.Has(w.node); return !online }},
	}
	if services {
		all = append(all,
			watchPhase{Phase{Name: phaseFence, Says: "the HA manager gives it up", Expected: "60 to 80s"}, 90 * time.Second,
				func(w *watch, s sight) bool { return w.fenced(s.ha) }},
			watchPhase{Phase{Name: phaseRecovery, Says: "it is fenced: its services may run elsewhere", Expected: "120 to 150s"}, 160 * time.Second,
				func(w *watch, s sight) bool { return w.recovering(s.ha) }},
			watchPhase{Phase{Name: phaseStarted, Says: "all its services run again", Expected: "120 to 180s", Needed: true}, 180 * time.Second,
				func(w *watch, _ sight) bool { return len(w.running) == len(w.guests) }})
	}
	if osds {
		all = append(all, watchPhase{Phase{Name: phaseDegraded, Says: "Ceph misses its OSDs"}, 0, func(w *watch, s sight) bool { return s.ceph != nil && !clean(s) }})
	}
	all = append(all, watchPhase{Phase{Name: phaseBack, Says: "it is a member again", Needed: returns}, 0, func(w *watch, s sight) bool {
		_, online := s.view.Has(w.node)
		return online && after(phaseOffline)(w)
	}})
	if osds {
		all = append(all, watchPhase{Phase{Name: phaseClean, Says: "Ceph has all copies again", Needed: returns}, 0, func(w *watch, s sight) bool {
			return s.ceph != nil && clean(s) && after(phaseBack)(w)
		}})
	}
	if services {
		all = append(all, watchPhase{Phase{Name: phaseFailback, Says: "a service is on it again, as its rules want"}, 0, func(w *watch, s sight) bool {
			return after(phaseBack)(w) && w.any(s.ha, func(v pve.HAService) bool {
				return v.Node == w.node && v.State == pve.HAServiceStarted && v.Running && w.running[v.SID].Node != w.node && w.running[v.SID].Node != ""
			})
		}})
	}
	return all
}

// watch looks every second from a node that is not hit, and notes when each phase was first seen.
type watch struct {
	c      *Cluster
	node   string // that is hit
	guests []Guest
	tell   *teller
	phases []watchPhase

	began    time.Time
	observer string
	last     sight
	running  map[string]Service // by SID: what runs again
	blind    time.Duration
	looked   time.Time
	calm     time.Time // since when all is as before
	unwhole  []string  // what is not

	heard       func(ctx context.Context, observer string) (bool, error) // of a link's drill
	wasInactive bool                                                     // placement groups were, at the last look
}

// start is the moment of the failure.
func (w *watch) start() {
	w.began, w.running = w.c.Clock.Now(), map[string]Service{}
	w.looked = w.began
}

func (w *watch) started() bool { return !w.began.IsZero() }

// startAt moves the moment of the failure to that of a phase: when nobody knows when the plug was pulled.
func (w *watch) startAt(name string) {
	moved := w.after(name).Duration()
	w.began = w.began.Add(moved)
	for i := range w.phases {
		if p := &w.phases[i]; p.After != nil {
			p.After = seconds(max(0, p.After.Duration()-moved))
		}
	}
}

func (w *watch) after(name string) *Seconds {
	for _, p := range w.phases {
		if p.Name == name {
			return p.After
		}
	}
	return nil
}

func (w *watch) seen(name string) bool { return w.after(name) != nil }

// recovery is the time until the last service ran again; nil without services, or if one does not.
func (w *watch) recovery() *Seconds { return w.after(phaseStarted) }

// until looks every second until done, or until limit has passed since now.
func (w *watch) until(ctx context.Context, limit time.Duration, what string, done func() (bool, error)) error {
	p := engine.Poll{Clock: w.c.Clock, What: what, Every: time.Second, Limit: limit}
	return p.Until(ctx, func(ctx context.Context) (bool, string, error) {
		if err := w.look(ctx); err != nil {
			return false, "", err
		}
		ok, err := done()
		return ok, w.String(), err
	})
}

// String is where things stand.
func (w *watch) String() string {
	var words []string
	for _, p := range w.phases {
		if p.After != nil {
			words = append(words, p.Name+" after "+p.After.String())
		}
	}
	if words == nil {
		return "nothing has happened yet"
	}
	return strings.Join(words, ", ")
}

// look asks once and notes what is new. That no node answers is noted too, and is no error.
func (w *watch) look(ctx context.Context) error {
	before := w.looked
	s, err := w.ask(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	now := w.c.Clock.Now()
	w.looked = now
	if err != nil {
		w.blind += now.Sub(before)
		w.tell.Progress("", "no node answers: "+err.Error())
		return nil
	}
	w.last = s
	w.lookAtServices(ctx, s, now)
	for i := range w.phases {
		p := &w.phases[i]
		if p.After == nil && p.seen(w, s) {
			p.After = seconds(now.Sub(w.began))
			p.Slow = p.slow > 0 && now.Sub(w.began) > p.slow
			w.tell.Change(w.node, fmt.Sprintf("after %s: %s (%s)", p.After, p.Says, p.Name))
		}
	}
	return nil
}

// ask asks the node that answered last, or another.
func (w *watch) ask(ctx context.Context) (s sight, err error) {
	if w.observer != "" {
		if s, err = w.askNode(ctx, w.observer); err == nil {
			return s, nil
		}
	}
	v, verr := w.c.Speaker(ctx, w.node)
	if verr != nil {
		return s, errors.Join(err, verr)
	}
	w.observer = v.Node
	return w.askNode(ctx, v.Node)
}

func (w *watch) askNode(ctx context.Context, node string) (s sight, err error) {
	if s.view, err = living.ReadView(ctx, w.c.Nodes, node); err != nil {
		return s, err
	}
	if !s.view.Quorate {
		return s, fmt.Errorf("%s: %w", node, ErrNoQuorum)
	}
	if s.ha, err = w.c.haOf(ctx, node); err != nil {
		return s, err
	}
	// Ceph elects monitors just then, and may not answer: the rest counts all the same.
	if ceph, cerr := living.ReadCeph(ctx, w.c.Nodes, node); cerr == nil {
		s.ceph = &ceph
	}
	if w.heard != nil {
		if h, herr := w.heard(ctx, node); herr == nil {
			s.heard = &h
		}
	}
	return s, nil
}

// lookAtServices notes which services run again, and where.
func (w *watch) lookAtServices(ctx context.Context, s sight, now time.Time) {
	for _, g := range w.guests {
		v, ok := State{HA: s.ha}.Service(g.SID())
		if !ok || v.State != pve.HAServiceStarted || !v.Running {
			continue
		}
		if _, known := w.running[v.SID]; known {
			continue
		}
		if v.Node == w.node && (!w.seen(phaseBack) || !w.bootedAgain(ctx, g, now)) {
			continue // the manager has not noticed yet
		}
		w.running[v.SID] = Service{SID: v.SID, Node: v.Node, Started: seconds(now.Sub(w.began))}
		w.tell.Change(v.Node, fmt.Sprintf("after %s: %s runs on %s", w.running[v.SID].Started, v.SID, v.Node))
	}
}

// bootedAgain says whether a guest runs on the node that was hit and began to after it was: a node that is back
// before it was given up starts its services itself, and the manager's status says "started" all the while.
func (w *watch) bootedAgain(ctx context.Context, g Guest, now time.Time) bool {
	var is struct {
		Status string  `json:"status"`
		Uptime pve.Int `json:"uptime"`
	}
	err := w.c.Nodes.API(w.observer).Get(ctx, fmt.Sprintf("/nodes/%s/%s/%d/status/current", w.node, g.Kind, g.VMID), &is)
	return err == nil && is.Status == "running" && is.Uptime.Known && time.Duration(is.Uptime.V)*time.Second <= now.Sub(w.began)
}

func (w *watch) fenced(ha pve.HA) bool {
	return slices.ContainsFunc(ha.Nodes, func(n pve.HANode) bool { return n.Name == w.node && n.State == pve.HANodeFence }) || w.any(ha, func(v pve.HAService) bool {
		return v.State == pve.HAServiceFence
	})
}

func (w *watch) recovering(ha pve.HA) bool {
	return w.any(ha, func(v pve.HAService) bool { return v.State == pve.HAServiceRecovery || v.Node != w.node })
}

func (w *watch) any(ha pve.HA, is func(pve.HAService) bool) bool {
	return slices.ContainsFunc(ha.Services, func(v pve.HAService) bool { return w.follows(v.SID) && v.Known && is(v) })
}

func (w *watch) follows(sid string) bool {
	return slices.ContainsFunc(w.guests, func(g Guest) bool { return g.SID() == sid })
}

// recovered says that every service runs again, or is in error and will not.
func (w *watch) recovered() (bool, error) {
	for _, g := range w.guests {
		v, _ := State{HA: w.last.ha}.Service(g.SID())
		if _, runs := w.running[g.SID()]; !runs && v.State != pve.HAServiceError {
			return false, nil
		}
	}
	return true, nil
}

// whole says that all has been as before for two rounds of the HA manager: it moves services back in its own
// time.
func (w *watch) whole() (ok bool, err error) {
	w.unwhole = nil
	want := func(ok bool, format string, args ...any) {
		if !ok {
			w.unwhole = append(w.unwhole, fmt.Sprintf(format, args...))
		}
	}
	want(w.seen(phaseBack), "%s is away", w.node)
	for _, n := range w.last.ha.Nodes {
		want(n.State == pve.HANodeOnline, "the HA manager says %q of %s", n.State, n.Name)
	}
	for _, v := range w.last.ha.Services {
		want(!w.follows(v.SID) || v.State == pve.HAServiceStarted && v.Running, "%s is in state %q on %s", v.SID, v.State, v.Node)
	}
	if s := w.last.ceph; s != nil {
		want(s.Health.Status == "HEALTH_OK", "Ceph is %s (%s)", s.Health.Status, strings.Join(s.Codes(), ", "))
	} else {
		want(!slices.ContainsFunc(w.phases, func(p watchPhase) bool { return p.Name == phaseClean }), "Ceph does not answer")
	}
	switch {
	case w.unwhole != nil:
		w.calm = time.Time{}
	case w.calm.IsZero():
		w.calm = w.looked
	}
	return !w.calm.IsZero() && (len(w.guests) == 0 || w.looked.Sub(w.calm) >= settleLook), nil
}

// fill writes what was seen into a report.
func (w *watch) fill(r *DrillReport) {
	r.At, r.Observer = w.began, w.observer
	for _, p := range w.phases {
		r.Phases = append(r.Phases, p.Phase)
		switch {
		case p.Needed && p.After == nil:
			r.Failed = append(r.Failed, "not seen: "+p.Says)
		case p.Bad && p.After != nil:
			r.Failed = append(r.Failed, fmt.Sprintf("after %s: %s", p.After, p.Says))
		}
	}
	for _, g := range w.guests {
		v, _ := State{HA: w.last.ha}.Service(g.SID())
		s, runs := w.running[g.SID()]
		if !runs {
			s = Service{SID: g.SID(), Node: v.Node}
		}
		s.State, s.Now = v.State, v.Node
		r.Services = append(r.Services, s)
	}
	if w.blind > 0 {
		r.Blind = seconds(w.blind)
	}
}

// expectations is how long corosync takes to notice a loss: token and consensus of the totem section, with
// corosync's and Proxmox VE's defaults (corosync.conf(5)). Consensus is 1.2 times the token.
func (c *Cluster) expectations(ctx context.Context, s State) time.Duration {
	var totem struct {
		Token       pve.Int `json:"token"`
		Coefficient pve.Int `json:"token_coefficient"`
		Consensus   pve.Int `json:"consensus"`
	}
	_ = c.Nodes.API(s.Members.Node).Get(ctx, "/cluster/config/totem", &totem) // then the defaults are as good
	or := func(v pve.Int, d int64) time.Duration {
		if v.Known {
			d = v.V
		}
		return time.Duration(d) * time.Millisecond
	}
	token := or(totem.Token, 3000) + time.Duration(max(0, len(s.Nodes)-2))*or(totem.Coefficient, 650)
	return token + or(totem.Consensus, token.Milliseconds()*6/5)
}
