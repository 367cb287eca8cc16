package engine

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// A Printer writes events as lines for people. On a terminal, what is going on stands in a last line
// that is overwritten. It is safe for concurrent use.
type Printer struct {
	// Verbose shows tasks and progress as lines of their own.
	Verbose bool
	// Percent begins lines with how much is done.
	Percent bool

	mu       sync.Mutex
	w        io.Writer
	redact   *Redactor
	terminal bool
	open     bool // the last line is to be overwritten
}

// NewPrinter prints to w, which may be a terminal.
func NewPrinter(w io.Writer, r *Redactor, terminal bool) *Printer {
	return &Printer{w: w, redact: r, terminal: terminal}
}

// Tell prints e.
func (p *Printer) Tell(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e = e.cleaned(p.redact)
	text, passing := p.line(e)
	switch {
	case text == "":
	case passing && p.terminal:
		if runes := []rune(text); len(runes) > 100 {
			text = string(runes[:99]) + "…"
		}
		p.write("\r\x1b[K" + text)
		p.open = true
	case passing && !p.Verbose:
	default:
		if p.open {
			p.write("\r\x1b[K")
			p.open = false
		}
		p.write(text + "\n")
	}
}

// write drops errors: who closed the terminal does not want to see it.
func (p *Printer) write(s string) { _, _ = io.WriteString(p.w, s) }

// line is e in words; passing says that it is of no interest once something else happens.
func (p *Printer) line(e Event) (text string, passing bool) {
	who := string(e.Step)
	if e.Node != "" {
		who += " " + e.Node
	}
	head := who
	if p.Percent {
		head = fmt.Sprintf("[%3d%%] %s", e.Pct, who)
	}
	took := time.Duration(e.Seconds * float64(time.Second)).Round(time.Second)
	switch e.Event {
	case EventStart:
		return head + " …", true
	case EventChange:
		return fmt.Sprintf("%s: %s", head, e.Text), false
	case EventTask:
		return fmt.Sprintf("%s %s: task %s", head, took, e.UPID), true
	case EventProgress:
		return fmt.Sprintf("%s %s: %s", head, took, e.Text), true
	case EventWarning:
		lines := append([]string{fmt.Sprintf("%s: WARNING: %s", head, e.Text)}, e.Log...)
		return strings.Join(lines, "\n    "), false
	case EventRetry:
		return fmt.Sprintf("%s: %s; looking again", head, e.Text), false
	case EventDone:
		return fmt.Sprintf("%s: done in %s %s", head, took, e.Text), e.Text == ""
	case EventSkip, EventEnd:
		return strings.TrimPrefix(fmt.Sprintf("%s: %s", who, e.Text), ": "), false
	case EventError:
		lines := append([]string{fmt.Sprintf("%s: FAILED: %s", who, e.Text)}, e.Log...)
		return strings.Join(lines, "\n    "), false
	}
	return "", true
}

// Close ends the overwritten line.
func (p *Printer) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open {
		p.write("\r\x1b[K")
		p.open = false
	}
}
