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
	"github.com/quorate/quorate/provision/transport"
)

// The ways to take a node down.
const (
	WayHard     = "hard"     // reset at once, as after a crash: it boots again
	WayPowerOff = "poweroff" // off at once: somebody has to turn it on again
	WayIsolate  = "isolate"  // corosync is cut off, and after 10 minutes at most no more
	WayManual   = "manual"   // somebody pulls the plug
)

// Ways are all of them, the usual one first.
func Ways() []string { return []string{WayHard, WayPowerOff, WayIsolate, WayManual} }

// BudgetRecovery is how long it may take until every service runs again; BudgetBack until the node is back.
const (
	BudgetRecovery = "recovery"
	BudgetBack     = "back"
)

// A NodeDown is the rehearsal of a node's failure.
type NodeDown struct {
	Node       string
	Understood string // must be Node: who types it twice means it
	Way        string
	Any        bool // go on although no guest under HA runs there
	LoseGuests bool // go on although guests without HA run there: they are off until the node is back
	VM         bool // make a guest for the drill, and remove it at the end
	Probe      Prober
	Budget     Budget
}

// A strike is how a node is taken down: the last command does it.
type strike struct {
	commands []transport.Command
	undo     []transport.Command // nil: nothing is to be undone
	returns  bool                // by itself
	limit    time.Duration       // until it is offline
	says     string
}

func strikes() map[string]strike {
	return map[string]strike{
		WayHard:     {commands: []transport.Command{transport.ResetNode()}, returns: true, limit: offlineLimit, says: "is reset"},
		WayPowerOff: {commands: []transport.Command{transport.PowerOffNode()}, limit: offlineLimit, says: "is powered off"},
		WayIsolate: {commands: []transport.Command{transport.ArmDrillUndo(transport.MendCorosync()), transport.CutCorosync()},
			undo: []transport.Command{transport.MendCorosync(), transport.DisarmDrillUndo()}, returns: true,
			limit: offlineLimit, says: "is cut off from corosync, for 10 minutes at most"},
		WayManual: {limit: plugLimit, says: "is waited for: pull its plug now"},
	}
}

// How long things are waited for.
const (
	offlineLimit  = 90 * time.Second
	plugLimit     = 10 * time.Minute
	recoveryLimit = 15 * time.Minute // fencing takes 2 of them, and a service may be started more than once
	backLimit     = 30 * time.Minute // servers boot slowly
	settleLook    = 20 * time.Second // two rounds of the HA manager
)

// nodeDrill is a NodeDown on its way.
type nodeDrill struct {
	NodeDown
	c      *Cluster
	strike strike
	vm     *drillVM
	tell   *teller
	watch  *watch
	report *DrillReport
	hit    chan error // what came of the last command
}

// NodeDown takes a node down and watches what follows. The error is a *RefusedError if nothing was begun.
func (c *Cluster) NodeDown(ctx context.Context, d NodeDown) (*DrillReport, error) {
	if d.Way == "" {
		d.Way = WayHard
	}
	strike, ok := strikes()[d.Way]
	switch {
	case !ok:
		return nil, &engine.UsageError{Text: fmt.Sprintf("way %q: there are %s", d.Way, strings.Join(Ways(), ", "))}
	case d.Understood != d.Node:
		return nil, &engine.UsageError{Text: fmt.Sprintf("this takes %s down for real: say --i-understand %s", d.Node, d.Node)}
	}
	s, err := c.lookToDrill(ctx, "take "+d.Node+" down")
	if err != nil {
		return nil, err
	}
	reasons, err := c.mayDrill(ctx, s, d)
	if err != nil {
		return nil, err
	}
	if err := refuse("take "+d.Node+" down", reasons); err != nil {
		return nil, err
	}
	n := &nodeDrill{NodeDown: d, c: c, strike: strike, tell: c.teller("drill"), hit: make(chan error, 1)}
	return n.run(ctx, s)
}

