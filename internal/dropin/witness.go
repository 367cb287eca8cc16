package dropin

import (
	"io/fs"
	"strings"

	"github.com/quorate/quorate/internal/source/ceph"
)

// contradictions names what the module says otherwise than we do and than the cluster's own answers
// that were recorded beside it. Our side does not use those answers, and agrees with them. The module
// serves a cache of 15 s, so in a recording of a state that has just begun it may tell of the state
// before.
func contradictions(dir fs.FS, module, ours []byte) []string {
	m, err := parse(module)
	if err != nil {
		return nil
	}
	u, err := parse(ours)
	if err != nil {
		return nil
	}
	var out []string
	for _, w := range witnesses {
		b, err := fs.ReadFile(dir, w.file)
		if err == nil && !w.agrees(b, m) && w.agrees(b, u) {
			out = append(out, w.file)
		}
	}
	return out
}

var witnesses = []struct {
	file   string
	agrees func(answer []byte, m map[string]*family) bool
}{
	{"health_detail.json", func(b []byte, m map[string]*family) bool {
		names, err := ceph.ParseHealth(b)
		if err != nil {
			return true
		}
		active := map[string]bool{}
		if f := m["ceph_health_detail"]; f != nil {
			for _, s := range f.series {
				if s.value == 1 {
					active[s.labels["name"]] = true
				}
			}
		}
		for _, c := range names.Checks {
			if !active[c.Name] {
				return false
			}
			delete(active, c.Name)
		}
		return len(active) == 0
	}},
	{"quorum_status.json", func(b []byte, m map[string]*family) bool {
		ranks, err := ceph.ParseQuorumStatus(b)
		return err != nil || sum(m, "ceph_mon_quorum_status") == float64(len(ranks))
	}},
	{"osd_stat.json", func(b []byte, m map[string]*family) bool {
		s, err := ceph.ParseOSDStat(b)
		return err != nil || sum(m, "ceph_osd_up") == float64(s.Up) && sum(m, "ceph_osd_in") == float64(s.In)
	}},
	{"pg_stat.json", func(b []byte, m map[string]*family) bool {
		t, ready, err := ceph.ParsePGStat(b)
		if err != nil || !ready {
			return true
		}
		bits := map[string]float64{}
		for _, s := range t.States {
			for _, bit := range strings.Split(s.State, "+") {
				bits[bit] += float64(s.Count)
			}
		}
		for name := range m {
			if bit, ok := strings.CutPrefix(name, "ceph_pg_"); ok && bit != "total" && sum(m, name) != bits[bit] {
				return false
			}
		}
		return true
	}},
}

// sum adds up the series of a family.
func sum(m map[string]*family, name string) float64 {
	t := 0.0
	if f := m[name]; f != nil {
		for _, s := range f.series {
			t += s.value
		}
	}
	return t
}
