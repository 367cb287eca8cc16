// Package operate does to a living cluster what its people do: move a guest, empty a node for maintenance,
// update nodes one after the other, rehearse a failure. It looks first whether the cluster can bear it,
// watches while it happens, and says what was measured.
//
// There is no state of its own: whatever was cut off is seen again from the cluster, so every operation can be
// started anew. What is read comes from Proxmox VE's API of a node that sees quorum; what has no API is a
// command over SSH.
//
//   - cluster.go, state.go, ceph.go: whom to ask, and what is read before anything is done;
//   - gate.go, guests.go: what the cluster can bear;
//   - status*.go: how it is; migrate*.go, probe.go: moving a guest;
//   - maintenance.go, evacuate.go: emptying a node; rolling*.go, packages.go: updating all;
//   - drill*.go, rehearsal.go: making failures and measuring;
//   - errors.go, report.go, budget.go: what is told at the end.
//
// Status asks nodes in goroutines that end before it does; a drill's and a migration's measurements end with them.
package operate
