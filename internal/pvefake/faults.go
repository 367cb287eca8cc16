package pvefake

import (
	"encoding/json"
	"path"
	"slices"
	"strings"
	"time"
)

// Rule makes requests or tasks go wrong. What is empty matches everything; of the effects one is set.
type Rule struct {
	// Command matches SSH commands that contain it instead of requests. Status is then the exit status and
	// Reason what goes to stderr.
	Command string

	Method string // "GET"
	Path   string // below /api2/json, with * and ?: "/nodes/*/qemu"; a query is not part of it
	Query  string // contained in the query string
	Node   int    // that receives the request
	Nth    int    // only the n-th match, from 1
	Times  int    // no more than so many matches

	// Status answers instead of the method: 595 "Connection refused", 596 "Connection timed out", 599,
	// 401, 500 …, without a body or with Body.
	Status int
	Reason string
	Body   string

	Hang        bool          // accept, never answer
	Slow        time.Duration // answer late, in wall time
	CloseBefore bool          // close the connection, nothing done
	LoseReply   bool          // do it, then close the connection
	Truncate    bool          // send half of the body and close
	WrongTypes  bool          // numbers become text, text becomes numbers, arrays objects
	HugeBytes   int64         // send a well-formed reply of so many bytes

	// TaskType makes matching tasks (of TaskID, if set) end with TaskStatus and without effect, or if that
	// is "WARNINGS: n", with their effect.
	TaskType, TaskID, TaskStatus string

	hits int
}

// Inject adds a rule and returns what removes it.
func (c *Cluster) Inject(r Rule) (remove func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rule := &r
	c.rules = append(c.rules, rule)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.rules = slices.DeleteFunc(c.rules, func(o *Rule) bool { return o == rule })
	}
}

// ClearFaults removes all rules.
func (c *Cluster) ClearFaults() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rules = nil
}

// matchRule finds the first rule for a request.
func (c *Cluster) matchRule(n *node, method, p, query string) *Rule {
	for _, r := range c.rules {
		if r.TaskType != "" || r.Command != "" || r.Method != "" && r.Method != method || r.Node != 0 && r.Node != n.id {
			continue
		}
		if r.Path != "" {
			if ok, err := path.Match(r.Path, p); err != nil || !ok {
				continue
			}
		}
		if r.Query != "" && !strings.Contains(query, r.Query) {
			continue
		}
		if r.counts() {
			copied := *r
			return &copied
		}
	}
	return nil
}

// matchCommand finds the first rule for a command.
func (c *Cluster) matchCommand(n *node, line string) *Rule {
	for _, r := range c.rules {
		if r.Command != "" && strings.Contains(line, r.Command) && (r.Node == 0 || r.Node == n.id) && r.counts() {
			copied := *r
			return &copied
		}
	}
	return nil
}

func (r *Rule) counts() bool {
	r.hits++
	if r.Nth != 0 {
		return r.hits == r.Nth
	}
	return r.Times == 0 || r.hits <= r.Times
}

func (c *Cluster) taskFault(t *task) string {
	for _, r := range c.rules {
		if r.TaskType == t.typ && (r.TaskID == "" || r.TaskID == t.id) && r.counts() {
			return r.TaskStatus
		}
	}
	return ""
}

// early says whether the method must not run at all.
func (r *Rule) early() bool {
	return r.Status != 0 || r.Hang || r.CloseBefore || r.HugeBytes > 0
}

// reply is what an early rule sends.
func (r *Rule) reply() reply {
	out := reply{status: r.Status, reason: r.Reason, body: []byte(r.Body), fault: r}
	if out.status == 0 {
		out.status = 200
	}
	if out.reason == "" {
		out.reason = reasons[out.status]
	}
	return out
}

var reasons = map[int]string{
	200: "OK", 400: "Parameter verification failed.", 401: "No ticket", 403: "Permission check failed", 404: "Not Found",
	500: "cluster not ready - no quorum?", 501: "not implemented", 502: "Bad Gateway", 503: "Service Unavailable",
	595: "Connection refused", 596: "Connection timed out", 599: "Too many redirections",
}

// change alters a reply that the method gave.
func (r *Rule) change(out *reply) {
	out.fault = r
	if r.WrongTypes {
		var v any
		if err := json.Unmarshal(out.body, &v); err == nil {
			if o, ok := v.(map[string]any); ok {
				o["data"] = twist(o["data"])
				if b, err := json.Marshal(o); err == nil {
					out.body = b
				}
			}
		}
	}
}

// twist turns every value into one of another type.
func twist(v any) any {
	switch t := v.(type) {
	case map[string]any:
		for k, e := range t {
			t[k] = twist(e)
		}
		return t
	case []any:
		out := map[string]any{}
		for i, e := range t {
			out[string(rune('a'+i%26))] = twist(e)
		}
		return out
	case string:
		return 7.5
	case float64:
		return "seven"
	case bool:
		return []any{}
	}
	return map[string]any{}
}
