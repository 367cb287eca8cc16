package qmp

import (
	"bytes"
	"net"
	"strconv"

	"golang.org/x/sys/unix"
)

// peer returns the process that listens on the other end, as far as the kernel knows it: the one
// that called listen(2), which is QEMU itself, also with -daemonize.
func peer(c net.Conn) Process {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return Process{}
	}
	rc, err := u.SyscallConn()
	if err != nil {
		return Process{}
	}
	pid := 0
	if err := rc.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid) // 0 if it lives in a PID namespace that we do not see
		}
	}); err != nil || pid == 0 {
		return Process{}
	}
	start, ok := startTime(pid)
	if !ok {
		return Process{}
	}
	return Process{PID: pid, Start: start}
}

// startTime returns field 22 of /proc/PID/stat.
func startTime(pid int) (uint64, bool) {
	// Not os.Open, which costs as much again: it tries to hand the file to the poller.
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(fd)
	var buf [512]byte // field 22 ends before that
	n, err := unix.Read(fd, buf[:])
	if err != nil {
		return 0, false
	}
	return parseStartTime(buf[:n])
}

// parseStartTime knows that the second field, the program's name in brackets, may hold anything.
func parseStartTime(stat []byte) (uint64, bool) {
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 {
		return 0, false
	}
	const starttime = 22 - 3 // the first field after the name is number 3
	field, n := []byte(nil), 0
	for f := range bytes.FieldsSeq(stat[i+1:]) {
		if n == starttime {
			field = f
			break
		}
		n++
	}
	start, err := strconv.ParseUint(string(field), 10, 64)
	return start, err == nil
}
