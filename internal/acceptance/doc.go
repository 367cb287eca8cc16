// Package acceptance tests the program as its users meet it: the built binary on the nodes of a
// lab with real corosync and real Ceph, scraped over HTTP while things break.
//
// The tests need root and the daemons' Debian packages and are skipped without them, and under
// -short; with QUORATE_LAB=required in the environment a missing part fails them instead.
package acceptance
