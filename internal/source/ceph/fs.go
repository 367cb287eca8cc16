package ceph

import "sort"

// FSMap is the answer to `fs dump`, joined with `mds metadata`.
type FSMap struct {
	Epoch       int64
	Filesystems []Filesystem
	MDSs        []MDS
}

// A Filesystem is one CephFS.
type Filesystem struct {
	ID           int64
	Name         string
	MetadataPool int64
	DataPools    []int64
}

// An MDS is one metadata server.
type MDS struct {
	Name     string
	FS       int64  // id of its file system, -1 for a standby
	Addr     string // with port and nonce, as the mgr module has it
	Rank     int64  // -1 for a standby
	Hostname string // "" when its metadata is unknown
	Version  string // "" when unknown
}

type rawMDS struct {
	Name string  `json:"name"`
	Addr string  `json:"addr"`
	Rank flexInt `json:"rank"`
}

// ParseFSDump reads the answer to `fs dump`.
func ParseFSDump(b []byte) (FSMap, error) {
	var raw struct {
		Epoch    flexInt  `json:"epoch"`
		Standbys []rawMDS `json:"standbys"`
		FSs      []struct {
			ID  int64 `json:"id"`
			Map struct {
				Name         string            `json:"fs_name"`
				MetadataPool int64             `json:"metadata_pool"`
				DataPools    []int64           `json:"data_pools"`
				Info         map[string]rawMDS `json:"info"`
			} `json:"mdsmap"`
		} `json:"filesystems"`
	}
	if err := decode("fs dump", b, &raw); err != nil {
		return FSMap{}, err
	}
	m := FSMap{Epoch: int64(raw.Epoch)}
	for _, s := range raw.Standbys {
		m.MDSs = append(m.MDSs, MDS{Name: s.Name, FS: -1, Addr: s.Addr, Rank: int64(s.Rank)})
	}
	for _, f := range raw.FSs {
		m.Filesystems = append(m.Filesystems, Filesystem{
			ID: f.ID, Name: f.Map.Name, MetadataPool: f.Map.MetadataPool, DataPools: f.Map.DataPools,
		})
		for _, d := range f.Map.Info {
			m.MDSs = append(m.MDSs, MDS{Name: d.Name, FS: f.ID, Addr: d.Addr, Rank: int64(d.Rank)})
		}
	}
	sort.Slice(m.MDSs, func(i, j int) bool { return m.MDSs[i].Name < m.MDSs[j].Name })
	return m, nil
}
