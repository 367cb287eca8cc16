package lab

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
)

const (
	faultHAError       = "ha-error"
	faultHAMaintenance = "ha-maintenance"
	faultMigrationFail = "migration-fail"
	faultBackupFail    = "backup-fail"

	haHealLimit = 2 * time.Minute // several rounds of the HA manager, which takes one each 10 s
)

// pveFaults are those of the played Proxmox VE. Lab.Inject records a fault and the process that plays
// follows the records, so all that is left to do here is to wait.
func pveFaults() []Fault {
	return []Fault{
		{Name: faultHAError, Args: "VMID", Help: "A guest under HA crashes and does not start again: its service ends in error after about a minute.",
			Inject: needHAGuest, Heal: waitHA},
		{Name: faultHAMaintenance, Args: "NODE", Help: "Node maintenance of HA: the services move away, and back when it is over. No fault at all.",
			Inject: needPVE, Heal: waitHA},
		{Name: faultMigrationFail, Args: "", Help: "Migrations fail, and one is asked for at once.",
			Inject: needPVE, Heal: waitHA},
		{Name: faultBackupFail, Args: "NODE", Help: "A backup on a node ends with an error. Healing leaves it in the task log.",
			Inject: needPVE, Heal: waitHA},
	}
}

func needPVE(_ context.Context, l *Lab, _ []string) error {
	if !l.o.PVE {
		return errors.New("this lab has no Proxmox VE (start one with it)")
	}
	return nil
}

func needHAGuest(ctx context.Context, l *Lab, args []string) error {
	if err := needPVE(ctx, l, args); err != nil {
		return err
	}
	if _, found := haGuest(args[0]); !found {
		return fmt.Errorf("no guest %q is to run under HA", args[0])
	}
	return nil
}

func haGuest(vmid string) (demoGuest, bool) {
	for _, g := range demoGuests {
		if strconv.Itoa(g.vmid) == vmid && g.ha == "started" {
			return g, true
		}
	}
	return demoGuest{}, false
}

// waitHA returns when every node is online and every service where it shall be, as the HA manager's
// status says.
func waitHA(ctx context.Context, l *Lab, _ []string) error {
	if !l.o.PVE {
		return nil
	}
	return poll(ctx, haHealLimit, 200*time.Millisecond, func() error {
		var status struct {
			Nodes    map[string]string                 `json:"node_status"`
			Services map[string]struct{ State string } `json:"service_status"`
		}
		up := l.withoutDown(l.Nodes())
		if len(up) == 0 {
			return nil // another fault keeps HA from healing
		}
		if err := readJSON(filepath.Join(l.PVEDir(up[0]), "ha/manager_status"), &status); err != nil {
			return err
		}
		for _, node := range up {
			if state := status.Nodes[NodeName(node)]; state != "online" {
				return fmt.Errorf("HA has %s as %q", NodeName(node), state)
			}
		}
		for sid, service := range status.Services {
			if service.State != "started" && service.State != "stopped" {
				return fmt.Errorf("HA has %s in state %q", sid, service.State)
			}
		}
		for _, g := range demoGuests {
			if g.ha == "started" && status.Services[g.sid()].State != "started" {
				return fmt.Errorf("HA has not started %s", g.sid())
			}
		}
		return nil
	})
}

// strike makes Proxmox VE's own faults what the records say.
func (s *pveServer) strike(faults []ActiveFault) error {
	wanted := map[string]bool{}
	var errs []error
	for _, f := range faults {
		wanted[f.String()] = true
		if _, known := s.struck[f.String()]; known {
			continue
		}
		undo, err := s.begin(f)
		errs = append(errs, err)
		s.struck[f.String()] = undo
	}
	for name, undo := range s.struck {
		if wanted[name] {
			continue
		}
		if undo != nil {
			errs = append(errs, undo())
		}
		delete(s.struck, name)
	}
	return errors.Join(append(errs, s.startDisabled())...)
}

// begin makes a fault and returns what ends it, nil for those of others.
func (s *pveServer) begin(f ActiveFault) (undo func() error, err error) {
	switch f.Name {
	case faultHAError:
		g, _ := haGuest(f.Args[0])
		s.c.FailStart(g.sid(), true)
		s.c.KillGuest(g.vmid)
		return func() error { return s.clearError(g.sid()) }, nil
	case faultHAMaintenance:
		node := numbers(f.Args)[0]
		s.c.SetMaintenance(node, true)
		return func() error { s.c.SetMaintenance(node, false); return nil }, nil
	case faultMigrationFail:
		remove := s.c.Inject(pvefake.Rule{TaskType: "qmigrate", TaskStatus: "migration aborted"})
		return func() error { remove(); return nil }, migrateNext(s.c)
	case faultBackupFail:
		s.c.AddTask(numbers(f.Args)[0], "vzdump", "", "root@pam", "job errors", time.Second, time.Second)
		return func() error { return nil }, nil
	}
	return nil, nil
}

// clearError does what an administrator does: a service in error leaves it by being disabled only.
func (s *pveServer) clearError(sid string) error {
	s.c.FailStart(sid, false)
	s.disabled = append(s.disabled, sid)
	return s.c.SetHAState(sid, "disabled")
}

// startDisabled asks for the start of services that clearError has disabled, once they are stopped.
func (s *pveServer) startDisabled() error {
	var rest []string
	var errs []error
	for _, sid := range s.disabled {
		if state, _ := s.c.ServiceState(sid); state != "stopped" {
			rest = append(rest, sid)
			continue
		}
		errs = append(errs, s.c.SetHAState(sid, "started"))
	}
	s.disabled = rest
	return errors.Join(errs...)
}
