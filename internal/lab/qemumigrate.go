package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Refusal is a reason why a migration does not begin.
type Refusal string

// The ways in which a migration is refused.
const (
	// RefusedByStorage: the guest has a local disk. Proxmox VE gives up before QEMU hears of it.
	RefusedByStorage Refusal = "storage"
	// RefusedByDestination: the destination's QEMU is dead before the source connects.
	RefusedByDestination Refusal = "destination"
)

// The exit statuses of Proxmox VE's migration tasks.
const (
	MigrationOK       = "OK"
	MigrationProblems = "migration problems" // it began and did not end well
	MigrationAborted  = "migration aborted"  // it did not begin
)

// scanProblem is what Proxmox VE says of a disk that cannot move.
const scanProblem = "Problem found while scanning volumes - can't migrate VM - check log"

// MigrateOptions say how a VM is migrated and what goes wrong. The zero value is Proxmox VE's way:
// everything as fast as it goes, auto-converge and XBZRLE on, 100 ms of downtime allowed.
type MigrateOptions struct {
	Bandwidth      int64         // bytes per second; 0: no limit
	DowntimeLimit  time.Duration // 0: 100 ms
	NoAutoConverge bool          // do not slow the guest down when it writes faster than is sent
	Multifd        bool          // several connections; Proxmox VE never does
	Postcopy       bool          // the guest goes first and its memory follows; Proxmox VE never does

	// Prepare is how long the configuration is locked before anything else happens. In Proxmox VE it is so
	// for about 6 s before the transfer: disks are looked for and SSH connects twice.
	Prepare time.Duration

	CancelAfter          time.Duration // migrate_cancel through the monitor so long after the transfer began
	KillDestinationAfter time.Duration // SIGKILL to the destination's QEMU so long after the transfer began
	Refuse               Refusal
	NoResume             bool          // the destination is not told to go on: the guest stays paused there
	ResumeDelay          time.Duration // added to what moving the configuration takes, as a slow SSH tunnel does
}

// MigrationResult is what came of a migration.
type MigrationResult struct {
	ID, From, To int
	UPID         string // of the task in the played Proxmox VE
	Status       string // the task's exit status, such as MigrationOK
	Error        string // why it did not end well
	Began, Ended time.Time

	// Transfer is from the command to migrate until QEMU said how it ended; 0 if there was none.
	Transfer time.Duration
	Stats    MigrationStats // what the source's QEMU said last; of a failed one the status is the last and the numbers are the last seen

	// GuestPause is the silence of the guest's heartbeat between source and destination, and what really
	// stood still. It is known of migrations that ended well.
	GuestPause     time.Duration
	LostBeats      int
	LongestSilence time.Duration // of the whole migration: a throttled or starved guest pauses too

	Log []string // the task's log
}

// OK says whether the guest now runs on the destination.
func (r MigrationResult) OK() bool { return r.Status == MigrationOK }

// String is one line for people.
func (r MigrationResult) String() string {
	text := fmt.Sprintf("VM %d from %s to %s: %s after %s", r.ID, NodeName(r.From), NodeName(r.To), r.Status,
		r.Ended.Sub(r.Began).Round(10*time.Millisecond))
	if r.Transfer > 0 {
		text += fmt.Sprintf(", transfer %s, %.1f MiB, %d passes", r.Transfer.Round(time.Millisecond), mib(r.Stats.RAM.Transferred), r.Stats.RAM.DirtySyncs)
	}
	if r.OK() {
		text += fmt.Sprintf(", QEMU's downtime %d ms, the guest stood %s", r.Stats.DowntimeMs, r.GuestPause.Round(time.Millisecond))
	}
	if r.Error != "" {
		text += ", " + r.Error
	}
	return text
}

