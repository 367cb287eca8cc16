package qmp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// members walks over the members of a JSON object that is known to be valid, without allocating.
type members struct {
	rest       []byte
	key, value []byte // the key as text, the value as JSON
}

// membersOf returns no members for what is not an object.
func membersOf(valid []byte) members {
	valid = bytes.TrimSpace(valid)
	if len(valid) == 0 || valid[0] != '{' {
		return members{}
	}
	return members{rest: valid[1:]}
}

// next steps to the next member and says whether there is one.
func (m *members) next() bool {
	rest := bytes.TrimLeft(m.rest, " \t\r\n,")
	if len(rest) == 0 || rest[0] != '"' {
		return false
	}
	end := stringEnd(rest)
	m.key = rest[1 : end-1]
	if bytes.IndexByte(m.key, '\\') >= 0 {
		plain, _ := text(rest[:end])
		m.key = []byte(plain)
	}
	rest = bytes.TrimLeft(rest[end:], " \t\r\n:")
	end = valueEnd(rest)
	m.value, m.rest = rest[:end], rest[end:]
	return true
}

// stringEnd returns the length of the string literal that b begins with.
func stringEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// valueEnd returns the length of the value that b begins with.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			i += stringEnd(b[i:]) - 1
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth == 0 {
				return i + 1
			}
			if depth < 0 {
				return i // the end of what holds b
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return len(b)
}

// number returns the number that raw is, or nil if it is something else.
func number(raw []byte) *float64 {
	// It understands "inf" as well, but that is not JSON.
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return nil
	}
	return &f
}

// text returns the string that raw is.
func text(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return "", false
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", false
	}
	return s, true
}

// A message is one line that QEMU sent. What it does not have is nil.
type message struct {
	line []byte // all of it

	greeting, event, id, result, failure []byte // raw JSON
}

// parseMessage fails with errGarbage for what is not a JSON object.
func parseMessage(line []byte) (message, error) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] != '{' || !json.Valid(line) {
		return message{}, fmt.Errorf("%w: %s", errGarbage, excerpt(line))
	}
	msg := message{line: line}
	for m := membersOf(line); m.next(); {
		switch string(m.key) {
		case "QMP":
			msg.greeting = m.value
		case "event":
			msg.event = m.value
		case "id":
			msg.id = m.value
		case "return":
			msg.result = m.value
		case "error":
			msg.failure = m.value
		}
	}
	return msg, nil
}

// failureText returns what QEMU says about a command that failed: {"class": …, "desc": …}.
func failureText(failure []byte) string {
	for m := membersOf(failure); m.next(); {
		if string(m.key) == "desc" {
			if s, ok := text(m.value); ok {
				return s
			}
		}
	}
	return excerpt(failure)
}

// excerpt makes foreign bytes fit for an error message.
func excerpt(b []byte) string {
	const limit = 60
	if len(b) > limit {
		return fmt.Sprintf("%q…", b[:limit])
	}
	return fmt.Sprintf("%q", b)
}
