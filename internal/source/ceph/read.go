package ceph

import (
	"errors"
	"time"
)

// Read asks everything once, without a Client: for recordings and for tools. The Snapshot is good
// as far as its flags say, also when there is an error.
func Read(c Commander, now func() time.Time) (Snapshot, error) {
	if now == nil {
		now = time.Now
	}
	var mons monFetcher
	p, partial, err := mons.fetch(c)
	if err != nil {
		return Snapshot{}, err
	}
	s := Snapshot{Taken: now(), HasMon: true, Mon: p, Release: releaseOf(p)}
	if !p.Status.MgrAvailable {
		return s, errors.Join(partial, newError(ErrNoManager, nil, "no active manager"))
	}
	mgrs := mgrFetcher{now: now}
	m, more, err := mgrs.fetch(c, p)
	if err != nil {
		return s, errors.Join(partial, err)
	}
	s.Mgr, s.HasMgr = m, true
	return s, errors.Join(partial, more)
}
