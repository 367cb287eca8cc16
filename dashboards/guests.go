package dashboards

// guestsAndNodes is Proxmox VE: what runs where, and what it takes.
func guestsAndNodes() Dashboard {
	return Dashboard{
		UID: uidGuests, Title: "Guests and nodes",
		Question: "What runs where, which node or guest takes the most, and which guest has no backup?",
		First:    "Nodes",
		Variables: []Variable{
			{Name: "node", Label: "Node", Query: `label_values(pve_node_info{CLUSTER}, name)`},
			{Name: "guest", Label: "Guest", Query: `label_values(pve_guest_info{CLUSTER, node=~"$node"}, id)`},
		},
		Rows: []Row{
			{Title: "Now", Panels: guestTiles()},
			{Title: "Nodes", Panels: []Panel{
				nodeTable("$node"),
				graph("CPU of nodes", "Share of all CPUs of the node.", "percentunit", Query{nodeFact("pve_cpu_usage_ratio", "$node"), "{{node}}"}),
				graph("Memory of nodes", "Share of the node's memory. When one node is lost the others take its guests.", "percentunit",
					Query{nodeShare("pve_memory_usage_bytes", "pve_memory_size_bytes", "$node"), "{{node}}"}),
			}},
			{Title: "Guests", Panels: []Panel{
				guestTable(),
				graph("CPU of guests", "CPUs in use, the ten guests that take most.", "none", Query{
					`topk(10, ` + guestFact("pve_cpu_usage_ratio") + ` * on (cluster, id) ` + guestFact("pve_cpu_usage_limit") + `)`, "{{id}}"}),
				graph("Memory of guests", "The ten guests that use most.", "bytes", Query{`topk(10, ` + guestFact("pve_memory_usage_bytes") + `)`, "{{id}}"}),
				graph("Network of guests", "Received and sent, the ten guests with most.", "Bps", Query{
					`topk(10, ` + guestRate("pve_network_receive_bytes_total") + ` + ` + guestRate("pve_network_transmit_bytes_total") + `)`, "{{id}}"}),
				graph("Disks of guests", "Read and written, the ten guests with most.", "Bps", Query{
					`topk(10, ` + guestRate("pve_disk_read_bytes_total") + ` + ` + guestRate("pve_disk_written_bytes_total") + `)`, "{{id}}"}),
			}},
			{Title: "Storage, replication, tasks", Panels: []Panel{
				storageTable(), replicationTable(),
				graph("Tasks that failed", "Tasks of the nodes that ended with an error, by type.", "none", Query{
					`round(sum by (cluster, node, type) (` + onNodes(`sum by (cluster, instance, type) (increase(pve_task_failed_total{CLUSTER}[$__rate_interval]))`) + `)) > 0`, "{{node}} {{type}}"}).
					size(12, 8).bars().runbooks("BackupFailed").shows(AfterTaskFailure),
				table("Guests without a backup", "Guests that are in no backup job.",
					[]Key{{Label: "id", Title: "Guest"}}, Column{Title: "Without", Expr: `max by (cluster, id) (pve_not_backed_up_info{CLUSTER})`}).
					size(12, 8).runbooks("GuestNotBackedUp"),
			}},
		},
	}
}

func guestTiles() []Panel {
	return []Panel{
		tile("Nodes online", "Nodes that Proxmox VE has as online.", `sum(max by (cluster, id) (pve_up{CLUSTER, id=~"node/.+"}))`).runbooks("NodeDown"),
		tile("Guests up", "Virtual machines and containers that run.", `sum(max by (cluster, id) (pve_up{CLUSTER, id=~"(qemu|lxc)/.+"}))`),
		tile("Guests off", "Guests that do not run, templates left out.",
			`sum((max by (cluster, id) (pve_up{CLUSTER, id=~"(qemu|lxc)/.+"}) == bool 0) and on (cluster, id) pve_guest_info{template="0"})`),
		tile("Start on boot", "Guests that start with their node.", `sum(max by (cluster, id) (pve_onboot_status{CLUSTER}))`),
		tile("Locked", "Guests with a lock, as during a migration, a backup or a snapshot.",
			`count(max by (cluster, id) (pve_lock_state{CLUSTER}) == 1) or 0 * count(pve_node_info{CLUSTER})`),
		tile("No backup", "Guests that are in no backup job.", `sum(max by (cluster) (pve_not_backed_up_total{CLUSTER}))`).runbooks("GuestNotBackedUp"),
		tile("Copies late", "Replication jobs that have failed twice or more since they last succeeded.",
			`sum(max by (cluster, id) (pve_replication_failed_syncs{CLUSTER}) >= bool 2)`).
			steps(first(orange, "ReplicationFailed")).none("no jobs").shows(WithReplication),
		tile("Backup errors", "Backup tasks that failed in the time shown.", `round(sum(increase(pve_task_failed_total{CLUSTER, type="vzdump"}[$__range]))) or 0 * count(pve_node_info{CLUSTER})`).
			steps(first(orange, "BackupFailed")),
	}
}

