package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"
)

// A monitor is spoken to as Proxmox's qemu-server does it: one short connection a command on the one
// socket that a VM has, the connect repeated every 100 ms while the backlog is full, and no reply
// accepted that does not carry the command's own id.

const (
	qmpTimeout = 5 * time.Second        // qemu-server's for most commands
	qmpRetry   = 100 * time.Millisecond // while the socket's backlog is full
)

// qmpTimeouts are the commands to which qemu-server gives another time (PVE/QMPClient.pm). Its hour
// for query-migrate is cut: nothing here is worth waiting for that long.
var qmpTimeouts = map[string]time.Duration{
	"query-migrate": time.Minute, "query-status": time.Minute, "quit": time.Minute,
}

// QMPError is an error that QEMU answered.
type QMPError struct {
	Class string `json:"class"`
	Desc  string `json:"desc"`
}

func (e *QMPError) Error() string { return e.Desc }

// qmpMessage is a line from QEMU: greeting, event or reply.
type qmpMessage struct {
	QMP    json.RawMessage `json:"QMP"`
	Event  string          `json:"event"`
	ID     json.RawMessage `json:"id"`
	Return json.RawMessage `json:"return"`
	Error  *QMPError       `json:"error"`
}

// qmp runs one command on the monitor socket at path. It fails with a *QMPError when QEMU refuses
// the command, and otherwise when there is no QEMU or it is not this conversation's reply that comes.
func qmp(ctx context.Context, path, execute string, arguments, into any) error {
	timeout := qmpTimeouts[execute]
	if timeout == 0 {
		timeout = qmpTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := connectUnix(ctx, path)
	if err != nil {
		return fmt.Errorf("%s: connect: %w", execute, err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	reader := json.NewDecoder(conn)
	var greeting qmpMessage
	if err := reader.Decode(&greeting); err != nil {
		return fmt.Errorf("%s: no greeting: %w", execute, err)
	}
	if greeting.QMP == nil {
		return fmt.Errorf("%s: what comes first is no greeting", execute)
	}
	// No two conversations share an id, so that a reply left over from another is known as such.
	session := strconv.FormatInt(time.Now().UnixNano(), 36)
	if err := qmpExchange(conn, reader, session+":1", "qmp_capabilities", nil, nil); err != nil {
		return fmt.Errorf("%s: %w", execute, err)
	}
	if err := qmpExchange(conn, reader, session+":2", execute, arguments, into); err != nil {
		return fmt.Errorf("%s: %w", execute, err)
	}
	return nil
}

// connectUnix connects to a socket. A full backlog of the socket is EAGAIN at once and says that others wait too.
func connectUnix(ctx context.Context, path string) (net.Conn, error) {
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if !errors.Is(err, syscall.EAGAIN) {
			return conn, err
		}
		select {
		case <-time.After(qmpRetry):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w (%w)", err, ctx.Err())
		}
	}
}

func qmpExchange(conn net.Conn, reader *json.Decoder, id, execute string, arguments, into any) error {
	command := map[string]any{"execute": execute, "id": id}
	if arguments != nil {
		command["arguments"] = arguments
	}
	text, err := json.Marshal(command)
	if err != nil {
		return err
	}
	if _, err := conn.Write(append(text, '\n')); err != nil {
		return err
	}
	for {
		var m qmpMessage
		if err := reader.Decode(&m); err != nil {
			return fmt.Errorf("no reply: %w", err)
		}
		switch {
		case m.Event != "":
			continue
		case m.ID == nil:
			return errors.New("received response without command id")
		case string(m.ID) != strconv.Quote(id):
			return fmt.Errorf("got wrong command id %s (expected %q)", m.ID, id)
		case m.Error != nil:
			return m.Error
		case into != nil:
			return json.Unmarshal(m.Return, into)
		}
		return nil
	}
}

// QMP runs one command on a VM's monitor, strictly and shortly as Proxmox does, and decodes its
// answer into what into points at, unless that is nil.
func (l *Lab) QMP(ctx context.Context, id int, execute string, arguments, into any) error {
	vm, err := l.vm(id)
	if err != nil {
		return err
	}
	return l.monitor(vm.Node, id).run(ctx, execute, arguments, into)
}

// monitor is the socket of a VM's process on a node.
type monitor struct {
	who  string
	path string
}

func (l *Lab) monitor(node, id int) monitor {
	return monitor{who: fmt.Sprintf("%s: VM %d", NodeName(node), id), path: l.vmSocket(node, id, "qmp")}
}

func (m monitor) run(ctx context.Context, execute string, arguments, into any) error {
	if err := qmp(ctx, m.path, execute, arguments, into); err != nil {
		return fmt.Errorf("%s: %w", m.who, err)
	}
	return nil
}
