//go:build cgo

package ceph

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/ceph/go-ceph/rados"
)

// radosConn is a connection of librados.
type radosConn struct {
	conn *rados.Conn
	once sync.Once
}

// dialRados connects within o.ConnectTimeout.
//
// A rados.Conn whose Connect failed keeps its threads until it is garbage collected: Shutdown does
// nothing for it. The caller drops it by not getting it, and must collect garbage.
func dialRados(o Options, s settings) (conn, error) {
	c, err := rados.NewConnWithUser(o.User)
	if err != nil {
		return nil, newError(ErrNotConnected, err, "librados: create client.%s", o.User)
	}
	if err := c.ReadConfigFile(o.ConfFile); err != nil {
		return nil, newError(ErrConf, err, "librados cannot read %s", o.ConfFile)
	}
	for _, opt := range radosOptions(o, s) {
		if err := c.SetConfigOption(opt[0], opt[1]); err != nil {
			return nil, newError(ErrConf, err, "librados: set %s to %s", opt[0], opt[1])
		}
	}
	if err := c.Connect(); err != nil {
		return nil, connectError(o, err)
	}
	return &radosConn{conn: c}, nil
}

// radosOptions bounds every call. The mount timeout alone bounds Connect and the monitor operation
// timeout alone bounds commands, those to the manager too. The pings find a monitor that hangs with
// its socket open, so that the client turns to another.
func radosOptions(o Options, s settings) [][2]string {
	// The timeouts take whole seconds only, and 0 would mean for ever.
	whole := func(d time.Duration) string { return fmt.Sprint(int(math.Max(1, math.Ceil(d.Seconds())))) }
	opts := [][2]string{
		{"client_mount_timeout", whole(o.ConnectTimeout)},
		{"rados_mon_op_timeout", whole(o.OpTimeout)},
		{"mon_client_ping_interval", fmt.Sprint(o.PingInterval.Seconds())},
		{"mon_client_ping_timeout", fmt.Sprint(o.PingTimeout.Seconds())},
		{"mon_client_hunt_interval", "1"},
		{"mon_client_hunt_interval_max_multiple", "1"},
		{"log_to_stderr", "false"},
		{"err_to_stderr", "false"},
		{"admin_socket", ""},
		{"log_file", ""},
	}
	if s.keyring != "" {
		opts = append(opts, [2]string{"keyring", s.keyring})
	}
	return opts
}

func connectError(o Options, err error) error {
	n := errno(err)
	if n < 0 {
		n = -n
	}
	switch n {
	case eACCES, ePERM, eNOENT:
		return newError(ErrRefused, err, "the monitors refuse client.%s (check its key and caps with: ceph auth get client.%s)", o.User, o.User)
	case eTIMEDOUT:
		return newError(ErrTimeout, nil, "no monitor with quorum answered within %s", o.ConnectTimeout)
	}
	return newError(ErrNotConnected, err, "connect to the monitors")
}

// errno is the error number in an error of librados, 0 if it has none.
func errno(err error) int {
	var coded interface{ ErrorCode() int }
	if errors.As(err, &coded) {
		return coded.ErrorCode()
	}
	return 0
}

func (r *radosConn) Mon(cmd []byte) ([]byte, error) {
	b, info, err := r.conn.MonCommand(cmd)
	return b, radosError("monitors", cmd, info, err)
}

// Mgr sends the command by way of the monitors, which pass it on to the manager.
//
// rados_mgr_command is not safe with a timeout: when it gives up it returns and leaves its buffers
// and its condition, on a stack that is gone, to the answer. A manager that hung for longer and then
// answers makes the process crash (seen with librados 16.2.15: SIGSTOP the manager, wait for the
// timeout, SIGCONT). Monitor commands are cancelled properly, and cost less than 1 ms more.
func (r *radosConn) Mgr(cmd []byte) ([]byte, error) {
	b, info, err := r.conn.MonCommand(cmd)
	return b, radosError("manager", cmd, info, err)
}

func radosError(whom string, cmd []byte, info string, err error) error {
	if err == nil {
		return nil
	}
	c, _ := DecodeCommand(cmd)
	n := errno(err)
	if n == 0 {
		return newError(ErrNotConnected, err, "%s: %q", whom, c.Prefix)
	}
	return commandError(whom, c.Prefix, n, info)
}

func (r *radosConn) FSID() (string, error) { return r.conn.GetFSID() }

// Close ends the connection; commands under way fail at once.
func (r *radosConn) Close() { r.once.Do(r.conn.Shutdown) }
