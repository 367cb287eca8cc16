package lab

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/quorate/quorate/internal/pvefake"
)

// errTaskInterrupted: somebody stopped the migration's task.
var errTaskInterrupted = pvefake.ErrInterrupted

// MigrationStats is what query-migrate says, as far as the lab needs it.
type MigrationStats struct {
	Status        string   `json:"status"`
	ErrorDesc     string   `json:"error-desc"`
	TotalTimeMs   int64    `json:"total-time"`
	DowntimeMs    int64    `json:"downtime"`
	ThrottlePct   int      `json:"cpu-throttle-percentage"`
	ExpectedMs    int64    `json:"expected-downtime"`
	RAM           RAMStats `json:"ram"`
	downtimeLimit time.Duration
}

// RAMStats is the part of it about memory.
type RAMStats struct {
	Transferred int64   `json:"transferred"` // bytes
	Remaining   int64   `json:"remaining"`   // bytes
	Total       int64   `json:"total"`       // bytes
	DirtySyncs  int     `json:"dirty-sync-count"`
	MbitPerSec  float64 `json:"mbps"`
	DirtyPages  int64   `json:"dirty-pages-rate"` // a second
	PageSize    int64   `json:"page-size"`
}

// over says whether the migration has ended one way or another.
func (s MigrationStats) over() bool {
	switch s.Status {
	case "", "none", "completed", "failed", "cancelled":
		return true
	}
	return false
}

// transferError is an end that the task log has told already.
type transferError struct{ error }

const (
	migrationPort    = 60000 // the first of 50, as in Proxmox VE
	migrationPorts   = 50
	pveDowntime      = 100 * time.Millisecond
	pveMaxBandwidth  = int64(16) << 30
	slowPoll         = time.Second            // between two looks at a migration
	fastPoll         = 100 * time.Millisecond // near its end
	patience         = 5                      // looks without progress, after which more downtime is allowed
	postcopyPoll     = 20 * time.Millisecond
	postcopyAfter    = 300 * time.Millisecond // of the transfer
	maxDowntimeLimit = 2000 * time.Second
)

func (m *migration) port() int { return migrationPort + m.vm.ID%migrationPorts }

// transfer starts the destination and moves the guest's memory.
func (m *migration) transfer(ctx context.Context) error {
	if err := m.startDestination(ctx); err != nil {
		return err
	}
	if err := m.configure(ctx); err != nil {
		return err
	}
	if m.o.Refuse == RefusedByDestination {
		if err := m.killDestination(ctx); err != nil {
			return err
		}
	}
	uri := fmt.Sprintf("tcp:%s:%d", m.l.Addr(m.to, Storage), m.port())
	m.log("start migrate command to %s", uri)
	if err := m.tell(ctx); err != nil {
		return err
	}
	began := time.Now()
	if err := m.source.run(ctx, "migrate", map[string]any{"uri": uri}, nil); err != nil {
		m.log("migrate uri => %s failed: %s", uri, err)
	}
	stop := m.disturb(ctx)
	defer stop()
	err := m.watch(ctx, began)
	m.result.Transfer = time.Since(began)
	return err
}

// killDestination returns when the source will find nobody listening: the threads of a killed process
// keep its sockets open for a moment.
func (m *migration) killDestination(ctx context.Context) error {
	if err := m.l.StopDaemon(ctx, m.to, vmDaemon(m.vm.ID), syscall.SIGKILL); err != nil {
		return err
	}
	address := fmt.Sprintf("%s:%d", m.l.Addr(m.to, Storage), m.port())
	return poll(ctx, stopDeadline, 5*time.Millisecond, func() error {
		conn, err := m.l.Dial(ctx, m.from, "tcp", address)
		if err != nil {
			return nil
		}
		conn.Close()
		return fmt.Errorf("%s still accepts connections", address)
	})
}

