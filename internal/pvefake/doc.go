// Package pvefake is a stateful Proxmox VE cluster for tests and the demo: N nodes, each an HTTPS
// listener on a loopback address of its own, one shared state, version 8.4 or 9.2.
//
// A request passes the layers of the real server: path and method (501), ticket or token (401, late
// as in pveproxy), CSRF, the node it is meant for (595 when that node is dead), parameters
// (400 with errors{}), permissions (403), then the handler on the shared state. Facts about methods
// are in facts.go; what a method does is in the *_api.go files.
//
// Behind the API a simulation moves in steps of one second: corosync membership and quorum, pvestatd
// samples, tasks, the HA manager (crm.go, lrm.go). Tests move it with Advance; Start moves it with
// the wall clock. All state is guarded by Cluster.mu; the only goroutines are the listeners, their
// connections and the ticker of Start, all ended by Close.
//
// The timings are those measured on a PVE 9.2 cluster; where a number is from a source file of
// Proxmox the constant names it.
package pvefake
