// Package dropin compares what Quorate exports with what Ceph's own mgr module exports of the same
// cluster, series by series, and gives each difference a reason.
//
// What comes in: two expositions in text format. What goes out: a Report. A difference for which
// the table of reasons has nothing is called Unexplained and never hidden.
package dropin
