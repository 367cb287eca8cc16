package replay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/quorate/quorate/internal/dropin"
)

// A recording is what the API answered while a page was made.
type recording struct {
	replies map[string]reply // by path and query
	failed  []string         // calls that got no answer
}

// A reply is one answer. Without a status it never came.
type reply struct {
	status int
	body   []byte
}

const api = "/api2/json"

// readRecording reads a file of calls. Of several replies to the same call the first is kept.
func readRecording(file string) (*recording, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rec := &recording{replies: map[string]reply{}}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for n := 1; lines.Scan(); n++ {
		if err := rec.add(lines.Bytes()); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
	}
	return rec, lines.Err()
}

func (rec *recording) add(line []byte) error {
	var call struct {
		Method string          `json:"method"`
		URL    string          `json:"url"`
		Status int             `json:"status"`
		Body   json.RawMessage `json:"body"`
	}
	if err := json.Unmarshal(line, &call); err != nil {
		return err
	}
	u, err := url.Parse(call.URL)
	if err != nil {
		return err
	}
	path, ok := strings.CutPrefix(u.RequestURI(), api)
	if !ok || call.Method != http.MethodGet {
		return fmt.Errorf("%s %s is no call of the page", call.Method, call.URL)
	}
	if call.Status == 0 {
		rec.failed = append(rec.failed, path+" did not answer")
	}
	if _, again := rec.replies[path]; !again {
		rec.replies[path] = reply{call.Status, bytes.Clone(call.Body)}
	}
	return nil
}

// explain knows one reason. What else differs is unexplained.
func explain(r dropin.Result) string {
	if r.Kind == dropin.Extra && strings.HasPrefix(r.Family, "quorate_") {
		return "ours"
	}
	return ""
}

// ServeHTTP answers as it was recorded. What was not recorded is not implemented.
func (rec *recording) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	re, ok := rec.replies[strings.TrimPrefix(r.URL.RequestURI(), api)]
	switch {
	case !ok:
		http.Error(w, "not recorded", http.StatusNotImplemented)
	case re.status == 0:
		<-r.Context().Done() // it never came
	default:
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		w.WriteHeader(re.status)
		_, _ = w.Write(re.body) // who hung up does not wait for it
	}
}
