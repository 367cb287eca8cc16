package pvefake

import (
	"strings"
	"time"
)

// apiError is a refusal as pveproxy sends it.
type apiError struct {
	status  int
	reason  string            // of the status line: the first line only
	message string            // of the body; may have more lines
	errors  map[string]string // of a failed parameter check
	empty   bool              // no body at all (401 of a request, 59x)
	text    bool              // 501: the message has no newline at its end
	after   time.Duration     // the real server takes this long to say so
}

func (e *apiError) Error() string { return e.message }

// fail is a refusal whose reason is the first line of its message.
func fail(status int, message string) *apiError {
	reason, _, _ := strings.Cut(message, "\n")
	return &apiError{status: status, reason: reason, message: message}
}

// bare is a refusal without a body.
func (e *apiError) bare() *apiError {
	e.empty = true
	return e
}

func invalid(errs map[string]string) *apiError {
	e := fail(400, "Parameter verification failed.")
	e.errors = errs
	return e
}

func forbidden(text string) *apiError { return fail(403, text) }

// proxyFailure is what pveproxy answers for a node it cannot reach: 595 to 599, no body.
func proxyFailure(status int, reason string, after time.Duration) *apiError {
	return &apiError{status: status, reason: reason, empty: true, after: after}
}

// quorumLock is a write that waits 10 s for a lock of pmxcfs that nobody grants without quorum
// (pve-cluster src/PVE/Cluster.pm cfs_lock).
func quorumLock(prefix, lock string) *apiError {
	e := fail(500, prefix+"cfs-lock '"+lock+"' error: no quorum!")
	e.after = 10 * time.Second
	return e
}

// noQuorum is a write that asks first (pve-cluster src/PVE/Cluster.pm check_cfs_quorum).
func noQuorum() *apiError { return fail(500, "cluster not ready - no quorum?") }
