package dashboards

// All are the pages, in the order of docs/dashboards.md.
func All() []Dashboard {
	return []Dashboard{cluster(), quorum(), ceph(), ha(), migration(), guestsAndNodes(), self()}
}

// Panels are all panels of the page, in order.
func (d Dashboard) Panels() []Panel {
	var all []Panel
	for _, r := range d.Rows {
		all = append(all, r.Panels...)
	}
	return all
}

// An Annotation marks on all graphs of all pages when something happened.
type Annotation struct {
	Name, Colour string
	Expr         string // an event or a span for each series, wherever it has samples
	Title, Text  string
	Shows        When // when there is something
	On           bool // without being asked for
}

// Annotations are the same on every page. The steps of their queries are of a minute, so events are
// looked for in two.
func Annotations() []Annotation {
	return []Annotation{
		{"Fences", red, `max by (cluster, node) (increase(pve_ha_fence_total{CLUSTER}[2m])) > 0`, "{{node}} fenced", "", AfterFailover, true},
		{"Failovers", orange, `max by (cluster, id) (pve_ha_failover_in_progress_seconds{CLUSTER} and on (cluster, job, instance) (pve_ha_quorate == 1))`, "failover of {{id}}", "", WhileFailingOver, true},
		{"Migrations", blue, `max by (cluster, vmid) (qemu_migration_active{CLUSTER}) == 1`, "migration of VM {{vmid}}", "", WhileMigrating, true},
		{"Changes of quorum", purple, `max by (cluster, instance) (changes(pve_cluster_quorum{CLUSTER}[2m])) > 0`, "quorum changed on {{instance}}", "", AfterQuorumChange, true},
		{"Pages", red, `max by (cluster, alertname, node, id, vmid) (ALERTS{CLUSTER, alertstate="firing", severity="critical"})`, "{{alertname}}", "{{node}} {{id}} {{vmid}}", WhilePaging, true},
		{"Warnings", orange, `max by (cluster, alertname, node, id, vmid) (ALERTS{CLUSTER, alertstate="firing", severity="warning"})`, "{{alertname}}", "{{node}} {{id}} {{vmid}}", WhileAlerting, false},
	}
}

// Resolve returns the expression as it stands in the JSON, with Grafana's variables in it.
func Resolve(expr string) string { return resolver.Replace(expr) }
