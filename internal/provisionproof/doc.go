// Package provisionproof shows on a fake Proxmox VE that an apply of a file can be cut off anywhere: for
// every request of the whole run it kills the run after just that request, runs again, and compares.
//
// A World is the fake cluster with the file, the files of the operator's machine and a clock that moves
// the fake instead of waiting. Prove runs one release through all of it; Result.String is the line that
// `make provision-proof` ends with.
package provisionproof
