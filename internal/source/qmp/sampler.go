package qmp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/internal/source"
)

// A Querier holds one conversation with the monitor at path. Client is one.
type Querier interface {
	// Query fails with ErrGone if no QEMU listens there, and with ErrBusy, ErrInUse or ErrCanceled if
	// nothing was learned of it.
	Query(ctx context.Context, path string) (Sample, error)
	// QueryUrgent is Query for a VM that migrates, and so may be slow to answer.
	QueryUrgent(ctx context.Context, path string) (Sample, error)
}

// SamplerConfig is what a Sampler needs. Zero values stand for the defaults.
type SamplerConfig struct {
	Dir     string // of the sockets; default DefaultDir
	Querier Querier
	// Locked lists the VMs that Proxmox is about to migrate; nil if that cannot be known.
	Locked func(context.Context) ([]int, error)
	// Ended returns the migration tasks that ended since it was last called; nil if none are known.
	Ended   func(context.Context) ([]Task, error)
	Tracker TrackerConfig // Began is set by NewSampler

	Idle, Fast time.Duration // between two looks at a VM: default 1 s, and 200 ms while it migrates
	Workers    int           // conversations at the same time; default 8
	List       time.Duration // between two listings of Dir; default 2 s
	Lock       time.Duration // between two calls of Locked; default 2 s
	Task       time.Duration // between two calls of Ended; default 10 s

	Log *slog.Logger
	Now func() time.Time
}

// Longest that a look may take. The Querier has its own, shorter limits.
const (
	queryTime  = 2 * time.Second
	urgentTime = 5 * time.Second
)

// lockHeat is how long a lock makes us look closely. A migration that copies disks first may be locked
// for hours, and a lock that was left behind is there until somebody removes it.
const lockHeat = 10 * time.Minute

// eagerness is how long a socket that has just come is looked at closely, whatever it says.
const eagerness = 3 * time.Second

// birth is how long nobody may listen on a socket that was just made, without QEMU being gone. A
// migration over a fast link is done a tenth of a second later: so it is tried again at once.
const birth = time.Second

// A Sampler looks at all VMs of this node again and again and follows their migrations. Each VM has a
// goroutine of its own, so that one that hangs costs itself only; a few talk at the same time.
type Sampler struct {
	cfg    SamplerConfig
	shared chan struct{} // slots for all
	spare  chan struct{} // slots for VMs that migrate

	mu      sync.Mutex
	tracker *Tracker
	vms     map[int]*sampled
	locked  map[int]time.Time // since when
	listErr error
}

// sampled is one VM's goroutine, which ends when the socket is gone.
type sampled struct {
	kick  chan struct{} // has one element: look at once
	eager time.Time     // until when
	born  time.Time     // when its socket was made, if that was seen
	gone  bool          // its socket
	lives int           // grows when the socket is there again
}

// NewSampler returns a Sampler that has not looked yet. What ends from now on is counted.
func NewSampler(c SamplerConfig) *Sampler {
	c.Dir = orDefault(c.Dir, DefaultDir)
	c.Idle, c.Fast = orDefault(c.Idle, time.Second), orDefault(c.Fast, 200*time.Millisecond)
	c.List, c.Lock, c.Task = orDefault(c.List, 2*time.Second), orDefault(c.Lock, 2*time.Second), orDefault(c.Task, 10*time.Second)
	c.Workers = max(orDefault(c.Workers, 8), 2)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Tracker.Began = c.Now()
	if c.Ended == nil && c.Tracker.Wait == 0 {
		c.Tracker.Wait = time.Second // nobody will tell
	}
	spare := max(c.Workers/4, 1)
	return &Sampler{
		cfg: c, tracker: NewTracker(c.Tracker), vms: map[int]*sampled{}, locked: map[int]time.Time{},
		shared: make(chan struct{}, c.Workers-spare), spare: make(chan struct{}, spare),
	}
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Migrations returns what is known now. It does no I/O. It fails if the VMs cannot be listed.
func (s *Sampler) Migrations() (View, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	s.tracker.Advance(now)
	return s.tracker.View(now), s.listErr
}

// Status says how the monitors are, as the Querier has it if it can tell. It is not up while the VMs
// cannot be listed.
func (s *Sampler) Status() source.Status {
	st := source.Status{Name: "qmp", Configured: true, Up: true}
	if q, ok := s.cfg.Querier.(interface{ Status() source.Status }); ok {
		st = q.Status()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Up = st.Up && s.listErr == nil
	return st
}

// Run looks until ctx ends. Everything it began has ended when it returns.
func (s *Sampler) Run(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	first := true
	all.Go(func() { s.poll(ctx, s.cfg.Lock, s.cfg.Lock/4, s.askLocks) })
	// Later than the first looks: a task of the past is told apart by what its VM says.
	all.Go(func() { s.poll(ctx, s.cfg.Task, s.cfg.Idle*3, s.askTasks) })
	newDirWatch(s.cfg.Dir, s.cfg.Log).run(ctx, s.cfg.List, func() {
		s.list(ctx, &all, first)
		first = false
	}, func(vmid int, came bool) { s.touched(ctx, &all, vmid, came) })
}

// poll calls ask every so often, first after delay.
func (s *Sampler) poll(ctx context.Context, every, delay time.Duration, ask func(context.Context) error) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		err := ask(ctx)
		if ctx.Err() == nil && failing != (err != nil) {
			if failing = err != nil; failing {
				s.cfg.Log.Warn("migrations are seen less well", "err", err)
			}
		}
		timer.Reset(every)
	}
}