// Migrate moves a running VM to another node, live and in the way of Proxmox VE's qemu-server: the
// configuration is locked, a destination is started halted, the source is asked each second (each
// 0.1 s towards the end) how far it is, then the configuration moves, the destination is told to go on
// and the source quits. When it fails the destination is removed and the source goes on.
//
// The result says how it ended; an error means that it could not be tried or that the lab is broken.
func (l *Lab) Migrate(ctx context.Context, id, to int, o MigrateOptions) (MigrationResult, error) {
	return l.migrate(ctx, id, to, o, "")
}

// migrate works on a task that exists already if it has a UPID.
func (l *Lab) migrate(ctx context.Context, id, to int, o MigrateOptions, upid string) (MigrationResult, error) {
	m, unlock, err := l.newMigration(ctx, id, to, o)
	if err != nil {
		if upid != "" {
			_, end := l.callPVE(context.WithoutCancel(ctx), "end", pveCall{UPID: upid, Status: MigrationAborted})
			err = errors.Join(err, end)
		}
		return MigrationResult{}, err
	}
	defer unlock()
	if upid == "" {
		reply, err := l.callPVE(ctx, "begin", pveCall{VM: m.vm.VMOptions, Node: to})
		if err != nil {
			return MigrationResult{}, fmt.Errorf("migrate VM %d: %w", id, err)
		}
		upid = reply.UPID
	}
	m.result.UPID = upid
	return m.run(ctx)
}

// migration is one on its way.
type migration struct {
	l        *Lab
	vm       VM
	from, to int
	o        MigrateOptions
	source   monitor
	dest     monitor
	beats    *heartbeat
	result   MigrationResult
	told     int // lines of the log that Proxmox VE has
}

