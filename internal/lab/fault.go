package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const healTimeout = 4 * time.Minute // of one fault; Ceph recovers slowly on a busy machine

// Fault is something that can be broken in a lab and repaired.
type Fault struct {
	Name string // as on the command line, e.g. "node-down"
	Help string // one sentence
	// Args names the arguments: "NODE LINK MS [JITTER_MS]". Brackets mark what may be left out,
	// a trailing … what may be repeated. NODE, LINK, MS, PERCENT, N and GROUP are checked.
	Args string
	// Inject breaks it. Call it by Lab.Inject, which checks args and records the fault first.
	Inject func(ctx context.Context, l *Lab, args []string) error
	// Heal undoes Inject and returns when the lab is as before. It is idempotent, and called also
	// after an Inject that failed half way.
	Heal func(ctx context.Context, l *Lab, args []string) error
}

// ActiveFault is a fault that was injected and not healed.
type ActiveFault struct {
	Name    string
	Args    []string
	Since   time.Time
	Healing bool `json:",omitempty"` // its repair has begun, so it counts no more in what the lab should look like
}

// String is the fault as typed: "link-down 3 0".
func (a ActiveFault) String() string { return strings.Join(append([]string{a.Name}, a.Args...), " ") }

// Faults are all that a lab knows, corosync's, the network's, Ceph's, Proxmox VE's and those of VMs.
func Faults() []Fault {
	return slices.Concat(networkFaults(), corosyncFaults(), cephFaults(), pveFaults(), qemuFaults())
}

func findFault(name string) (Fault, error) {
	var known []string
	for _, f := range Faults() {
		if f.Name == name {
			return f, nil
		}
		known = append(known, f.Name)
	}
	return Fault{}, usageError{fmt.Errorf("fault %q is unknown (one of: %s)", name, strings.Join(known, ", "))}
}

// Inject breaks something. The fault is recorded before it is made, so that Heal undoes it even if
// this process is killed half way. An Inject that fails heals itself.
func (l *Lab) Inject(ctx context.Context, name string, args ...string) error {
	f, err := findFault(name)
	if err != nil {
		return err
	}
	if err := checkArgs(f, args, l.o.Nodes); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healTimeout)
	defer cancel()
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	fault := ActiveFault{Name: name, Args: args, Since: time.Now()}
	active := l.Active()
	if slices.ContainsFunc(active, func(a ActiveFault) bool { return a.String() == fault.String() }) {
		return fmt.Errorf("fault %s is active already", fault)
	}
	if err := l.saveFaults(append(active, fault)); err != nil {
		return err
	}
	l.log.Info("fault", "inject", fault.String())
	if err := f.Inject(ctx, l, args); err != nil {
		// ctx may be what ended: undoing must not depend on it.
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), healTimeout)
		defer cancel()
		return errors.Join(fmt.Errorf("%s: %w", fault, err), l.healOne(undo, fault))
	}
	return nil
}

// Heal undoes active faults, the latest first. A name is that of a fault ("link-down", all of
// them) or one with its arguments ("link-down 3 0"); none means all. It returns when the lab is as
// it was before. Names that are not active are no error.
func (l *Lab) Heal(ctx context.Context, names ...string) error {
	for _, name := range names {
		if _, err := findFault(strings.Fields(name + " ?")[0]); err != nil {
			return err
		}
	}
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	active := l.Active()
	slices.Reverse(active)
	for _, a := range active {
		if len(names) > 0 && !slices.Contains(names, a.Name) && !slices.Contains(names, a.String()) {
			continue
		}
		one, cancel := context.WithTimeout(ctx, healTimeout)
		err := l.healOne(one, a)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// healOne heals a recorded fault. Its record goes only when that worked.
func (l *Lab) healOne(ctx context.Context, fault ActiveFault) error {
	f, err := findFault(fault.Name)
	if err != nil {
		return err
	}
	l.log.Info("fault", "heal", fault.String())
	active := l.Active()
	i := slices.IndexFunc(active, func(a ActiveFault) bool { return a.String() == fault.String() })
	if i < 0 {
		return nil
	}
	active[i].Healing = true
	if err := l.saveFaults(active); err != nil {
		return err
	}
	if err := f.Heal(ctx, l, fault.Args); err != nil {
		return fmt.Errorf("heal %s: %w", fault, err)
	}
	return l.saveFaults(slices.Delete(active, i, i+1))
}

// Active lists the faults that were injected and not healed, in the order of their injection.
func (l *Lab) Active() []ActiveFault {
	var active []ActiveFault
	if err := readJSON(l.faultsPath(), &active); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.log.Error("faults", "err", err)
	}
	return active
}

// inEffect are the active faults that are not being healed right now.
func (l *Lab) inEffect() []ActiveFault {
	return slices.DeleteFunc(l.Active(), func(a ActiveFault) bool { return a.Healing })
}

func (l *Lab) faultsPath() string { return filepath.Join(l.o.Dir, "faults.json") }

func (l *Lab) saveFaults(active []ActiveFault) error { return writeJSON(l.faultsPath(), active) }
