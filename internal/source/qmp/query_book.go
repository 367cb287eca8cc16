package qmp

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/quorate/quorate/internal/source"
)

// vm is what the Client remembers of one monitor socket.
type vm struct {
	open    bool        // a conversation goes on, or its last reply is waited for
	slow    int         // times in a row that it timed out
	until   time.Time   // when the back-off ends
	socket  fs.FileInfo // at the last timeout: a new one belongs to another QEMU
	failing bool        // the last conversation failed for a reason that is not in the nature of VMs
	touched time.Time
}

// admit opens a conversation with the monitor at path, or says why there can be none. Each one
// that is admitted ends with leave or part.
func (c *Client) admit(path string, urgent bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return newError(ErrClosed, path, nil, "the exporter shuts down")
	}
	v := c.vms[path]
	if v == nil {
		v = &vm{}
		c.vms[path] = v
	}
	if v.open {
		return c.refuse(newError(ErrInUse, path, nil, "an earlier conversation has not ended"))
	}
	now := c.o.Now()
	if wait := v.until.Sub(now); wait > 0 && !urgent {
		if v.sameSocket(path) {
			return c.refuse(newError(ErrBackingOff, path, nil,
				"timed out %d times in a row, asked again in %s", v.slow, wait.Round(time.Second)))
		}
		*v = vm{}
	}
	v.open, v.touched = true, now
	c.open++
	return nil
}

// refuse counts a conversation that does not take place.
func (c *Client) refuse(err *Error) error {
	c.stats.Fail(err)
	return err
}

// leave ends a conversation that is closed already.
func (c *Client) leave(path string, urgent bool, outcome error) {
	c.score(path, urgent, outcome)
	c.free(path)
}

// free lets the next conversation with path begin.
func (c *Client) free(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	if v := c.vms[path]; v != nil {
		v.open = false
		if v.slow == 0 && !v.failing {
			delete(c.vms, path)
		}
	}
	if c.closed && c.open == 0 {
		close(c.idle)
	}
}

// score counts what a conversation came to.
func (c *Client) score(path string, urgent bool, outcome error) {
	c.stats.Record(outcome)
	var kind Kind
	var e *Error
	if errors.As(outcome, &e) {
		kind = e.Kind
	}
	switch {
	case kind == ErrBusy:
		c.o.Observer.Busy()
	case kind.slow():
		c.o.Observer.TimedOut()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v, now := c.vms[path], c.o.Now()
	switch {
	case outcome == nil:
		c.answered = now
		if v.backingOff() {
			c.o.Log.Info("monitor answers again", "socket", path)
		}
		v.wellAgain()
	case kind == ErrGone:
		v.wellAgain()
	case kind.slow():
		c.failed, v.failing = now, true
		if !urgent {
			c.backOff(path, v, now)
		}
	case kind == ErrDenied, kind == ErrConnect, kind == ErrAnswer, kind == ErrCommand:
		c.failed, v.failing = now, true
	}
	// Of ErrBusy, ErrLost and ErrCanceled nothing is learned about the VM.
	c.forget(now)
}

// backOff notes that the VM timed out. The first time is forgiven: a VM whose main loop stood
// still for a moment, as it does when a migration ends, must not be lost sight of.
func (c *Client) backOff(path string, v *vm, now time.Time) {
	v.slow++
	if v.slow < 2 || c.o.Backoff < 0 {
		return
	}
	wait := c.o.BackoffMax
	if doublings := v.slow - 2; doublings < 16 {
		wait = min(c.o.Backoff<<doublings, c.o.BackoffMax)
	}
	v.until = now.Add(wait)
	v.socket, _ = os.Stat(path)
	if v.slow == 2 {
		c.o.Log.Warn("monitor does not answer: the VM hangs, or another client holds its monitor; asked less often",
			"socket", path, "again_in", wait)
	}
}

func (v *vm) wellAgain() { v.slow, v.until, v.failing = 0, time.Time{}, false }

func (v *vm) backingOff() bool { return !v.until.IsZero() }

// sameSocket says whether the socket is the one that timed out.
func (v *vm) sameSocket(path string) bool {
	now, err := os.Stat(path)
	if err != nil || v.socket == nil {
		return false
	}
	return os.SameFile(v.socket, now) && v.socket.ModTime().Equal(now.ModTime())
}

// forget drops VMs that nobody has asked for in a long time; they will have gone.
func (c *Client) forget(now time.Time) {
	if len(c.vms) < 2 {
		return
	}
	for path, v := range c.vms {
		if !v.open && now.Sub(v.touched) > 2*c.o.BackoffMax {
			delete(c.vms, path)
		}
	}
}

// Status says how the monitors are. A request is one conversation, and those that were refused
// without one count as errors only. It is up unless VMs fail and none has answered since: one VM
// that hangs does not take the source down, and where no VM runs nothing is wrong.
func (c *Client) Status() source.Status {
	st := c.stats.Status()
	c.mu.Lock()
	defer c.mu.Unlock()
	failing := false
	for _, v := range c.vms {
		failing = failing || v.failing
	}
	st.Up = !failing || !c.answered.Before(c.failed)
	return st
}
