package pve

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// maxRefusal bounds what is read of the body of a refusal.
const maxRefusal = 64 << 10

// refusal turns a reply that is no success into an Error.
func (t *transport) refusal(x exchange, ep *endpoint, res *http.Response) *Error {
	// What cannot be read of it is no loss: the status says enough.
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxRefusal))
	text := refusalText(res.Status, body)
	e := t.failure(x, ep, statusKind(res.StatusCode, text), text, nil)
	e.Status, e.Sent = res.StatusCode, true
	if res.StatusCode < 400 {
		e.Kind, e.Text = Type, "the server redirects, is this a Proxmox VE API?"
	}
	return e
}

// refusalText is what PVE says about a refusal: the reason phrase, then what the body adds to it, as
// it does for wrong parameters and for messages of several lines.
func refusalText(status string, body []byte) string {
	_, reason, _ := strings.Cut(status, " ")
	parts := []string{strings.TrimSpace(reason)}
	var said struct {
		Message string                     `json:"message"`
		Errors  map[string]json.RawMessage `json:"errors"`
	}
	// A body that is something else has nothing to add.
	_ = json.Unmarshal(body, &said)
	if m := strings.TrimSpace(said.Message); m != "" && m != parts[0] {
		if strings.HasPrefix(m, parts[0]) {
			parts = parts[:0]
		}
		parts = append(parts, m)
	}
	for _, name := range slices.Sorted(maps.Keys(said.Errors)) {
		s, ok := scalar(said.Errors[name])
		if !ok {
			s = string(said.Errors[name])
		}
		parts = append(parts, fmt.Sprintf("%s: %s", name, strings.TrimSpace(s)))
	}
	text := printable(strings.Trim(strings.Join(parts, "; "), "; "))
	if text == "" {
		code, _, _ := strings.Cut(status, " ")
		n, _ := strconv.Atoi(code)
		text = http.StatusText(n)
	}
	return shorten(text, 1000)
}

// printable makes one line of s, for logs.
func printable(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
}
