package collector

// Names, types and labels of this file are those of prometheus-pve-exporter 3.10, so that what is
// built on it goes on working. Where its names break the rules (a gauge named _total) they stay.
var (
	pveUp = newGauge("pve_up",
		"1 if the node is online, the guest running, the storage available; of a cluster: if the answering node's partition is quorate.", "id")
	pveVersionInfo = newGauge("pve_version_info",
		"Proxmox VE version of the answering node.", "release", "repoid", "version")
	pveNodeInfo = newGauge("pve_node_info",
		"One series for each node of the cluster. Level is that of its subscription.", "id", "level", "name", "nodeid")
	pveClusterInfo = newGauge("pve_cluster_info",
		"Number of nodes, quorum and configuration version of the cluster, as labels. Absent outside of a cluster.", "id", "nodes", "quorate", "version")
	pveQDeviceUp = newGauge("pve_qdevice_up",
		"1 if the answering node's corosync-qdevice is connected. Absent without a qdevice.", "id")
	pveQDeviceInfo = newGauge("pve_qdevice_info",
		"What the answering node's corosync-qdevice says of itself.", "id", "model", "algorithm", "qnetd_host", "tie_breaker", "state")
	pveNotBackedUp = newGauge("pve_not_backed_up_total",
		"Number of guests that are in no backup job.", "id")
	pveNotBackedUpInfo = newGauge("pve_not_backed_up_info",
		"There for each guest that is in no backup job.", "id")
	pveFactsRead = newGauge("quorate_pve_facts_read_timestamp_seconds",
		"When pve_version_info, pve_not_backed_up_*, pve_qdevice_* and pve_subscription_* were read, which is once a minute. On /pve they are read at each scrape.")

	pveDiskSize = newGauge("pve_disk_size_bytes",
		"Size of a storage, of a node's root file system, of a guest's boot disk.", "id")
	pveDiskUsage = newGauge("pve_disk_usage_bytes",
		"Used part of pve_disk_size_bytes. 0 for every QEMU guest: Proxmox VE does not look into their disks.", "id")
	pveMemorySize = newGauge("pve_memory_size_bytes",
		"Memory of a node or guest.", "id")
	pveMemoryUsage = newGauge("pve_memory_usage_bytes",
		"Used memory of a node or guest.", "id")
	pveCPUUsage = newGauge("pve_cpu_usage_ratio",
		"CPU use of a node or guest, 1 being all of pve_cpu_usage_limit.", "id")
	pveCPULimit = newGauge("pve_cpu_usage_limit",
		"Number of CPUs of a node or guest.", "id")
	pveUptime = newGauge("pve_uptime_seconds",
		"Time since a node or guest was started.", "id")
	pveStorageShared = newGauge("pve_storage_shared",
		"1 if all nodes see the same content in the storage.", "id")

	pveNetworkTransmit = newCounter("pve_network_transmit_bytes_total",
		"Bytes that the guest sent since its start.", "id")
	pveNetworkReceive = newCounter("pve_network_receive_bytes_total",
		"Bytes that the guest received since its start.", "id")
	pveDiskWritten = newCounter("pve_disk_written_bytes_total",
		"Bytes that the guest wrote to its disks since its start.", "id")
	pveDiskRead = newCounter("pve_disk_read_bytes_total",
		"Bytes that the guest read from its disks since its start.", "id")
	pveNetworkTransmitOld = newGauge("pve_network_transmit_bytes",
		"The same as pve_network_transmit_bytes_total; dashboards still use this name.", "id")
	pveNetworkReceiveOld = newGauge("pve_network_receive_bytes",
		"The same as pve_network_receive_bytes_total; dashboards still use this name.", "id")
	pveDiskWriteOld = newGauge("pve_disk_write_bytes",
		"The same as pve_disk_written_bytes_total; dashboards still use this name.", "id")
	pveDiskReadOld = newGauge("pve_disk_read_bytes",
		"The same as pve_disk_read_bytes_total; dashboards still use this name.", "id")

	pveGuestInfo = newGauge("pve_guest_info",
		"Where a guest is, and how it is called.", "id", "node", "name", "type", "template", "tags")
	pveStorageInfo = newGauge("pve_storage_info",
		"One series for each storage and node. Content is sorted.", "id", "node", "storage", "plugintype", "content")
	pveLockState = newGauge("pve_lock_state",
		"1 for the lock that is set in a guest's configuration. Guests without a lock have no series, unless --collector.pve.full-state-sets is on.", "id", "state")

	pveOnBoot = newGauge("pve_onboot_status",
		"1 if the guest is started with its node. On /pve absent where the guest's configuration does not say.", "id", "node", "type")
	pveReplicationInfo = newGauge("pve_replication_info",
		"One series for each storage replication job of this node's guests.", "id", "type", "source", "target", "guest")
	pveReplicationDuration = newGauge("pve_replication_duration_seconds",
		"How long the last replication took.", "id")
	pveReplicationLastSync = newGauge("pve_replication_last_sync_timestamp_seconds",
		"When the job last succeeded, 0 if never.", "id")
	pveReplicationLastTry = newGauge("pve_replication_last_try_timestamp_seconds",
		"When the job last ran, 0 if never.", "id")
	pveReplicationNextSync = newGauge("pve_replication_next_sync_timestamp_seconds",
		"When the job is to run next.", "id")
	pveReplicationFailed = newGauge("pve_replication_failed_syncs",
		"Failures of the job since it last succeeded.", "id")
	pveSubscriptionInfo = newGauge("pve_subscription_info",
		"Level of the node's subscription, unknown if it has none.", "id", "level")
	pveSubscriptionStatus = newGauge("pve_subscription_status",
		"1 for the status of the node's subscription.", "id", "status")
	pveSubscriptionDue = newGauge("pve_subscription_next_due_timestamp_seconds",
		"When the node's subscription ends.", "id")
)

// pveClusterFamilies are those of the collector of cluster scope.
func pveClusterFamilies() []*Family {
	return []*Family{
		pveUp, pveNodeInfo, pveClusterInfo, pveVersionInfo, pveQDeviceUp, pveQDeviceInfo,
		pveNotBackedUp, pveNotBackedUpInfo, pveFactsRead, pveGuestInfo, pveStorageInfo, pveStorageShared, pveLockState,
		pveCPUUsage, pveCPULimit, pveMemorySize, pveMemoryUsage, pveDiskSize, pveDiskUsage, pveUptime,
		pveNetworkTransmit, pveNetworkReceive, pveDiskWritten, pveDiskRead,
		pveNetworkTransmitOld, pveNetworkReceiveOld, pveDiskWriteOld, pveDiskReadOld,
	}
}

// pveNodeFamilies are those about the own node.
func pveNodeFamilies() []*Family {
	return []*Family{
		pveOnBoot, pveReplicationInfo, pveReplicationDuration, pveReplicationLastSync, pveReplicationLastTry,
		pveReplicationNextSync, pveReplicationFailed, pveSubscriptionInfo, pveSubscriptionStatus, pveSubscriptionDue,
	}
}

// pveLocks are the locks that prometheus-pve-exporter knows, of QEMU guests and containers alike.
func pveLocks() []string {
	return []string{"backup", "clone", "create", "migrate", "rollback", "snapshot", "snapshot-delete", "suspended", "suspending"}
}

// pveSubscriptionStatuses are what Proxmox VE says of a subscription.
func pveSubscriptionStatuses() []string {
	return []string{"new", "notfound", "active", "invalid", "expired", "suspended"}
}
