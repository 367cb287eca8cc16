package ceph

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestStatesByPoolAgreeWithTheBriefDumpInEveryRecording(t *testing.T) {
	for _, dir := range recordedStates(t) {
		b, err := os.ReadFile(filepath.Join(dir, "pg_dump_pgs_brief.json"))
		if err != nil {
			continue
		}
		t.Run(filepath.Base(dir), func(t *testing.T) {
			pgs, _, err := ParsePGsBrief(b)
			if err != nil {
				t.Fatal(err)
			}
			want := countStates(pgs)
			f := newFake(os.DirFS(dir))
			s, _ := Read(f, time.Now)
			if !s.HasMgr {
				t.Fatal("manager not read")
			}
			compareStates(t, "as chosen", s.Mgr.PoolPGs, want)

			// The list of exceptions, whatever it would cost.
			usual, tokens, ok := listAnyway(s)
			if !ok {
				return
			}
			var listed []PG
			if len(tokens) > 0 {
				if listed, err = askReady(f, cmdPGLs(tokens), ParsePGLs); err != nil {
					t.Fatal(err)
				}
			}
			v, ok := merge(listed, usual, s.Mon.OSDMap)
			if !ok {
				t.Fatal("exceptions do not fit the pools")
			}
			compareStates(t, "by exceptions "+strings.Join(tokens, ","), v.pools, want)
		})
	}
}

// listAnyway is plan without the question of cost.
func listAnyway(s Snapshot) (usual string, tokens []string, ok bool) {
	most := StateCount{}
	var odd []string
	for _, c := range s.Mgr.PGs.States {
		if c.Count > most.Count {
			most = c
		}
	}
	for _, c := range s.Mgr.PGs.States {
		if c.State != most.State {
			odd = append(odd, c.State)
		}
	}
	tokens, ok = tellApart(odd, []string{most.State})
	return most.State, tokens, ok
}

func compareStates(t *testing.T, how string, have []PoolPGs, want map[int64]map[string]int) {
	t.Helper()
	if len(have) != len(want) {
		t.Errorf("%s: %d pools, want %d", how, len(have), len(want))
	}
	for _, p := range have {
		if !maps.Equal(p.States, want[p.Pool]) {
			t.Errorf("%s: pool %d has %v, want %v", how, p.Pool, p.States, want[p.Pool])
		}
	}
}

func TestCheapestWayToTheStatesIsChosen(t *testing.T) {
	pools := func(n ...int) *OSDMap {
		m := &OSDMap{Epoch: 1}
		for i, pgs := range n {
			m.Pools = append(m.Pools, Pool{ID: int64(i + 1), PGNum: pgs})
		}
		return m
	}
	states := func(text string) PGTotals {
		var tot PGTotals
		for _, f := range strings.Fields(text) {
			n, s, _ := strings.Cut(f, ":")
			c, _ := atoi([]byte(n))
			tot.States = append(tot.States, StateCount{State: s, Count: c})
		}
		return tot
	}
	for _, tt := range []struct {
		name, states string
		m            *OSDMap
		tokens       string
		cheap        bool
	}{
		{"all clean", "2048:active+clean", pools(2000, 48), "", true},
		{"all clean and scrubbed", "8:active+clean+scrubbing", pools(8), "", true},
		{"few exceptions", "2000:active+clean 40:active+undersized 8:down", pools(2048), "down,undersized", true},
		{"many exceptions", "1900:active+clean 148:active+undersized", pools(2048), "", false},
		{"scrubbing is the rule", "2047:active+clean+scrubbing 1:active+clean", pools(2048), "", false},
		{"all undersized", "2048:active+undersized", pools(2048), "", false},
		{"remapped but clean", "64:active+clean+remapped", pools(64), "", false},
		{"unknown ones", "2047:active+clean 1:unknown", pools(2048), "", false},
		{"maps do not fit", "2047:active+clean", pools(2048), "", false},
		{"no map", "8:active+clean", nil, "", false},
		{"no PGs", "", pools(), "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, tokens, cheap := plan(states(tt.states), tt.m)
			if strings.Join(tokens, ",") != tt.tokens || cheap != tt.cheap {
				t.Errorf("got %v, %v", tokens, cheap)
			}
		})
	}
}