func (l *Lab) newMigration(ctx context.Context, id, to int, o MigrateOptions) (m *migration, unlock func(), err error) {
	if err := errors.Join(l.Has(to), o.check(), VMRequirements()); err != nil {
		return nil, nil, err
	}
	unlock, err = l.lockVM(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	vm, err := l.vm(id)
	switch {
	case err != nil:
	case !l.Running(vm.Node, vmDaemon(id)):
		err = fmt.Errorf("VM %d does not run", id)
	case vm.Node == to:
		err = fmt.Errorf("VM %d is on %s already", id, NodeName(to))
	}
	if err != nil {
		unlock()
		return nil, nil, err
	}
	m = &migration{l: l, vm: vm, from: vm.Node, to: to, o: o, source: l.monitor(vm.Node, id), dest: l.monitor(to, id), beats: newHeartbeat()}
	m.result = MigrationResult{ID: id, From: vm.Node, To: to, Began: time.Now()}
	return m, unlock, nil
}

func (o MigrateOptions) check() error {
	switch {
	case o.Refuse != "" && !slices.Contains([]Refusal{RefusedByStorage, RefusedByDestination}, o.Refuse):
		return usageError{fmt.Errorf("refusal %q is unknown (%s or %s)", o.Refuse, RefusedByStorage, RefusedByDestination)}
	case o.Postcopy && (o.KillDestinationAfter > 0 || o.CancelAfter > 0):
		return usageError{errors.New("a postcopy migration cannot be cancelled or lose its destination: the guest would be lost")}
	case o.Postcopy && o.NoResume:
		return usageError{errors.New("a postcopy migration whose destination stays paused cannot end")}
	case o.Postcopy && o.Multifd:
		return usageError{errors.New("postcopy and multifd exclude each other")}
	}
	return nil
}

// run goes through the phases and tells how it ended. What fails in them is the migration's result.
func (m *migration) run(ctx context.Context) (MigrationResult, error) {
	r := &m.result
	m.beats.tell(m.l.beatPath(m.vm.ID))
	if err := m.beats.listen(ctx, m.from, m.l.vmSocket(m.from, m.vm.ID, "serial0")); err != nil {
		m.beats.stop()
		return *r, errors.Join(fmt.Errorf("heartbeat of VM %d: %w", m.vm.ID, err), m.end(ctx, MigrationAborted))
	}
	m.pause(ctx, m.o.Prepare)
	status, broken := m.phases(ctx)
	if status == MigrationOK && broken == nil {
		// The guest runs, but on a busy machine its first beat may not have been read yet.
		broken = m.beats.await(context.WithoutCancel(ctx), m.to)
	}
	beats := m.beats.stop()
	if status == MigrationOK && broken == nil {
		r.GuestPause, r.LostBeats, broken = handover(beats, m.from, m.to)
	}
	if broken != nil {
		broken = fmt.Errorf("VM %d: %w", m.vm.ID, broken)
	}
	r.LongestSilence = longestSilence(beats)
	return *r, errors.Join(broken, m.end(ctx, status))
}

// phases are those of qemu-server's PVE/QemuMigrate.pm: what fails in the first aborts, what fails in
// the second is cleaned up, and after the third the guest is on the destination, whatever its state.
func (m *migration) phases(ctx context.Context) (status string, broken error) {
	if err := m.prepare(); err != nil {
		m.log("ERROR: %s", err)
		m.log("aborting phase 1 - cleanup resources")
		m.log("ERROR: migration aborted (duration %s): %s", m.took(), err)
		m.result.Error = err.Error()
		return MigrationAborted, nil
	}
	if err := m.transfer(ctx); err != nil {
		m.result.Error = err.Error()
		m.log("ERROR: online migrate failure - %s", m.shortly(err))
		m.log("aborting phase 2 - cleanup resources")
		m.log("migrate_cancel")
		// ctx may be what ended: cleaning up must not depend on it.
		broken = m.cleanUp(context.WithoutCancel(ctx))
		m.log("ERROR: migration finished with problems (duration %s)", m.took())
		return MigrationProblems, broken
	}
	resumed, broken := m.handOver(context.WithoutCancel(ctx))
	if resumed != nil {
		m.result.Error = resumed.Error()
		m.log("ERROR: migration finished with problems (duration %s)", m.took())
		return MigrationProblems, broken
	}
	m.log("migration finished successfully (duration %s)", m.took())
	return MigrationOK, broken
}

// shortly is what the task log says of a transfer that failed: its own line has told why.
func (m *migration) shortly(err error) error {
	if errors.As(err, new(transferError)) {
		return errors.New("aborting")
	}
	return err
}

// prepare is what happens before a destination exists.
func (m *migration) prepare() error {
	address := m.l.Addr(m.to, Storage)
	m.log("use dedicated network address for sending migration traffic (%s)", address)
	m.log("starting migration of VM %d to node '%s' (%s)", m.vm.ID, NodeName(m.to), address)
	if m.o.Refuse == RefusedByStorage || m.vm.LocalDisk {
		volume := fmt.Sprintf("local:%[1]d/vm-%[1]d-disk-0.raw", m.vm.ID)
		m.log("found local disk '%s' (attached)", volume)
		m.log("can't migrate local disk '%s': can't live migrate attached local disks without with-local-disks option", volume)
		return fmt.Errorf("%s", scanProblem)
	}
	return nil
}

// cleanUp removes the destination and leaves the source running.
func (m *migration) cleanUp(ctx context.Context) error {
	var stats MigrationStats
	if m.source.run(ctx, "query-migrate", nil, &stats) == nil && !stats.over() {
		// qemu-server sends it in any case; one that failed has nothing to cancel.
		_ = m.source.run(ctx, "migrate_cancel", nil, nil)
	}
	return m.l.removeQEMU(ctx, m.to, m.vm.ID, syscall.SIGTERM)
}

// quitAfter is how long qemu-server leaves the source after the guest runs on the destination:
// 0.99 to 2.4 s in its own flow, most of it closing the tunnel.
const quitAfter = time.Second

// handOver moves the configuration, lets the destination go on and ends the source. resumed says that
// the guest was not told to go on; broken that the lab is not as it should be.
func (m *migration) handOver(ctx context.Context) (resumed, broken error) {
	vm := m.vm
	vm.Node = m.to
	_, moved := m.l.callPVE(ctx, "move", pveCall{VM: vm.VMOptions, Node: m.to})
	if err := errors.Join(moved, m.l.saveVM(vm)); err != nil {
		return err, err
	}
	m.pause(ctx, m.o.ResumeDelay)
	if resumed = m.resume(ctx); resumed != nil {
		m.log("ERROR: tunnel replied 'ERR: resume failed - %s' to command 'resume %d'", resumed, vm.ID)
	}
	broken = m.l.tellProcess(ctx, vm)
	m.pause(ctx, quitAfter)
	// A QEMU that quits closes the connection before it answers, or after.
	quit := m.source.run(ctx, "quit", nil, nil)
	if err := m.l.removeQEMU(ctx, m.from, vm.ID, syscall.SIGTERM); err != nil {
		broken = errors.Join(broken, quit, err)
	}
	return resumed, errors.Join(broken, m.l.settleVM(vm))
}

func (m *migration) resume(ctx context.Context) error {
	if m.o.NoResume {
		return fmt.Errorf("VM %d qmp command 'cont' failed - got timeout", m.vm.ID)
	}
	var state vmStatus
	if err := m.dest.run(ctx, "query-status", nil, &state); err != nil {
		return err
	}
	if state.Status == "running" { // after postcopy, which had to go on earlier
		return nil
	}
	return m.dest.run(ctx, "cont", nil, nil)
}

type vmStatus struct {
	Status string `json:"status"`
}

// pause waits, unless ctx ends.
func (m *migration) pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// removeQEMU ends a process of a VM that is not to come back with its node. The name of the signal
// matters only if it does not quit by itself.
func (l *Lab) removeQEMU(ctx context.Context, node, id int, sig syscall.Signal) error {
	r, err := l.record(node, vmDaemon(id))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_ = r.gone(ctx, 2*time.Second) // it may be on its way
	if err := l.StopDaemon(ctx, node, vmDaemon(id), sig); err != nil {
		return err
	}
	for _, kind := range []string{"qmp", "serial0", "pid"} { // a killed process leaves them
		if err := os.Remove(l.vmSocket(node, id, kind)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return os.Remove(l.recordPath(node, vmDaemon(id)))
}

// settleVM makes the destination's process one that returns with its node, as if it had been started
// there.
func (l *Lab) settleVM(vm VM) error {
	r, err := l.record(vm.Node, vmDaemon(vm.ID))
	if err != nil {
		return err
	}
	r.Argv, r.Stopped = vm.argv(), false
	return l.saveRecord(r)
}

// log adds a line to the task's log.
func (m *migration) log(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	m.result.Log = append(m.result.Log, time.Now().Format(time.DateTime)+" "+line)
}

// tell brings Proxmox VE's log up to date, and fails when the task is to stop.
func (m *migration) tell(ctx context.Context) error {
	lines := m.result.Log[m.told:]
	_, err := m.l.callPVE(ctx, "log", pveCall{UPID: m.result.UPID, Lines: lines})
	m.told = len(m.result.Log)
	return err
}

// end ends the task.
func (m *migration) end(ctx context.Context, status string) error {
	m.result.Status, m.result.Ended = status, time.Now()
	ctx = context.WithoutCancel(ctx)
	told := m.tell(ctx)
	if errors.Is(told, errTaskInterrupted) {
		told = nil // it has been
	}
	exit := status
	if status == MigrationOK {
		exit = ""
	}
	_, err := m.l.callPVE(ctx, "end", pveCall{UPID: m.result.UPID, Status: exit})
	return errors.Join(told, err)
}

// took is the task's age as its log gives it.
func (m *migration) took() string {
	d := time.Since(m.result.Began).Round(time.Second)
	return fmt.Sprintf("%02d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// bytesText is a number of bytes as Proxmox VE writes it: 22.3 MiB.
func bytesText(n float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for n >= 1024 && i < len(units)-1 {
		n, i = n/1024, i+1
	}
	return strings.TrimSpace(fmt.Sprintf("%.1f %s", n, units[i]))
}
