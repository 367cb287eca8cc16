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

// nodeUpdate is the turn of one node. Each of its steps is true already, or makes it so.
type nodeUpdate struct {
	c        *Cluster
	u        RollingUpdate
	node     string
	resumed  bool // an earlier run has left it in maintenance
	row      *NodeUpdate
	tell     *teller
	patience time.Duration // with what is against it
	touched  bool          // it may be in maintenance, by this run or an earlier one
	noout    bool          // the flag is set, and is to be taken away
}

// update is the whole turn.
func (v *nodeUpdate) update(ctx context.Context) error {
	began := v.c.Clock.Now()
	if err := v.look(ctx); err != nil {
		return v.left(ctx, err)
	}
	work := len(v.row.Updates)+len(v.row.Removes) > 0 || v.u.boots(v.row.Host)
	if v.row.Skipped = !work && !v.resumed; v.row.Skipped {
		v.tell.Progress(v.node, "nothing to do")
		v.row.Done = true
		return nil
	}
	steps := []func(context.Context) error{v.gate, v.enter, v.setNoout, v.gate, v.upgrade, v.reboot, v.heal, v.unsetNoout, v.leave}
	if !work {
		steps = []func(context.Context) error{v.takeNoout, v.heal, v.unsetNoout, v.leave}
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return v.left(ctx, err)
		}
		if err := ctx.Err(); err != nil {
			return v.left(ctx, err)
		}
	}
	v.row.Done, v.row.Duration = true, seconds(v.c.Clock.Now().Sub(began))
	v.tell.tell(engine.Event{Event: engine.EventDone, Node: v.node, Text: fmt.Sprintf("(%d updates)", len(v.row.Updates))})
	return nil
}

// look finds out what there is to do. The run that left a node in maintenance may have told it to boot a moment
// ago: then it goes away meanwhile.
func (v *nodeUpdate) look(ctx context.Context) (err error) {
	if !v.resumed {
		return v.refresh(ctx)
	}
	v.tell.Change(v.node, "is in maintenance: an earlier run has left it so")
	for range lookTries {
		if err = v.online(ctx); err == nil {
			err = v.refresh(ctx)
		}
		if err == nil || ctx.Err() != nil {
			break
		}
	}
	return err
}

// refresh has apt load its lists, and reads what it would do.
func (v *nodeUpdate) refresh(ctx context.Context) (err error) {
	v.tell.Progress(v.node, "apt-get update")
	if err = v.c.tasks().Start(ctx, v.node, "POST", "/nodes/"+v.node+"/apt/update", nil, v.tell); err != nil {
		return &engine.Advice{Node: v.node, Err: fmt.Errorf("refresh the lists of packages of %s: %w", v.node, err), Do: "correct its repositories, or its way to them"}
	}
	v.row.Host, err = v.c.readHost(ctx, v.node)
	return err
}

// quiet are tasks that a node may be taken from.
var quiet = []string{"vncproxy", "vncshell", "termproxy", "spiceproxy", "spiceshell", "aptupdate"}

// against says why the node cannot have its turn now.
func (v *nodeUpdate) against(ctx context.Context, s State) ([]string, error) {
	reasons, err := v.c.MayLose(ctx, s, v.node, v.accept()...)
	if err != nil {
		return nil, err
	}
	tasks, err := v.c.clusterTasks(ctx, s.Members.Node)
	if err != nil {
		return nil, err
	}
	for _, t := range tasks {
		moves := t.Type == "qmigrate" || t.Type == "vzmigrate"
		if t.running() && (t.Node == v.node || moves) && !slices.Contains(quiet, t.Type) {
			reasons = append(reasons, "a task runs: "+t.String()+"; wait for its end")
		}
	}
	return append(reasons, v.row.against(v.node)...), nil
}

