package engine

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// The kinds of events.
const (
	EventStart    = "start"    // a step begins
	EventChange   = "change"   // a change is about to be made
	EventTask     = "task"     // a task of Proxmox VE was started
	EventProgress = "progress" // words about how far it is
	EventWarning  = "warning"  // a task did its work, with warnings
	EventRetry    = "retry"    // an attempt failed; the step looks again
	EventDone     = "done"     // the step is true
	EventSkip     = "skip"     // the step is left out because one it needs failed
	EventError    = "error"    // the step failed
	EventEnd      = "end"      // the run is over
)

// An Event is one thing that happened in a run.
type Event struct {
	Time  time.Time `json:"ts"`
	Step  ID        `json:"step,omitempty"`
	Node  string    `json:"node,omitempty"`
	Event string    `json:"event"`
	Path  string    `json:"path,omitempty"`
	UPID  string    `json:"upid,omitempty"`
	Text  string    `json:"text,omitempty"`
	Log   []string  `json:"log,omitempty"`
	// Seconds since the step began.
	Seconds float64 `json:"seconds,omitempty"`
	// Pct is how much of the steps is done, in percent.
	Pct int `json:"pct"`
}

// cleaned is e without secrets.
func (e Event) cleaned(r *Redactor) Event {
	e.Node, e.Path, e.UPID, e.Text = r.Clean(e.Node), r.Clean(e.Path), r.Clean(e.UPID), r.Clean(e.Text)
	var log []string
	for _, l := range e.Log {
		log = append(log, r.Clean(l))
	}
	e.Log = log
	return e
}

// A Recorder writes events as JSON, one a line, without secrets. It is safe for concurrent use.
type Recorder struct {
	mu     sync.Mutex
	w      io.Writer
	redact *Redactor
	err    error
}

// NewRecorder records to w.
func NewRecorder(w io.Writer, r *Redactor) *Recorder { return &Recorder{w: w, redact: r} }

// Tell records e.
func (r *Recorder) Tell(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, err := json.Marshal(e.cleaned(r.redact))
	if err == nil {
		_, err = r.w.Write(append(b, '\n'))
	}
	if r.err == nil && err != nil {
		r.err = fmt.Errorf("record event: %w", err)
	}
}

// Err is the first error of writing.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}
