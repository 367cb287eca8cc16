package pve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Perl has one scalar for numbers, strings and truth values. What of them comes out in JSON depends
// on how the value was used last, so each of these types reads every form seen, and nothing else:
// null and "" are values that the daemon does not know.

// An Int is a whole number, or not known.
type Int struct {
	V     int64
	Known bool
}

// A Float is a number, or not known.
type Float struct {
	V     float64
	Known bool
}

// A Bool is a truth value, or not known.
type Bool struct {
	V     bool
	Known bool
}

// A Text is a string that may come as a number or truth value.
type Text string

// UnmarshalJSON reads 12, "12", 12.0, true, false, "" and null.
func (i *Int) UnmarshalJSON(b []byte) error {
	*i = Int{}
	s, ok := scalar(b)
	if !ok {
		return wrong(b, "a whole number")
	}
	if s == "" {
		return nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		*i = Int{n, true}
		return nil
	}
	f, err := parseFloat(s)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<63 {
		return wrong(b, "a whole number")
	}
	*i = Int{int64(f), true}
	return nil
}

// UnmarshalJSON reads 1.5, "1.5", true, false, "" and null.
func (f *Float) UnmarshalJSON(b []byte) error {
	*f = Float{}
	s, ok := scalar(b)
	if !ok {
		return wrong(b, "a number")
	}
	if s == "" {
		return nil
	}
	n, err := parseFloat(s)
	if err != nil {
		return wrong(b, "a number")
	}
	*f = Float{n, true}
	return nil
}

// UnmarshalJSON reads 0, 1, "0", "1", true, false and null. "" is Perl's false.
func (v *Bool) UnmarshalJSON(b []byte) error {
	*v = Bool{}
	if string(b) == "null" {
		return nil
	}
	s, ok := scalar(b)
	switch {
	case ok && s == "1":
		*v = Bool{true, true}
	case ok && (s == "0" || s == ""):
		*v = Bool{false, true}
	default:
		return wrong(b, "a truth value")
	}
	return nil
}

// UnmarshalJSON reads strings, numbers, true, false and null, which is "".
func (t *Text) UnmarshalJSON(b []byte) error {
	s, ok := scalar(b)
	if !ok {
		return wrong(b, "text")
	}
	*t = Text(s)
	return nil
}

// scalar returns the value of a JSON scalar as Perl would print it. ok is false for what is none.
func scalar(b []byte) (s string, ok bool) {
	switch {
	case len(b) == 0, b[0] == '{', b[0] == '[':
		return "", false
	case b[0] == '"':
		if q := b[1 : len(b)-1]; bytes.IndexByte(q, '\\') < 0 {
			return string(q), true
		}
		err := json.Unmarshal(b, &s)
		return s, err == nil
	case string(b) == "null":
		return "", true
	case string(b) == "true":
		return "1", true
	case string(b) == "false":
		return "0", true
	}
	return string(b), true
}

// parseFloat reads decimal numbers only: no "inf", no "0x1p4", no "1_000".
func parseFloat(s string) (float64, error) {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0, strconv.ErrSyntax
		}
	}
	return strconv.ParseFloat(s, 64)
}

// A formError says that a value is not of the form that is documented.
type formError struct {
	value, want string
}

func (e *formError) Error() string { return fmt.Sprintf("%s is not %s", e.value, e.want) }

// wrong makes a formError that shows at most the beginning of the value.
func wrong(b []byte, want string) error {
	return &formError{value: shorten(string(b), 40), want: want}
}

func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
