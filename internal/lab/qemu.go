package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

const (
	qemuProgram  = "qemu-system-x86_64"
	vmRunDir     = "/var/run/qemu-server" // as in Proxmox VE; private in each node
	vmBootLimit  = 20 * time.Second
	vmStateLimit = 60 * time.Second
)

// VMOptions describe a virtual machine of the lab: a guest of our own that beats on its serial line
// every 5 ms and writes to memory at a set rate.
type VMOptions struct {
	ID              int    // as in Proxmox VE: 100 and up
	Name            string // empty: vmID
	MemoryMiB       int    // 0: 64
	WorkingSetPages int    // pages of 4 KiB filled at the start and then written to; 0: 4096
	DirtyPagesPerMs int    // written each millisecond, round and round the working set; 0: none
	LocalDisk       bool   // a file even if there is Ceph
}

// VM is a virtual machine of a lab and where it is.
type VM struct {
	VMOptions
	Node  int
	Drive string // what QEMU opens: the path of a file, or rbd:…
}

// VMRequirements says which Debian packages virtual machines lack on this machine.
func VMRequirements() error {
	if _, err := exec.LookPath(qemuProgram); err != nil {
		return fmt.Errorf("%w (apt install qemu-system-x86; with Ceph also qemu-block-extra)", err)
	}
	return nil
}