// list begins with the VMs that have come and ends with those that have gone.
func (s *Sampler) list(ctx context.Context, all *sync.WaitGroup, first bool) {
	vmids, err := sockets(s.cfg.Dir)
	s.mu.Lock()
	defer s.mu.Unlock()
	if (err == nil) != (s.listErr == nil) && err != nil {
		s.cfg.Log.Warn("VMs cannot be sampled", "err", err)
	}
	if s.listErr = err; err != nil {
		return
	}
	s.tracker.Listed(s.cfg.Now(), vmids)
	for id, vm := range s.vms {
		if !slices.Contains(vmids, id) {
			vm.gone = true
			vm.wake()
		}
	}
	for _, id := range vmids {
		if vm := s.vms[id]; vm == nil {
			s.begin(ctx, all, id, first)
		} else {
			s.revive(vm)
		}
	}
	s.tracker.Advance(s.cfg.Now())
	s.report()
}

// report logs the migrations that have ended.
func (s *Sampler) report() {
	for _, e := range s.tracker.Ended() {
		with := []any{"vmid", e.VMID, "direction", e.Direction, "result", e.Result}
		for _, d := range []struct {
			name string
			of   *time.Duration
		}{{"duration", e.Duration}, {"downtime", e.Downtime}, {"pause", e.Pause}} {
			if d.of != nil {
				with = append(with, d.name, d.of.Round(time.Millisecond))
			}
		}
		if e.TransferredBytes != nil {
			with = append(with, "bytes", *e.TransferredBytes)
		}
		s.cfg.Log.Info("migration ended", with...)
	}
}

// begin starts to sample a VM. The VMs that are there at the start are spread over the interval.
func (s *Sampler) begin(ctx context.Context, all *sync.WaitGroup, vmid int, spread bool) *sampled {
	vm := &sampled{kick: make(chan struct{}, 1)}
	s.vms[vmid] = vm
	var delay time.Duration
	if spread {
		delay = time.Duration(rand.Int64N(int64(s.cfg.Idle)))
	} else {
		vm.eager = s.cfg.Now().Add(eagerness)
	}
	all.Go(func() { s.follow(ctx, vmid, vm, delay) })
	return vm
}

// revive keeps a VM's goroutine whose socket is there again, if it was gone.
func (s *Sampler) revive(vm *sampled) {
	if vm.gone {
		vm.gone = false
		vm.lives++
		vm.eager = s.cfg.Now().Add(eagerness)
		vm.wake()
	}
}

// touched looks at once at a VM whose socket came or went.
func (s *Sampler) touched(ctx context.Context, all *sync.WaitGroup, vmid int, came bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	now, vm := s.cfg.Now(), s.vms[vmid]
	if vm == nil {
		vm = s.begin(ctx, all, vmid, false)
	} else {
		s.revive(vm)
		vm.wake()
	}
	vm.eager = now.Add(eagerness)
	if came {
		s.tracker.Came(vmid, now)
		vm.born = now
	}
}

func (vm *sampled) wake() {
	select {
	case vm.kick <- struct{}{}:
	default:
	}
}