// guestFact is a fact of the chosen guests on the chosen nodes.
func guestFact(metric string) string {
	return `max by (cluster, id) (` + metric + `{CLUSTER, id=~"$guest"} and on (cluster, id) pve_guest_info{template="0", node=~"$node"})`
}

func guestRate(counter string) string {
	return `max by (cluster, id) (rate(` + counter + `{CLUSTER, id=~"$guest"}[$__rate_interval]) and on (cluster, id) pve_guest_info{template="0", node=~"$node"})`
}

func guestTable() Panel {
	return table("Guests", "Each guest with what it takes. Proxmox VE does not look into the disks of virtual machines.",
		[]Key{{Label: "id", Title: "Guest"}, {Label: "name", Title: "Name"}, {Label: "node", Title: "Node", Link: uidGuests}},
		Column{Title: "State", Expr: guestFact("pve_up"), Words: []Word{{0, "off", grey, ""}, {1, "runs", green, ""}}},
		Column{Title: "CPU", Expr: guestFact("pve_cpu_usage_ratio"), Unit: "percentunit", Bar: true},
		Column{Title: "CPUs", Expr: guestFact("pve_cpu_usage_limit")},
		Column{Title: "Memory", Expr: guestFact("pve_memory_usage_bytes") + ` / ` + guestFact("pve_memory_size_bytes"), Unit: "percentunit", Bar: true},
		Column{Title: "Size", Expr: guestFact("pve_memory_size_bytes"), Unit: "bytes"},
		Column{Title: "Up for", Expr: guestFact("pve_uptime_seconds"), Unit: "dtdurations"},
		Column{Expr: guests("$node") + ` and on (cluster, id) pve_guest_info{id=~"$guest"}`},
	)
}

func storageTable() Panel {
	storage := func(metric string) string {
		return `max by (cluster, id) (` + metric + `{CLUSTER, id=~"storage/$node/.+"})`
	}
	return table("Storages", "Each storage on each node.",
		[]Key{{Label: "storage", Title: "Storage"}, {Label: "node", Title: "Node"}, {Label: "plugintype", Title: "Type"}, {Label: "id", Title: "Id"}},
		Column{Title: "State", Expr: storage("pve_up"), Words: upWords("available", "no", orange, "")},
		Column{Title: "Used", Expr: storage("pve_disk_usage_bytes") + ` / (` + storage("pve_disk_size_bytes") + ` > 0)`, Unit: "percentunit", Bar: true},
		Column{Title: "Size", Expr: storage("pve_disk_size_bytes"), Unit: "bytes"},
		Column{Expr: `max by (cluster, id, storage, node, plugintype) (pve_storage_info{CLUSTER, node=~"$node"})`},
	).size(12, 8)
}

func replicationTable() Panel {
	job := func(expr string) string { return `max by (cluster, id) (` + expr + `)` }
	return table("Replication", "Jobs that copy local disks to another node: what a failover to it would lose.",
		[]Key{{Label: "id", Title: "Job"}, {Label: "guest", Title: "Guest"}, {Label: "source", Title: "From"}, {Label: "target", Title: "To"}},
		Column{Title: "Copy is old", Expr: job(`time() - (pve_replication_last_sync_timestamp_seconds{CLUSTER} > 0)`), Unit: "s"},
		Column{Title: "Took", Expr: job(`pve_replication_duration_seconds{CLUSTER}`), Unit: "s"},
		Column{Title: "Failures", Expr: job(`pve_replication_failed_syncs{CLUSTER}`), Steps: []Step{from(2, orange, "ReplicationFailed")}},
		Column{Expr: `max by (cluster, id, guest, source, target) (pve_replication_info{CLUSTER})`},
	).size(12, 8).shows(WithReplication)
}
