package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/transport"
)

// The name and the tag of the guest of a drill. One that has both is one, whoever made it.
const (
	drillVMName = "quorate-drill"
	drillVMTag  = "quorate-drill"
)

// How long things around the drill's guest are waited for.
const (
	haTakesUp  = 3 * time.Minute
	cleanLimit = 10 * time.Minute
)

func isDrillVM(g Guest) bool {
	tags := strings.FieldsFunc(g.Tags, func(r rune) bool { return r == ';' || r == ',' || r == ' ' })
	return g.Kind == "qemu" && g.Name == drillVMName && slices.Contains(tags, drillVMTag)
}

// drillVM is a small guest without a system: what counts is that HA runs it and that its disk stays as it is.
type drillVM struct {
	guest       Guest
	pool, image string
	sum         string
}

// noData is the SHA-256 of nothing, which a failed export leaves.
const noData = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// makeDrillVM makes one on a node and waits until HA runs it there. What it returns with an error exists.
func (c *Cluster) makeDrillVM(ctx context.Context, s State, node string, tell *teller) (vm *drillVM, err error) {
	by := s.Members.Node
	store, pool, err := c.rbdStorage(ctx, by)
	if err != nil {
		return nil, err
	}
	var id pve.Int
	if err := c.Nodes.API(by).Get(ctx, "/cluster/nextid", &id); err != nil {
		return nil, err
	}
	g := Guest{VMID: int(id.V), Kind: "qemu", Name: drillVMName, Node: node, Memory: 512 << 20, Tags: drillVMTag}
	vm = &drillVM{guest: g, pool: pool}
	tell.Change(node, fmt.Sprintf("making %s for the drill, with a disk on %s", g.SID(), store))
	err = c.tasks().Start(ctx, by, "POST", "/nodes/"+node+"/qemu", transport.Params{
		"vmid": g.VMID, "name": g.Name, "tags": drillVMTag, "memory": "512", "cores": 1, "ostype": "l26", "scsihw": "virtio-scsi-single", "scsi0": store + ":1",
	}, tell)
	if err != nil {
		return vm, fmt.Errorf("make %s: %w", g.SID(), err)
	}
	var conf map[string]any
	if err := c.Nodes.API(by).Get(ctx, fmt.Sprintf("/nodes/%s/qemu/%d/config", node, g.VMID), &conf); err != nil {
		return vm, err
	}
	disk, _ := conf["scsi0"].(string)
	disk, _, _ = strings.Cut(disk, ",")
	_, vm.image, _ = strings.Cut(disk, ":")
	if vm.sum, err = c.sumOf(ctx, cmp.Or(s.CephNode, by), vm); err != nil {
		return vm, err
	}
	if err := c.Nodes.API(by).Post(ctx, "/cluster/ha/resources", transport.Params{"sid": g.SID(), "state": "started", "comment": drillVMName}, nil); err != nil {
		return vm, err
	}
	return vm, c.awaitService(ctx, g.SID(), func(v pve.HAService) bool { return v.State == pve.HAServiceStarted && v.Running && v.Node == node })
}

// unmakeDrillVM removes what makeDrillVM has begun; err is why it could not go on.
func (c *Cluster) unmakeDrillVM(ctx context.Context, vm *drillVM, tell *teller, err error) error {
	if vm == nil {
		return err
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanLimit)
	defer cancel()
	if _, rerr := c.removeDrillVM(clean, &drillVM{guest: vm.guest}, tell); rerr != nil {
		return &UnfinishedError{err, fmt.Sprintf("the drill's guest %s is left (%v)", vm.guest.SID(), rerr), "the next drill removes it"}
	}
	return fmt.Errorf("%w; no node was touched, and the drill's guest is gone again", err)
}

// awaitService waits for what the HA manager says of a service.
func (c *Cluster) awaitService(ctx context.Context, sid string, is func(pve.HAService) bool) error {
	p := engine.Poll{Clock: c.Clock, What: sid, Limit: haTakesUp, Again: transport.Passing}
	return p.Until(ctx, func(ctx context.Context) (bool, string, error) {
		by, err := c.Speaker(ctx)
		if err != nil {
			return false, "", err
		}
		ha, err := c.haOf(ctx, by.Node)
		v, _ := State{HA: ha}.Service(sid)
		return err == nil && is(v), fmt.Sprintf("the HA manager has it in state %q on %s", v.State, v.Node), err
	})
}

