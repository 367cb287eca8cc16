// Package session is one run of `quorate provision plan`, apply or verify, from a file and its flags to
// an exit code: it connects, looks, shows, acts and keeps a record.
//
// cmd/quorate provides what it needs of the outside: the file, the nodes, the terminal, the clock. The
// order is that of a careful person: reach every node, check what must be true beforehand, plan on a
// transport that can only read, show the plan, ask, act, verify.
package session
