package ceph

import (
	"errors"
	"time"
)

// mgrFetcher asks the active manager.
type mgrFetcher struct {
	now func() time.Time

	// placement is where clean PGs lie, which only a new OSD map can change.
	placement keyed[[]PG]
}

// fetch reads the part that the manager counts. mon is what the monitors said just before.
//
// It stops at the first timeout and returns nothing then: a manager that hangs answers no later
// question either, and each would cost the operation timeout. Any other failure costs only its part,
// and is returned as partial.
func (f *mgrFetcher) fetch(c Commander, mon MonPart) (p MgrPart, partial, err error) {
	totals, err := askReady(c, cmdPGStat, ParsePGStat)
	if err != nil {
		return MgrPart{}, nil, err
	}
	p = MgrPart{PGs: totals, Usage: mon.usage}
	var errs []error
	for _, part := range []func() error{
		func() (err error) { p.Latencies, err = askReady(c, cmdOSDPerf, ParseOSDPerf); return err },
		func() (err error) { p.OSDUse, err = ask(c.Mgr, cmdOSDDF, ParseOSDDF); return err },
		func() (err error) { p.PoolRates, err = ask(c.Mgr, cmdPoolStats, ParsePoolStats); return err },
		func() (err error) { p.PoolRepairs, err = askReady(c, cmdDumpPools, ParsePGDumpPools); return err },
		func() error { return f.readPGs(c, mon.OSDMap, &p) },
	} {
		err := part()
		if lost(err) {
			return MgrPart{}, nil, err
		}
		errs = append(errs, err)
	}
	return p, errors.Join(errs...), nil
}

// askReady sends a manager command whose answer says whether there are statistics yet: a manager
// that has just started answers zeros before the OSDs have reported.
func askReady[T any](c Commander, cmd Command, parse func([]byte) (T, bool, error)) (T, error) {
	ready := false
	v, err := ask(c.Mgr, cmd, func(b []byte) (v T, err error) {
		v, ready, err = parse(b)
		return v, err
	})
	if err == nil && !ready {
		err = newError(ErrNoManager, nil, "manager: %q: no statistics yet, it has just started", cmd.Prefix)
	}
	if err != nil {
		var zero T
		return zero, err
	}
	return v, nil
}

func (f *mgrFetcher) readPGs(c Commander, m *OSDMap, p *MgrPart) error {
	v, err := f.viewPGs(c, p.PGs, m)
	if err != nil {
		return err
	}
	p.PoolPGs = v.pools
	p.Survivable = survivable(v, m)
	return f.readOldestInactive(c, v, p)
}

// maxInactiveListed bounds the answer to `pg ls`, 2.2 kB a PG.
const maxInactiveListed = 50

func (f *mgrFetcher) readOldestInactive(c Commander, v pgView, p *MgrPart) error {
	var inactive, active []string
	n := 0
	for _, s := range v.states() {
		if hasToken(s.State, "active") {
			active = append(active, s.State)
			continue
		}
		inactive = append(inactive, s.State)
		n += s.Count
	}
	tokens, ok := tellApart(inactive, active)
	switch {
	case n == 0:
		p.OldestKnown = true
		return nil
	case n > maxInactiveListed || !ok:
		return nil
	}
	rows := v.listed
	if !v.timed {
		var err error
		if rows, err = askReady(c, cmdPGLs(tokens), ParsePGLs); err != nil {
			return err
		}
	}
	now := f.now()
	for _, pg := range rows {
		if hasToken(pg.State, "active") || pg.LastActive.IsZero() || pg.LastActive.Year() <= 2000 {
			continue // active by now, or never was
		}
		p.OldestInactive = max(p.OldestInactive, now.Sub(pg.LastActive))
		p.OldestKnown = true
	}
	return nil
}
