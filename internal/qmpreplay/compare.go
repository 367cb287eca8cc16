package qmpreplay

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/quorate/quorate/internal/source/qmp"
)

// A comparison gathers what differs.
type comparison struct {
	differ []string
}

func (c *comparison) same(what string, got, want float64) {
	if math.Abs(got-want) > 1e-9*math.Max(1, math.Abs(want)) {
		c.differ = append(c.differ, fmt.Sprintf("%s is %g, want %g", what, got, want))
	}
}

// series compares one series, of which absent is nil.
func (c *comparison) series(got series, name string, want *float64) {
	v, there := got[name]
	switch {
	case want == nil && there:
		c.differ = append(c.differ, fmt.Sprintf("%s is %g, want none", name, v))
	case want != nil && !there:
		c.differ = append(c.differ, fmt.Sprintf("%s is missing, want %g", name, *want))
	case want != nil:
		c.same(name, v, *want)
	}
}

func ofVM(name string) string { return fmt.Sprintf("%s{vmid=%q}", name, fmt.Sprint(vmid)) }

// over are the statuses with which a migration does not go on.
var over = []string{"", "none", "completed", "failed", "cancelled"}

// ending are those that some versions may say without numbers.
var ending = []string{"cancelling", "failing"}

// look compares the gauges with the reply they come from. Only a source has numbers.
func (c *comparison) look(got series, r Reply, source bool) {
	if source && slices.Contains(ending, r.Status) && r.RAM == nil {
		return // the numbers are those of the look before
	}
	var active, transferred, remaining, total, iterations, elapsed *float64
	if source && !slices.Contains(over, r.Status) && r.RAM != nil {
		one := 1.0
		active = &one
		transferred, remaining, total, iterations = &r.RAM.Transferred, &r.RAM.Remaining, &r.RAM.Total, &r.RAM.Iterations
		if r.TotalTime != nil {
			s := seconds(r.TotalTime)
			elapsed = &s
		}
	}
	for _, s := range []struct {
		name string
		want *float64
	}{
		{"qemu_migration_active", active},
		{"qemu_migration_ram_transferred_bytes", transferred},
		{"qemu_migration_ram_remaining_bytes", remaining},
		{"qemu_migration_ram_total_bytes", total},
		{"qemu_migration_iterations", iterations},
		{"qemu_migration_elapsed_seconds", elapsed},
	} {
		c.series(got, ofVM(s.name), s.want)
	}
	if active != nil {
		c.series(got, fmt.Sprintf(`qemu_migration_status{status=%q,vmid="%d"}`, r.Status, vmid), active)
	}
}

// outcome compares what is exported when all is over.
func (c *comparison) outcome(ctx context.Context, s Scenario, src, dst *end) error {
	left, err := scrape(ctx, src.c)
	if err != nil {
		return err
	}
	came, err := scrape(ctx, dst.c)
	if err != nil {
		return err
	}
	c.results(left, qmp.Outgoing, s.Summary.FinalSrc.Status)
	c.results(left, qmp.Incoming, "")
	c.results(came, qmp.Outgoing, "")
	c.results(came, qmp.Incoming, s.arrival())
	c.statistics(s, left, src)
	c.pause(s, left, came)
	return nil
}

// results wants result counted once, and nothing else in that direction.
func (c *comparison) results(got series, direction, result string) {
	for _, o := range qmp.Outcomes() {
		if o.Direction == direction {
			want := 0.0
			if o.Result == result {
				want = 1
			}
			c.series(got, fmt.Sprintf("qemu_migrations_total{direction=%q,result=%q}", o.Direction, o.Result), &want)
		}
	}
}

// arrival is what became of the migration on the destination: nothing as long as it waits.
func (s Scenario) arrival() string {
	switch {
	case s.Summary.FinalDst.Error != nil:
		return qmp.Failed
	case s.Summary.LastDst != nil && s.Summary.LastDst.Status == qmp.Completed:
		return qmp.Completed
	}
	return ""
}

// statistics compares bytes, downtime, duration and iterations.
func (c *comparison) statistics(s Scenario, got series, src *end) {
	final := s.Summary.FinalSrc
	var bytes, durations, duration, downtime, iterations float64
	switch {
	case final.RAM != nil:
		bytes, iterations = final.RAM.Transferred, final.RAM.Iterations
		durations, duration, downtime = 1, seconds(final.TotalTime), seconds(final.Downtime)
	case src.last != nil: // QEMU's last word has no numbers
		bytes, iterations = src.last.RAM.Transferred, src.last.RAM.Iterations
	}
	c.same("qemu_migration_transferred_bytes_total", got["qemu_migration_transferred_bytes_total"], bytes)
	c.same("count of qemu_migration_duration_seconds", got["qemu_migration_duration_seconds_count"], durations)
	c.same("qemu_migration_duration_seconds", got["qemu_migration_duration_seconds_sum"], duration)
	c.same("count of qemu_migration_downtime_seconds", got["qemu_migration_downtime_seconds_count"], durations)
	c.same("qemu_migration_downtime_seconds", got["qemu_migration_downtime_seconds_sum"], downtime)
	var said float64
	for _, e := range src.ended {
		if e.Iterations != nil {
			said = *e.Iterations
		}
	}
	c.same("iterations", said, iterations)
}

func seconds(ms *float64) float64 {
	if ms == nil {
		return 0
	}
	return *ms / 1e3
}

// pause compares the guest's pause, if both ends could see it.
func (c *comparison) pause(s Scenario, left, came series) {
	from, stopped := left[ofVM("qemu_migration_source_stopped_timestamp_seconds")]
	to, resumed := came[ofVM("qemu_migration_destination_running_timestamp_seconds")]
	completed := s.Summary.FinalSrc.Status == qmp.Completed
	if stopped != completed || resumed != completed {
		c.differ = append(c.differ, fmt.Sprintf("the moment of the stop is known: %t, that of the begin: %t, completed: %t", stopped, resumed, completed))
		return
	}
	if !completed || s.Summary.StopToResume == nil {
		return
	}
	pause, want := (to-from)*1e3, *s.Summary.StopToResume
	if limit := float64(s.interval().Milliseconds()) + 50; math.Abs(pause-want) > limit {
		c.differ = append(c.differ, fmt.Sprintf("the pause is %.0f ms, between STOP and RESUME are %.0f ms: more than %.0f ms apart", pause, want, limit))
	}
}

// interval is the longest time between two looks.
func (s Scenario) interval() (longest time.Duration) {
	for _, looks := range [][]Look{s.Src, s.Dst} {
		for i := 1; i < len(looks); i++ {
			longest = max(longest, looks[i].At.Sub(looks[i-1].At))
		}
	}
	return longest
}
