// Package engine turns a list of steps into a plan and carries it out.
//
// A Step looks at the cluster (Observe), says what is to change as data (Diff), makes one change
// (Apply) and waits until it is true (Wait). Plan runs the first two of every step; Apply runs the
// same two and then the rest, so there is no dry run that could drift from the real one. There is no
// state file: what a run that was cut off has done is seen by looking again.
//
//   - change.go, step.go, graph.go: what a step is, what it wants to change, and the order of steps;
//   - plan.go, render.go: the plan as data, as text and as JSON;
//   - apply.go, stage.go: the run, step after step; changes of different nodes go side by side;
//   - events.go, redact.go, progress.go, rundir.go: what is told and kept of a run, without secrets;
//   - clock.go, errors.go: time, waiting, and what a run can end with.
//
// Goroutines: those of a step's changes, which end before Apply returns.
package engine
