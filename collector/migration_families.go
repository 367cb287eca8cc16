package collector

import "github.com/quorate/quorate/internal/source/qmp"

var (
	migrationActive = newGauge("qemu_migration_active",
		"1 while the VM migrates away from this node. Snapshots with memory are no migrations.", "vmid")
	migrationStatus = newGauge("qemu_migration_status",
		"QEMU's status of a migration that runs, 1 for the one it is in; other is one that is new to us.", "vmid", "status")
	migrationConverging = newGauge("qemu_migration_converging",
		"0 if the guest dirties memory about as fast as it is sent, so that the migration may never end: the dirty rate is not below 0.9 of the throughput, and this pass began with no less than 0.9 of the bytes of the one before. 1 with postcopy. Absent during the first pass.", "vmid")
	migrationResults = newCounter("qemu_migrations_total",
		"Live migrations that ended since the exporter's start, each once. outgoing: QEMU's result where it was seen, else that of the task log; failed includes migrations that Proxmox refused before QEMU began; unknown if the source vanished and no task tells. incoming: completed when the guest runs here, failed when its QEMU vanished before.", "direction", "result")
	migrationDuration = newHistogram("qemu_migration_duration_seconds",
		"Time that migrations away from this node took, as QEMU says, of those seen to complete.")
	migrationDowntime = newHistogram("qemu_migration_downtime_seconds",
		"Downtime of migrations away from this node, as QEMU says. The guest stands still much longer: see qemu_migration_guest_pause_seconds.")
	migrationPause = newHistogram("qemu_migration_guest_pause_seconds",
		"Time that guests that migrated to this node stood still here, from the end of the transfer until they ran, to half a sampling interval at each end. The downtime as QEMU says comes on top; only the source knows it.")
	migrationTransferred = newCounter("qemu_migration_transferred_bytes_total",
		"Bytes that ended migrations away from this node sent, also those that failed or were cancelled, up to the last sample of each.")
	migrationStopped = newGauge("qemu_paused_after_migration_seconds",
		"Time since a migration stopped a guest that has not run since and whose QEMU is still here: on the source after the end, on the destination after the transfer. Seconds are normal; minutes mean that nobody resumes it. A guest that was suspended before it came looks the same.", "vmid")
	migrationSourceStopped = newGauge("qemu_migration_source_stopped_timestamp_seconds",
		"When a guest ceased to run on this node because it migrated away, for 10 minutes after.", "vmid")
	migrationDestinationRunning = newGauge("qemu_migration_destination_running_timestamp_seconds",
		"When a guest began to run on this node after it migrated here, for 10 minutes after. Less the source's qemu_migration_source_stopped_timestamp_seconds it is the whole pause.", "vmid")
	qmpBusy = newCounter("quorate_qmp_busy_total",
		"Looks at a VM that were left out because others waited for its monitor already.")
	qmpTimeouts = newCounter("quorate_qmp_timeouts_total",
		"Looks at a VM whose monitor did not answer in time.")
	qmpSampleDuration = newHistogram("quorate_qmp_sample_duration_seconds",
		"Time that a look at a VM took: for so long at most Proxmox had to wait for the monitor.")
)

// migrationGauges are the numbers of a migration that runs.
var migrationGauges = []struct {
	family *Family
	of     func(qmp.Running) *float64
}{
	{newGauge("qemu_migration_ram_total_bytes", "Memory of the guest that is to be sent.", "vmid"),
		func(r qmp.Running) *float64 { return r.RAMTotal }},
	{newGauge("qemu_migration_ram_transferred_bytes", "Bytes sent so far.", "vmid"),
		func(r qmp.Running) *float64 { return r.RAMTransferred }},
	{newGauge("qemu_migration_ram_remaining_bytes", "Memory still to be sent in this pass.", "vmid"),
		func(r qmp.Running) *float64 { return r.RAMRemaining }},
	{newGauge("qemu_migration_dirty_bytes_per_second", "Memory that the guest writes to; 0 until the second pass.", "vmid"),
		func(r qmp.Running) *float64 { return r.DirtyRate }},
	{newGauge("qemu_migration_throughput_bytes_per_second", "Bytes sent per second of late.", "vmid"),
		func(r qmp.Running) *float64 { return r.Throughput }},
	{newGauge("qemu_migration_expected_downtime_seconds", "Downtime if the guest were stopped now, as QEMU estimates; until the second pass the downtime that is allowed.", "vmid"),
		func(r qmp.Running) *float64 { return r.ExpectedDowntime }},
	{newGauge("qemu_migration_iterations", "Passes over the memory begun so far.", "vmid"),
		func(r qmp.Running) *float64 { return r.Iterations }},
	{newGauge("qemu_migration_cpu_throttle_ratio", "Share of its CPU time that is taken from the guest to make the migration converge; absent until that begins.", "vmid"),
		func(r qmp.Running) *float64 { return r.CPUThrottle }},
	{newGauge("qemu_migration_elapsed_seconds", "Time since the migration began.", "vmid"),
		func(r qmp.Running) *float64 { return r.Elapsed }},
}

func migrationFamilies() []*Family {
	all := []*Family{migrationActive, migrationStatus}
	for _, g := range migrationGauges {
		all = append(all, g.family)
	}
	return append(all,
		migrationConverging, migrationResults, migrationDuration, migrationDowntime, migrationPause, migrationTransferred,
		migrationStopped, migrationSourceStopped, migrationDestinationRunning,
		qmpBusy, qmpTimeouts, qmpSampleDuration,
	)
}