func TestSpareCountsWhatMayFail(t *testing.T) {
	// OSDs 0,1 on host 10, 2,3 on host 11, 4,5 on host 12; OSD 9 is down.
	host := func(osd int) (int, bool) { return 10 + osd/2, osd != 9 }
	each := func(osd int) (int, bool) { return osd, osd != 9 }
	for _, tt := range []struct {
		name      string
		acting    []int
		min       int
		host, osd int
	}{
		{"three hosts, min 2", []int{0, 2, 4}, 2, 1, 1},
		{"three hosts, min 1", []int{0, 2, 4}, 1, 2, 2},
		{"two shards on a host", []int{0, 1, 4}, 2, 0, 1},
		{"all on one host", []int{0, 1}, 1, 0, 1},
		{"at min_size", []int{0, 2}, 2, 0, 0},
		{"below min_size", []int{0}, 2, -1, -1},
		{"none", nil, 2, -2, -2},
		{"missing shards of EC 2+1", []int{noOSD, 1, noOSD}, 2, -1, -1},
		{"acting on a down OSD", []int{0, 2, 9}, 2, 0, 0},
		{"EC 4+2 over three hosts", []int{0, 1, 2, 3, 4, 5}, 4, 1, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			pg := PG{Acting: tt.acting}
			if got := spare(pg, tt.min, host); got != tt.host {
				t.Errorf("host: %d, want %d", got, tt.host)
			}
			if got := spare(pg, tt.min, each); got != tt.osd {
				t.Errorf("osd: %d, want %d", got, tt.osd)
			}
		})
	}
}

func TestSurvivableHostsInEveryRecording(t *testing.T) {
	want := map[string]int{
		"healthy": 1, "osd1_down": 0, "host1_down": 0, "hosts2_down": -1, "hosts2_down_slow_ops": -1,
		"mon1_down": 1, "osd_out_recovery": 1, "osd_out_backfill": 1, "pool_minsize4_inactive_5pgs": -1,
		"pool_size4_undersized_5pgs": 1, "slow_ops": 1, "recent_crash": 1, "inconsistent_2pgs": 1, "flags_set": 1,
	}
	for _, dir := range recordedStates(t) {
		w, ok := want[filepath.Base(dir)]
		if !ok {
			continue
		}
		s, _ := Read(newFake(os.DirFS(dir)), time.Now)
		if got, ok := s.Mgr.Survivable["host"]; !ok || got != w {
			t.Errorf("%s: %v, want %d", filepath.Base(dir), s.Mgr.Survivable, w)
		}
	}
}

func TestPoolsOverOSDsAreJudgedByTheirPlacementOnceAnEpoch(t *testing.T) {
	f := healthy()
	f.edit(t, "osd crush rule dump", `"type":"host"`, `"type":"osd"`)
	c := connected(t, f)
	for range 3 {
		s, err := read(t, c)
		if err != nil {
			t.Fatal(err)
		}
		// PGs 1.1c and others have two of three copies on one host.
		if s.Mgr.Survivable["host"] != 0 && s.Mgr.Survivable["host"] != 1 || s.Mgr.Survivable["osd"] != 1 {
			t.Errorf("got %v", s.Mgr.Survivable)
		}
	}
	if n := f.count("pg dump pgs_brief"); n != 1 {
		t.Errorf("all PGs were listed %d times", n)
	}
}

func TestOldestInactivePGIsTimed(t *testing.T) {
	dir := filepath.Join(recordings, "pool_minsize4_inactive_5pgs")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no recordings at %s", recordings)
	}
	now := time.Date(2026, 11, 21, 0, 1, 30, 0, time.UTC)
	s, _ := Read(newFake(os.DirFS(dir)), func() time.Time { return now })
	if !s.Mgr.OldestKnown || s.Mgr.OldestInactive != 90*time.Second {
		t.Errorf("got %v, %v", s.Mgr.OldestInactive, s.Mgr.OldestKnown)
	}
}

// briefDump is what a manager answers for n PGs.
func briefDump(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"pg_ready":true,"pg_stats":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"pgid":"%d.%x","state":"active+clean","up":[%d,%d,%d],"acting":[%[3]d,%[4]d,%[5]d],"up_primary":%[3]d,"acting_primary":%[3]d}`, i%3+1, i, i%40, (i+7)%40, (i+21)%40)
	}
	b.WriteString("]}")
	return []byte(b.String())
}

func BenchmarkParsePGsBrief10k(b *testing.B) {
	text := briefDump(10000)
	if _, ok := scanPGsBrief(text); !ok {
		b.Fatal("layout not recognised")
	}
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ParsePGsBrief(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadHealthy(b *testing.B) {
	f := healthy()
	var mons monFetcher
	mgrs := mgrFetcher{now: time.Now}
	b.ReportAllocs()
	for b.Loop() {
		p, _, err := mons.fetch(f)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := mgrs.fetch(f, p); err != nil {
			b.Fatal(err)
		}
	}
}
