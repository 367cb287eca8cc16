package dashboards

// migration is live migrations: those that run, and what the others did to their guests.
func migration() Dashboard {
	return Dashboard{
		UID: uidMigration, Title: "Live migration",
		Question: "Does the migration that runs get on, and for how long did guests stand still in those that ended?",
		First:    "Running now",
		Variables: []Variable{
			{Name: "vmid", Label: "VM", Query: `label_values(qemu_migration_active{CLUSTER}, vmid)`},
		},
		Rows: []Row{
			{Title: "Now", Panels: migrationTiles()},
			{Title: "Running", Panels: []Panel{
				migrationTable(),
				graph("Memory left to send", "Falls to nothing if the migration gets on. A saw tooth: the guest writes as fast as the network carries.", "bytes",
					Query{vm("qemu_migration_ram_remaining_bytes"), "VM {{vmid}}"}).shows(WhileMigrating),
				graph("Writing against sending", "What the guest writes to its memory, and what the network carries away. While the first is larger the migration does not end by itself.", "Bps",
					Query{vm("qemu_migration_dirty_bytes_per_second"), "VM {{vmid}} writes"},
					Query{vm("qemu_migration_throughput_bytes_per_second"), "VM {{vmid}} sends"}).
					runbooks("MigrationNotConverging").shows(WhileMigrating),
				graph("Expected downtime", "What QEMU expects if it stopped the guest now.", "s",
					Query{vm("qemu_migration_expected_downtime_seconds"), "VM {{vmid}}"}).size(8, 8).shows(WhileMigrating),
				graph("Throttle", "Share of the guest's CPU time that QEMU takes away so that the migration ends.", "percentunit",
					Query{vm("qemu_migration_cpu_throttle_ratio"), "VM {{vmid}}"}).size(8, 8).shows(WhileMigrating),
				timeline("Converging", "Whether the network carries memory away faster than the guest writes it.",
					vm("qemu_migration_converging"), "VM {{vmid}}", upWords("yes", "no", orange, "MigrationNotConverging")...).
					size(8, 8).shows(WhileMigrating),
			}},
			{Title: "Ended", Panels: []Panel{
				graph("Guest pause", "Time that guests stood still: QEMU's downtime and the time until the destination resumed them. Mean of the migrations that ended in an interval.", "s",
					Query{meanOf("qemu_migration_guest_pause_seconds"), "guest pause {{cluster}}"},
					Query{meanOf("qemu_migration_downtime_seconds"), "downtime as QEMU says {{cluster}}"},
					Query{meanOf("pve_vm_migrate_downtime_seconds"), "downtime as the task log says {{cluster}}"}).
					steps(from(2.5, orange, "MigrationLongPause")).points().shows(AfterMigration),
				graph("Last pause of each VM", "From the moment the source stopped the guest to the moment it ran on the destination.", "s",
					Query{lastPause, "VM {{vmid}}"}).points().shows(AfterMigration),
				graph("Duration", "Mean time of the migrations that ended in an interval, of memory alone and of the whole task.", "s",
					Query{meanOf("qemu_migration_duration_seconds"), "QEMU {{cluster}}"},
					Query{meanOf("pve_vm_migrate_duration_seconds"), "task {{cluster}}"}).size(8, 8).points().shows(AfterMigration),
				graph("Results", "Migrations that ended, as the source's QEMU tells.", "none",
					Query{`round(sum by (cluster, result) (increase(qemu_migrations_total{CLUSTER, direction="outgoing"}[$__rate_interval])))`, "{{result}}"}).
					size(8, 8).bars(),
				graph("Tasks by node", "Migrations away from each node, and those that failed.", "none",
					Query{counted("pve_vm_migrate_total"), "{{node}}"},
					Query{counted("pve_vm_migrate_failed_total"), "{{node}} failed"}).
					size(8, 8).bars().runbooks("HAMigrationFailed", "MigrationFailing"),
				graph("Sent", "Bytes that migrations sent, of the whole cluster.", "Bps",
					Query{`sum by (cluster) (rate(qemu_migration_transferred_bytes_total{CLUSTER}[$__rate_interval]))`, "{{cluster}}"}).
					size(24, 6),
			}},
		},
	}
}

// lastPause is there once both ends have told. Each samples by itself, so that a pause of nothing may
// look as if it had ended before it began; an earlier migration's end is far older.
const lastPause = `clamp_min(
  max by (cluster, vmid) (qemu_migration_destination_running_timestamp_seconds{CLUSTER, vmid=~"$vmid"})
  - max by (cluster, vmid) (qemu_migration_source_stopped_timestamp_seconds{CLUSTER, vmid=~"$vmid"})
  > -1, 0)`

