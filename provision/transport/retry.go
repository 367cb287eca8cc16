package transport

import (
	"context"
	"errors"
	"strings"

	"github.com/quorate/quorate/internal/source/pve"
)

// passing are texts of HTTP 500 that mean "not now". Proxmox VE answers permanent refusals with the
// same status, so only the text tells. Each is followed by where it comes from.
var passing = []string{
	"no quorum?", "no quorum!", // PVE::Cluster::check_cfs_quorum, cfs_lock
	"got lock request timeout",          // PVE::Cluster::cfs_lock
	"got lock timeout",                  // PVE::Tools::lock_file
	"can't lock file",                   // PVE::Tools::lock_file
	"error with cfs lock",               // PVE::Cluster::cfs_lock
	"file changed by other user",        // PVE::Tools::assert_if_modified
	"detected modified configuration",   // the same
	"is locked (",                       // PVE::QemuConfig::check_lock: a backup or migration is on
	"ipcc_send_rec",                     // pmxcfs restarts
	"Transport endpoint is not connect", // /etc/pve is being mounted again
	"got timeout",                       // PVE::Tools::run_command
	"unable to connect to the cluster",  // rados: monitors elect
	"connect to cluster failed",
}

// Passing says whether err may be gone after looking again: a node that does not answer just now, a
// reply that was lost, a lock, a quorum that is forming. Whoever repeats a write must look first,
// because some of these leave open whether it was carried out.
func Passing(err error) bool {
	var write *WriteError
	if err == nil || errors.As(err, &write) || errors.Is(err, context.Canceled) {
		return false
	}
	var e *pve.Error
	if !errors.As(err, &e) {
		var lost *LostError
		return errors.As(err, &lost)
	}
	switch e.Kind {
	case pve.Refused, pve.Dial, pve.Timeout, pve.Truncated, pve.NodeUnreachable, pve.NoQuorum:
		return true
	case pve.Unauthorized:
		return false
	case pve.Server:
		return e.Status == 502 || e.Status == 503 || e.Status == 504 || passingText(e.Text)
	}
	return false
}

func passingText(s string) bool {
	for _, p := range passing {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}

// Unreachable says whether err means that a node was not reached or did not let us in.
func Unreachable(err error) bool {
	var (
		e    *pve.Error
		lost *LostError
		key  *HostKeyError
	)
	if errors.As(err, &lost) || errors.As(err, &key) {
		return true
	}
	if !errors.As(err, &e) {
		return false
	}
	switch e.Kind {
	case pve.Refused, pve.Dial, pve.TLS, pve.Timeout, pve.Unauthorized, pve.Forbidden, pve.NodeUnreachable:
		return true
	}
	return false
}

// A LostError is a connection that could not be made or broke off.
type LostError struct {
	Node string
	What string
	Err  error
}

func (e *LostError) Error() string { return e.Node + ": " + e.What + ": " + e.Err.Error() }
func (e *LostError) Unwrap() error { return e.Err }
