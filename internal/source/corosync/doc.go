// Package corosync reads what a running corosync says about quorum, membership, links and the ring,
// and what its configuration file says about the cluster.
//
// In come corosync's C libraries (libquorum, libvotequorum, libcmap) and corosync.conf; out go a
// Snapshot and a Config. The pieces:
//
//   - conf.go parses corosync.conf;
//   - snapshot.go holds the types, assemble.go builds a Snapshot from the answers of a daemon;
//   - lib_cgo.go is that daemon, lib_nocgo.go stands in for it in static builds;
//   - client.go owns the handles and keeps a hung daemon from holding anybody but one thread.
//
// The package owns no goroutine of its own. Every use of the handles is a call in one source.Flight,
// so there is never more than one, and a corosync that hangs costs one stuck goroutine (and the OS
// thread under it) until it goes on: the libraries have no time limit and no way to cancel.
package corosync
