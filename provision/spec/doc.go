// Package spec is cluster.yaml: its types, how it is read, checked and written.
//
// Parse turns the text into a Cluster. It is strict: a key nobody knows, a value of the wrong kind
// and a missing field are errors that name line and column, all of them at once. Units and addresses
// become typed values there, defaults.go fills in what the file leaves out, and Validate checks what
// only the whole file tells. Nothing here speaks to a cluster; what needs one is in provision/preflight.
//
// Marshal is the way back: FromFacts makes a Cluster of a living cluster, Marshal writes it down.
package spec