// vm is a fact of a migration that runs, of the VM whichever node tells it.
func vm(metric string) string {
	return `max by (cluster, vmid) (` + metric + `{CLUSTER, vmid=~"$vmid"})`
}

// meanOf is the mean of what a histogram observed since the point before.
func meanOf(histogram string) string {
	return `sum by (cluster) (increase(` + histogram + `_sum{CLUSTER}[$__rate_interval]))
/ (sum by (cluster) (increase(` + histogram + `_count{CLUSTER}[$__rate_interval])) > 0)`
}

func migrationTiles() []Panel {
	return []Panel{
		tile("Running", "Live migrations that run now.", running),
		tile("Diverging", "Migrations whose guest writes faster than the network carries.",
			`sum(max by (cluster, vmid) (qemu_migration_converging{CLUSTER}) == bool 0)`).
			steps(first(orange, "MigrationNotConverging")).none("none runs").shows(WhileMigrating),
		tile("Still paused", "Longest time that a guest waits on its new node to be resumed.",
			`max(qemu_paused_after_migration_seconds{CLUSTER}) or 0 * sum(qemu_migrations_total{CLUSTER})`).
			unit("s").steps(from(30, red, "VMPausedAfterMigration")),
		tile("Ended", "Migrations away from any node that ended in the time shown.", inRange("pve_vm_migrate_total")),
		tile("Failed", "Migrations that failed in the time shown.", inRange("pve_vm_migrate_failed_total")).
			steps(first(orange, "HAMigrationFailed"), from(3, orange, "MigrationFailing")),
		tile("Mean pause", "Mean time that guests stood still in the migrations of the time shown.",
			`sum(increase(qemu_migration_guest_pause_seconds_sum{CLUSTER}[$__range])) / (sum(increase(qemu_migration_guest_pause_seconds_count{CLUSTER}[$__range])) > 0)`).
			unit("s").steps(from(2.5, orange, "MigrationLongPause")).none("none").shows(AfterMigration),
		// Some scrape formats write 3 as 3.0.
		tile("Pauses > 3 s", "Guests that stood still for over 3 s in the time shown.",
			`round(sum(increase(qemu_migration_guest_pause_seconds_count{CLUSTER}[$__range])) - sum(increase(qemu_migration_guest_pause_seconds_bucket{CLUSTER, le=~"3([.]0)?"}[$__range])))`).
			steps(first(orange, "MigrationLongPause")).none("none"),
		tile("Monitor busy", "Times in the time shown that a VM's monitor had no room for the exporter. Often: another program holds it, and Proxmox's own commands wait too.",
			`round(sum(increase(quorate_qmp_busy_total{CLUSTER}[$__range])))`),
	}
}

func migrationTable() Panel {
	return table("Running now", "Each migration that runs. The progress of a guest that writes much goes back and forth.",
		[]Key{{Label: "vmid", Title: "VM"}, {Label: "node", Title: "From", Link: uidGuests}, {Label: "status", Title: "Status"}},
		Column{Title: "Sent", Expr: `1 - ` + vm("qemu_migration_ram_remaining_bytes") + ` / ` + vm("qemu_migration_ram_total_bytes"), Unit: "percentunit", Bar: true},
		Column{Title: "Left", Expr: vm("qemu_migration_ram_remaining_bytes"), Unit: "bytes"},
		Column{Title: "Guest writes", Expr: vm("qemu_migration_dirty_bytes_per_second"), Unit: "Bps"},
		Column{Title: "Network sends", Expr: vm("qemu_migration_throughput_bytes_per_second"), Unit: "Bps"},
		Column{Title: "Expected downtime", Expr: vm("qemu_migration_expected_downtime_seconds"), Unit: "s"},
		Column{Title: "Round", Expr: vm("qemu_migration_iterations")},
		Column{Title: "Throttle", Expr: vm("qemu_migration_cpu_throttle_ratio"), Unit: "percentunit"},
		Column{Title: "Runs for", Expr: vm("qemu_migration_elapsed_seconds"), Unit: "s"},
		Column{Expr: `max by (cluster, vmid, status) (qemu_migration_status{CLUSTER, vmid=~"$vmid"} == 1)`},
		Column{Expr: `max by (cluster, vmid, node) (` + onNode(`qemu_migration_ram_total_bytes{CLUSTER, vmid=~"$vmid"}`) + `)`},
	).shows(WhileMigrating)
}