// startDestination starts a halted QEMU that waits for the guest.
func (m *migration) startDestination(ctx context.Context) error {
	m.log("starting VM %d on remote node '%s'", m.vm.ID, NodeName(m.to))
	if err := m.tell(ctx); err != nil {
		return err
	}
	if err := m.l.startQEMU(ctx, m.vm, m.to, "-S", "-incoming", "defer"); err != nil {
		return err
	}
	// Until the guest is there the process is not one that comes back with its node.
	r, err := m.l.record(m.to, vmDaemon(m.vm.ID))
	if err != nil {
		return err
	}
	r.Stopped = true
	if err := m.l.saveRecord(r); err != nil {
		return err
	}
	if err := m.beats.listen(ctx, m.to, m.l.vmSocket(m.to, m.vm.ID, "serial0")); err != nil {
		return err
	}
	if err := m.capabilities(ctx, m.dest); err != nil {
		return err
	}
	if m.o.Multifd {
		if err := m.dest.run(ctx, "migrate-set-parameters", map[string]any{"multifd-channels": 2}, nil); err != nil {
			return err
		}
	}
	uri := fmt.Sprintf("tcp:%s:%d", m.l.Addr(m.to, Storage), m.port())
	if err := m.dest.run(ctx, "migrate-incoming", map[string]any{"uri": uri}, nil); err != nil {
		return err
	}
	m.log("start remote tunnel")
	m.log("ssh tunnel ver 1")
	m.log("starting online/live migration on %s", uri)
	return nil
}

// capabilities switches all off but those that are wanted. QEMU allows XBZRLE neither with multifd nor
// with postcopy in every version.
func (m *migration) capabilities(ctx context.Context, of monitor) error {
	var known []struct {
		Capability string `json:"capability"`
	}
	if err := of.run(ctx, "query-migrate-capabilities", nil, &known); err != nil {
		return err
	}
	want := map[string]bool{
		"auto-converge": !m.o.NoAutoConverge, "xbzrle": !m.o.Multifd && !m.o.Postcopy,
		"multifd": m.o.Multifd, "postcopy-ram": m.o.Postcopy,
	}
	var states []map[string]any
	for _, k := range known {
		states = append(states, map[string]any{"capability": k.Capability, "state": want[k.Capability]})
	}
	return of.run(ctx, "migrate-set-capabilities", map[string]any{"capabilities": states}, nil)
}

// configure sets the source up.
func (m *migration) configure(ctx context.Context) error {
	m.log("set migration capabilities")
	if err := m.capabilities(ctx, m.source); err != nil {
		return err
	}
	bandwidth, downtime := pveMaxBandwidth, pveDowntime
	if m.o.Bandwidth > 0 {
		bandwidth = m.o.Bandwidth
		m.log("migration speed limit: %s/s", bytesText(float64(bandwidth)))
	}
	if m.o.DowntimeLimit > 0 {
		downtime = m.o.DowntimeLimit
	}
	// A tenth of the memory, as the nearest power of two.
	cache := int64(1) << int(math.Log2(float64(m.vm.MemoryMiB<<20)/10)+0.5)
	m.log("migration downtime limit: %d ms", downtime.Milliseconds())
	m.log("migration cachesize: %s", bytesText(float64(cache)))
	m.log("set migration parameters")
	m.result.Stats.downtimeLimit = downtime
	parameters := map[string]any{
		"max-bandwidth": bandwidth, "downtime-limit": downtime.Milliseconds(), "xbzrle-cache-size": cache,
		// A QEMU that came by a migration keeps its own defaults; what an earlier one changed is undone.
		"max-postcopy-bandwidth": m.o.Bandwidth,
	}
	if m.o.Multifd {
		parameters["multifd-channels"] = 2
	}
	return m.source.run(ctx, "migrate-set-parameters", parameters, nil)
}

// disturb does to the migration what the options say, each at its time. stop ends what has not come.
func (m *migration) disturb(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	after := func(d time.Duration, do func()) {
		if d <= 0 {
			return
		}
		wg.Go(func() {
			select {
			case <-time.After(d):
				do()
			case <-ctx.Done():
			}
		})
	}
	after(m.o.CancelAfter, func() { _ = m.source.run(ctx, "migrate_cancel", nil, nil) }) // one that has ended cannot be cancelled
	after(m.o.KillDestinationAfter, func() { _ = m.l.Signal(m.to, vmDaemon(m.vm.ID), syscall.SIGKILL) })
	return func() { cancel(); wg.Wait() }
}

