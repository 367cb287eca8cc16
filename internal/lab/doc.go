// Package lab runs a real cluster on one machine and breaks it on purpose: corosync, qnetd, Ceph,
// exporters and Prometheus, without systemd and without containers.
//
//	            machine: quorate-lab, Prometheus (Node 0)
//	┌──────────┬──────────┬──────────┐
//	│ pve1     │ pve2     │ pve3     │   a node: network, mount and UTS namespace, held by one sleep
//	│ corosync │ corosync │ corosync │
//	│ Ceph     │ Ceph     │ Ceph     │
//	└─┬──┬──┬──┴─┬──┬──┬──┴─┬──┬──┬──┘   eth0 eth1 eth2 (eth3)
//	 br0 br1 br2 (br3)                   one more network namespace: the switches
//
// With Options.PVE one more process plays Proxmox VE (internal/pvefake): its API listens inside each
// node, /etc/pve is a directory that it writes, and membership and quorum are what the node's corosync
// logs.
//
// With Options.Bare the nodes begin empty, and clusters, monitors, managers, OSDs and pools are made one by
// one (made.go), as a provisioner has them made.
//
// Network 0 and 1 are corosync's links, 2 is Ceph's, 3 leads to the qnetd server and exists only in
// labs with a QDevice.
//
// Everything is below one directory. The names of the namespaces come from a hash of its path, so
// labs live side by side and Down finds what belongs to one even when every record is lost. Each
// process is recorded with pid and start time, so a reused pid is never signalled.
//
// Goroutines: one per daemon started by this process reaps it when it ends; Down kills the daemons
// and waits for those goroutines. Nothing else outlives the call that started it.
package lab
