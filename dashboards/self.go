package dashboards

// self is the exporter: what it does not see now, and what it costs.
func self() Dashboard {
	return Dashboard{
		UID: uidSelf, Title: "Quorate itself",
		Question: "What does the exporter not see now, and what does watching cost?",
		First:    "Sources",
		Variables: []Variable{
			{Name: "node", Label: "Node", Query: `label_values(quorate:instance_node{CLUSTER}, node)`},
		},
		Rows: []Row{
			{Title: "Now", Panels: selfTiles()},
			{Title: "What is seen", Panels: []Panel{
				timeline("Exporters", "Whether each node's exporter answers Prometheus.",
					`max by (cluster, node) (`+onNodes(`up{CLUSTER, job="proxmox"}`)+`)`, "{{node}}", upWords("answers", "silent", orange, "QuorateDown")...).
					runbooks("ClusterUnreachable", "QuorateNoTargets", "QuorateClustersMixed"),
				timeline("Sources", "Whether what an exporter asks answers: without it that part of the metrics is absent.",
					`min by (cluster, node, source) (`+onNodes(`quorate_source_up{CLUSTER}`)+`)`, "{{node}} {{source}}", upWords("answers", "silent", orange, "QuorateSourceDown")...),
				timeline("Collectors", "Whether each collector finished in time and without an error.",
					`min by (cluster, node, collector) (`+onNodes(`quorate_scrape_collector_success{CLUSTER}`)+`)`, "{{node}} {{collector}}",
					upWords("done", "failed", orange, "QuorateCollectorFailing")...).size(24, 10),
				graph("Errors by source", "Requests that failed, by reason.", "cps",
					Query{`sum by (cluster, source, reason) (rate(quorate_source_request_errors_total{CLUSTER}[$__rate_interval])) > 0`, "{{source}} {{reason}}"}).
					shows(AfterErrors),
				graph("Calls that hang", "Age of a call that does not return, of the worst node. Nothing else is asked of that source meanwhile.", "s",
					Query{`max by (cluster, source) (quorate_source_stuck_seconds{CLUSTER})`, "{{source}}"}).
					steps(from(30, orange, "QuorateSourceStuck")),
			}},
			{Title: "What it costs", Panels: []Panel{
				graph("Scrape", "How long a scrape takes, of each node.", "s",
					Query{`max by (cluster, node) (` + onNodes(`scrape_duration_seconds{CLUSTER, job="proxmox"}`) + `)`, "{{node}}"}),
				graph("Collectors' time", "How long each collector takes, of the slowest node.", "s",
					Query{`max by (cluster, collector) (quorate_scrape_collector_duration_seconds{CLUSTER})`, "{{collector}}"}),
				graph("Requests to sources", "How often each source is asked, by all exporters together.", "reqps",
					Query{`sum by (cluster, source) (rate(quorate_source_requests_total{CLUSTER}[$__rate_interval]))`, "{{source}}"}),
				graph("Series", "Series that a scrape returns, of each node.", "none",
					Query{`max by (cluster, node) (` + onNodes(`scrape_samples_scraped{CLUSTER, job="proxmox"}`) + `)`, "{{node}}"}),
				graph("Memory", "Resident memory of each exporter.", "bytes",
					Query{exporterFact(`process_resident_memory_bytes`), "{{node}}"}).size(6, 8),
				graph("CPU", "CPUs that each exporter takes.", "none",
					Query{`max by (cluster, node) (` + onNodes(`rate(process_cpu_seconds_total{CLUSTER}[$__rate_interval]) and on (cluster, job, instance) quorate_build_info`) + `)`, "{{node}}"}).size(6, 8),
				graph("Goroutines", "One that only grows is a leak.", "none", Query{exporterFact(`go_goroutines`), "{{node}}"}).size(6, 8),
				graph("Open files", "File descriptors in use.", "none", Query{exporterFact(`process_open_fds`), "{{node}}"}).size(6, 8),
				graph("VM monitors", "Conversations with VMs' monitors that found no room, or got no answer in time.", "cps",
					Query{`sum by (cluster) (rate(quorate_qmp_busy_total{CLUSTER}[$__rate_interval]))`, "busy {{cluster}}"},
					Query{`sum by (cluster) (rate(quorate_qmp_timeouts_total{CLUSTER}[$__rate_interval]))`, "timeouts {{cluster}}"}),
				table("Versions", "What runs on each node.",
					[]Key{{Label: "node", Title: "Node"}, {Label: "version", Title: "Version"}, {Label: "revision", Title: "Revision"}, {Label: "goversion", Title: "Go"}},
					Column{Title: "Runs", Expr: `max by (cluster, node, version, revision, goversion) (` + onNodes(`quorate_build_info{CLUSTER}`) + `)`}).size(12, 8),
			}},
		},
	}
}

// exporterFact is what the exporters' processes say of themselves.
func exporterFact(metric string) string {
	return `max by (cluster, node) (` + onNodes(metric+`{CLUSTER} and on (cluster, job, instance) quorate_build_info`) + `)`
}

func selfTiles() []Panel {
	return []Panel{
		tile("Exporters", "Exporters that answer.", `sum(up{CLUSTER, job="proxmox"})`),
		tile("Silent", "Exporters that do not answer.", `sum(up{CLUSTER, job="proxmox"} == bool 0)`).steps(first(orange, "QuorateDown")),
		tile("Sources down", "Sources that do not answer, on all nodes together.", `sum(min by (cluster, instance, source) (quorate_source_up{CLUSTER}) == bool 0)`).
			steps(first(orange, "QuorateSourceDown")),
		tile("Longest hang", "Age of the oldest call that does not return.", `max(quorate_source_stuck_seconds{CLUSTER})`).
			unit("s").steps(from(30, orange, "QuorateSourceStuck")),
		tile("Collectors", "Collectors that did not finish in time and without an error, on all nodes together.", `sum(min by (cluster, instance, collector) (quorate_scrape_collector_success{CLUSTER}) == bool 0)`).
			steps(first(orange, "QuorateCollectorFailing")),
		tile("Facts' age", "How old the facts are that are read once a minute: backups, version, subscriptions.",
			`max(time() - quorate_pve_facts_read_timestamp_seconds{CLUSTER})`).unit("s").steps(from(600, orange, "QuorateFactsOld")),
		tile("Scrape time", "Duration of the slowest scrape.", `max(scrape_duration_seconds{CLUSTER, job="proxmox"})`).unit("s"),
		tile("Rules firing", "Alerts of severity warning that fire.", firing("warning")).steps(Step{From: 1, Colour: orange}).none("no rules loaded"),
	}
}
