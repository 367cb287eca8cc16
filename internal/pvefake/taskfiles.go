package pvefake

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// indexLines is how many ended tasks a node's index keeps; the real one is rotated by size.
const indexLines = 1000

// WriteTaskFiles writes what node i has in /var/log/pve/tasks below dir: active, index and the log of
// each task, in the folder named by the last digit of its start time. Files whose content
// is the same stay untouched. A node without power writes nothing.
func (c *Cluster) WriteTaskFiles(i int, dir string) error {
	c.mu.Lock()
	n := c.node(i)
	if n == nil {
		c.mu.Unlock()
		return fmt.Errorf("pvefake: no node %d of %d", i, len(c.nodes))
	}
	var files map[string]string
	if n.up {
		files = n.taskFiles()
	}
	now := c.now
	c.mu.Unlock()
	for name, content := range files {
		if err := writeChanged(filepath.Join(dir, name), content, now); err != nil {
			return fmt.Errorf("pvefake: write the task list of %s: %w", n.name, err)
		}
	}
	return nil
}

func writeChanged(path, content string, at time.Time) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, []byte(content)) {
		return nil
	}
	return writeAt(path, content, at)
}

// taskFiles has the formats of pve-common src/PVE/RESTEnvironment.pm: index is "UPID END STATUS" in
// the order in which tasks ended, active "UPID SAVED [END STATUS]" with the newest first.
func (n *node) taskFiles() map[string]string {
	var ended []*task
	for _, t := range n.c.tasks {
		if t.node == n && !t.running() {
			ended = append(ended, t)
		}
	}
	slices.SortStableFunc(ended, func(a, b *task) int { return cmp.Compare(a.end, b.end) })
	if len(ended) > indexLines {
		ended = ended[len(ended)-indexLines:]
	}
	files := map[string]string{}
	var index, active strings.Builder
	for _, t := range ended {
		fmt.Fprintf(&index, "%s %08X %s\n", t.upid(), t.end, t.status)
		files[t.logPath()] = strings.Join(t.log, "\n") + "\n"
	}
	for _, t := range n.broadcast() {
		if t.running() {
			if len(t.log) > 0 { // a worker writes its log as it goes
				files[t.logPath()] = strings.Join(t.log, "\n") + "\n"
			}
			fmt.Fprintf(&active, "%s 0\n", t.upid())
		} else {
			fmt.Fprintf(&active, "%s 1 %08X %s\n", t.upid(), t.end, t.status)
		}
	}
	files["index"], files["active"] = index.String(), active.String()
	return files
}

func (t *task) logPath() string {
	start := fmt.Sprintf("%08X", t.start)
	return start[len(start)-1:] + "/" + t.upid()
}
