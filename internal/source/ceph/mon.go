package ceph

import "sort"

// MonMap is the answer to `mon dump`.
type MonMap struct {
	Epoch int64
	FSID  string
	Mons  []Mon
}

// A Mon is one monitor of the map.
type Mon struct {
	Rank     int
	Name     string
	Addr     string // public address without port
	Hostname string // "" when its metadata is unknown
	Version  string // as `ceph version 16.2.15 (…) pacific (stable)`; "" when unknown
}

// ParseMonDump reads the answer to `mon dump`.
func ParseMonDump(b []byte) (MonMap, error) {
	var raw struct {
		Epoch flexInt `json:"epoch"`
		FSID  string  `json:"fsid"`
		Mons  []struct {
			Rank       int    `json:"rank"`
			Name       string `json:"name"`
			PublicAddr string `json:"public_addr"`
			Addr       string `json:"addr"`
		} `json:"mons"`
	}
	if err := decode("mon dump", b, &raw); err != nil {
		return MonMap{}, err
	}
	if len(raw.Mons) == 0 {
		return MonMap{}, newError(ErrAnswer, nil, "answer to \"mon dump\" names no monitor")
	}
	m := MonMap{Epoch: int64(raw.Epoch), FSID: raw.FSID}
	for _, r := range raw.Mons {
		m.Mons = append(m.Mons, Mon{Rank: r.Rank, Name: r.Name, Addr: host(orElse(r.PublicAddr, r.Addr))})
	}
	sort.Slice(m.Mons, func(i, j int) bool { return m.Mons[i].Rank < m.Mons[j].Rank })
	return m, nil
}

// ParseQuorumStatus reads the ranks in quorum from the answer to `quorum_status`.
func ParseQuorumStatus(b []byte) ([]int, error) {
	var raw struct {
		Quorum []int `json:"quorum"`
	}
	err := decode("quorum_status", b, &raw)
	return raw.Quorum, err
}

// DaemonMetadata is what a daemon said about itself when it started.
type DaemonMetadata struct {
	Name     string `json:"name"`
	Hostname string `json:"hostname"`
	Version  string `json:"ceph_version"`
}

// ParseDaemonMetadata reads the answer to `mon metadata`, `mgr metadata` or `mds metadata`, by name.
func ParseDaemonMetadata(b []byte) (map[string]DaemonMetadata, error) {
	var raw []DaemonMetadata
	if err := decode("metadata", b, &raw); err != nil {
		return nil, err
	}
	out := make(map[string]DaemonMetadata, len(raw))
	for _, d := range raw {
		out[d.Name] = d
	}
	return out, nil
}
