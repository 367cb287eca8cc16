package ceph

import "strings"

// Tree is the CRUSH hierarchy from `osd tree`: above each OSD, the bucket of each type.
type Tree struct {
	class  map[int]string
	parent map[int]int
	kind   map[int]string // bucket or OSD id → type name
}

// ParseOSDTree reads the answer to `osd tree`.
func ParseOSDTree(b []byte) (*Tree, error) {
	var raw struct {
		Nodes []struct {
			ID       int    `json:"id"`
			Type     string `json:"type"`
			Class    string `json:"device_class"`
			Children []int  `json:"children"`
		} `json:"nodes"`
	}
	if err := decode("osd tree", b, &raw); err != nil {
		return nil, err
	}
	t := &Tree{class: map[int]string{}, parent: map[int]int{}, kind: map[int]string{}}
	for _, n := range raw.Nodes {
		t.kind[n.ID] = n.Type
		if n.ID >= 0 {
			t.class[n.ID] = n.Class
		}
		for _, c := range n.Children {
			t.parent[c] = n.ID
		}
	}
	return t, nil
}

// Above returns the bucket of the given type that holds an OSD; ok is false when there is none.
// Above "osd" is the OSD itself.
func (t *Tree) Above(osd int, kind string) (bucket int, ok bool) {
	if kind == osdDomain {
		return osd, true
	}
	id := osd
	for range len(t.parent) + 1 { // a bound, were the answer ever to hold a circle
		p, has := t.parent[id]
		if !has {
			return 0, false
		}
		if t.kind[p] == kind {
			return p, true
		}
		id = p
	}
	return 0, false
}

const (
	osdDomain  = "osd"
	hostDomain = "host"
)

// A Rule is a CRUSH rule as far as it says what may fail together.
type Rule struct {
	ID     int
	Domain string // type of bucket of which each holds at most one shard of a PG; "osd" if none
}

// ParseCrushRules reads the answer to `osd crush rule dump`, by rule id.
func ParseCrushRules(b []byte) (map[int]Rule, error) {
	var raw []struct {
		ID    int `json:"rule_id"`
		Steps []struct {
			Op   string `json:"op"`
			Type string `json:"type"`
		} `json:"steps"`
	}
	if err := decode("osd crush rule dump", b, &raw); err != nil {
		return nil, err
	}
	out := make(map[int]Rule, len(raw))
	for _, r := range raw {
		rule := Rule{ID: r.ID, Domain: osdDomain}
		for _, s := range r.Steps {
			// The last choice decides: "choose 2 datacenter, chooseleaf 2 host" keeps hosts apart,
			// "choose 3 host, choose 2 osd" puts two shards on each host.
			if strings.HasPrefix(s.Op, "choose") && s.Type != "" {
				rule.Domain = s.Type
			}
		}
		out[r.ID] = rule
	}
	return out, nil
}