// follow looks at one VM until its socket is gone or ctx ends.
func (s *Sampler) follow(ctx context.Context, vmid int, vm *sampled, delay time.Duration) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	path := filepath.Join(s.cfg.Dir, fmt.Sprintf("%d.qmp", vmid))
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-vm.kick:
		}
		if s.ended(vmid, vm) {
			return
		}
		hot, urgent := s.heat(vmid)
		slot := s.take(ctx, hot)
		if slot == nil {
			return
		}
		unborn := s.look(ctx, vmid, vm, path, urgent)
		<-slot
		hot, _ = s.heat(vmid)
		switch {
		case unborn:
			timer.Reset(birth / 50)
		case hot:
			timer.Reset(jittered(s.cfg.Fast))
		default:
			timer.Reset(s.untilIdle())
		}
	}
}

// jittered is an interval give or take a tenth: VMs that began together do not stay together.
func jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}

// untilIdle is how long to wait for the next look at an idle VM. Looks come in groups, a tenth of the
// interval apart: waking up costs more than looking does.
func (s *Sampler) untilIdle() time.Duration {
	now := s.cfg.Now().Round(0)
	return now.Add(jittered(s.cfg.Idle)).Round(s.cfg.Idle / 10).Sub(now)
}

// ended forgets a VM whose socket is gone.
func (s *Sampler) ended(vmid int, vm *sampled) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if vm.gone {
		delete(s.vms, vmid)
	}
	return vm.gone
}

// take waits for a slot, and returns where to give it back; nil when ctx ends.
func (s *Sampler) take(ctx context.Context, hot bool) chan struct{} {
	spare := s.spare
	if !hot {
		spare = nil
	}
	select {
	case s.shared <- struct{}{}:
		return s.shared
	case spare <- struct{}{}:
		return spare
	case <-ctx.Done():
		return nil
	}
}

// heat says whether a VM is to be looked at closely, and whether it is known to migrate.
func (s *Sampler) heat(vmid int) (hot, urgent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Now()
	hot = s.tracker.Hot(vmid, now)
	urgent = hot && s.tracker.Migrating(vmid)
	if since, ok := s.locked[vmid]; ok && now.Sub(since) < lockHeat {
		hot = true
	}
	if vm := s.vms[vmid]; vm != nil && now.Before(vm.eager) {
		hot = true
	}
	return hot, urgent
}

// look has one conversation with a VM. unborn says that there is nobody yet to have it with.
func (s *Sampler) look(ctx context.Context, vmid int, vm *sampled, path string, urgent bool) (unborn bool) {
	s.mu.Lock()
	lives := vm.lives
	s.mu.Unlock()
	query, limit := s.cfg.Querier.Query, queryTime
	if urgent {
		query, limit = s.cfg.Querier.QueryUrgent, urgentTime
	}
	asked, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	sample, err := query(asked, path)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case ctx.Err() != nil, vm.gone, vm.lives != lives: // what was learned is of a QEMU that has gone
	case err == nil:
		s.tracker.Sampled(vmid, sample)
	case errors.Is(err, ErrGone) && s.cfg.Now().Sub(vm.born) < birth:
		unborn = true
	case errors.Is(err, ErrGone):
		s.tracker.Gone(vmid, s.cfg.Now())
	case errors.Is(err, ErrBusy), errors.Is(err, ErrInUse), errors.Is(err, ErrCanceled):
	default:
		s.tracker.Silent(vmid, s.cfg.Now())
	}
	s.report()
	return unborn
}

// askLocks notes which VMs are about to migrate, and looks at once at those that are new.
func (s *Sampler) askLocks(ctx context.Context) error {
	if s.cfg.Locked == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Lock)
	defer cancel()
	vmids, err := s.cfg.Locked(ctx)
	if err != nil {
		return fmt.Errorf("look for locked guests: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	locked := map[int]time.Time{}
	for _, id := range vmids {
		since, known := s.locked[id]
		if !known {
			since = s.cfg.Now()
			if vm := s.vms[id]; vm != nil {
				vm.wake()
			}
		}
		locked[id] = since
	}
	s.locked = locked
	return nil
}

// askTasks tells the tracker of the tasks that have ended.
func (s *Sampler) askTasks(ctx context.Context) error {
	if s.cfg.Ended == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Task)
	defer cancel()
	tasks, err := s.cfg.Ended(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range tasks {
		s.tracker.TaskEnded(t)
	}
	s.report()
	return err
}
