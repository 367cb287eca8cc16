// Package ceph reads the state of a Ceph cluster through its monitors and its active manager.
//
// What comes in: JSON answers to monitor and manager commands, sent by a Commander. The real one is
// librados (rados_cgo.go, the only file with cgo); a Recording answers from files, so that recorded
// clusters replay through the same code. What goes out: a Snapshot with a part that monitors
// answered and a part that the manager answered, each present only when it was read just now.
//
// Two facts of Ceph shape the package. A monitor without quorum goes on answering `status` with the
// last health it knew, so an empty quorum list makes everything else in that answer worthless. And
// with no manager, or a hung one, everything counted from PGs (states, pool use, rates, latencies)
// is frozen in the monitors, so it is left out unless the manager itself has just answered.
//
// Goroutines: a Client owns one that connects, one for each call under way (at most one to the
// monitors and one to the manager, see source.Flight) and, while one of the two is down, one that
// asks it a cheap question until it answers. Close ends them all; a call stuck in librados ends by
// the operation timeout that librados itself keeps.
package ceph
