package pve

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A NodeTask is a task of one node as its task index or the API has it.
type NodeTask struct {
	UPID   string
	Node   string
	Type   string // qmigrate, vzdump, …
	ID     string // of the guest, "" if it is about none
	Start  time.Time
	End    time.Time // zero while it runs
	Status string    // OK, "WARNINGS: n", else what went wrong; "" while it runs
}

// OK reports whether the task, which has ended, did what it should. Warnings are no failure.
func (t NodeTask) OK() bool {
	return t.Status == "OK" || strings.HasPrefix(t.Status, "WARNINGS: ")
}

// ParseUPID reads UPID:NODE:PID:PSTART:STARTTIME:TYPE:ID:USER: whose numbers are hexadecimal. The
// user may hold an escaped colon, as may the id.
func ParseUPID(s string) (NodeTask, error) {
	f := strings.SplitN(s, ":", 9)
	if len(f) < 9 || f[0] != "UPID" || f[1] == "" || f[5] == "" || len(f[4]) != 8 {
		return NodeTask{}, fmt.Errorf("%q is no UPID", shorten(s, 120))
	}
	start, err := strconv.ParseUint(f[4], 16, 32)
	if err != nil {
		return NodeTask{}, fmt.Errorf("%q is no UPID: start time: %w", shorten(s, 120), err)
	}
	return NodeTask{UPID: s, Node: f[1], Type: f[5], ID: f[6], Start: time.Unix(int64(start), 0)}, nil
}

// ParseTaskIndex reads /var/log/pve/tasks/index or index.1: "UPID ENDTIME STATUS" lines, oldest first.
// A line that is none is passed over: the last one may be half written.
func ParseTaskIndex(text string) []NodeTask {
	return parseTaskLines(text, func(rest string) (end, status string) {
		end, status, _ = strings.Cut(rest, " ")
		return end, status
	})
}

// ParseTaskActive reads /var/log/pve/tasks/active: "UPID SAVED [ENDTIME STATUS]" lines, newest first,
// of tasks that run or have ended lately.
func ParseTaskActive(text string) []NodeTask {
	return parseTaskLines(text, func(rest string) (end, status string) {
		_, rest, _ = strings.Cut(rest, " ")
		end, status, _ = strings.Cut(rest, " ")
		return end, status
	})
}

func parseTaskLines(text string, ending func(rest string) (end, status string)) (tasks []NodeTask) {
	for line := range strings.Lines(text) {
		line, whole := strings.CutSuffix(line, "\n")
		upid, rest, _ := strings.Cut(line, " ")
		t, err := ParseUPID(upid)
		if err != nil || !whole {
			continue
		}
		if end, status := ending(rest); end != "" {
			at, err := strconv.ParseUint(end, 16, 32)
			if err != nil || status == "" {
				continue
			}
			t.End, t.Status = time.Unix(int64(at), 0), status
		}
		tasks = append(tasks, t)
	}
	return tasks
}

// taskWire is a row of /nodes/NODE/tasks.
type taskWire struct {
	UPID    Text `json:"upid"`
	EndTime Int  `json:"endtime"` // missing while it runs
	Status  Text `json:"status"`  // with source=active "RUNNING" while it runs
}

func (w taskWire) task() (NodeTask, error) {
	t, err := ParseUPID(string(w.UPID))
	if err == nil && w.EndTime.Known {
		t.End, t.Status = haTime(w.EndTime), string(w.Status)
	}
	return t, err
}

// ParseTaskDowntime returns the downtime of a live migration as its task log has it: "… downtime
// 33 ms". It is what QEMU measured on the source, and not the pause of the guest, which is longer.
// ok is false for a log without it, as of an offline migration.
func ParseTaskDowntime(log string) (downtime time.Duration, ok bool) {
	for line := range strings.Lines(log) {
		// "average migration speed: 40.3 MiB/s - downtime 33 ms"; the limit has other words before it.
		_, after, found := strings.Cut(line, " - downtime ")
		if !found {
			continue
		}
		digits, unit, _ := strings.Cut(strings.TrimSpace(after), " ")
		ms, err := strconv.ParseUint(digits, 10, 31)
		if err == nil && unit == "ms" {
			downtime, ok = time.Duration(ms)*time.Millisecond, true
		}
	}
	return downtime, ok
}

// A Replication is the state of one replication job in pve-replication-state.json.
type Replication struct {
	Key     string    // guest and target
	LastTry time.Time // begin of the last run
	Failed  bool      // it failed
	Running bool
}