// mayDrill says why the drill must not begin.
func (c *Cluster) mayDrill(ctx context.Context, s State, d NodeDown) (reasons []string, err error) {
	if reasons, err = c.MayLose(ctx, s, d.Node); err != nil {
		return nil, err
	}
	if _, ok := s.Node(d.Node); !ok {
		return reasons, nil
	}
	var alone []string
	for _, g := range s.running(d.Node) {
		if v, ok := s.Service(g.SID()); !ok || v.Requested != pve.HAServiceStarted {
			alone = append(alone, g.SID())
		}
	}
	if len(alone) > 0 && !d.LoseGuests {
		reasons = append(reasons, fmt.Sprintf("%s would be off until %s is back, as HA does not keep them; move or stop them, or say --lose-guests", strings.Join(alone, ", "), d.Node))
	}
	if len(s.followed(d.Node)) == 0 && !d.Any && !d.VM {
		reasons = append(reasons, "no guest under HA runs there, so nothing would be shown; --vm makes one for the drill, --any goes on without")
	}
	for _, g := range s.Guests {
		if g.Node == d.Node && g.Lock != "" {
			reasons = append(reasons, fmt.Sprintf("%s is locked (%s); wait for what holds it", g.SID(), g.Lock))
		}
	}
	switch tasks, terr := c.busy(ctx, d.Node); {
	case terr != nil:
		reasons = append(reasons, fmt.Sprintf("what %s does cannot be seen: %v", d.Node, terr))
	case len(tasks) > 0:
		reasons = append(reasons, "tasks run on it: "+strings.Join(tasks, ", "))
	}
	if _, serr := c.Speaker(ctx, d.Node); serr != nil {
		reasons = append(reasons, fmt.Sprintf("no other node can be asked what happens: %v", serr))
	}
	if d.Way != WayManual {
		reasons = append(reasons, c.sshWorks(ctx, d.Node)...)
	}
	if d.Way == WayIsolate {
		reasons = append(reasons, c.canCut(ctx, d.Node)...)
	}
	if d.Probe != nil {
		if perr := answersAgain(ctx, d.Probe, answerFirst); perr != nil {
			reasons = append(reasons, fmt.Sprintf("%s does not answer, so nothing could be measured: %v", d.Probe, perr))
		}
	}
	return reasons, ctx.Err()
}

// followed are the guests of a node that the HA manager is to start again. Those of earlier drills do not count.
func (s State) followed(node string) []Guest {
	return slices.DeleteFunc(s.haGuests(node), isDrillVM)
}

// busy are the types of the tasks that run on a node.
func (c *Cluster) busy(ctx context.Context, node string) ([]string, error) {
	var rows []struct {
		Type string  `json:"type"`
		ID   string  `json:"id"`
		End  pve.Int `json:"endtime"` // missing while it runs
	}
	if err := c.Nodes.API(node).Get(ctx, "/nodes/"+node+"/tasks?source=active", &rows); err != nil {
		return nil, err
	}
	var out []string
	for _, r := range rows {
		if !r.End.Known {
			out = append(out, strings.TrimSpace(r.Type+" "+r.ID))
		}
	}
	return out, nil
}

// run makes what the drill needs, strikes, watches, and puts things back.
func (d *nodeDrill) run(ctx context.Context, s State) (*DrillReport, error) {
	if err := d.c.removeDrillVMs(ctx, s, d.tell); err != nil {
		return nil, err
	}
	guests := s.followed(d.Node)
	if d.VM {
		vm, err := d.c.makeDrillVM(ctx, s, d.Node, d.tell)
		if err != nil {
			return nil, d.c.unmakeDrillVM(ctx, vm, d.tell, err)
		}
		d.vm = vm
		guests = append(guests, vm.guest)
	}
	expect := d.c.expectations(ctx, s)
	d.report = &DrillReport{Drill: "node-down", Cluster: d.c.Name, What: d.Node, Way: d.Way}
	d.watch = &watch{c: d.c, node: d.Node, guests: guests, tell: d.tell, phases: nodePhases(expect, len(guests) > 0, d.strike.returns, len(s.upOSDs(d.Node)) > 0)}

	stop := func() {}
	if d.Probe != nil {
		ended := d.Probe.Watch(context.WithoutCancel(ctx)) // ends below, whatever happens
		stop = func() {
			seen := ended()
			d.report.Gap, d.report.Probe, d.report.Answers = seconds(seen.Longest), d.Probe.String(), seen.Answers
		}
	}
	err := d.happen(ctx)
	stop()
	if err != nil {
		return nil, d.broken(ctx, err)
	}
	d.finish(ctx)
	return d.report, ctx.Err()
}

// happen strikes and watches until the cluster has recovered and, if the node returns by itself, is whole.
func (d *nodeDrill) happen(ctx context.Context) error {
	striking, cancel := context.WithCancel(ctx)
	struck, err := d.begin(striking)
	defer func() { cancel(); <-struck }()
	if err != nil {
		return err
	}
	w := d.watch
	err = w.until(ctx, d.strike.limit, d.Node+" offline", func() (bool, error) {
		select {
		case err := <-d.hit:
			var refused *transport.CommandError
			if errors.As(err, &refused) {
				return false, err
			}
		default: // it is still at it, or the connection broke off with the node
		}
		return w.seen(phaseOffline), nil
	})
	if err != nil {
		return err
	}
	if d.Way == WayManual {
		w.startAt(phaseOffline)
	}
	if len(w.guests) > 0 {
		if err := w.until(ctx, recoveryLimit, "the services elsewhere", w.recovered); err != nil && !errors.Is(err, engine.ErrTimeout) {
			return err
		}
	}
	if !d.strike.returns {
		return nil
	}
	if d.strike.undo != nil {
		d.undo(ctx)
	}
	err = w.until(ctx, backLimit, d.Node+" back and all as before", w.whole)
	if errors.Is(err, engine.ErrTimeout) {
		return nil // finish says what is missing
	}
	return err
}

