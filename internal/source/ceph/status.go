package ceph

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// Status is the answer to `status` as far as it is used.
type Status struct {
	FSID          string
	Health        Health
	ElectionEpoch int64
	Quorum        []int // ranks; empty means that this monitor has no quorum and all else is stale
	MonMapEpoch   int64
	Release       string // name of the oldest release among the monitors, such as "pacific"
	OSDMapEpoch   int64
	FSMapEpoch    int64
	MgrAvailable  bool // an active manager is known
	PGs           PGTotals
	Services      []ServiceDaemon
}

// PGTotals is what the manager last told the monitors about PGs. It is frozen while there is none.
type PGTotals struct {
	States                  []StateCount
	NumPGs                  int
	Degraded                int64 // objects
	Misplaced               int64 // objects
	Unfound                 int64 // objects
	RecoveryBytesPerSecond  float64
	RecoveryObjectsPerSec   float64
	InactiveRatio           float64
	ReadBytesPerS, WriteBpS float64
}

// StateCount is how many PGs have one state, such as "active+clean".
type StateCount struct {
	State string
	Count int
}

// A ServiceDaemon is a daemon that registered itself with the manager: radosgw, rbd-mirror.
type ServiceDaemon struct {
	Service  string // rgw, rbd-mirror, …
	ID       string
	Metadata map[string]string
}

// pgTotals is the JSON of PGTotals in `status`; fields that are zero are left out by Ceph.
type pgTotals struct {
	States []struct {
		Name  string `json:"state_name"`
		Count int    `json:"count"`
	} `json:"pgs_by_state"`
	NumPGs    int     `json:"num_pgs"`
	Degraded  int64   `json:"degraded_objects"`
	Misplaced int64   `json:"misplaced_objects"`
	Unfound   int64   `json:"unfound_objects"`
	RecBytes  float64 `json:"recovering_bytes_per_sec"`
	RecObj    float64 `json:"recovering_objects_per_sec"`
	Inactive  float64 `json:"inactive_pgs_ratio"`
	Read      float64 `json:"read_bytes_sec"`
	Write     float64 `json:"write_bytes_sec"`
}

// ParseStatus reads the answer to `status`.
func ParseStatus(b []byte) (Status, error) {
	var raw struct {
		FSID          string     `json:"fsid"`
		Health        *rawHealth `json:"health"`
		ElectionEpoch flexInt    `json:"election_epoch"`
		Quorum        []int      `json:"quorum"`
		MonMap        struct {
			Epoch   flexInt `json:"epoch"`
			Release string  `json:"min_mon_release_name"`
		} `json:"monmap"`
		OSDMap struct {
			Epoch  flexInt `json:"epoch"`
			Nested struct {
				Epoch flexInt `json:"epoch"`
			} `json:"osdmap"` // before Octopus
		} `json:"osdmap"`
		PGMap  pgTotals `json:"pgmap"`
		FSMap  struct{ Epoch flexInt }
		MgrMap struct{ Available flexBool }
		SvcMap struct {
			Services map[string]struct {
				Daemons map[string]json.RawMessage `json:"daemons"`
			} `json:"services"`
		} `json:"servicemap"`
	}
	if err := decode("status", b, &raw); err != nil {
		return Status{}, err
	}
	if raw.Health == nil || raw.Health.Status == "" {
		return Status{}, newError(ErrAnswer, nil, "answer to \"status\" has no health")
	}
	s := Status{
		FSID: raw.FSID, Health: raw.Health.health(), ElectionEpoch: int64(raw.ElectionEpoch), Quorum: raw.Quorum,
		MonMapEpoch: int64(raw.MonMap.Epoch), Release: raw.MonMap.Release,
		OSDMapEpoch: max(int64(raw.OSDMap.Epoch), int64(raw.OSDMap.Nested.Epoch)),
		FSMapEpoch:  int64(raw.FSMap.Epoch), MgrAvailable: bool(raw.MgrMap.Available),
		PGs: raw.PGMap.totals(),
	}
	for name, svc := range raw.SvcMap.Services {
		s.Services = append(s.Services, serviceDaemons(name, svc.Daemons)...)
	}
	sort.Slice(s.Services, func(i, j int) bool {
		a, b := s.Services[i], s.Services[j]
		return a.Service < b.Service || a.Service == b.Service && a.ID < b.ID
	})
	return s, nil
}

