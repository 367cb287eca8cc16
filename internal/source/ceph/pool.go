package ceph

// Usage is the answer to `df detail`. The monitors hold it, but it is the manager who counts.
type Usage struct {
	Total   Space
	ByClass map[string]Space
	Pools   []PoolUsage
}

// Space is raw space in bytes.
type Space struct {
	TotalBytes   float64 `json:"total_bytes"`
	UsedBytes    float64 `json:"total_used_bytes"`
	UsedRawBytes float64 `json:"total_used_raw_bytes"`
}

// PoolUsage is the use of one pool: the fields of `df detail` by their own name, so that a field
// that a release does not have is absent and not zero.
type PoolUsage struct {
	ID    int64
	Stats map[string]float64
}

// ParseDF reads the answer to `df detail`.
func ParseDF(b []byte) (Usage, error) {
	var raw struct {
		Stats   *Space           `json:"stats"`
		ByClass map[string]Space `json:"stats_by_class"`
		Pools   []struct {
			ID    int64          `json:"id"`
			Stats map[string]any `json:"stats"`
		} `json:"pools"`
	}
	if err := decode("df detail", b, &raw); err != nil {
		return Usage{}, err
	}
	if raw.Stats == nil {
		return Usage{}, newError(ErrAnswer, nil, "answer to \"df detail\" has no stats")
	}
	u := Usage{Total: *raw.Stats, ByClass: raw.ByClass}
	for _, p := range raw.Pools {
		pu := PoolUsage{ID: p.ID, Stats: make(map[string]float64, len(p.Stats))}
		for k, v := range p.Stats {
			if f, ok := v.(float64); ok {
				pu.Stats[k] = f
			}
		}
		u.Pools = append(u.Pools, pu)
	}
	return u, nil
}

// PoolRates is what recovery does in one pool, from `osd pool stats`. Fields that Ceph leaves out
// are zero.
type PoolRates struct {
	ID                int64
	RecoveringObjects float64 `json:"recovering_objects_per_sec"`
	RecoveringBytes   float64 `json:"recovering_bytes_per_sec"`
	RecoveringKeys    float64 `json:"recovering_keys_per_sec"`
	ObjectsRecovered  float64 `json:"num_objects_recovered"`
	BytesRecovered    float64 `json:"num_bytes_recovered"`
}

// ParsePoolStats reads the answer to `osd pool stats`.
func ParsePoolStats(b []byte) ([]PoolRates, error) {
	var raw []struct {
		ID   int64     `json:"pool_id"`
		Rate PoolRates `json:"recovery_rate"`
	}
	if err := decode("osd pool stats", b, &raw); err != nil {
		return nil, err
	}
	out := make([]PoolRates, 0, len(raw))
	for _, r := range raw {
		r.Rate.ID = r.ID
		out = append(out, r.Rate)
	}
	return out, nil
}

// PoolRepairs is how many objects scrubs have repaired in a pool.
type PoolRepairs struct {
	ID       int64
	Repaired int64
	PGs      int
}

// ParsePGDumpPools reads the answer to `pg dump pools`. ready is false when the manager has no
// statistics yet.
func ParsePGDumpPools(b []byte) (pools []PoolRepairs, ready bool, err error) {
	var raw struct {
		Ready *flexBool `json:"pg_ready"`
		Stats []struct {
			ID  int64 `json:"poolid"`
			PGs int   `json:"num_pg"`
			Sum struct {
				Repaired int64 `json:"num_objects_repaired"`
			} `json:"stat_sum"`
		} `json:"pool_stats"`
	}
	if err := decode("pg dump pools", b, &raw); err != nil {
		return nil, false, err
	}
	for _, p := range raw.Stats {
		pools = append(pools, PoolRepairs{ID: p.ID, Repaired: p.Sum.Repaired, PGs: p.PGs})
	}
	return pools, raw.Ready == nil || bool(*raw.Ready), nil
}
