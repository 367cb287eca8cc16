//go:build goqemu

package qmp

import (
	"errors"
	"testing"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
	"github.com/digitalocean/go-qemu/qmp/raw"
)

func TestLabGoQEMUWorksOnOurMonitor(t *testing.T) {
	t.Parallel()
	q := startQEMU(t)
	m := newClient(t, Options{Greeting: 10 * time.Second, Reply: 10 * time.Second}).Monitor(t.Context(), q.path)
	wants(t, "connect", m.Connect(), "")
	defer m.Disconnect()
	r := raw.NewMonitor(m)
	if s, err := r.QueryStatus(); err != nil || s.Status.String() == "" {
		t.Errorf("status %+v, %v", s, err)
	}
	if v, err := r.QueryVersion(); err != nil || v.Qemu.Major < 7 {
		t.Errorf("version %+v, %v", v, err)
	}
	if _, err := r.QueryBlockstats(nil); err != nil {
		t.Error(err)
	}
	if _, err := r.QueryBlockJobs(); err != nil {
		t.Error(err)
	}
	if mig, err := r.QueryMigrate(); err != nil || mig.Status != nil {
		t.Errorf("migration %+v, %v", mig, err)
	}
	wants(t, "stop", r.Stop(), ErrNotAllowed)
	if _, err := m.Events(t.Context()); !errors.Is(err, qmp.ErrEventsNotSupported) {
		t.Errorf("events: %v", err)
	}
}

func TestStateThatGoQEMUDoesNotKnowIsReported(t *testing.T) {
	t.Parallel()
	f := newFake(t, 2, func(c *fakeClient) {
		c.greet()
		c.obey(func(name, id string) bool {
			if name == "query-status" {
				c.reply(id, `{"status": "teleporting", "running": true}`)
				return true
			}
			return false
		})
	})
	c := newClient(t, generous)
	s, err := c.Query(t.Context(), f.path)
	if err != nil || s.VMState != "teleporting" {
		t.Errorf("got %+v, %v", s, err)
	}
	m := c.Monitor(t.Context(), f.path)
	wants(t, "connect", m.Connect(), "")
	defer m.Disconnect()
	if _, err := raw.NewMonitor(m).QueryStatus(); err == nil {
		t.Error("go-qemu knows the state by now: parseStatus may be replaced by raw.StatusInfo")
	}
}
