//go:build goqemu

package qmp

import (
	"context"

	"github.com/digitalocean/go-qemu/qmp"
)

// What go-qemu builds on a qmp.Monitor works with ours. Its own SocketMonitor is not used: it has
// no deadlines and no ids, it races, and it dies of long lines.
var _ qmp.Monitor = (*Monitor)(nil)

// Events fails with qmp.ErrEventsNotSupported: events come while a conversation lasts, and ours
// are short.
func (m *Monitor) Events(context.Context) (<-chan qmp.Event, error) {
	return nil, qmp.ErrEventsNotSupported
}