// rbdStorage is the first storage of the cluster that is a pool of its own Ceph.
func (c *Cluster) rbdStorage(ctx context.Context, node string) (id, pool string, err error) {
	var rows []struct {
		ID      string   `json:"storage"`
		Type    string   `json:"type"`
		Pool    string   `json:"pool"`
		Content string   `json:"content"`
		Hosts   string   `json:"monhost"` // of another Ceph
		Disable pve.Bool `json:"disable"`
	}
	if err := c.Nodes.API(node).Get(ctx, "/storage", &rows); err != nil {
		return "", "", err
	}
	for _, r := range rows {
		if r.Type == "rbd" && r.Hosts == "" && !r.Disable.V && strings.Contains(r.Content, "images") && (id == "" || r.ID < id) {
			id, pool = r.ID, cmp.Or(r.Pool, "rbd")
		}
	}
	if id == "" {
		return "", "", errors.New("no storage of the cluster is a pool of its Ceph, which the guest of a drill needs")
	}
	return id, pool, nil
}

var sumLine = regexp.MustCompile(`^([0-9a-f]{64})  -\s*$`)

// sumOf is the SHA-256 of a guest's image, which must not run.
func (c *Cluster) sumOf(ctx context.Context, node string, vm *drillVM) (string, error) {
	if vm.image == "" {
		return "", fmt.Errorf("%s has no disk to look at", vm.guest.SID())
	}
	out, err := c.Nodes.Shell(node).Run(ctx, transport.SumImage(vm.pool, vm.image))
	if err != nil {
		return "", fmt.Errorf("sum of image %s/%s: %w", vm.pool, vm.image, err)
	}
	m := sumLine.FindStringSubmatch(out.Stdout)
	if m == nil || m[1] == noData {
		return "", fmt.Errorf("sum of image %s/%s: %s", vm.pool, vm.image, cmp.Or(strings.TrimSpace(out.Stderr), "nothing was read"))
	}
	return m[1], nil
}

// removeDrillVM stops and removes a drill's guest, and says whether its image is as it was; nil if nobody knows.
func (c *Cluster) removeDrillVM(ctx context.Context, vm *drillVM, tell *teller) (same *bool, err error) {
	s, err := c.Look(ctx)
	if err != nil {
		return nil, err
	}
	sid, by := vm.guest.SID(), s.Members.Node
	g, there := s.Guest(vm.guest.VMID)
	if !there {
		return nil, nil // it was never made
	}
	if !isDrillVM(g) && g.Name != "" { // one whose making failed may have no name yet
		return nil, fmt.Errorf("%s is called %q and is not the drill's", sid, g.Name)
	}
	tell.Change(g.Node, "removing "+sid+" of the drill")
	if _, ha := s.Service(sid); ha {
		if err := c.stopService(ctx, by, sid); err != nil {
			return nil, err
		}
	} else if g.Status == "running" {
		if err := c.tasks().Start(ctx, by, "POST", fmt.Sprintf("/nodes/%s/qemu/%d/status/stop", g.Node, g.VMID), nil, tell); err != nil {
			return nil, err
		}
	}
	if vm.sum != "" {
		sum, err := c.sumOf(ctx, cmp.Or(s.CephNode, by), vm)
		if err != nil {
			return nil, err
		}
		equal := sum == vm.sum
		same = &equal
		if !equal {
			return same, errors.New("it is kept, because its data is not as it was")
		}
	}
	if s, err = c.Look(ctx); err != nil { // the manager may have put it elsewhere to stop it
		return same, err
	}
	if g, there = s.Guest(g.VMID); !there {
		return same, nil
	}
	return same, c.tasks().Start(ctx, by, "DELETE", fmt.Sprintf("/nodes/%s/qemu/%d?purge=1", g.Node, g.VMID), nil, tell)
}

// stopService has the HA manager stop a service, and takes it out of HA.
func (c *Cluster) stopService(ctx context.Context, by, sid string) error {
	path := "/cluster/ha/resources/" + sid
	// A service in error is left by being disabled only; disabled is stopped, too.
	if err := c.Nodes.API(by).Put(ctx, path, transport.Params{"state": "disabled"}, nil); err != nil {
		return err
	}
	if err := c.awaitService(ctx, sid, func(v pve.HAService) bool { return v.State == pve.HAServiceStopped || !v.Known }); err != nil {
		return err
	}
	return c.Nodes.API(by).Delete(ctx, path, nil)
}

// removeDrillVMs removes what drills that were killed have left.
func (c *Cluster) removeDrillVMs(ctx context.Context, s State, tell *teller) error {
	for _, g := range s.Guests {
		if !isDrillVM(g) {
			continue
		}
		tell.Progress(g.Node, fmt.Sprintf("%s is left from an earlier drill", g.SID()))
		if _, err := c.removeDrillVM(ctx, &drillVM{guest: g}, tell); err != nil {
			return fmt.Errorf("remove %s, which an earlier drill has left: %w", g.SID(), err)
		}
	}
	return nil
}
