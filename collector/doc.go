// Package collector turns what the sources say into Prometheus metrics.
//
// A Spec names a collector and builds it from the Sources; an Exporter runs the collectors that
// are switched on, each in its own goroutine under the deadline of the scrape, and hands what
// finished in time to a Prometheus gatherer. Nothing here does I/O: every fact comes from a source
// through an interface that stands beside the collector that uses it.
//
// Goroutines: one for each collector for the length of a scrape. A collector that does not return
// keeps its one goroutine until it does; no second one is started meanwhile.
package collector
