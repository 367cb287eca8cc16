package lab

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// A Notification is what Alertmanager sent once: somebody's phone that rang.
type Notification struct {
	Time     time.Time `json:"time"` // of its arrival
	Receiver string    `json:"receiver"`
	Status   string    `json:"status"` // "firing" if one of its alerts is
	GroupKey string    `json:"groupKey"`
	Alerts   []Paged   `json:"alerts"` // of the group, also those that were told before
}

// Paged is an alert in a notification.
type Paged struct {
	Status      string            `json:"status"` // "firing" or "resolved"
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
	Fingerprint string            `json:"fingerprint"`
}

// Firing says whether the alert is not over.
func (p Paged) Firing() bool { return p.Status == "firing" }

// Name is the alert's, and Severity what its label says.
func (p Paged) Name() string { return p.Labels["alertname"] }

// Severity is the label of that name: critical, warning or info.
func (p Paged) Severity() string { return p.Labels["severity"] }

// PageLog keeps notifications, oldest first, in a file of one JSON object a line. What is in the file
// when it is opened counts.
type PageLog struct {
	path string
	mu   sync.Mutex
	all  []Notification
}

// OpenPageLog reads the notifications in a file, which need not exist. An unfinished last line, as a
// writer that was killed leaves one, is dropped.
func OpenPageLog(path string) (*PageLog, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	log := &PageLog{path: path}
	for line := range bytes.Lines(whole) {
		var n Notification
		if err := json.Unmarshal(line, &n); err != nil {
			return nil, fmt.Errorf("%s: line %d: %w", path, len(log.all)+1, err)
		}
		log.all = append(log.all, n)
	}
	if len(whole) < len(text) {
		return log, os.Truncate(path, int64(len(whole)))
	}
	return log, nil
}

// Append adds a notification.
func (p *PageLog) Append(n Notification) error {
	line, err := json.Marshal(n)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	file, err := os.OpenFile(p.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(append(line, '\n'))
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	p.all = append(p.all, n)
	return nil
}

// All are the notifications so far.
func (p *PageLog) All() []Notification {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}

// Firing are the alerts of which the last that notifications told is that they fire, in the order of
// their start.
func Firing(notifications []Notification) []Paged {
	last := map[string]Paged{}
	for _, n := range notifications {
		for _, alert := range n.Alerts {
			last[alert.Fingerprint] = alert
		}
	}
	firing := slices.Collect(maps.Values(last))
	firing = slices.DeleteFunc(firing, func(p Paged) bool { return !p.Firing() })
	slices.SortFunc(firing, func(a, b Paged) int {
		return cmp.Or(a.StartsAt.Compare(b.StartsAt), cmp.Compare(a.Fingerprint, b.Fingerprint))
	})
	return firing
}
