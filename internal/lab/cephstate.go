package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	cephHealthyTimeout = 100 * time.Second // until HEALTH_OK; less than a fault's whole repair may take
	cephPollInterval   = 200 * time.Millisecond
)

// cephStatus is what the lab needs of "ceph status".
type cephStatus struct {
	Health struct {
		Status string
		Checks map[string]struct {
			Summary struct {
				Message string
				Count   int
			}
		}
	}
	QuorumNames []string `json:"quorum_names"`
	OSDMap      struct {
		Total int `json:"num_osds"`
		Up    int `json:"num_up_osds"`
		In    int `json:"num_in_osds"`
	}
	PGMap struct {
		Total   int `json:"num_pgs"`
		ByState []struct {
			Name  string `json:"state_name"`
			Count int
		} `json:"pgs_by_state"`
	}
	MgrMap struct {
		Available bool
		Standbys  int `json:"num_standbys"`
	}
}

// pgState is a PG's state: names joined by plus signs.
type pgState string

func (s pgState) has(name string) bool { return slices.Contains(strings.Split(string(s), "+"), name) }

// clean is true also while the PG is scrubbed, as "ceph health" sees it.
func (s pgState) clean() bool {
	for _, name := range strings.Split(string(s), "+") {
		if !slices.Contains([]string{"active", "clean", "scrubbing", "deep"}, name) {
			return false
		}
	}
	return s.has("active") && s.has("clean")
}

// pgs counts the PGs whose state is so.
func (s cephStatus) pgs(is func(pgState) bool) int {
	n := 0
	for _, state := range s.PGMap.ByState {
		if is(pgState(state.Name)) {
			n += state.Count
		}
	}
	return n
}

func (s cephStatus) pgsWith(name string) int {
	return s.pgs(func(state pgState) bool { return state.has(name) })
}

func (s cephStatus) check(name string) bool { _, raised := s.Health.Checks[name]; return raised }

// healthy says what is still missing, or nil. HEALTH_OK alone proves little: just after a start
// there are no statistics to complain of, and a missing standby is not complained of at all.
func (s cephStatus) healthy(p cephPlan) error {
	clean := s.pgs(pgState.clean)
	for _, must := range []struct {
		what       string
		have, want int
	}{
		{"monitors in quorum", len(s.QuorumNames), len(p.mons())},
		{"standby managers", s.MgrMap.Standbys, len(p.mgrs()) - 1},
		{"OSDs up", s.OSDMap.Up, len(p.osds())},
		{"OSDs in", s.OSDMap.In, len(p.osds())},
		{"PGs active+clean", clean, s.PGMap.Total},
	} {
		if must.have != must.want {
			return fmt.Errorf("%d of %d %s", must.have, must.want, must.what)
		}
	}
	switch {
	case !s.MgrMap.Available:
		return errors.New("no manager is active")
	case clean == 0:
		return errors.New("no PGs yet")
	case s.Health.Status != "HEALTH_OK":
		return errors.New(s.complaints())
	}
	return nil
}

// complaints is the health in one line.
func (s cephStatus) complaints() string {
	var checks []string
	for name, check := range s.Health.Checks {
		checks = append(checks, name+" ("+check.Summary.Message+")")
	}
	slices.Sort(checks)
	return s.Health.Status + ": " + strings.Join(checks, ", ")
}

func (l *Lab) cephStatus(ctx context.Context) (cephStatus, error) {
	var s cephStatus
	err := l.cephJSON(ctx, &s, "status")
	return s, err
}

// waitCeph polls the status until ready returns nil.
func (l *Lab) waitCeph(ctx context.Context, ready func(cephStatus) error) error {
	return poll(ctx, cephHealthyTimeout, cephPollInterval, func() error {
		l.hurryPGStats(ctx)
		s, err := l.cephStatus(ctx)
		if err != nil {
			return err
		}
		return ready(s)
	})
}

// WaitCephHealthy returns when every monitor is in quorum, every OSD is up and in, every PG is
// active+clean and the health is HEALTH_OK, by statistics that are younger than the call. It gives
// up after 100 seconds, with what is still missing.
func (l *Lab) WaitCephHealthy(ctx context.Context) error {
	plan := l.cephPlan()
	healthy := func(s cephStatus) error { return s.healthy(plan) }
	err := poll(ctx, cephHealthyTimeout, cephPollInterval, func() error {
		if err := l.waitCeph(ctx, healthy); err != nil {
			return permanent(err)
		}
		if err := l.flushPGStats(ctx, plan.osds()); err != nil {
			return err
		}
		s, err := l.cephStatus(ctx)
		if err != nil {
			return err
		}
		return healthy(s)
	})
	if err != nil {
		return errors.Join(fmt.Errorf("wait for a healthy Ceph: %w", err), l.missingCeph())
	}
	return nil
}

