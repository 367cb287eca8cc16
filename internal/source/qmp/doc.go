// Package qmp asks QEMU, over each VM's monitor socket, how the VM and its live migration are, and
// follows migrations from their first sign to their result.
//
//	socket ── conn ── Monitor ── Client.Query ── Sample ── sampler ── results
//
// A monitor serves one client at a time, and Proxmox needs it: a client that holds the socket for
// seconds makes Proxmox's own commands wait, and a guest that is about to be resumed stands still
// as long. So a conversation has a handshake, two commands and about a millisecond, and these rules:
//
//   - connecting never waits: a full queue (ErrBusy) means that others are before us, skip;
//   - nothing is written before QEMU's greeting was read, for QEMU executes what it finds there
//     even if its writer has left;
//   - one command at a time, with an id that nobody else uses; events and replies to others are
//     skipped;
//   - the connection is closed only when no reply is owed, for QEMU would give it to its next
//     client, and Proxmox's dies of that. A reply that is late is waited for in the background;
//   - at most one connection a VM, and a VM that timed out twice is left alone for a while;
//   - only commands that read, from a list.
//
// Client owns the background goroutines, each of which ends by itself within Options.Drain; Close
// waits for them. A Monitor is the conversation itself, in the form of go-qemu's interface
// qmp.Monitor, so that what go-qemu builds on one can be used with it.
package qmp
