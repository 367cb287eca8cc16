// Package hareplay feeds the recorded scenarios of Proxmox's HA simulator to the program's own
// parsers, failover tracker and ha collector, step by step, and compares what they export with what
// the index of the recordings says happened.
//
//	NAME.jsonl.gz ─► pve.ParseHAReplies ─► pve.HATracker ─► collector.HASpec ─► series ─┐
//	index.json ─────────────────────────────────────────────► expectation ─────────────┴► differences
//
// A step is 20 s of simulated time and shows the state at its end, so nothing can be told closer:
//
//   - states, locations, timestamps, arming and quorum are compared at every step and must be equal;
//   - a fencing confirmed at time a must be counted at the first step after a, not before;
//   - a failover must be counted after its recovery and at most two steps after the service runs:
//     the CRM takes note one round after the LRM started it;
//   - its duration is the index's, less up to two steps, or up to one more: the index counts from the
//     begin of the step of the loss to the end of the step in which the service runs. The node's last
//     sign of life was up to a step before or after the former, the start up to a step before the latter;
//   - limits are judged as the program states them (recovery over 60 s, fence over 180 s), computed from
//     the index's spans. The index's own verdict calls any recovery over one step failed.
//
// Nobody answers in some steps, as when all nodes are off: then only the counters may be there.
package hareplay
