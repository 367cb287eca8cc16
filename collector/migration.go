package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/quorate/quorate/internal/source/qmp"
)

// MigrationReader is what the migration collector needs of the sampler of this node's VMs.
type MigrationReader interface {
	// Migrations returns what is known now, without asking any VM. With an error, as when the VMs
	// cannot be listed, what is known may be old, but for the counts.
	Migrations() (qmp.View, error)
}

// MigrationSource is what the migration collector is built from.
type MigrationSource struct {
	Sampler MigrationReader
	Meter   *QMPMeter // of the conversations that the sampler has
}

// MigrationSpec is the collector of QEMU's live migrations.
func MigrationSpec() Spec {
	return Spec{
		Name: "migration", Scope: Node, On: true,
		Help:     "Live migrations of this node's VMs, as QEMU tells them: while they run, and how they ended.",
		Families: migrationFamilies(),
		New: func(s Sources) (Collector, error) {
			if s.Migration == nil {
				return nil, errors.New("no QEMU: run on a Proxmox VE node, name the directory of the VMs' monitors by --qmp.dir, or switch the collector off")
			}
			return newMigrationCollector(*s.Migration), nil
		},
	}
}

type migrationCollector struct {
	source                       MigrationSource
	durations, downtimes, pauses *durations
	statuses                     []*dto.LabelPair // of all known statuses
}

func newMigrationCollector(s MigrationSource) *migrationCollector {
	c := &migrationCollector{
		source:    s,
		durations: newDurations(migrationDuration, []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600}),
		downtimes: newDurations(migrationDowntime, []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}),
		pauses:    newDurations(migrationPause, []float64{.05, .1, .25, .5, .75, 1, 1.5, 2, 3, 5, 10, 30, 60}),
	}
	for _, s := range qmp.Statuses() {
		c.statuses = append(c.statuses, label("status", s))
	}
	return c
}

func (c *migrationCollector) Collect(_ context.Context, ch chan<- prometheus.Metric) error {
	v, err := c.source.Sampler.Migrations()
	c.source.Meter.collect(ch)
	emitMigrationCounts(v.Counts, ch)
	ch <- c.durations.upTo(v.Durations)
	ch <- c.downtimes.upTo(v.Downtimes)
	ch <- c.pauses.upTo(v.Pauses)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	send := &sampler{ch: ch}
	for _, r := range v.Running {
		c.emitRunning(r, send)
	}
	emitByVM(migrationStopped, v.Stopped, time.Duration.Seconds, send)
	emitByVM(migrationSourceStopped, v.SourceStopped, unixSeconds, send)
	emitByVM(migrationDestinationRunning, v.DestinationRunning, unixSeconds, send)
	return nil
}

// emitRunning sends the gauges of one migration. What QEMU does not say is left out.
func (c *migrationCollector) emitRunning(r qmp.Running, send *sampler) {
	vmid := label("vmid", strconv.Itoa(r.VMID))
	only := []*dto.LabelPair{vmid}
	send.send(migrationActive, only, 1)
	for _, s := range c.statuses {
		send.send(migrationStatus, []*dto.LabelPair{s, vmid}, boolean(s.GetValue() == r.Status))
	}
	for _, g := range migrationGauges {
		if v := g.of(r); v != nil {
			send.send(g.family, only, *v)
		}
	}
	if r.Converging != nil {
		send.send(migrationConverging, only, boolean(*r.Converging))
	}
}

func emitMigrationCounts(c qmp.Counts, ch chan<- prometheus.Metric) {
	for _, o := range qmp.Outcomes() {
		ch <- migrationResults.metric(float64(c.Results[o]), o.Direction, o.Result)
	}
	ch <- migrationTransferred.metric(c.TransferredBytes)
}

// emitByVM sends a gauge for each VM in values.
func emitByVM[V any](f *Family, values map[int]V, number func(V) float64, send *sampler) {
	vmids := make([]int, 0, len(values))
	for id := range values {
		vmids = append(vmids, id)
	}
	slices.Sort(vmids)
	for _, id := range vmids {
		send.send(f, []*dto.LabelPair{label("vmid", strconv.Itoa(id))}, number(values[id]))
	}
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }
