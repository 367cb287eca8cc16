package pve

import (
	"context"
	"fmt"
	"strings"
)

// A Right is a privilege that something needs.
type Right struct {
	Privilege string   // Sys.Audit, …
	Path      string   // of the ACL: /, /vms, …
	Calls     []string // paths of the API that need it
	Metrics   []string // what is missing without it
	// Filtered: without it the calls still succeed and leave out rows, so nothing fails.
	Filtered bool
}

// String says which privilege is missing where, and what for.
func (r Right) String() string {
	how := "fails"
	if r.Filtered {
		how = "answers without the rows in question"
	}
	return fmt.Sprintf("no %s on %s: %s (GET %s %s)", r.Privilege, r.Path,
		strings.Join(r.Metrics, ", "), strings.Join(r.Calls, ", "), how)
}

// Rights returns what the collectors need, for all of a cluster. PVEAuditor on / has it all.
// Calls and privileges are those of the API's own description.
func Rights() []Right {
	return []Right{
		{
			Privilege: "Sys.Audit", Path: "/",
			Calls:   []string{"/cluster/status"},
			Metrics: []string{"pve_cluster_info", "pve_node_info", `pve_up{id="cluster/…"}`, `pve_up{id="node/…"}`},
		},
		{
			Privilege: "Sys.Audit", Path: "/",
			Calls:   []string{"/cluster/ha/status/manager_status", "/cluster/ha/status/current"},
			Metrics: []string{"pve_ha_*"},
		},
		{
			Privilege: "Sys.Audit", Path: "/",
			Calls:   []string{"/cluster/backup-info/not-backed-up"},
			Metrics: []string{"pve_not_backed_up_total", "pve_not_backed_up_info"},
		},
		{
			Privilege: "Sys.Audit", Path: "/",
			Calls:   []string{"/cluster/config/qdevice"},
			Metrics: []string{"pve_qdevice_up", "pve_qdevice_info"},
		},
		{
			Privilege: "Sys.Audit", Path: "/", Filtered: true,
			Calls:   []string{"/cluster/tasks"},
			Metrics: []string{"pve_vm_migrate_total", "pve_vm_migrate_failed_total", "pve_task_total", "pve_task_failed_total"},
		},
		{
			Privilege: "Sys.Audit", Path: "/nodes", Filtered: true,
			Calls:   []string{"/cluster/resources", "/nodes/{node}/tasks"},
			Metrics: []string{"pve_cpu_usage_ratio, pve_memory_* and pve_uptime_seconds of nodes", "tasks of other users"},
		},
		{
			Privilege: "VM.Audit", Path: "/vms", Filtered: true,
			Calls:   []string{"/cluster/resources", "/nodes/{node}/qemu", "/nodes/{node}/lxc", "/nodes/{node}/replication"},
			Metrics: []string{"pve_guest_info", `pve_up{id="qemu/…"}`, `pve_ha_state{id="qemu/…"}`, "pve_lock_state", "pve_replication_*"},
		},
		{
			Privilege: "VM.Audit", Path: "/vms",
			Calls:   []string{"/nodes/{node}/qemu/{vmid}/config", "/nodes/{node}/lxc/{vmid}/config"},
			Metrics: []string{"pve_onboot_status"},
		},
		{
			Privilege: "Datastore.Audit", Path: "/storage", Filtered: true,
			Calls:   []string{"/cluster/resources"},
			Metrics: []string{"pve_storage_info", "pve_storage_shared", `pve_disk_size_bytes{id="storage/…"}`, `pve_disk_usage_bytes{id="storage/…"}`},
		},
	}
}

// MissingRights returns those of Rights that the token or user does not have, in one request. Where
// an ACL gives a privilege below a path only (/vms/100), the one on the path counts as missing:
// some rows are left out.
func (c *Client) MissingRights(ctx context.Context) ([]Right, error) {
	held, err := one[map[string]map[string]Bool](ctx, c, "/access/permissions")
	if err != nil {
		return nil, err
	}
	return missing(Rights(), held), nil
}

// missing returns the needs that held does not meet. held maps paths to privileges to whether they
// hold below the path, too.
func missing(needs []Right, held map[string]map[string]Bool) []Right {
	var lacking []Right
	for _, r := range needs {
		if !holds(held, r.Path, r.Privilege) {
			lacking = append(lacking, r)
		}
	}
	return lacking
}

// holds follows the paths upwards: PVE lists the well-known ones and those that ACLs name.
func holds(held map[string]map[string]Bool, path, privilege string) bool {
	if privileges, listed := held[path]; listed {
		_, ok := privileges[privilege]
		return ok
	}
	for path != "/" {
		path = path[:max(strings.LastIndexByte(path, '/'), 1)]
		if privileges, listed := held[path]; listed {
			return privileges[privilege].V
		}
	}
	return false
}
