//go:build !cgo

package main

// supported says whether the collector can work in this build: librados and corosync's libraries
// are reached through cgo.
func supported(collector string) bool { return collector != "corosync" && collector != "ceph" }
