package ceph

import "slices"

// needsPlacement says whether a pool may keep several shards of a PG on one host, so that the
// number of shards does not tell how many hosts may fail.
func needsPlacement(m *OSDMap) bool {
	for _, p := range m.Pools {
		if m.domain(p) == osdDomain {
			return true
		}
	}
	return false
}

// domain is the failure domain of a pool. A rule that is not known is taken for the least safe.
func (m *OSDMap) domain(p Pool) string {
	if r, ok := m.Rules[p.Rule]; ok {
		return r.Domain
	}
	return osdDomain
}

// survivable returns by failure domain how many more of it may fail before some PG has fewer live
// shards than its pool's min_size. It is negative where a PG is short of shards already. Every
// pool counts for "osd" and "host", and for the domain of its own rule.
//
// It returns nil when it cannot be known: without the map or the hierarchy, or while the manager
// has no report of some PG.
func survivable(v pgView, m *OSDMap) map[string]int {
	if m == nil || m.Tree == nil || m.Rules == nil {
		return nil
	}
	out := map[string]int{}
	note := func(domain string, n int) {
		if have, ok := out[domain]; !ok || n < have {
			out[domain] = n
		}
	}
	pools := make(map[int64]Pool, len(m.Pools))
	for _, p := range m.Pools {
		pools[p.ID] = p
		if v.clean[p.ID] > 0 {
			// All shards are there, each in a domain of its own and so on a host of its own.
			for _, d := range m.domains(p) {
				note(d, p.Size-p.MinSize)
			}
		}
	}
	up := make(map[int]bool, len(m.OSDs))
	for _, o := range m.OSDs {
		up[o.ID] = o.Up
	}
	for _, pg := range v.listed {
		p, ok := pools[pg.Pool]
		if !ok {
			continue // the pool is being removed
		}
		if pg.State == "unknown" {
			return nil
		}
		for _, d := range m.domains(p) {
			note(d, spare(pg, p.MinSize, func(osd int) (int, bool) {
				if !up[osd] {
					return 0, false
				}
				if b, ok := m.Tree.Above(osd, d); ok {
					return b, true
				}
				return osd, true
			}))
		}
	}
	return out
}

// domains lists the failure domains that a pool counts for.
func (m *OSDMap) domains(p Pool) []string {
	d := m.domain(p)
	if d == osdDomain || d == hostDomain {
		return []string{osdDomain, hostDomain}
	}
	return []string{osdDomain, hostDomain, d}
}

// spare is how many buckets may fail, the fullest first, before fewer than minSize shards live.
// where tells the bucket of an OSD, and whether the OSD lives.
func spare(pg PG, minSize int, where func(osd int) (bucket int, live bool)) int {
	var few [16]int // shards by bucket: a PG has a handful of them
	shards, buckets := few[:0], make([]int, 0, len(few))
	live := 0
	for _, osd := range pg.Acting {
		b, ok := where(osd)
		if osd == noOSD || !ok {
			continue
		}
		live++
		if i := slices.Index(buckets, b); i >= 0 {
			shards[i]++
			continue
		}
		buckets, shards = append(buckets, b), append(shards, 1)
	}
	if live < minSize {
		return live - minSize
	}
	slices.SortFunc(shards, func(a, b int) int { return b - a })
	n := 0
	for _, s := range shards {
		if live -= s; live < minSize {
			break
		}
		n++
	}
	return n
}
