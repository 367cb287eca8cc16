// Package bundle writes the files that the program carries into a directory, and updates them there
// without losing what somebody changed.
//
// A file SHA256SUMS in the directory remembers what was written. A file that still is what was
// written may be replaced or, when a newer program has it no more, removed; one that is not is a
// user's, and stops the whole write before anything has changed.
package bundle