// StartVM starts a virtual machine on a node, and returns when its guest beats. With a played Proxmox
// VE it gets a configuration there. One that was stopped starts again, on the node where it was.
func (l *Lab) StartVM(ctx context.Context, node int, o VMOptions) error {
	o.Name = cmp.Or(o.Name, fmt.Sprintf("vm%d", o.ID))
	o.MemoryMiB, o.WorkingSetPages = cmp.Or(o.MemoryMiB, 64), cmp.Or(o.WorkingSetPages, 4096)
	if err := errors.Join(l.Has(node), checkGuest(o), VMRequirements()); err != nil {
		return err
	}
	unlock, err := l.lockVM(ctx, o.ID)
	if err != nil {
		return err
	}
	defer unlock()
	vm, err := l.vm(o.ID)
	switch {
	case err == nil && l.Running(vm.Node, vmDaemon(o.ID)):
		return fmt.Errorf("VM %d runs already on %s", o.ID, NodeName(vm.Node))
	case err == nil && vm.Node != node:
		return fmt.Errorf("VM %d has its place on %s", o.ID, NodeName(vm.Node))
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if vm.VMOptions != o {
		vm = VM{VMOptions: o, Node: node}
		if vm.Drive, err = l.makeDisk(ctx, o); err != nil {
			return fmt.Errorf("disk of VM %d: %w", o.ID, err)
		}
	}
	if _, err := l.callPVE(ctx, "guest", pveCall{VM: o, Node: node, DiskSize: diskBytes}); err != nil {
		return err
	}
	if err := l.saveVM(vm); err != nil {
		return err
	}
	return l.boot(ctx, vm)
}

// boot starts the process of a VM and returns when its guest beats.
func (l *Lab) boot(ctx context.Context, vm VM) error {
	if err := l.startQEMU(ctx, vm, vm.Node); err != nil {
		return err
	}
	beats := newHeartbeat()
	defer beats.stop()
	if err := beats.listen(ctx, vm.Node, l.vmSocket(vm.Node, vm.ID, "serial0")); err != nil {
		return err
	}
	err := poll(ctx, vmBootLimit, 10*time.Millisecond, func() error {
		if beats.count(vm.Node) == 0 {
			return errors.New("its guest does not beat")
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("%s: VM %d: %w (%s)", NodeName(vm.Node), vm.ID, err, l.lastWords(vm.Node, vm.ID))
		return errors.Join(err, l.StopDaemon(context.WithoutCancel(ctx), vm.Node, vmDaemon(vm.ID), syscall.SIGKILL))
	}
	return l.tellProcess(ctx, vm)
}

// startQEMU starts a VM's process on a node and returns when its monitor answers.
func (l *Lab) startQEMU(ctx context.Context, vm VM, node int, more ...string) error {
	if err := os.MkdirAll(l.vmRunDir(node), 0o755); err != nil {
		return err
	}
	// What a killed process left would be taken for the new one's.
	for _, kind := range []string{"qmp", "serial0", "pid"} {
		if err := os.Remove(l.vmSocket(node, vm.ID, kind)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	name := vmDaemon(vm.ID)
	if err := l.StartDaemon(ctx, Daemon{Node: node, Name: name, Argv: append(vm.argv(), more...)}); err != nil {
		return err
	}
	return poll(ctx, vmBootLimit, 5*time.Millisecond, func() error {
		if !l.Running(node, name) {
			return permanent(fmt.Errorf("%s: VM %d: QEMU ended: %s", NodeName(node), vm.ID, l.lastWords(node, vm.ID)))
		}
		// A socket has a name before anybody listens; once commands are answered all is there.
		err := l.monitor(node, vm.ID).run(ctx, "query-status", nil, nil)
		if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return err
		}
		return permanent(err)
	})
}

// argv is laid out as qemu-server's: one monitor, pid file and serial line in /var/run/qemu-server.
func (vm VM) argv() []string {
	socket := func(id, kind string) string {
		return fmt.Sprintf("socket,id=%s,path=%s/%d.%s,server=on,wait=off", id, vmRunDir, vm.ID, kind)
	}
	return []string{qemuProgram, "-name", vm.Name + ",debug-threads=on", "-no-shutdown",
		"-chardev", socket("qmp", "qmp"), "-mon", "chardev=qmp,mode=control",
		"-pidfile", fmt.Sprintf("%s/%d.pid", vmRunDir, vm.ID),
		// No KVM, so that it runs anywhere; and a small cache of translated code, for there is little code.
		"-machine", "pc", "-accel", "tcg,tb-size=8", "-smp", "1", "-m", strconv.Itoa(vm.MemoryMiB), "-nodefaults", "-display", "none",
		"-chardev", socket("serial0", "serial0"), "-device", "isa-serial,chardev=serial0",
		"-drive", "file=" + vm.Drive + ",if=ide,id=drive-ide0,format=raw"}
}

// StopVM ends a VM's process. Its disk and configuration stay.
func (l *Lab) StopVM(ctx context.Context, id int) error {
	unlock, err := l.lockVM(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	vm, err := l.vm(id)
	if err != nil {
		return err
	}
	if err := l.StopDaemon(ctx, vm.Node, vmDaemon(id), syscall.SIGTERM); err != nil {
		return err
	}
	return l.tellProcess(ctx, vm)
}

// VMs are the lab's virtual machines, running or not, by id.
func (l *Lab) VMs() ([]VM, error) {
	paths, err := filepath.Glob(l.vmPath("*"))
	if err != nil {
		return nil, err
	}
	var all []VM
	for _, path := range paths {
		var vm VM
		if err := readJSON(path, &vm); err != nil {
			return nil, err
		}
		all = append(all, vm)
	}
	slices.SortFunc(all, func(a, b VM) int { return cmp.Compare(a.ID, b.ID) })
	return all, nil
}

// VMPid is the process id of a VM on the machine, 0 when it does not run.
func (l *Lab) VMPid(id int) int {
	vm, err := l.vm(id)
	if err != nil {
		return 0
	}
	return l.Pid(vm.Node, vmDaemon(id))
}

// tellProcess tells Proxmox VE of a VM's process.
func (l *Lab) tellProcess(ctx context.Context, vm VM) error {
	_, err := l.callPVE(ctx, "process", pveCall{VM: vm.VMOptions, Node: vm.Node, PID: l.Pid(vm.Node, vmDaemon(vm.ID))})
	return err
}

// vm is a virtual machine as recorded; the error is fs.ErrNotExist when the lab has none of that id.
func (l *Lab) vm(id int) (VM, error) {
	var vm VM
	err := readJSON(l.vmPath(strconv.Itoa(id)), &vm)
	if errors.Is(err, fs.ErrNotExist) {
		return vm, fmt.Errorf("no VM %d (start one with: quorate-lab vm start): %w", id, fs.ErrNotExist)
	}
	return vm, err
}

func (l *Lab) saveVM(vm VM) error { return writeJSON(l.vmPath(strconv.Itoa(vm.ID)), vm) }

func (l *Lab) vmPath(id string) string { return filepath.Join(l.NodeDir(0), "vms", id+".json") }

// lockVM keeps others from starting, stopping or migrating a VM.
func (l *Lab) lockVM(ctx context.Context, id int) (unlock func(), err error) {
	if _, err := os.Stat(filepath.Join(l.o.Dir, stateFile)); err != nil {
		return nil, fmt.Errorf("%s: %w", l.o.Dir, ErrNoLab)
	}
	path := filepath.Join(l.NodeDir(0), "vms", strconv.Itoa(id)+".lock")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = poll(ctx, vmStateLimit, 20*time.Millisecond, func() error {
		return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	})
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("VM %d: somebody else is changing it: %w", id, err)
	}
	return func() { file.Close() }, nil
}

// vmDaemon is the name of a VM's process as a daemon of its node.
func vmDaemon(id int) string { return fmt.Sprintf("vm-%d", id) }

// vmRunDir is a node's /var/run/qemu-server as seen on the machine.
func (l *Lab) vmRunDir(node int) string { return filepath.Join(l.NodeDir(node), "run/qemu-server") }

// vmSocket is a file in there: qmp, serial0 or pid.
func (l *Lab) vmSocket(node, id int, kind string) string {
	return filepath.Join(l.vmRunDir(node), fmt.Sprintf("%d.%s", id, kind))
}

func (l *Lab) lastWords(node, id int) string {
	text, _ := os.ReadFile(filepath.Join(l.NodeDir(node), vmDaemon(id)+".log"))
	return lastLine(string(text))
}
