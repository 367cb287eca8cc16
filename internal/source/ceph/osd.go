package ceph

import (
	"fmt"
	"sort"
	"strings"
)

// OSDMap is the answer to `osd dump`, joined with `osd metadata`, `osd tree` and the CRUSH rules.
type OSDMap struct {
	Epoch         int64
	Flags         map[string]bool // noout, nodeep-scrub, …
	FullRatio     float64
	NearfullRatio float64
	BackfillRatio float64
	Blocklist     int // entries
	OSDs          []OSD
	Pools         []Pool
	Tree          *Tree        // nil when `osd tree` could not be read
	Rules         map[int]Rule // nil when the rules could not be read
}

// An OSD is one OSD of the map.
type OSD struct {
	ID          int
	Up, In      bool
	Weight      float64 // reweight, 0 to 1
	PublicAddr  string  // without port; "-" or "" when it never started
	ClusterAddr string
	DeviceClass string
	Metadata    *OSDMetadata // nil when unknown
}

// Name is "osd.ID".
func (o OSD) Name() string { return fmt.Sprintf("osd.%d", o.ID) }

// A Pool is one pool of the OSD map.
type Pool struct {
	ID              int64
	Name            string
	Type            string // replicated, erasure, unknown
	Description     string // replica:3, ec:2+1, as the mgr module writes it
	CompressionMode string
	Application     string // comma separated
	Size, MinSize   int
	PGNum           int
	Rule            int
	QuotaBytes      int64
	QuotaObjects    int64
}

// OSDMetadata is what an OSD said about itself when it started.
type OSDMetadata struct {
	ID             int    `json:"id"`
	Hostname       string `json:"hostname"`
	Version        string `json:"ceph_version"`
	Store          string `json:"osd_objectstore"`
	FrontIface     string `json:"front_iface"`
	BackIface      string `json:"back_iface"`
	Devices        string `json:"devices"`
	DeviceIDs      string `json:"device_ids"`
	BlueDev        string `json:"bluestore_bdev_dev_node"`
	BlueWAL        string `json:"bluefs_wal_dev_node"`
	BlueDB         string `json:"bluefs_db_dev_node"`
	FilestoreDev   string `json:"backend_filestore_dev_node"`
	FilestoreJrnal string `json:"osd_journal"`
}

// Nodes returns the device nodes of data, DB and WAL; data is "" when unknown.
func (m OSDMetadata) Nodes() (data, db, wal string) {
	switch m.Store {
	case "filestore":
		data, wal = m.FilestoreDev, m.FilestoreJrnal
	case "bluestore":
		data, db, wal = m.BlueDev, m.BlueDB, m.BlueWAL
	}
	if data == "unknown" {
		data = ""
	}
	return data, db, wal
}

type rawPool struct {
	ID      int64   `json:"pool"`
	Name    string  `json:"pool_name"`
	Type    int     `json:"type"`
	Size    int     `json:"size"`
	MinSize int     `json:"min_size"`
	Rule    int     `json:"crush_rule"`
	PGNum   int     `json:"pg_num"`
	QuotaB  flexInt `json:"quota_max_bytes"`
	QuotaO  flexInt `json:"quota_max_objects"`
	Profile string  `json:"erasure_code_profile"`
	Options struct {
		Compression string `json:"compression_mode"`
	} `json:"options"`
	Applications map[string]any `json:"application_metadata"`
}

// ParseOSDDump reads the answer to `osd dump`.
func ParseOSDDump(b []byte) (OSDMap, error) {
	var raw struct {
		Epoch    flexInt `json:"epoch"`
		Flags    string  `json:"flags"`
		Full     float64 `json:"full_ratio"`
		Nearfull float64 `json:"nearfull_ratio"`
		Backfill float64 `json:"backfillfull_ratio"`
		Pools    []rawPool
		OSDs     []struct {
			ID      int      `json:"osd"`
			Up      flexBool `json:"up"`
			In      flexBool `json:"in"`
			Weight  float64  `json:"weight"`
			Public  string   `json:"public_addr"`
			Cluster string   `json:"cluster_addr"`
		} `json:"osds"`
		Profiles  map[string]map[string]any `json:"erasure_code_profiles"`
		Blocklist map[string]any            `json:"blocklist"`
	}
	if err := decode("osd dump", b, &raw); err != nil {
		return OSDMap{}, err
	}
	if raw.Epoch == 0 {
		return OSDMap{}, newError(ErrAnswer, nil, "answer to \"osd dump\" has no epoch")
	}
	m := OSDMap{
		Epoch: int64(raw.Epoch), Flags: setOf(strings.Split(raw.Flags, ",")),
		FullRatio: raw.Full, NearfullRatio: raw.Nearfull, BackfillRatio: raw.Backfill,
		Blocklist: len(raw.Blocklist),
	}
	for _, o := range raw.OSDs {
		m.OSDs = append(m.OSDs, OSD{
			ID: o.ID, Up: bool(o.Up), In: bool(o.In), Weight: o.Weight,
			PublicAddr: host(o.Public), ClusterAddr: host(o.Cluster),
		})
	}
	for _, p := range raw.Pools {
		m.Pools = append(m.Pools, p.pool(raw.Profiles))
	}
	return m, nil
}

