package qmp

import (
	"os"
	"sync/atomic"
	"testing"
	"time"
)

func TestAVMThatTimesOutIsLeftAlone(t *testing.T) {
	t.Parallel()
	var hangs atomic.Bool
	hangs.Store(true)
	serve := func(c *fakeClient) {
		if !hangs.Load() {
			c.greet()
		}
		c.obey(nil)
	}
	f := newFake(t, 2, serve)
	now, w := newClock(), &watcher{}
	c := newClient(t, Options{Greeting: time.Second, Startup: -1, BackoffMax: time.Minute, Now: now.Now, Observer: w})
	query := func(what string, want Kind) {
		t.Helper()
		_, err := c.Query(t.Context(), f.path)
		wants(t, what, err, want)
		now.add(time.Second)
	}

	query("first time", ErrNoGreeting)
	query("the first time is forgiven", ErrNoGreeting)
	for range 29 {
		query("the second is not", ErrBackingOff)
	}
	query("after 30 s", ErrNoGreeting)
	now.add(58 * time.Second)
	query("less than a minute later", ErrBackingOff)
	query("after a minute", ErrNoGreeting)
	now.add(58 * time.Second)
	query("less than the limit", ErrBackingOff)
	query("the limit", ErrNoGreeting)
	if _, _, timeouts := w.counts(); timeouts != 5 {
		t.Errorf("observer saw %d timeouts, want 5", timeouts)
	}
	st := c.Status()
	if st.Up || st.Requests != 5 || st.Errors["no_greeting"] != 5 || st.Errors["backing_off"] != 31 {
		t.Errorf("status %+v", st)
	}

	hangs.Store(false)
	query("it answers, but that is not known yet", ErrBackingOff)
	_, err := c.QueryUrgent(t.Context(), f.path)
	wants(t, "urgent", err, "")
	query("it has answered", "")
	if !c.Status().Up {
		t.Error("not up")
	}
	hangs.Store(true)
	query("forgiven again", ErrNoGreeting)
	query("and not again", ErrNoGreeting)
	query("30 s again", ErrBackingOff)

	f.stop()
	os.Remove(f.path)
	hangs.Store(false)
	newFakeAt(t, f.path, 2, serve)
	query("a new QEMU has the socket", "")
}

func TestOneVMThatHangsDoesNotTakeTheSourceDown(t *testing.T) {
	t.Parallel()
	hangs := newFake(t, 2, func(c *fakeClient) { c.obey(nil) })
	well := newFake(t, 2, polite)
	now := newClock()
	c := newClient(t, Options{Greeting: 30 * time.Millisecond, Startup: -1, Now: now.Now})
	query := func(path string, want Kind, up bool) {
		t.Helper()
		now.add(time.Second)
		ask := c.Query
		if want == "" {
			ask = c.QueryUrgent // a busy machine is no finding
		}
		_, err := ask(t.Context(), path)
		wants(t, path, err, want)
		if got := c.Status().Up; got != up {
			t.Errorf("up is %t, want %t", got, up)
		}
	}
	if !c.Status().Up {
		t.Error("not up where no VM runs")
	}
	query(hangs.path, ErrNoGreeting, false)
	query(well.path, "", true)
	query(hangs.path, ErrNoGreeting, false)
	query(well.path, "", true)
	query(hangs.path, ErrBackingOff, true)

	hangs.stop()
	os.Remove(hangs.path)
	query(hangs.path, ErrGone, true)
	if n := len(c.vms); n != 0 {
		t.Errorf("%d VMs remembered, though none fails", n)
	}
}

func TestVMsThatNobodyAsksForAreForgotten(t *testing.T) {
	t.Parallel()
	hangs := newFake(t, 2, func(c *fakeClient) { c.obey(nil) })
	well := newFake(t, 2, polite)
	now := newClock()
	c := newClient(t, Options{Greeting: 30 * time.Millisecond, Startup: -1, Now: now.Now})
	_, err := c.Query(t.Context(), hangs.path)
	wants(t, "hangs", err, ErrNoGreeting)
	now.add(time.Hour)
	_, err = c.QueryUrgent(t.Context(), well.path)
	wants(t, "well", err, "")
	if n := len(c.vms); n != 0 {
		t.Errorf("%d VMs remembered", n)
	}
}
