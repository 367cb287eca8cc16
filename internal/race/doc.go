// Package race tells tests whether the race detector is on. It makes pure computing five to ten times slower, so
// tests that try everything do so in `make unit`, and under the detector take a part of it.
package race
