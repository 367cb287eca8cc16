// Package qmpreplay feeds recorded live migrations of real QEMUs to the program's own migration tracker
// and migration collector, look by look at the recorded times, and compares what they export with what
// the recording says happened.
//
//	src-query-migrate.jsonl ─► qmp.Tracker ─► collector.MigrationSpec ─► series ─┐
//	dst-query-migrate.jsonl ─► qmp.Tracker ─► collector.MigrationSpec ─► series ─┼► differences
//	summary.json, events.jsonl ─────────────────────────────► expectation ───────┘
//
// The source and the destination are two nodes, each with its own tracker and collector. The replies
// to query-migrate are recorded; the state of the guest, which query-status would have told, follows
// from QEMU's events STOP and RESUME.
//
// After every look:
//
//   - the gauges of a migration that goes on are there, and only then, and say what the reply says.
//
// At the end:
//
//   - each result is counted once: the source's by its last status, the destination's by whether it
//     completed, or vanished before;
//   - bytes, downtime, duration and iterations are those of summary.json, or of the last reply that had
//     numbers where the migration failed or was cancelled: QEMU's last word has none then;
//   - the guest's pause, from the source's end to the destination's begin, is that between STOP and
//     RESUME, to the time between two looks.
package qmpreplay
