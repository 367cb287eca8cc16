package living

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/quorate/quorate/internal/source/pve"
	"github.com/quorate/quorate/provision/transport"
)

// notThere are the refusals that mean that Ceph has not come so far yet (PVE::Ceph::Tools).
var notThere = []string{
	"binary not installed",                   // check_ceph_installed
	"pveceph configuration not initialized",  // check_ceph_inited
	"ceph not fully configured",              // check_ceph_configured
	"no ceph monitors", "no active monitors", // clients of a cluster without monitors
	"rados_conf_read_file failed",         // no configuration to read
	"rados_connect failed - No such file", // no keyring yet
	"rados_connect failed - No monitors",
}

// CephAbsent says whether err means that there is no Ceph to look at yet.
func CephAbsent(err error) bool { return Refused(err, notThere...) }

// Refused says whether err is an answer of the API whose text contains one of the texts.
func Refused(err error, texts ...string) bool {
	var e *pve.Error
	if !errors.As(err, &e) || e.Status == 0 {
		return false
	}
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(e.Text, t) })
}

// Ceph is the part of `ceph status` that is judged or waited for.
type Ceph struct {
	Health struct {
		Status string           `json:"status"`
		Checks map[string]Check `json:"checks"`
	} `json:"health"`
	Quorum []string `json:"quorum_names"`
	MonMap struct {
		Num  int        `json:"num_mons"` // of ceph status
		Mons []struct{} `json:"mons"`     // of mon dump, which Proxmox VE puts in its place
	} `json:"monmap"`
	OSDMap struct {
		Num int `json:"num_osds"`
		Up  int `json:"num_up_osds"`
		In  int `json:"num_in_osds"`
	} `json:"osdmap"`
	PGMap struct {
		Num    int `json:"num_pgs"`
		States []struct {
			Name  string `json:"state_name"`
			Count int    `json:"count"`
		} `json:"pgs_by_state"`
	} `json:"pgmap"`
}

// A Check is one of Ceph's health checks that is raised. A muted one does not count for the status.
type Check struct {
	Muted   pve.Bool `json:"muted"`
	Summary struct {
		Message string `json:"message"`
	} `json:"summary"`
}

// Monitors is how many the monitor map has, in quorum or not.
func (s Ceph) Monitors() int { return max(s.MonMap.Num, len(s.MonMap.Mons)) }

// ReadCeph asks a node (GET /nodes/NODE/ceph/status).
func ReadCeph(ctx context.Context, nodes transport.Set, node string) (Ceph, error) {
	var s Ceph
	err := nodes.API(node).Get(ctx, "/nodes/"+node+"/ceph/status", &s)
	return s, err
}

// clean are the states of placement groups that are as they should be; scrubbing and trimming are no harm.
var clean = []string{"active+clean", "active+clean+scrubbing", "active+clean+scrubbing+deep", "active+clean+snaptrim", "active+clean+snaptrim_wait"}

// Dirty counts the placement groups that are not active and clean, and tells their states.
func (s Ceph) Dirty() (n int, states []string) {
	sum := 0
	for _, g := range s.PGMap.States {
		sum += g.Count
		if !slices.Contains(clean, g.Name) {
			n += g.Count
			states = append(states, fmt.Sprintf("%d %s", g.Count, g.Name))
		}
	}
	if missing := s.PGMap.Num - sum; missing > 0 {
		n += missing
		states = append(states, fmt.Sprintf("%d unknown", missing))
	}
	return n, states
}

// Codes are the health checks that are raised and not muted, sorted.
func (s Ceph) Codes() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.Health.Checks)), func(code string) bool { return s.Health.Checks[code].Muted.V })
}
