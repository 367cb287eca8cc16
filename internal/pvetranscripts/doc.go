// Package pvetranscripts holds the fake Proxmox VE against recorded requests of a real one.
//
// A file has a request a line, with the answer of a PVE 9.2 cluster of three nodes: status, reason,
// body, and of a task its exit status. Replay sends each to internal/pvefake at the moment on the virtual
// clock at which the real one got it, and compares status, reason, the keys of errors{} and how the
// task ended.
//
//   - record.go: a line of a file; lab.go: the cluster the requests were sent to, in each of its states;
//   - client.go: how they are sent; replay.go: the comparison; deliberate.go: what may differ, and why.
//
// Nothing of a file is taken into the fake: a lab is built by the same calls whatever the file holds.
package pvetranscripts
