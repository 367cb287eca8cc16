package ceph

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
)

// decode unmarshals one answer. Fields that are not known are ignored.
func decode(what string, b []byte, into any) error {
	err := json.Unmarshal(b, into)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		// Ceph's formatter prints C++ doubles as they come: inf and nan are no JSON.
		if clean := sanitise(b); !bytes.Equal(clean, b) {
			err = json.Unmarshal(clean, into)
		}
	}
	if err != nil {
		return newError(ErrAnswer, err, "answer to %q not understood", what)
	}
	return nil
}

// bareWords are what printf makes of doubles that are not finite.
var bareWords = [...]string{"-inf", "inf", "-nan", "nan", "-Infinity", "Infinity", "NaN"}

// sanitise replaces bare inf and nan outside strings by null.
func sanitise(b []byte) []byte {
	out := make([]byte, 0, len(b))
	inString := false
	for i := 0; i < len(b); {
		c := b[i]
		switch {
		case inString && c == '\\' && i+1 < len(b):
			out = append(out, c, b[i+1])
			i += 2
			continue
		case c == '"':
			inString = !inString
		case !inString:
			if w := bareWord(b[i:]); w > 0 {
				out = append(out, "null"...)
				i += w
				continue
			}
		}
		out = append(out, c)
		i++
	}
	return out
}

func bareWord(b []byte) int {
	best := 0
	for _, w := range bareWords {
		if len(w) > best && len(b) >= len(w) && string(b[:len(w)]) == w {
			best = len(w)
		}
	}
	return best
}

// flexInt is an integer that some releases print as a string or a bool.
type flexInt int64

func (n *flexInt) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	switch s {
	case "null", "false", "":
		*n = 0
		return nil
	case "true":
		*n = 1
		return nil
	}
	v, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		f, ferr := strconv.ParseFloat(s, 64)
		if ferr != nil {
			return err
		}
		v = int64(f)
	}
	*n = flexInt(v)
	return nil
}

// flexBool is a bool that some commands print as 0 and 1.
type flexBool bool

func (f *flexBool) UnmarshalJSON(b []byte) error {
	var n flexInt
	if err := n.UnmarshalJSON(b); err != nil {
		return err
	}
	*f = n != 0
	return nil
}

// parseTime reads a time stamp of Ceph: with zone +0000 or Z; "0.000000" means never.
func parseTime(s string) (time.Time, bool) {
	for _, layout := range []string{"2006-01-02T15:04:05.999999-0700", time.RFC3339Nano} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, t.Year() > 2000
		}
	}
	return time.Time{}, false
}

// host returns the address without port and nonce, of "10.0.0.1:6789/0" or "[fe80::1]:6789/0".
func host(addr string) string {
	if i := strings.LastIndexByte(addr, ':'); i >= 0 {
		return addr[:i]
	}
	return addr
}
