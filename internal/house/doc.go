// Package house holds the tests that keep the code laid out as docs/design.md says: which package
// may import what, where cgo stands, and what no file may contain.
package house
