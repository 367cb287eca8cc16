// Package facts reads what is true of a cluster and its nodes, before anything is planned.
//
// In come one API and, where there is one, one Shell a node; out comes a Cluster. Every fact is a
// Known: read, or unknown with the reason. What is not there is read as empty; only what could not be
// read is unknown, and nobody takes it for empty. Gather only reads, and ends all its goroutines
// before it returns.
package facts