func (p rawPool) pool(profiles map[string]map[string]any) Pool {
	out := Pool{
		ID: p.ID, Name: p.Name, Type: "unknown", Description: "unknown",
		CompressionMode: orElse(p.Options.Compression, "none"),
		Size:            p.Size, MinSize: p.MinSize, PGNum: p.PGNum, Rule: p.Rule,
		QuotaBytes: int64(p.QuotaB), QuotaObjects: int64(p.QuotaO),
	}
	switch p.Type {
	case 1:
		out.Type, out.Description = "replicated", fmt.Sprintf("replica:%d", p.Size)
	case 3:
		out.Type, out.Description = "erasure", "ec:unknown"
		if k, m := profiles[p.Profile]["k"], profiles[p.Profile]["m"]; k != nil && m != nil {
			out.Description = fmt.Sprintf("ec:%v+%v", k, m)
		}
	}
	apps := make([]string, 0, len(p.Applications))
	for a := range p.Applications {
		apps = append(apps, a)
	}
	sort.Strings(apps)
	out.Application = strings.Join(apps, ",")
	return out
}

// ParseOSDMetadata reads the answer to `osd metadata`, by OSD id.
func ParseOSDMetadata(b []byte) (map[int]OSDMetadata, error) {
	var raw []OSDMetadata
	if err := decode("osd metadata", b, &raw); err != nil {
		return nil, err
	}
	out := make(map[int]OSDMetadata, len(raw))
	for _, m := range raw {
		out[m.ID] = m
	}
	return out, nil
}

// OSDStat is the answer to `osd stat`.
type OSDStat struct {
	Epoch int64 `json:"epoch"`
	OSDs  int   `json:"num_osds"`
	Up    int   `json:"num_up_osds"`
	In    int   `json:"num_in_osds"`
}

// ParseOSDStat reads the answer to `osd stat`.
func ParseOSDStat(b []byte) (OSDStat, error) {
	var s OSDStat
	err := decode("osd stat", b, &s)
	return s, err
}

// OSDUse is how full one OSD is, from `osd df`.
type OSDUse struct {
	ID        int
	Bytes     int64
	UsedBytes int64
	PGs       int
	Up        bool // of a down OSD the numbers are the last it told
}

// ParseOSDDF reads the answer to `osd df`.
func ParseOSDDF(b []byte) ([]OSDUse, error) {
	var raw struct {
		Nodes []struct {
			ID     int     `json:"id"`
			Type   string  `json:"type"`
			KB     flexInt `json:"kb"`
			KBUsed flexInt `json:"kb_used"`
			PGs    int     `json:"pgs"`
			Status string  `json:"status"`
		} `json:"nodes"`
	}
	if err := decode("osd df", b, &raw); err != nil {
		return nil, err
	}
	var out []OSDUse
	for _, n := range raw.Nodes {
		if n.ID < 0 {
			continue // a bucket of `osd df tree`
		}
		out = append(out, OSDUse{
			ID: n.ID, Bytes: int64(n.KB) * 1024, UsedBytes: int64(n.KBUsed) * 1024, PGs: n.PGs,
			Up: n.Status == "up",
		})
	}
	return out, nil
}

// OSDLatency is what one OSD last said of its store, from `osd perf`.
type OSDLatency struct {
	ID       int
	ApplyMS  float64
	CommitMS float64
}

// ParseOSDPerf reads the answer to `osd perf`. ready is false when the manager has no statistics yet.
func ParseOSDPerf(b []byte) (lat []OSDLatency, ready bool, err error) {
	type infos []struct {
		ID    int `json:"id"`
		Stats struct {
			Commit float64 `json:"commit_latency_ms"`
			Apply  float64 `json:"apply_latency_ms"`
		} `json:"perf_stats"`
	}
	var raw struct {
		Ready *flexBool `json:"pg_ready"`
		Stats struct {
			Infos infos `json:"osd_perf_infos"`
		} `json:"osdstats"`
		Infos infos `json:"osd_perf_infos"` // before Nautilus
	}
	if err := decode("osd perf", b, &raw); err != nil {
		return nil, false, err
	}
	for _, i := range append(raw.Stats.Infos, raw.Infos...) {
		lat = append(lat, OSDLatency{ID: i.ID, ApplyMS: i.Stats.Apply, CommitMS: i.Stats.Commit})
	}
	return lat, raw.Ready == nil || bool(*raw.Ready), nil
}
