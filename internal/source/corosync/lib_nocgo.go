//go:build !cgo

package corosync

// openDaemon stands in for the C libraries in a static build.
func openDaemon() (daemon, error) { return nil, ErrNotBuilt }
