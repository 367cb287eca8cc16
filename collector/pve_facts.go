package collector

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
)

// PVEFactReader is what PVEFacts asks of Proxmox VE's API.
type PVEFactReader interface {
	Version(ctx context.Context) (pve.Version, error)
	// NotBackedUp returns the guests that are in no backup job.
	NotBackedUp(ctx context.Context) ([]pve.UncoveredGuest, error)
	// QDevice returns what corosync-qdevice says on the answering node, nothing without a qdevice.
	QDevice(ctx context.Context) (map[string]pve.Text, error)
	Subscription(ctx context.Context, node string) (pve.Subscription, error)
}

// pveFacts are those of Proxmox VE's facts that seldom change.
type pveFacts struct {
	version        *pve.Version // nil: not known
	uncovered      []pve.UncoveredGuest
	uncoveredKnown bool
	qdevice        map[string]pve.Text // empty: not known, or no qdevice
	at             time.Time           // when they were read; zero: not at all
	err            error               // what of these could not be read, and why

	node pveNodeRead // subscription of the own node
}

func readPVEFacts(ctx context.Context, api PVEFactReader, want PVEParts) (f pveFacts) {
	var version, backup, qdevice error
	atOnce(
		when(want.Version, func() {
			v, err := api.Version(ctx)
			if version = err; err == nil {
				f.version = &v
			}
		}),
		when(want.BackupInfo, func() {
			f.uncovered, backup = api.NotBackedUp(ctx)
			f.uncoveredKnown = backup == nil // a count of some rows would be too low
		}),
		when(want.QDevice, func() {
			if f.qdevice, qdevice = api.QDevice(ctx); pve.IsKind(qdevice, pve.NotImplemented) {
				qdevice = nil
			}
		}),
	)
	if backup != nil {
		f.uncovered = nil
	}
	f.err = errors.Join(about("version", version), about("backup coverage", backup), about("qdevice", qdevice))
	return f
}

// when is fn if it is wanted, else nothing.
func when(wanted bool, fn func()) func() {
	if wanted {
		return fn
	}
	return func() {}
}

// pveFactAge bounds how old a fact may be when it is exported: two periods of PVEFacts.Run and the
// time of its requests.
const (
	pveFactPeriod  = time.Minute
	pveFactTimeout = 10 * time.Second
	pveFactAge     = 2*pveFactPeriod + pveFactTimeout
	pveFactIdle    = 10 * time.Minute
)

// PVEFacts reads once a minute what does not fit into the few requests of a scrape. What a scrape
// gets of it is what the last reading said: a reading that fails leaves nothing of the one before.
type PVEFacts struct {
	api  PVEFactReader
	self func(context.Context) (string, error)
	now  func() time.Time

	mu    sync.Mutex
	last  pveFacts
	asked time.Time // by a scrape
}

// NewPVEFacts returns PVEFacts that know nothing until Run. self says how this machine's node is
// called; nil means that it is none. now is the clock.
func NewPVEFacts(api PVEFactReader, self func(context.Context) (string, error), now func() time.Time) *PVEFacts {
	return &PVEFacts{api: api, self: self, now: now, asked: now()}
}

// Run reads until ctx ends, and pauses while nobody scrapes. It returns nil.
func (f *PVEFacts) Run(ctx context.Context) error {
	tick := time.NewTicker(pveFactPeriod)
	defer tick.Stop()
	for {
		if f.wanted() {
			f.read(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (f *PVEFacts) wanted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now().Sub(f.asked) < pveFactIdle
}

func (f *PVEFacts) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, pveFactTimeout)
	defer cancel()
	var facts pveFacts
	var node pveNodeRead
	atOnce(
		func() { facts = readPVEFacts(ctx, f.api, PVEParts{Version: true, BackupInfo: true, QDevice: true}) },
		when(f.self != nil, func() {
			if node.node, node.subscriptionErr = f.self(ctx); node.subscriptionErr == nil {
				node.contract(ctx, f.api)
			}
		}),
	)
	facts.node = node
	f.mu.Lock()
	defer f.mu.Unlock()
	facts.at = f.now()
	f.last = facts
}

// current returns the last reading, or nothing when that is too old.
func (f *PVEFacts) current() pveFacts {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	f.asked = now
	if f.last.at.IsZero() || now.Sub(f.last.at) > pveFactAge {
		return pveFacts{}
	}
	return f.last
}
