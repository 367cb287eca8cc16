// Package source holds what every source shares: calls that cannot be cancelled are kept from piling
// up, and each source can say how it is without doing I/O.
//
// A source (the subpackages corosync, ceph, pve, qmp, linkprobe) talks to one daemon and returns
// typed snapshots. It knows no Prometheus. C libraries such as librados and libvotequorum have no
// way to end a call, so a call runs in a goroutine of its own under a Flight: callers leave when
// their context ends, the call goes on, and until it returns nobody starts a second one.
package source