// gate waits as long as patience says until nothing is against it.
func (v *nodeUpdate) gate(ctx context.Context) error {
	var reasons []string
	err := v.c.untilEvery(ctx, healEvery, "the cluster to bear that "+v.node+" goes", v.patience, func(ctx context.Context, s State) (bool, string, error) {
		var err error
		reasons, err = v.against(ctx, s)
		if len(reasons) > 0 {
			v.tell.Progress(v.node, "waiting: "+strings.Join(reasons, "; "))
		}
		return err == nil && len(reasons) == 0, strings.Join(reasons, "; "), err
	})
	if errors.Is(err, engine.ErrTimeout) && len(reasons) > 0 {
		return &RefusedError{"update " + v.node, reasons}
	}
	return err
}

// enter empties the node.
func (v *nodeUpdate) enter(ctx context.Context) error {
	if _, err := v.c.steady(ctx); err != nil {
		return err
	}
	_, err := v.c.EnableMaintenance(ctx, Maintenance{Node: v.node, Leave: v.u.Leave, Accept: v.u.Accept})
	var refused *RefusedError
	if !errors.As(err, &refused) {
		v.touched, v.patience = true, gatePatience
	}
	return err
}

// setNoout keeps Ceph from copying the node's data elsewhere while it boots.
func (v *nodeUpdate) setNoout(ctx context.Context) error {
	s, err := v.c.steady(ctx)
	if err != nil {
		return err
	}
	if s.Ceph == nil || !slices.ContainsFunc(s.OSDs, func(o OSD) bool { return o.Node == v.node }) {
		return nil
	}
	if slices.Contains(s.Flags, "noout") {
		return v.takeNoout(ctx)
	}
	v.tell.Change(v.node, "the OSD flag noout on")
	v.noout = true // a lost reply may mean that it is
	return v.flag(ctx, s, true)
}

// takeNoout decides whose a flag is that is set: beside a node in maintenance, it is that of the run which has left both.
func (v *nodeUpdate) takeNoout(ctx context.Context) error {
	s, err := v.c.steady(ctx)
	if err != nil || !slices.Contains(s.Flags, "noout") {
		return err
	}
	if v.noout = v.resumed; !v.noout {
		v.row.Notes = append(v.row.Notes, "noout was set before, and stays")
	}
	return nil
}

// flag sets noout or takes it away. To do that twice is no matter.
func (v *nodeUpdate) flag(ctx context.Context, s State, on bool) error {
	return v.c.Nodes.API(s.Members.Node).Put(ctx, "/cluster/ceph/flags/noout", transport.Params{"value": on}, nil)
}

// upgrade runs apt. An interrupt waits for its end: packages that are half installed help nobody.
func (v *nodeUpdate) upgrade(ctx context.Context) error {
	shell := v.c.Nodes.Shell(v.node)
	if v.resumed {
		if _, err := shell.Run(ctx, transport.FinishPackages()); err != nil {
			return err
		}
	}
	if len(v.row.Updates)+len(v.row.Removes) == 0 {
		return nil
	}
	v.tell.Change(v.node, fmt.Sprintf("apt-get dist-upgrade: %d updates", len(v.row.Updates)))
	stop := context.AfterFunc(ctx, func() { v.tell.Change(v.node, "stopping as soon as apt has ended") })
	defer stop()
	err := within(context.WithoutCancel(ctx), upgradeLimit, func(ctx context.Context) error {
		_, err := shell.Run(ctx, transport.InstallPackages())
		return err
	})
	if err != nil {
		return &engine.Advice{Node: v.node, Err: err, Do: "see what apt says there (`apt-get dist-upgrade`)"}
	}
	return nil
}