// missingCeph names the daemons that should run and do not, with their last words.
func (l *Lab) missingCeph() error {
	var errs []error
	plan := l.cephPlan()
	for _, d := range plan.all() {
		if !l.Running(d.node, d.name()) {
			text, _ := os.ReadFile(plan.output(d))
			errs = append(errs, fmt.Errorf("%s does not run: %s", l.daemonName(d.node, d.name()), lastLine(string(text))))
		}
	}
	return errors.Join(errs...)
}

// flushUpOSDs is flushPGStats for the OSDs that are up in the OSD map.
func (l *Lab) flushUpOSDs(ctx context.Context) error {
	up, err := l.upOSDs(ctx)
	if err != nil {
		return err
	}
	return l.flushPGStats(ctx, chosen(l.answeringOSDs(), osdsNamed(up)))
}

// flushPGStats returns when the monitors know the PGs as these OSDs know them now, with the OSD map
// of now. Without it "ceph status" may show the time before the last change.
func (l *Lab) flushPGStats(ctx context.Context, osds []cephDaemon) error {
	sent := make([]uint64, len(osds))
	questions := make([]string, len(osds))
	err := each(indexes(osds), func(i int) error {
		questions[i] = "osd last-stat-seq " + osds[i].id
		// The reply comes when the OSD has the newest map; its PGs follow within the flush.
		if err := l.cephSocket(ctx, osds[i], nil, "get_latest_osdmap", nil); err != nil {
			return err
		}
		return l.cephSocket(ctx, osds[i], &sent[i], "flush_pg_stats", nil)
	})
	if err != nil || len(osds) == 0 {
		return err
	}
	return poll(ctx, cephCommandTimeout, cephPollInterval, func() error {
		out, err := l.cephBatch(ctx, questions...)
		if err != nil {
			return err
		}
		known, err := seqNumbers(out)
		if err != nil || len(known) != len(sent) {
			return fmt.Errorf("%d answers to %d questions for osd last-stat-seq: %w", len(known), len(sent), err)
		}
		for i, osd := range osds {
			if known[i] < sent[i] {
				return fmt.Errorf("the manager has not passed on the statistics of %s", osd.name())
			}
		}
		return nil
	})
}

// hurryPGStats makes the OSDs report to the manager now rather than with their next report.
func (l *Lab) hurryPGStats(ctx context.Context) {
	for _, osd := range l.answeringOSDs() {
		_ = l.cephSocket(ctx, osd, nil, "flush_pg_stats", nil) // one that starts or ends has no socket
	}
}

// answeringOSDs are those whose process runs and was not stopped.
func (l *Lab) answeringOSDs() []cephDaemon {
	return chosen(l.cephPlan().osds(), func(d cephDaemon) bool { return l.Running(d.node, d.name()) && !l.hangs(d) })
}

func indexes[T any](items []T) []int {
	all := make([]int, len(items))
	for i := range all {
		all[i] = i
	}
	return all
}

// seqNumbers reads the answers of a batch, one number each.
func seqNumbers(text string) ([]uint64, error) {
	var all []uint64
	for _, field := range strings.Fields(text) {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return all, err
		}
		all = append(all, n)
	}
	return all, nil
}

// pgRow is one PG as "ceph pg ls-by-pool" shows it.
type pgRow struct {
	ID       string `json:"pgid"`
	State    pgState
	Up       []int
	Acting   []int
	LogStart string `json:"log_start"` // "0'0" until the log has been trimmed
	Stats    struct {
		Objects   int `json:"num_objects"`
		Misplaced int `json:"num_objects_misplaced"`
	} `json:"stat_sum"`
}

// poolPGs lists the PGs of a pool. It fails when the manager's list is not complete yet.
func (l *Lab) poolPGs(ctx context.Context, pool string) ([]pgRow, error) {
	var list struct {
		Ready *bool   `json:"pg_ready"`
		Rows  []pgRow `json:"pg_stats"`
	}
	out, err := l.CephCLI(ctx, "pg", "ls-by-pool", pool, "--format", "json")
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return nil, fmt.Errorf("ceph pg ls-by-pool %s: %w", pool, err)
	}
	if list.Ready != nil && !*list.Ready {
		return nil, errors.New("the manager does not know the PGs yet")
	}
	return list.Rows, nil
}
