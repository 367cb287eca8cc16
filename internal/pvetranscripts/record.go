package pvetranscripts

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// record is one line of a file.
type record struct {
	N        int     `json:"n"`
	Step     string  `json:"step"`
	Via      string  `json:"via"`
	Auth     string  `json:"auth"`
	Method   string  `json:"method"`
	Path     string  `json:"path"`
	Encoding string  `json:"encoding"`
	Params   any     `json:"params"`
	RawBody  *string `json:"raw_body"`
	At       float64 `json:"at"` // seconds since 1970, 0: not noted

	Status int     `json:"http_status"`
	Reason string  `json:"reason"`
	Body   any     `json:"body"`
	UPID   string  `json:"task_upid"`
	Exit   *string `json:"task_exitstatus"`

	Command string `json:"command"` // run on a node instead
	RC      int    `json:"rc"`
	Samples []any  `json:"samples"`
}

// lastSample is how long something was watched.
func (r record) lastSample() time.Duration {
	if len(r.Samples) == 0 {
		return 0
	}
	last, ok := r.Samples[len(r.Samples)-1].([]any)
	if !ok || len(last) == 0 {
		return 0
	}
	seconds, _ := last[0].(float64)
	return time.Duration(seconds) * time.Second
}

// isRequest says whether the line is a call; the others are samples and commands.
func (r record) isRequest() bool { return r.Method != "" }

// errorKeys are those of errors{} in the recorded body.
func errorKeys(body any) []string {
	o, ok := body.(map[string]any)
	if !ok {
		return nil
	}
	errs, ok := o["errors"].(map[string]any)
	if !ok {
		return nil
	}
	return sorted(errs)
}

// params are the parameters as text. What was redacted gets a value that leads to the recorded answer.
func (r record) params(l *lab) (text map[string]string, native any) {
	given, ok := r.Params.(map[string]any)
	if !ok {
		return nil, r.Params
	}
	text, out := map[string]string{}, map[string]any{}
	for k, v := range given {
		if s, isText := v.(string); isText {
			v = r.restore(l, k, s)
		}
		out[k], text[k] = v, plain(v)
	}
	return text, out
}

func plain(v any) string {
	switch t := v.(type) {
	case string:
		return t
	case float64:
		return strconv.FormatFloat(t, 'f', -1, 64)
	case bool:
		return map[bool]string{true: "1", false: "0"}[t]
	}
	return fmt.Sprint(v)
}

const (
	redacted = "REDACTED"
	// shortPassword is what a refused short one was.
	shortPassword = "short"
)

func (r record) restore(l *lab, key, v string) string {
	switch {
	case key == "fingerprint" && strings.HasSuffix(r.Path, "/config/join") && len(v) == 95 && !strings.HasPrefix(v, "AA:AA:AA"):
		return l.c.Node(1).Fingerprint() // the member's
	case v != redacted:
		return v
	case strings.Contains(r.Reason, "Parameter verification") && strings.Contains(fmt.Sprint(r.Body), "characters long"):
		return shortPassword
	case strings.Contains(r.Step, "wrong password") || r.Status == 401:
		return "wrong"
	}
	return rootPassword
}

// read returns the lines of a file.
func read(path string) ([]record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []record
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		var r record
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%s line %d: %w", path, len(all)+1, err)
		}
		all = append(all, r)
	}
	return all, lines.Err()
}