// reboot boots the node if that is to be, and waits until it is back.
func (v *nodeUpdate) reboot(ctx context.Context) error {
	h, err := v.c.readHost(ctx, v.node)
	if err != nil {
		return err
	}
	if len(h.Updates) > 0 {
		v.row.Notes = append(v.row.Notes, fmt.Sprintf("apt still has %d updates", len(h.Updates)))
	}
	if v.row.Reboot = v.u.boots(h); !v.row.Reboot {
		v.noteOld(h)
		return nil
	}
	v.row.Kernel, v.row.Boots = h.Kernel, h.Boots
	// The upgrade took its time: somebody may have started a guest, or another node may be gone.
	for _, step := range []func(context.Context) error{v.enter, v.gate} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	v.tell.Change(v.node, "reboot")
	began := v.c.Clock.Now()
	var lost *transport.LostError
	if _, err := v.c.Nodes.Shell(v.node).Run(ctx, transport.Reboot()); err != nil && !errors.As(err, &lost) {
		return err
	}
	p := engine.Poll{Clock: v.c.Clock, What: v.node + " to boot", Every: movesEvery, Limit: bootLimit, Again: func(error) bool { return true }}
	err = p.Until(ctx, func(ctx context.Context) (bool, string, error) {
		var now string
		err := within(ctx, bootAsk, func(ctx context.Context) error {
			out, err := v.c.Nodes.Shell(v.node).Run(ctx, transport.BootID())
			now = strings.TrimSpace(out.Stdout)
			return err
		})
		v.tell.Progress(v.node, "booting for "+v.c.Clock.Now().Sub(began).String())
		return err == nil && now != h.bootID, "it has not gone down", err
	})
	if err != nil {
		return &engine.Advice{Node: v.node, Err: err, Do: "look at its console"}
	}
	if err := v.online(ctx); err != nil {
		return err
	}
	if h, err = v.c.readHost(ctx, v.node); err == nil && h.Kernel != h.Boots {
		v.row.Notes = append(v.row.Notes, fmt.Sprintf("it runs %s, though %s is installed (`proxmox-boot-tool kernel list` there)", h.Kernel, h.Boots))
	}
	return err
}

// noteOld says what goes on running old code.
func (v *nodeUpdate) noteOld(h Host) {
	if h.Kernel != h.Boots {
		v.row.Notes = append(v.row.Notes, fmt.Sprintf("it runs %s until it boots into %s", h.Kernel, h.Boots))
	}
	if slices.ContainsFunc(v.row.Updates, func(p Package) bool { return p.Name == "ceph" || strings.HasPrefix(p.Name, "ceph-") }) {
		v.row.Notes = append(v.row.Notes, "its daemons of Ceph run the old version until they are restarted (`systemctl restart ceph.target` there)")
	}
}

func (v *nodeUpdate) unsetNoout(ctx context.Context) error {
	if !v.noout {
		return nil
	}
	s, err := v.c.steady(ctx)
	if err != nil {
		return err
	}
	v.tell.Change(v.node, "the OSD flag noout off")
	if err := v.flag(ctx, s, false); err != nil {
		return err
	}
	v.noout = false
	return nil
}

// leave gives the node its guests back.
func (v *nodeUpdate) leave(ctx context.Context) error {
	if _, err := v.c.steady(ctx); err != nil {
		return err
	}
	if _, err := v.c.DisableMaintenance(ctx, Maintenance{Node: v.node}); err != nil {
		return err
	}
	v.touched = false
	return nil
}

// left tells how the node was left by a step that failed.
func (v *nodeUpdate) left(ctx context.Context, err error) error {
	if !v.touched {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookAfter)
	defer cancel()
	words, undo := []string{"how " + v.node + " is cannot be seen"}, []string{}
	if s, serr := v.c.Look(ctx, v.node); serr == nil {
		words = nil
		n, _ := s.Node(v.node)
		if on, merr := v.c.maintenance(ctx, s, v.node); merr != nil || on || n.HA == pve.HANodeMaintenance {
			words, undo = append(words, v.node+" is in maintenance"), append(undo, "`quorate maintenance disable "+v.node+"`")
		}
		if !n.Online {
			words = append(words, v.node+" is offline")
		}
		if slices.Contains(s.Flags, "noout") {
			words = append(words, "noout is set")
			if v.noout || v.resumed {
				undo = append(undo, "`ceph osd unset noout`")
			}
		}
		if words == nil {
			words = []string{v.node + " is online, and not in maintenance"}
		}
	}
	do := "once the cause is gone, run this again: it goes on with " + v.node
	if len(undo) > 0 {
		do += "; or end it by hand: " + strings.Join(undo, ", ")
	}
	var inner *UnfinishedError
	if errors.As(err, &inner) && err == error(inner) {
		err = inner.Err
	}
	return unfinished(err, strings.Join(words, ", "), do)
}
