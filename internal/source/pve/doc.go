// Package pve reads Proxmox VE: its API, and the files of its cluster file system in /etc/pve.
//
// In come HTTPS replies of pveproxy and files as pmxcfs shows them; out go typed values in which
// what was not said is not known: see Int, Float and Bool. The pieces:
//
//   - error.go, types.go, secret.go: what a request can end with, the numbers of an API written in
//     Perl, and values that never print themselves;
//   - config.go, dial.go, auth.go, transport.go: endpoints, certificates, tokens and tickets, and the
//     http.RoundTripper that go-proxmox runs on;
//   - client.go, decode.go, cluster.go, node.go, rights.go: the Client and its typed calls;
//   - files.go, members.go, guestconf.go: the readers of /etc/pve, which answer when the API does not;
//   - lanes.go keeps a call that hangs from being joined by a second one.
//
// Goroutines: each typed call and each file read runs in one that ends with its answer. Those of a
// Client end at its Close. A read of /etc/pve cannot be ended: while one hangs, none is added.
package pve
