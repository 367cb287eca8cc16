// Package living reads what a cluster says now and waits for what it does: its members and quorum, the
// status of its Ceph, its tasks. The steps of provisioning and the operations on a running cluster share it.
//
// It knows no file and no plan. Everything is asked of one node by name, so the caller decides whom to believe.
package living
