package ceph

import (
	"errors"
	"slices"
	"strings"
	"sync"
)

// monFetcher asks the monitors, and remembers what cannot have changed: maps and metadata by the
// epoch under which they were read.
type monFetcher struct {
	mu      sync.Mutex // one fetch at a time; the Flight sees to that too
	history map[string]HealthCheck

	monMap keyed[MonMap]
	mgrMap keyed[MgrMap]
	osdMap keyed[OSDMap]
	fsMap  keyed[FSMap]
}

// keyed holds a value read under a pair of epochs. Epoch 0 means unknown, and is never reused.
type keyed[T any] struct {
	key [2]int64
	val *T
}

// get returns the held value if it was read under the same key, else what load returns. A load
// that fails in part returns a value and an error; that value is used once and not held.
func (k *keyed[T]) get(key [2]int64, load func() (*T, error)) (*T, error) {
	if k.val != nil && k.key == key && key[0] != 0 {
		return k.val, nil
	}
	v, err := load()
	k.key, k.val = key, nil
	if err == nil {
		k.val = v
	}
	return v, err
}

// fetch reads the part that monitors answer.
//
// It fails with ErrNoQuorum when the monitor has none, and with the first timeout: then nothing is
// returned, for what was read before may be the stale memory of a monitor that just lost its
// quorum. Any other failure costs only its part, and is returned as partial.
func (f *monFetcher) fetch(c Commander) (p MonPart, partial, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	st, err := ask(c.Mon, cmdStatus, ParseStatus)
	if err != nil {
		return MonPart{}, nil, err
	}
	if len(st.Quorum) == 0 {
		return MonPart{}, nil, newError(ErrNoQuorum, nil,
			"the monitor that answered has no quorum, what it knows is stale (start monitors until a majority runs)")
	}
	p = MonPart{Status: st}
	var errs []error
	for _, part := range []func() error{
		func() error { return f.readMgrMap(c, &p) },
		func() error { return f.readMonMap(c, &p) },
		func() error { return f.readOSDMap(c, &p) },
		func() error { return f.readFSMap(c, &p) },
		func() error { return readUsage(c, &p) },
	} {
		err := part()
		if lost(err) {
			return MonPart{}, nil, err
		}
		errs = append(errs, err)
	}
	p.Health = f.remember(st.Health)
	if p.MgrMap != nil {
		m := *p.MgrMap
		m.Modules = slices.Clone(m.Modules)
		m.resolveModules(releaseOf(p))
		p.MgrMap = &m
	}
	return p, errors.Join(errs...), nil
}

// remember adds the checks that were seen before and are gone, as the mgr module's history does.
func (f *monFetcher) remember(h Health) Health {
	if f.history == nil {
		f.history = map[string]HealthCheck{}
	}
	for name, c := range f.history {
		c.Active, c.Message = false, ""
		f.history[name] = c
	}
	for _, c := range h.Checks {
		f.history[c.Name] = c
	}
	all := make([]HealthCheck, 0, len(f.history))
	for _, c := range f.history {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b HealthCheck) int { return strings.Compare(a.Name, b.Name) })
	return Health{Status: h.Status, Checks: all}
}

// releaseOf is the release of the active manager, else the oldest that the monitors tell of.
func releaseOf(p MonPart) Release {
	if p.MgrMap != nil {
		for _, m := range p.MgrMap.Mgrs {
			if r := ParseRelease(m.Version); m.Name == p.MgrMap.Active && r.Known() {
				return r
			}
		}
	}
	return ParseRelease(p.Status.Release)
}

func (f *monFetcher) readMonMap(c Commander, p *MonPart) (err error) {
	// Monitors that restart are elected anew, so their metadata is as old as the election.
	p.MonMap, err = f.monMap.get([2]int64{p.Status.MonMapEpoch, p.Status.ElectionEpoch}, func() (*MonMap, error) {
		m, err := ask(c.Mon, cmdMonDump, ParseMonDump)
		if err != nil {
			return nil, err
		}
		meta, err := ask(c.Mon, cmdMonMeta, ParseDaemonMetadata)
		for i := range m.Mons {
			d := meta[m.Mons[i].Name]
			m.Mons[i].Hostname, m.Mons[i].Version = d.Hostname, d.Version
		}
		return &m, err
	})
	return err
}

func (f *monFetcher) readMgrMap(c Commander, p *MonPart) error {
	stat, err := ask(c.Mon, cmdMgrStat, ParseMgrStat)
	if err != nil {
		return err
	}
	p.MgrMap, err = f.mgrMap.get([2]int64{stat.Epoch, 0}, func() (*MgrMap, error) {
		m, err := ask(c.Mon, cmdMgrDump, ParseMgrDump)
		if err != nil {
			if lost(err) {
				return nil, err
			}
			m = stat.mgrMap()
		}
		meta, metaErr := ask(c.Mon, cmdMgrMeta, ParseDaemonMetadata)
		m.describe(meta)
		return &m, errors.Join(err, metaErr)
	})
	return err
}

func (f *monFetcher) readOSDMap(c Commander, p *MonPart) (err error) {
	p.OSDMap, err = f.osdMap.get([2]int64{p.Status.OSDMapEpoch, 0}, func() (*OSDMap, error) {
		m, err := ask(c.Mon, cmdOSDDump, ParseOSDDump)
		if err != nil {
			return nil, err
		}
		var errs [3]error
		var meta map[int]OSDMetadata
		meta, errs[0] = ask(c.Mon, cmdOSDMeta, ParseOSDMetadata)
		m.Tree, errs[1] = ask(c.Mon, cmdOSDTree, ParseOSDTree)
		m.Rules, errs[2] = ask(c.Mon, cmdCrushRules, ParseCrushRules)
		for i := range m.OSDs {
			o := &m.OSDs[i]
			if d, ok := meta[o.ID]; ok {
				o.Metadata = &d
			}
			if m.Tree != nil {
				o.DeviceClass = m.Tree.class[o.ID]
			}
		}
		return &m, errors.Join(errs[:]...)
	})
	return err
}

func (f *monFetcher) readFSMap(c Commander, p *MonPart) (err error) {
	p.FSMap, err = f.fsMap.get([2]int64{p.Status.FSMapEpoch, 0}, func() (*FSMap, error) {
		m, err := ask(c.Mon, cmdFSDump, ParseFSDump)
		if err != nil {
			return nil, err
		}
		if len(m.MDSs) == 0 {
			return &m, nil
		}
		meta, err := ask(c.Mon, cmdMDSMeta, ParseDaemonMetadata)
		for i := range m.MDSs {
			d := meta[m.MDSs[i].Name]
			m.MDSs[i].Hostname, m.MDSs[i].Version = d.Hostname, d.Version
		}
		return &m, err
	})
	return err
}

// readUsage reads what the monitors hold of the manager's count; it is shown only with a manager.
func readUsage(c Commander, p *MonPart) error {
	if !p.Status.MgrAvailable {
		return nil
	}
	u, err := ask(c.Mon, cmdDF, ParseDF)
	if err == nil {
		p.usage = &u
	}
	return err
}
