package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	faultVMHung   = "qemu-hung"
	faultVMKilled = "qemu-killed"
	faultVMHeld   = "qmp-held"
	faultVMPaused = "vm-paused"

	holdReady = "the socket is held"
)

// qemuFaults are those of virtual machines, by id.
func qemuFaults() []Fault {
	return []Fault{
		{Name: faultVMHung, Args: "VMID", Help: "Halt a VM's QEMU (SIGSTOP): its monitor can be connected to and says nothing.",
			Inject: vmSignal(syscall.SIGSTOP), Heal: vmContinue},
		{Name: faultVMKilled, Args: "VMID", Help: "Kill a VM's QEMU: its monitor's socket stays and refuses.",
			Inject: vmKill, Heal: vmReboot},
		{Name: faultVMHeld, Args: "VMID", Help: "Hold a VM's monitor, which has room for one client.",
			Inject: vmHold, Heal: vmLetGo},
		{Name: faultVMPaused, Args: "VMID", Help: "Migrate a VM to the next node and leave it paused there, as when Proxmox VE cannot resume it.",
			Inject: vmPause, Heal: vmResume},
	}
}

// faultVM is the VM that a fault is about; it must run.
func (l *Lab) faultVM(args []string) (VM, error) {
	ids := numbers(args)
	if len(ids) != 1 {
		return VM{}, usageError{fmt.Errorf("VMID %q is no id", strings.Join(args, " "))}
	}
	vm, err := l.vm(ids[0])
	if err == nil && !l.Running(vm.Node, vmDaemon(vm.ID)) {
		err = fmt.Errorf("VM %d does not run", vm.ID)
	}
	return vm, err
}

func vmSignal(sig syscall.Signal) func(context.Context, *Lab, []string) error {
	return func(_ context.Context, l *Lab, args []string) error {
		vm, err := l.faultVM(args)
		if err != nil {
			return err
		}
		return l.Signal(vm.Node, vmDaemon(vm.ID), sig)
	}
}

func vmContinue(ctx context.Context, l *Lab, args []string) error {
	vm, err := l.faultVM(args)
	if err != nil {
		return nil // it ended meanwhile, or never was
	}
	if err := l.Signal(vm.Node, vmDaemon(vm.ID), syscall.SIGCONT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return l.monitorAnswers(ctx, vm)
}

// monitorAnswers returns when a VM's monitor serves again: those who gave up waiting are still in its queue.
func (l *Lab) monitorAnswers(ctx context.Context, vm VM) error {
	return poll(ctx, vmStateLimit, 50*time.Millisecond, func() error {
		return l.monitor(vm.Node, vm.ID).run(ctx, "query-status", nil, nil)
	})
}

// vmKill leaves the process recorded, so that it comes back with its node like others that crashed.
func vmKill(ctx context.Context, l *Lab, args []string) error {
	vm, err := l.faultVM(args)
	if err != nil {
		return err
	}
	r, err := l.record(vm.Node, vmDaemon(vm.ID))
	if err != nil {
		return err
	}
	return r.stop(ctx, syscall.SIGKILL)
}

func vmReboot(ctx context.Context, l *Lab, args []string) error {
	ids := numbers(args)
	if len(ids) != 1 {
		return nil
	}
	vm, err := l.vm(ids[0])
	if errors.Is(err, os.ErrNotExist) || err == nil && l.Running(vm.Node, vmDaemon(vm.ID)) {
		return nil
	}
	if err != nil {
		return err
	}
	return l.StartVM(ctx, vm.Node, vm.VMOptions)
}

func holderOf(vmid string) string { return "qmp-held-" + vmid }

// vmHold starts a process that keeps the monitor to itself: it must outlive this one.
func vmHold(ctx context.Context, l *Lab, args []string) error {
	vm, err := l.faultVM(args)
	if err != nil {
		return err
	}
	self, err := l.self(ctx)
	if err != nil {
		return err
	}
	name := holderOf(args[0])
	log := filepath.Join(l.NodeDir(0), name+".log")
	if err := os.Remove(log); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	argv := []string{"nsenter", "--net=" + filepath.Join(netnsDir, l.names.switches()), "--",
		self, "vm", "hold", l.vmSocket(vm.Node, vm.ID, "qmp")}
	if err := l.StartDaemon(ctx, Daemon{Name: name, Log: log, Argv: argv}); err != nil {
		return err
	}
	return poll(ctx, answerLimit, 20*time.Millisecond, func() error {
		text, err := os.ReadFile(log)
		if err == nil && strings.Contains(string(text), holdReady) {
			return nil
		}
		if !l.Running(0, name) {
			return permanent(fmt.Errorf("the socket cannot be held: %s", lastLine(string(text))))
		}
		return errors.Join(err, errors.New("the socket is not held"))
	})
}

func vmLetGo(ctx context.Context, l *Lab, args []string) error {
	if err := l.StopDaemon(ctx, 0, holderOf(args[0]), syscall.SIGKILL); err != nil {
		return err
	}
	vm, err := l.faultVM(args)
	if err != nil {
		return nil
	}
	return l.monitorAnswers(ctx, vm)
}

// HoldSocket connects to a monitor, waits for its greeting and then keeps it to itself until ctx ends
// or the other side closes. It says on status when it has it.
func HoldSocket(ctx context.Context, path string, status io.Writer) error {
	conn, err := connectUnix(ctx, path)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	first := make([]byte, 1)
	if _, err := conn.Read(first); err != nil {
		return fmt.Errorf("%s: no greeting: %w", path, err)
	}
	fmt.Fprintln(status, holdReady)
	_, err = io.Copy(io.Discard, conn)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func vmPause(ctx context.Context, l *Lab, args []string) error {
	vm, err := l.faultVM(args)
	if err != nil {
		return err
	}
	if l.o.Nodes < 2 {
		return errors.New("a migration needs two nodes")
	}
	r, err := l.Migrate(ctx, vm.ID, 1+vm.Node%l.o.Nodes, MigrateOptions{NoResume: true})
	if err != nil {
		return err
	}
	if state, err := l.vmState(ctx, vm.ID); err != nil || state != "paused" {
		return errors.Join(err, fmt.Errorf("VM %d is %q after: %s", vm.ID, state, r))
	}
	return nil
}

func (l *Lab) vmState(ctx context.Context, id int) (string, error) {
	var state vmStatus
	err := l.QMP(ctx, id, "query-status", nil, &state)
	return state.Status, err
}

func vmResume(ctx context.Context, l *Lab, args []string) error {
	vm, err := l.faultVM(args)
	if err != nil {
		return nil
	}
	if state, err := l.vmState(ctx, vm.ID); err != nil || state != "paused" {
		return err
	}
	return l.QMP(ctx, vm.ID, "cont", nil, nil)
}