func (p pgTotals) totals() PGTotals {
	t := PGTotals{
		NumPGs: p.NumPGs, Degraded: p.Degraded, Misplaced: p.Misplaced, Unfound: p.Unfound,
		RecoveryBytesPerSecond: p.RecBytes, RecoveryObjectsPerSec: p.RecObj, InactiveRatio: p.Inactive,
		ReadBytesPerS: p.Read, WriteBpS: p.Write,
	}
	for _, s := range p.States {
		t.States = append(t.States, StateCount{State: s.Name, Count: s.Count})
	}
	return t
}

// serviceDaemons skips "summary", a string among the daemons.
func serviceDaemons(service string, daemons map[string]json.RawMessage) []ServiceDaemon {
	var out []ServiceDaemon
	for id, b := range daemons {
		var d struct {
			Metadata map[string]any `json:"metadata"`
		}
		if json.Unmarshal(b, &d) != nil || d.Metadata == nil {
			continue
		}
		m := make(map[string]string, len(d.Metadata))
		for k, v := range d.Metadata {
			if s, ok := v.(string); ok {
				m[k] = s
			} else {
				m[k] = fmt.Sprint(v)
			}
		}
		out = append(out, ServiceDaemon{Service: service, ID: id, Metadata: m})
	}
	return out
}

// Health is the cluster's health as the monitors see it.
type Health struct {
	Status string // HEALTH_OK, HEALTH_WARN, HEALTH_ERR
	Checks []HealthCheck
}

// A HealthCheck is one health check. Names come and go with releases, so they are passed through.
type HealthCheck struct {
	Name     string
	Severity string
	Message  string
	Active   bool // false: seen earlier by this process and gone since
}

type rawHealth struct {
	Status string `json:"status"`
	Checks map[string]struct {
		Severity string `json:"severity"`
		Summary  struct {
			Message string `json:"message"`
		} `json:"summary"`
	} `json:"checks"`
}

func (r *rawHealth) health() Health {
	h := Health{Status: r.Status}
	for name, c := range r.Checks {
		h.Checks = append(h.Checks, HealthCheck{Name: name, Severity: c.Severity, Message: c.Summary.Message, Active: true})
	}
	sort.Slice(h.Checks, func(i, j int) bool { return h.Checks[i].Name < h.Checks[j].Name })
	return h
}

// ParseHealth reads the answer to `health` or `health detail`.
func ParseHealth(b []byte) (Health, error) {
	var raw rawHealth
	if err := decode("health", b, &raw); err != nil {
		return Health{}, err
	}
	if raw.Status == "" {
		return Health{}, newError(ErrAnswer, nil, "answer to \"health\" has no status")
	}
	return raw.health(), nil
}

// Number is the status as the mgr module counts it: 0, 1 or 2. ok is false for an unknown status.
func (h Health) Number() (n int, ok bool) {
	n, ok = map[string]int{"HEALTH_OK": 0, "HEALTH_WARN": 1, "HEALTH_ERR": 2}[h.Status]
	return n, ok
}

// Active returns the active check called name.
func (h Health) Active(name string) (HealthCheck, bool) {
	for _, c := range h.Checks {
		if c.Name == name && c.Active {
			return c, true
		}
	}
	return HealthCheck{}, false
}

// SlowOps is what the health check SLOW_OPS says.
type SlowOps struct {
	Ops      int
	Daemons  map[string]bool // "osd.0", "mon.a"
	Complete bool            // Daemons lists them all: Ceph prints at most ten
}

// SlowOps reads the text of the check SLOW_OPS, such as "5 slow ops, oldest one blocked for 6 sec,
// daemons [osd.0,osd.1] have slow ops.", the only place where monitors tell the numbers. ok is
// false when the text has another form.
func (h Health) SlowOps() (s SlowOps, ok bool) {
	s.Daemons, s.Complete = map[string]bool{}, true
	c, active := h.Active("SLOW_OPS")
	if !active {
		return s, true
	}
	first, _, _ := strings.Cut(c.Message, " ")
	n, err := strconv.Atoi(first)
	if err != nil {
		return s, false
	}
	s.Ops = n
	s.Complete = !strings.Contains(c.Message, "...")
	for _, f := range strings.FieldsFunc(c.Message, func(r rune) bool { return strings.ContainsRune(" ,[]", r) }) {
		f = strings.TrimRight(f, ".")
		kind, id, dotted := strings.Cut(f, ".")
		if dotted && id != "" && (kind == "osd" || kind == "mon" || kind == "mds" || kind == "mgr") {
			s.Daemons[f] = true
		}
	}
	return s, true
}