// watch asks the source until the migration has ended, as rarely as qemu-server does.
func (m *migration) watch(ctx context.Context, began time.Time) error {
	wait, unanswered, stalled := slowPoll, 0, 0
	var last MigrationStats
	var logged time.Time
	for looks := 1; ; looks++ {
		if m.o.Postcopy {
			wait = postcopyPoll
		}
		m.pause(ctx, wait)
		if err := ctx.Err(); err != nil {
			return err
		}
		var s MigrationStats
		if err := m.source.run(ctx, "query-migrate", nil, &s); err != nil {
			m.log("query migrate failed: %s", err)
			if unanswered++; unanswered > 5 {
				return errors.New("too many query migrate failures - aborting")
			}
			continue
		}
		m.keep(s)
		switch {
		case s.over():
			return m.over(s, began)
		case m.o.Postcopy:
			if err := m.postcopy(ctx, s, time.Since(began)); err != nil {
				return err
			}
		case s.Status == "active":
			if time.Since(logged) >= slowPoll-fastPoll { // no faster near the end
				logged = time.Now()
				m.active(s)
			}
			if average := last.RAM.Transferred / int64(looks); average > 0 && s.RAM.Remaining < average {
				wait = fastPoll
			}
			if s.RAM.Remaining == 0 || last.RAM.Total > 0 && s.RAM.Remaining > last.RAM.Remaining {
				stalled++
			}
			if stalled > patience {
				stalled = 0
				if err := m.allowMoreDowntime(ctx); err != nil {
					return err
				}
			}
			last = s
		}
		if err := m.tell(ctx); err != nil {
			return err
		}
	}
}

// keep remembers the last numbers: a failed or cancelled migration has none any more.
func (m *migration) keep(s MigrationStats) {
	if s.RAM.Total == 0 {
		status, why := s.Status, s.ErrorDesc
		s = m.result.Stats
		s.Status, s.ErrorDesc = status, why
	}
	s.downtimeLimit = m.result.Stats.downtimeLimit
	m.result.Stats = s
}

func (m *migration) active(s MigrationStats) {
	line := fmt.Sprintf("migration active, transferred %s of %s VM-state, %s/s", bytesText(float64(s.RAM.Transferred)),
		bytesText(float64(s.RAM.Total)), bytesText(s.RAM.MbitPerSec*1e6/8))
	if dirty := float64(s.RAM.DirtyPages * s.RAM.PageSize); dirty > s.RAM.MbitPerSec*1e6/8 {
		line += fmt.Sprintf(", VM dirties lots of memory: %s/s", bytesText(dirty))
	}
	m.log("%s", line)
}

// over logs the end as qemu-server does and returns nil if it was a good one.
func (m *migration) over(s MigrationStats, began time.Time) error {
	if s.Status != "completed" {
		why := s.Status
		if s.ErrorDesc != "" {
			why += " - " + s.ErrorDesc
		}
		m.log("migration status error: %s", why)
		return transferError{errors.New(strings.TrimSpace(why))}
	}
	if seconds := math.Floor(time.Since(began).Seconds()); seconds > 0 {
		m.log("average migration speed: %s/s - downtime %d ms", bytesText(float64(s.RAM.Total)/seconds), s.DowntimeMs)
	}
	m.log("migration completed, transferred %s VM-state", bytesText(float64(s.RAM.Transferred)))
	m.log("migration status: completed")
	return nil
}

// allowMoreDowntime is how Proxmox VE makes a migration end that does not converge.
func (m *migration) allowMoreDowntime(ctx context.Context) error {
	limit := min(2*m.result.Stats.downtimeLimit, maxDowntimeLimit)
	m.result.Stats.downtimeLimit = limit
	m.log("auto-increased downtime to continue migration: %d ms", limit.Milliseconds())
	return m.source.run(ctx, "migrate-set-parameters", map[string]any{"downtime-limit": limit.Milliseconds()}, nil)
}

// postcopy starts the switch once there is something to leave behind, and lets the destination go on
// as soon as the guest is there: its memory follows only as it runs.
func (m *migration) postcopy(ctx context.Context, s MigrationStats, age time.Duration) error {
	switch s.Status {
	case "active":
		if age >= postcopyAfter {
			return m.source.run(ctx, "migrate-start-postcopy", nil, nil)
		}
	case "postcopy-active":
		return m.resume(ctx)
	}
	return nil
}
