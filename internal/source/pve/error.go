package pve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
)

// A Kind says in one word how a request failed. It is the value of label reason.
type Kind string

// The kinds.
const (
	Refused         Kind = "refused"          // nothing listens at the endpoint's port
	Dial            Kind = "dial"             // no connection: no such name, no route, …
	TLS             Kind = "tls"              // the certificate is not the one expected
	Timeout         Kind = "timeout"          // no answer in time
	Unauthorized    Kind = "unauthorized"     // 401: token or ticket not accepted
	Forbidden       Kind = "forbidden"        // 403: accepted, but a privilege is missing
	NoQuorum        Kind = "no_quorum"        // refused because the cluster has no quorum
	NodeUnreachable Kind = "node_unreachable" // 595, 596, 599: pveproxy cannot reach the node asked for
	NotImplemented  Kind = "not_implemented"  // 501: this version has no such call
	Server          Kind = "server"           // any other 5xx
	Client4xx       Kind = "client"           // any other 4xx
	Truncated       Kind = "truncated"        // the reply ends too early
	Type            Kind = "type"             // the reply is not of the form that the API documents
	TooLarge        Kind = "too_large"        // the reply exceeds Config.MaxReply
)

// kinds lists all there are, for counters that start at 0.
func kinds() []string {
	var all []string
	for _, k := range []Kind{
		Refused, Dial, TLS, Timeout, Unauthorized, Forbidden, NoQuorum, NodeUnreachable,
		NotImplemented, Server, Client4xx, Truncated, Type, TooLarge,
	} {
		all = append(all, string(k))
	}
	return all
}

// An Error is a request that failed, or whose reply cannot be used.
type Error struct {
	Kind     Kind
	Status   int    // HTTP status, 0 when there was none
	Text     string // what the server says: its reason phrase and message; else what went wrong
	Node     string // the node named in the path, "" for a call about the cluster
	Endpoint string // host:port that was asked
	Method   string
	Path     string // without /api2/json and without the query

	// Sent is false when certainly no byte of the request was sent.
	Sent bool

	err error
}

// hints say what to do next.
var hints = map[Kind]string{
	Refused:         "see `systemctl status pveproxy` on that host",
	TLS:             "give the cluster's CA /etc/pve/pve-root-ca.pem, or pin the certificate's SHA-256 fingerprint",
	Unauthorized:    "check id and secret of the token, or user and password, and that neither has expired",
	Forbidden:       "grant the role PVEAuditor on / to the user and, with privilege separation, to its token",
	NoQuorum:        "the cluster accepts no writes until it has quorum again, see `pvecm status`",
	NodeUnreachable: "the answering node cannot reach the node asked for: is it down?",
	TooLarge:        "no such reply is expected, is this a Proxmox VE API?",
}

// Error says what failed, where, and what to do next.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Endpoint != "" {
		fmt.Fprintf(&b, "%s: ", e.Endpoint)
	}
	fmt.Fprintf(&b, "%s %s: ", e.Method, e.Path)
	if e.Status != 0 {
		fmt.Fprintf(&b, "HTTP %d ", e.Status)
	}
	b.WriteString(e.Text)
	if h := hints[e.Kind]; h != "" {
		fmt.Fprintf(&b, " (%s)", h)
	}
	return b.String()
}

// Unwrap returns the cause: the context's, the network's or the decoder's error.
func (e *Error) Unwrap() error { return e.err }

// Reason is the value of label reason for this error.
func (e *Error) Reason() string { return string(e.Kind) }

// answered says whether the API as such works: it answered and knows who we are.
func (e *Error) answered() bool {
	switch e.Kind {
	case Forbidden, NoQuorum, NotImplemented, Server, Client4xx:
		return e.Status != 502 && e.Status != 503 && e.Status != 504
	case NodeUnreachable:
		return e.Node != ""
	}
	return false
}

// IsKind says whether err is an Error of kind k.
func IsKind(err error, k Kind) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == k
}

// statusKind tells the kind from an HTTP status and the text that came with it.
func statusKind(status int, text string) Kind {
	switch {
	case status == 401:
		return Unauthorized
	case status == 403:
		return Forbidden
	case status == 595, status == 596, status == 599:
		return NodeUnreachable
	case status == 501:
		return NotImplemented
	case status == 500 && noQuorumText(text):
		return NoQuorum
	case status >= 500:
		return Server
	}
	return Client4xx
}

// noQuorumText knows the texts of pve-cluster: "cluster not ready - no quorum?" and
// "cfs-lock 'file-…' error: no quorum!".
func noQuorumText(s string) bool {
	return strings.Contains(s, "no quorum?") || strings.Contains(s, "no quorum!")
}

// stageError marks an error of dialling: no byte of a request had been sent.
type stageError struct {
	stage Kind // Dial or TLS
	err   error
}

func (e *stageError) Error() string { return e.err.Error() }
func (e *stageError) Unwrap() error { return e.err }

// networkKind tells the kind of an error that is not a reply.
func networkKind(err error) Kind {
	var stage *stageError
	errors.As(err, &stage)
	var timeout net.Error
	switch {
	case isCertificateError(err):
		return TLS
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		errors.As(err, &timeout) && timeout.Timeout():
		return Timeout
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case stage != nil:
		return stage.stage
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Truncated
	}
	return Dial
}

func isCertificateError(err error) bool {
	var (
		verify  *tls.CertificateVerificationError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		name    x509.HostnameError
		record  tls.RecordHeaderError
		pin     *pinError
	)
	return errors.As(err, &verify) || errors.As(err, &unknown) || errors.As(err, &invalid) ||
		errors.As(err, &name) || errors.As(err, &record) || errors.As(err, &pin)
}

// nodeOf returns NODE of a path /nodes/NODE/….
func nodeOf(path string) string {
	rest, ok := strings.CutPrefix(path, "/nodes/")
	if !ok {
		return ""
	}
	node, _, _ := strings.Cut(rest, "/")
	return node
}
