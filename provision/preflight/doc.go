// Package preflight asks whether the cluster of a spec is a good one and can be built on the machines
// as they are, before anything is changed.
//
// A check has a name, for --ignore-preflight, and a level. It looks at the spec and, if it needs them,
// at the facts, and gives findings: what was found, where, and what to do. What a check needs and
// nobody could read is a finding of its own, never a pass. Nothing here speaks to a cluster.
package preflight