// begin strikes. The last command may never return, as its node is gone: struck closes when it has ended.
func (d *nodeDrill) begin(ctx context.Context) (struck chan struct{}, err error) {
	struck = make(chan struct{})
	commands, shell := d.strike.commands, d.c.Nodes.Shell(d.Node)
	for _, cmd := range commands[:max(0, len(commands)-1)] {
		if _, err := shell.Run(ctx, cmd); err != nil {
			close(struck)
			return struck, fmt.Errorf("prepare: %w", err)
		}
	}
	d.tell.Change(d.Node, d.Node+" "+d.strike.says)
	d.watch.start()
	if len(commands) == 0 {
		close(struck)
		return struck, nil
	}
	go func() {
		defer close(struck)
		_, err := shell.Run(ctx, commands[len(commands)-1])
		d.hit <- err
	}()
	return struck, nil
}

// undo mends what isolates the node; its watchdog may have reset it meanwhile, which mends it too.
func (d *nodeDrill) undo(ctx context.Context) {
	for _, cmd := range d.strike.undo {
		if _, err := d.c.Nodes.Shell(d.Node).Run(ctx, cmd); err != nil {
			d.tell.Progress(d.Node, "its switch or its watchdog has undone it, or will: "+err.Error())
		}
	}
}

// finish removes the drill's own guest and says what there is to say.
func (d *nodeDrill) finish(ctx context.Context) {
	r, w := d.report, d.watch
	if d.vm != nil {
		same, err := d.c.removeDrillVM(ctx, d.vm, d.tell)
		if r.Image, r.Same = d.vm.pool+"/"+d.vm.image, same; err != nil {
			r.Failed = append(r.Failed, fmt.Sprintf("the drill's guest %s: %v; the next drill removes it", d.vm.guest.SID(), err))
		}
		if same != nil && !*same {
			r.Failed = append(r.Failed, "the data of "+r.Image+" is not as it was before")
		}
	}
	w.fill(r)
	d.missing()
	r.Over = d.Budget.over(map[string]*Seconds{BudgetRecovery: w.recovery(), BudgetBack: w.after(phaseBack), BudgetGap: r.Gap})
}

// missing notes what is not yet as before.
func (d *nodeDrill) missing() {
	r, w := d.report, d.watch
	switch {
	case !d.strike.returns && !w.seen(phaseBack):
		r.Left = append(r.Left, d.Node+" is down: turn it on again, and wait for HEALTH_OK")
	case !w.seen(phaseBack):
		r.Failed = append(r.Failed, d.Node+" has not come back: look at its console")
	default:
		w.whole()
		for _, t := range w.unwhole {
			r.Failed = append(r.Failed, "not yet as before: "+t)
		}
	}
}

// broken is the error of a drill that did not go its way, after what can be undone was undone.
func (d *nodeDrill) broken(ctx context.Context, err error) error {
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanLimit)
	defer cancel()
	w := d.watch
	if d.strike.undo != nil && w.started() { // else the timer may be another drill's
		d.undo(clean)
	}
	left := d.Node + " was not seen to go down"
	switch {
	case !w.started():
		left = d.Node + " was not touched"
	case w.seen(phaseBack):
		left = d.Node + " is back"
	case w.seen(phaseOffline) && d.strike.returns:
		left = d.Node + " is down, and comes back by itself"
	case w.seen(phaseOffline):
		left = d.Node + " is down: turn it on again"
	}
	do := "see `quorate status`"
	if d.vm != nil && w.seen(phaseOffline) && !w.seen(phaseStarted) {
		// Stopping it takes a manager that is busy with fencing just now.
		do = fmt.Sprintf("the drill's guest %s is left, and the next drill removes it; %s", d.vm.guest.SID(), do)
	} else if d.vm != nil {
		if _, rerr := d.c.removeDrillVM(clean, d.vm, d.tell); rerr != nil {
			do = fmt.Sprintf("the drill's guest %s is left (%v), and the next drill removes it; %s", d.vm.guest.SID(), rerr, do)
		}
	}
	return &UnfinishedError{err, left, do}
}
