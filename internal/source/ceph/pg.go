package ceph

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// noOSD stands in a PG's acting set for a shard that has no OSD (CRUSH_ITEM_NONE).
const noOSD = 2147483647

// A PG is one placement group.
type PG struct {
	Pool       int64
	State      string // "active+clean"
	Acting     []int  // OSD ids, noOSD for a missing shard
	LastActive time.Time
}

// hasToken says whether a state such as "active+clean" holds a token such as "clean".
func hasToken(state, token string) bool {
	for len(state) > 0 {
		var t string
		t, state, _ = strings.Cut(state, "+")
		if t == token {
			return true
		}
	}
	return false
}

// ParsePGStat reads the answer to `pg stat`. ready is false when the manager has no statistics yet.
func ParsePGStat(b []byte) (t PGTotals, ready bool, err error) {
	var raw struct {
		Ready   *flexBool `json:"pg_ready"`
		Summary *struct {
			pgTotals
			States []struct {
				Name string `json:"name"`
				Num  int    `json:"num"`
			} `json:"num_pg_by_state"`
		} `json:"pg_summary"`
	}
	if err := decode("pg stat", b, &raw); err != nil {
		return PGTotals{}, false, err
	}
	if raw.Summary == nil || raw.Ready != nil && !bool(*raw.Ready) {
		return PGTotals{}, false, nil
	}
	t = raw.Summary.totals()
	t.States = nil
	for _, s := range raw.Summary.States {
		t.States = append(t.States, StateCount{State: s.Name, Count: s.Num})
	}
	return t, true, nil
}

// ParsePGLs reads the answer to `pg ls`. ready is false when the manager has no statistics yet.
func ParsePGLs(b []byte) (pgs []PG, ready bool, err error) {
	var raw struct {
		Ready *flexBool `json:"pg_ready"`
		Stats []struct {
			PGID       string `json:"pgid"`
			State      string `json:"state"`
			Acting     []int  `json:"acting"`
			LastActive string `json:"last_active"`
		} `json:"pg_stats"`
	}
	if err := decode("pg ls", b, &raw); err != nil {
		return nil, false, err
	}
	for _, r := range raw.Stats {
		pool, err := poolOf(r.PGID)
		if err != nil {
			return nil, false, err
		}
		at, _ := parseTime(r.LastActive)
		pgs = append(pgs, PG{Pool: pool, State: r.State, Acting: r.Acting, LastActive: at})
	}
	return pgs, raw.Ready == nil || bool(*raw.Ready), nil
}

// poolOf returns the pool of a PG id such as "3.1f".
func poolOf(pgid string) (int64, error) {
	p, _, dotted := strings.Cut(pgid, ".")
	id, err := strconv.ParseInt(p, 10, 64)
	if err != nil || !dotted {
		return 0, newError(ErrAnswer, nil, "%q is no PG id", pgid)
	}
	return id, nil
}

// ParsePGsBrief reads the answer to `pg dump pgs_brief`: some 95 bytes a PG, so it is read without
// building a tree. ready is false when the manager has no statistics yet.
func ParsePGsBrief(b []byte) (pgs []PG, ready bool, err error) {
	if pgs, ok := scanPGsBrief(b); ok {
		return pgs, true, nil
	}
	// Another layout than the one known: pgs_brief rows are pg ls rows with fewer fields.
	return ParsePGLs(b)
}

// What the answer looks like in releases 14 to 20. A list without the wrapping is older.
var (
	briefHead = []byte(`{"pg_ready":true,"pg_stats":[`)
	briefID   = []byte(`{"pgid":"`)
	briefSt   = []byte(`","state":"`)
	briefUp   = []byte(`","up":[`)
	briefAct  = []byte(`],"acting":[`)
)

// scanPGsBrief reads the answer if it is laid out exactly as known; ok is false otherwise.
func scanPGsBrief(b []byte) (pgs []PG, ok bool) {
	b = bytes.TrimSpace(b)
	if !bytes.HasPrefix(b, briefHead) || !bytes.HasSuffix(b, []byte("]}")) {
		return nil, false
	}
	b = b[len(briefHead) : len(b)-2]
	pgs = make([]PG, 0, len(b)/90)
	states := map[string]string{} // one string a state, however many PGs have it
	acting := make([]int, 0, len(b)/40)
	for len(b) > 0 {
		row, rest, end := bytes.Cut(b, []byte("}"))
		if !end {
			return nil, false
		}
		pg, all, good := scanBriefRow(row, states, acting)
		if !good {
			return nil, false
		}
		acting = all
		pgs = append(pgs, pg)
		b = bytes.TrimPrefix(rest, []byte(","))
		if len(b) == len(rest) && len(rest) > 0 || len(rest) == 1 {
			return nil, false // no comma between rows, or one after the last
		}
	}
	return pgs, true
}

// scanBriefRow reads {"pgid":"1.1f","state":"active+clean","up":[0,5],"acting":[0,5],… and appends
// the OSDs to acting, which all rows share.
func scanBriefRow(row []byte, states map[string]string, acting []int) (PG, []int, bool) {
	var pg PG
	rest, ok := bytes.CutPrefix(row, briefID)
	if !ok {
		return pg, acting, false
	}
	id, rest, ok1 := bytes.Cut(rest, briefSt)
	state, rest, ok2 := bytes.Cut(rest, briefUp)
	_, rest, ok3 := bytes.Cut(rest, briefAct)
	list, tail, ok4 := bytes.Cut(rest, []byte("]"))
	if !ok1 || !ok2 || !ok3 || !ok4 || !isState(state) || !tailKnown(tail) {
		return pg, acting, false
	}
	pool, _, dotted := bytes.Cut(id, []byte("."))
	n, ok := atoi(pool)
	if !ok || !dotted || bytes.ContainsAny(id, `"\`) {
		return pg, acting, false
	}
	pg.Pool = int64(n)
	s, seen := states[string(state)]
	if !seen {
		s = string(state)
		states[s] = s
	}
	pg.State = s
	start := len(acting)
	for len(list) > 0 {
		item, more, comma := bytes.Cut(list, []byte(","))
		osd, ok := atoi(item)
		if !ok || comma && len(more) == 0 {
			return pg, acting, false
		}
		acting = append(acting, osd)
		list = more
	}
	pg.Acting = acting[start:len(acting):len(acting)]
	return pg, acting, true
}

// isState says whether b is spelled as PG states are: words and plus signs. encoding/json would
// replace what is not UTF-8 and resolve escapes, which the scanner does not.
func isState(b []byte) bool {
	for _, c := range b {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '+' {
			return false
		}
	}
	return true
}

// tailKnown accepts what follows the acting set: the two primaries, -1 for none.
func tailKnown(tail []byte) bool {
	up, ok1 := bytes.CutPrefix(tail, []byte(`,"up_primary":`))
	up, acting, ok2 := bytes.Cut(up, []byte(`,"acting_primary":`))
	_, ok3 := atoi(bytes.TrimPrefix(up, []byte("-")))
	_, ok4 := atoi(bytes.TrimPrefix(acting, []byte("-")))
	return ok1 && ok2 && ok3 && ok4
}

func atoi(b []byte) (int, bool) {
	if len(b) == 0 || len(b) > 10 {
		return 0, false
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
