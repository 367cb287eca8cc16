package ceph

import (
	"slices"
	"sort"
	"strings"
)

// pgView is what is known of single PGs: those listed, and by pool how many are not.
type pgView struct {
	pools  []PoolPGs
	listed []PG
	timed  bool // listed rows carry LastActive
	// clean is how many PGs of a pool are not listed; those are in a sized state, see isSized.
	clean map[int64]int
}

// states is the histogram of all PGs.
func (v pgView) states() []StateCount {
	sum := map[string]int{}
	for _, p := range v.pools {
		for s, n := range p.States {
			sum[s] += n
		}
	}
	return histogram(sum)
}

func histogram(m map[string]int) []StateCount {
	out := make([]StateCount, 0, len(m))
	for s, n := range m {
		out = append(out, StateCount{State: s, Count: n})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].State < out[j].State })
	return out
}

// listLimit is the ratio of a row of `pg ls` (2.2 kB) to one of pgs_brief (95 bytes): with more
// exceptions than one PG in so many, the brief dump of all is the smaller answer.
const listLimit = 23

// viewPGs finds out the states of PGs by pool, as cheaply as the state of the cluster allows. In a
// healthy cluster the histogram of `pg stat` is enough, however many PGs there are.
func (f *mgrFetcher) viewPGs(c Commander, totals PGTotals, m *OSDMap) (pgView, error) {
	usual, tokens, cheap := plan(totals, m)
	if !cheap {
		return f.brief(c)
	}
	var listed []PG
	if len(tokens) > 0 {
		var err error
		if listed, err = askReady(c, cmdPGLs(tokens), ParsePGLs); err != nil {
			if lost(err) {
				return pgView{}, err
			}
			return f.brief(c) // a token this release does not know
		}
	}
	v, ok := merge(listed, usual, m)
	if !ok {
		return f.brief(c)
	}
	if !needsPlacement(m) {
		return v, nil
	}
	if len(listed) > 0 {
		return f.brief(c)
	}
	pgs, err := f.placement.get([2]int64{m.Epoch, 0}, func() (*[]PG, error) {
		pgs, err := askReady(c, cmdDumpBrief, ParsePGsBrief)
		return &pgs, err
	})
	if err != nil {
		return pgView{}, err
	}
	v.listed, v.clean, v.timed = *pgs, nil, false
	return v, nil
}

// plan decides whether the states by pool follow from the histogram and a short list. usual is the
// state of the PGs that need no listing, tokens select the others.
func plan(totals PGTotals, m *OSDMap) (usual string, tokens []string, cheap bool) {
	if m == nil || len(totals.States) == 0 {
		return "", nil, false
	}
	all, most := 0, StateCount{}
	for _, s := range totals.States {
		all += s.Count
		if s.Count > most.Count {
			most = s
		}
	}
	pgNum := 0
	for _, p := range m.Pools {
		pgNum += p.PGNum
	}
	others := all - most.Count
	if pgNum != all || !isSized(most.State) || others*listLimit > all {
		return "", nil, false
	}
	var odd []string
	for _, s := range totals.States {
		if s.State != most.State {
			odd = append(odd, s.State)
		}
	}
	tokens, ok := tellApart(odd, []string{most.State})
	return most.State, tokens, ok
}

// isSized says of a state that PGs in it have all their shards where CRUSH wants them.
func isSized(state string) bool {
	return hasToken(state, "active") && hasToken(state, "clean") &&
		!hasToken(state, "undersized") && !hasToken(state, "degraded") && !hasToken(state, "remapped")
}

// tellApart returns tokens such that each of the states has one of them and none of the others has
// any. "unknown" is the absence of all bits, so `pg ls` cannot select by it.
func tellApart(states, others []string) (tokens []string, ok bool) {
	taken := map[string]bool{"unknown": true}
	for _, s := range others {
		for _, t := range strings.Split(s, "+") {
			taken[t] = true
		}
	}
	chosen := map[string]bool{}
	for _, s := range states {
		found := false
		for _, t := range strings.Split(s, "+") {
			if !taken[t] && t != "" {
				found, chosen[t] = true, true
				break
			}
		}
		if !found {
			return nil, false
		}
	}
	for t := range chosen {
		tokens = append(tokens, t)
	}
	slices.Sort(tokens)
	return tokens, true
}

// merge counts the listed PGs by pool and takes the rest of each pool for usual. ok is false when
// a pool has more listed PGs than PGs, because maps changed between the two answers.
func merge(listed []PG, usual string, m *OSDMap) (v pgView, ok bool) {
	v = pgView{listed: listed, timed: true, clean: map[int64]int{}}
	byPool := countStates(listed)
	for _, p := range m.Pools {
		states := byPool[p.ID]
		delete(byPool, p.ID)
		if states == nil {
			states = map[string]int{}
		}
		rest := p.PGNum
		for _, n := range states {
			rest -= n
		}
		if rest < 0 {
			return v, false
		}
		if rest > 0 {
			states[usual] += rest
			v.clean[p.ID] = rest
		}
		v.pools = append(v.pools, PoolPGs{Pool: p.ID, Total: p.PGNum, States: states})
	}
	return v, len(byPool) == 0
}

func countStates(pgs []PG) map[int64]map[string]int {
	byPool := map[int64]map[string]int{}
	for _, pg := range pgs {
		if byPool[pg.Pool] == nil {
			byPool[pg.Pool] = map[string]int{}
		}
		byPool[pg.Pool][pg.State]++
	}
	return byPool
}

// brief lists all PGs.
func (f *mgrFetcher) brief(c Commander) (pgView, error) {
	pgs, err := askReady(c, cmdDumpBrief, ParsePGsBrief)
	if err != nil {
		return pgView{}, err
	}
	v := pgView{listed: pgs}
	for pool, states := range countStates(pgs) {
		p := PoolPGs{Pool: pool, States: states}
		for _, n := range states {
			p.Total += n
		}
		v.pools = append(v.pools, p)
	}
	sort.Slice(v.pools, func(i, j int) bool { return v.pools[i].Pool < v.pools[j].Pool })
	return v, nil
}
